"""`esteira runs`: what ran, here or on a cloud."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from components.core.errors import CaseError
from pipelines.commands import cloud
from pipelines.commands.options import Json, ProfileName, echo_json, ports_of

app = typer.Typer(no_args_is_help=True, help="What ran, here or on a cloud.")


@app.command("list")
def runs_list(
    on: cloud.On = "local",
    profile: ProfileName = "local",
    case: Annotated[str, typer.Option(help="On a cloud: of this case alone.")] = "",
    most: Annotated[int, typer.Option("--most", help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    if on != "local":
        cloud.list_runs(on, profile, case, most, as_json=as_json)
        return
    from components.adapters import records
    from pipelines.launch import tables

    ports = ports_of(profile)
    found = [records.load_run(ports.blobs, job) for job in records.jobs(ports.blobs)[-most:][::-1]]
    if as_json:
        echo_json([asdict(record) for record in found])
    else:
        tables.runs(found, profile)


@app.command("show")
def runs_show(
    job: Annotated[str | None, typer.Argument(help="A run's name; none: the newest.")] = None,
    on: cloud.On = "local",
    profile: ProfileName = "local",
    wait: Annotated[bool, typer.Option("--wait", help="On a cloud: follow it to its end.")] = False,
    every: cloud.Every = 10.0,
    as_json: Json = False,
) -> None:
    """Show one run: its steps, verdict and report."""
    if on != "local":
        cloud.show_run(job, on, profile, every, wait=wait, as_json=as_json)
        return
    from rich.console import Console

    from components.adapters import records
    from components.core.record import report_path
    from pipelines.launch import console, hints

    ports = ports_of(profile)
    jobs = records.jobs(ports.blobs)
    if not jobs or (job is not None and job not in jobs):
        remedy = f"See `{hints.esteira('runs list', profile)}`."
        raise CaseError("JOB", "be a run on this machine", job or "none yet", remedy)
    record = records.load_run(ports.blobs, job or jobs[-1])
    page = ports.blobs.link(path) if ports.blobs.exists(path := report_path(record.job)) else ""
    if as_json:
        echo_json({**asdict(record), "report_page": page})
    else:
        console.closing(Console(), record, page, profile)


app.command("cancel")(cloud.cancel_run)
app.command("retry")(cloud.retry_run)
