"""`esteira schedule`: when a case's pipelines run by themselves."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.cloud import LocalBlobs
from pipelines.commands.options import Case, Json, ProfileName, echo_json

app = typer.Typer(no_args_is_help=True, help="When a case's pipelines run by themselves.")
To = Annotated[str, typer.Option("--to", help="vertex or kubeflow.")]
Name = Annotated[str, typer.Argument(help="A schedule of the case's, by its name there.")]
Release = Annotated[Path, typer.Option(help="The folder of `esteira compile CASE --images`.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell the difference; change nothing.")]


@app.command("apply")
def schedule_apply(
    case: Case,
    to: To,
    release: Release = Path("release"),
    profile: ProfileName = "local",
    dry_run: DryRun = False,
    allow_local_blobs: LocalBlobs = False,
) -> None:
    """Make the schedules there equal to the case's, and tell the difference first."""
    from pipelines.launch import schedule, scheduling

    work = scheduling.prepare(case, to, release, profile, allow_local_blobs=allow_local_blobs)
    steps = schedule.difference(work.schedules, work.file.name, work.plans())
    for step in steps:
        typer.echo(step)
    if not steps:
        typer.echo(f"{to} has what the case says: {len(work.file.schedules)} schedules")
    if steps and not dry_run:
        work.store()
        for step in steps:
            step.do()
        typer.echo("done")


@app.command("create")
def schedule_create(
    case: Case,
    name: Name,
    to: To,
    release: Release = Path("release"),
    profile: ProfileName = "local",
    allow_local_blobs: LocalBlobs = False,
) -> None:
    """Make one of the case's schedules; one that is there already is left alone, or refused where it differs."""
    from pipelines.launch import scheduling

    work = scheduling.prepare(case, to, release, profile, names=[name], allow_local_blobs=allow_local_blobs)
    typer.echo(work.create(name))


@app.command("update")
def schedule_update(
    case: Case,
    name: Name,
    to: To,
    release: Release = Path("release"),
    profile: ProfileName = "local",
    dry_run: DryRun = False,
    allow_local_blobs: LocalBlobs = False,
) -> None:
    """Make one schedule that is there equal to the case's."""
    from pipelines.launch import scheduling

    work = scheduling.prepare(case, to, release, profile, names=[name], allow_local_blobs=allow_local_blobs)
    for line in work.update(name, dry_run=dry_run):
        typer.echo(line)


@app.command("list")
def schedule_list(case: Case, to: To, profile: ProfileName = "local", as_json: Json = False) -> None:
    """List a case's schedules on a target."""
    from pipelines.launch import scheduling, tables

    name, found = scheduling.listed(case, to, profile)
    if as_json:
        echo_json([asdict(one) for one in found])
    else:
        tables.schedules(name, found, to, profile)


@app.command("show")
def schedule_show(
    case: Case,
    name: Annotated[str | None, typer.Argument(help="A schedule of the case's; none: every one.")] = None,
    to: Annotated[str, typer.Option("--to", help="vertex or kubeflow; none: what the case says.")] = "",
    crontab: Annotated[bool, typer.Option("--crontab", help="The lines for this machine's crontab.")] = False,
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Show what the case says of its schedules, or what a target has."""
    from components.core.errors import CaseError
    from pipelines.launch import scheduling

    if to and not crontab:
        _show_there(case, name, to, profile, as_json=as_json)
        return
    if as_json:
        given, remedy = ("--crontab", "Leave one out.") if crontab else ("none", "Name the target.")
        raise CaseError("--json", "be with --to alone", given, remedy)
    lines = scheduling.said(case, name, profile, crontab=crontab)
    if not lines:
        typer.echo(f"{case} has no schedules: add them to case.yaml", err=True)
    for line in lines:
        typer.echo(line)


def _show_there(case: str, name: str | None, to: str, profile: str, *, as_json: bool) -> None:
    from pipelines.launch import scheduling, tables

    called, found = scheduling.shown(case, name, to, profile)
    if as_json:
        echo_json([asdict(one) for one in found])
    else:
        tables.schedules_whole(called, found, to, profile)


@app.command("pause")
def schedule_pause(case: Case, name: Name, to: To, profile: ProfileName = "local") -> None:
    """Let a schedule start nothing until it is resumed; what runs goes on."""
    from pipelines.launch import scheduling

    typer.echo(scheduling.change(case, name, to, profile, "pause"))


@app.command("resume")
def schedule_resume(case: Case, name: Name, to: To, profile: ProfileName = "local") -> None:
    """Let a schedule go on; what it missed is not made up for."""
    from pipelines.launch import scheduling

    typer.echo(scheduling.change(case, name, to, profile, "resume"))


@app.command("delete")
def schedule_delete(case: Case, name: Name, to: To, profile: ProfileName = "local") -> None:
    """Delete a schedule, and every other of its name; what it has started goes on."""
    from pipelines.launch import scheduling

    typer.echo(scheduling.change(case, name, to, profile, "delete"))
