"""`esteira cloud-run`: a case's predictions as a job of Cloud Run, on demand or by the clock."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.cloud import LocalBlobs
from pipelines.commands.options import Case, Json, ProfileName, echo_json

app = typer.Typer(no_args_is_help=True, help="A case's predictions as a job of Cloud Run, on demand or by the clock.")


@app.command("apply")
def cloud_run_apply(
    case: Case,
    profile: ProfileName = "local",
    release: Annotated[Path, typer.Option(help="The folder of `esteira compile CASE --images`.")] = Path("release"),
    images: Annotated[
        Path | None, typer.Option(help="Take the image from this file of digests instead of a release.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the difference; change nothing.")] = False,
    allow_local_blobs: LocalBlobs = False,
    as_json: Json = False,
) -> None:
    """Make the job and its schedules equal to the case's, and tell the difference first."""
    from pipelines.launch import cloud_run

    work = cloud_run.prepare(case, profile, images, release, allow_local_blobs=allow_local_blobs)
    steps = work.difference()
    for step in () if as_json else steps:
        typer.echo(step)
    if steps and not dry_run:
        work.store()
        for step in steps:
            step.do()
    if as_json:
        told = [{"verb": step.verb, "name": step.name, "why": step.why} for step in steps]
        echo_json({"steps": told, "done": not dry_run, "address": work.jobs.address(work.file.name)})
    elif not steps:
        typer.echo(f"Cloud Run has what the case says: a job and {len(work.timed)} schedules")
    elif not dry_run:
        typer.echo(f"done: {work.jobs.address(work.file.name)}")


@app.command("run")
def cloud_run_run(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """Start the job now; it goes on by itself."""
    from pipelines.launch import cloud_run, hints

    at = cloud_run.there(case, profile)
    started = at.jobs.run(at.case)
    if as_json:
        echo_json(asdict(started))
        return
    typer.echo(f"run      {started.name}\nconsole  {started.address}")
    typer.echo(f"follow   {hints.esteira(f'runs show {started.name}', profile)}")


@app.command("show")
def cloud_run_show(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """Show the job, its schedules and what it has run."""
    from pipelines.launch import cloud_run, hints

    found = cloud_run.there(case, profile).shown()
    job = found["job"]
    if as_json:
        listed = {key: [asdict(one) for one in found[key]] for key in ("schedules", "executions")}
        echo_json({**found, "job": asdict(job) if job else None, **listed})
        return
    if job is None:
        typer.echo(f"no job: {hints.esteira(f'cloud-run apply {case}', profile)}")
    else:
        typer.echo(f"job      {job.cpu} cpu, {job.memory}, {job.seconds}s, {job.image}\nconsole  {found['address']}")
    for one in found["schedules"]:
        typer.echo(f"schedule {one.name}: {one.cron} {one.time_zone}, {one.state.lower()}")
    for one in found["executions"]:
        typer.echo(f"run      {one.name}  {one.state}")


@app.command("delete")
def cloud_run_delete(case: Case, profile: ProfileName = "local") -> None:
    """Delete the case's schedules there and its job; predictions and run records stay."""
    from pipelines.launch import cloud_run

    gone = list(cloud_run.there(case, profile).delete())
    for line in gone or ["nothing was there"]:
        typer.echo(line)
