"""`esteira models`: a case's versions, and what of them is live."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import Case, Json, ProfileName, echo_json, ports_of

if TYPE_CHECKING:
    from components.adapters.ports import Ports
    from components.adapters.release import Change

app = typer.Typer(no_args_is_help=True, help="Versions of a case's model.")
Version = Annotated[int, typer.Argument(help="A registered version: see `esteira models list`.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Verify the same and tell what would be; move nothing.")]


@app.command("list")
def models_list(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """List the versions of a case's model, with what is live."""
    from pipelines.launch import models as launch
    from pipelines.launch import tables

    name, ports = case_ports(case, profile)
    rows = launch.listed(ports, name)
    if as_json:
        echo_json([asdict(row) for row in rows])
    else:
        tables.models(name, rows, ports.endpoints.resource(name), profile)


@app.command("compare")
def models_compare(
    case: Case,
    first: Annotated[int, typer.Argument(help="A version.")],
    second: Annotated[int, typer.Argument(help="Another version.")],
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Show how two versions differ: metrics, settings, code."""
    from pipelines.launch import models as launch
    from pipelines.launch import tables

    name, ports = case_ports(case, profile)
    compared = launch.compare(ports, name, first, second)
    if as_json:
        echo_json(asdict(compared))
    else:
        tables.comparison(compared, first, second)


@app.command("history")
def models_history(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """Show every state of what is live, oldest first: who changed it, when and why."""
    from pipelines.launch import tables

    name, ports = case_ports(case, profile)
    states = ports.endpoints.history(name)
    if as_json:
        echo_json([asdict(state) for state in states])
    else:
        tables.history(name, states, profile)


@app.command("promote")
def models_promote(
    case: Case,
    version: Version,
    why: Why = "",
    dry_run: DryRun = False,
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Make a version champion with all of the traffic. Undo: models rollback."""
    from components.adapters import release
    from pipelines.launch import releases, tables

    name, ports = case_ports(case, profile)
    with tables.waiting("what is live"):
        change = release.promote(ports, name, version, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@app.command("canary")
def models_canary(
    case: Case,
    version: Version,
    percent: Annotated[int, typer.Option(help="Of the live traffic.", min=1, max=99)],
    why: Why = "",
    dry_run: DryRun = False,
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Give a version a share of the live traffic, or another share than it has. Undo: models abort."""
    from components.adapters import release
    from pipelines.launch import releases, tables

    name, ports = case_ports(case, profile)
    with tables.waiting("what is live"):
        change = release.begin_canary(ports, name, version, percent, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@app.command("abort")
def models_abort(
    case: Case, why: Why = "", dry_run: DryRun = False, profile: ProfileName = "local", as_json: Json = False
) -> None:
    """End a canary: the champion has all of the traffic, the challenger stays registered."""
    from components.adapters import release
    from pipelines.launch import releases, tables

    name, ports = case_ports(case, profile)
    with tables.waiting("what is live"):
        change = release.abort(ports, name, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@app.command("rollback")
def models_rollback(
    case: Case,
    to: Annotated[int | None, typer.Option("--to", help="A version; none: the previous champion.")] = None,
    why: Why = "",
    dry_run: DryRun = False,
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Make the previous champion champion again, verified first. Undo: the same once more."""
    from components.adapters import release
    from pipelines.launch import releases, tables

    name, ports = case_ports(case, profile)
    with tables.waiting("what is live"):
        change = release.rollback(ports, name, to=to, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@app.command("monitor")
def models_monitor(
    case: Case,
    version: Annotated[int | None, typer.Option("--version", help="A version; none: the champion.")] = None,
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Make the case's monitor in Vertex AI Model Monitoring (in preview), or bring it to what the case says now."""
    from components.core import profile as profiles
    from pipelines.launch import monitors as launch
    from pipelines.launch import tables

    with tables.waiting("Vertex AI"):
        name, done, chosen = launch.put(profiles.load(profile), case, version)
    if as_json:
        echo_json({"monitor": name, "done": done, "version": chosen})
    else:
        typer.echo(f"{name}: {done}, of version {chosen}")


def case_ports(case: str, profile: str) -> tuple[str, Ports]:
    from pipelines.launch import models as launch

    ports = ports_of(profile)
    return launch.case_name(ports, case), ports


def _released(name: str, profile: str, change: Change, *, dry_run: bool, as_json: bool) -> None:
    """Tells what a change did or would do, and how it is undone."""
    from components.core import profile as profiles
    from pipelines.launch import releases, tables

    undo = releases.undo(name, change, profile)
    if not as_json:
        tables.change(change, undo, dry_run=dry_run)  # it has happened: MLflow's seconds come after
    with tables.waiting("its aliases in MLflow"):
        behind = change.behind or ("" if dry_run else releases.follow(profiles.load(profile), name))
    if as_json:
        echo_json({**asdict(change), "behind": behind, "undo": undo, "dry_run": dry_run})
    elif behind:
        tables.behind(behind)
