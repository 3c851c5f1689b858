"""The command line. Heavy modules are imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from components.core.errors import CaseError, EsteiraError, RunError, SetupError
from pipelines import cloud, schedules

if TYPE_CHECKING:
    from components.adapters.ports import Ports
    from components.adapters.release import Change

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Machine-learning pipelines for tabular models: trained, gated, deployed, watched, rolled back.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 case or parameter, 3 data, 4 artifact, 5 model, 6 conflict, "
    "7 setup, 8 a step failed.",
)
models = typer.Typer(no_args_is_help=True, help="Versions of a case's model.")
runs = typer.Typer(no_args_is_help=True, help="What ran, here or on a cloud.")
app.add_typer(models, name="models")
app.add_typer(runs, name="runs")

Case = Annotated[str, typer.Argument(help="A case's folder, or the name of one under ./cases or of a packaged one.")]
Version = Annotated[int, typer.Argument(help="A registered version: see `esteira models list`.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Verify the same and tell what would be; move nothing.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Where things live: 'local', or profiles/NAME.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command()
def run(
    case: Case,
    pipeline: Annotated[str, typer.Argument(help="batch, predict or fast.")] = "batch",
    profile: ProfileName = "local",
    start: Annotated[str, typer.Option("--from", help="Take events from this moment on (ISO 8601).")] = "",
    stop: Annotated[str, typer.Option("--to", help="Take events before this moment (ISO 8601).")] = "",
    runner: Annotated[
        Literal["environments", "docker"], typer.Option(help="Run steps in `make setup`'s environments, or in images.")
    ] = "environments",
    images: Annotated[Path, typer.Option(help="For docker: the images' references, as `make images` writes them.")] = (
        Path("build/digests.json")
    ),
    as_json: Json = False,
) -> None:
    """Run a pipeline of a case on this machine."""
    from rich.console import Console

    from components.core import profile as profiles
    from pipelines.launch import console
    from pipelines.launch import images as references
    from pipelines.launch import run as launch

    out = Console(file=sys.stderr if as_json else sys.stdout)
    chosen = profiles.load(profile)
    found = references.load(images) if runner == "docker" else None
    finished = launch.run(case, pipeline, profile=chosen, start=start, stop=stop, out=out, images=found)
    if as_json:
        _print({**asdict(finished.record), "report_page": str(finished.report)})
    else:
        console.closing(Console(), finished.record, finished.report)
    if not finished.record.whole:
        raise typer.Exit(RunError.exit_code)


@app.command("compile")
def compile_(
    case: Annotated[str | None, typer.Argument(help="Write this case's bundle and resources in as defaults.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the YAML files.")] = Path("build"),
    images: Annotated[
        Path | None,
        typer.Option(help="Pin the images that this file names by digest, and write the release's manifest."),
    ] = None,
    components: Annotated[bool, typer.Option("--components", help="Components instead of pipelines.")] = False,
    profile: ProfileName = "local",
) -> None:
    """Compile every pipeline to YAML, the same for every case unless one is named."""
    from components.adapters.connect import Connected
    from components.core import profile as profiles
    from pipelines.launch import cases, release

    chosen = profiles.load(profile)
    taken = None if case is None else cases.snapshot(cases.find(case), Connected(chosen))
    for path in release.write(out, taken, chosen, images=images, components=components):
        typer.echo(path)


@app.command()
def init(
    case: Annotated[str, typer.Argument(help="The new case's name; its folder is ./cases/NAME.")],
    data: Annotated[Path, typer.Option(help="A CSV, JSON lines or Parquet file of events.")],
    label: Annotated[str, typer.Option(help="The column to predict.")],
    time: Annotated[str, typer.Option(help="The column with the event's time; found if not named.")] = "",
    id_: Annotated[list[str] | None, typer.Option("--id", help="A column that names a row, once for each.")] = None,
) -> None:
    """Make a new case from a data file: columns and types inferred, each key explained."""
    from pipelines.launch import initialize

    folder = Path("cases") / case
    left_out = initialize.init(folder, data, initialize.Wishes(label, time, tuple(id_ or ())))
    typer.echo(f"{folder / 'case.yaml'}\n{folder / 'features.py'}")
    if left_out:
        typer.echo(f"left out, nested or with a name that is no identifier: {', '.join(left_out)}")
    typer.echo(f"Look at both, then: esteira check {case}")


@app.command()
def check(case: Case, profile: ProfileName = "local") -> None:
    """Look at a case, a sample of its data and the laws of its transform, before anything runs."""
    from pipelines.launch import cases
    from pipelines.launch import check as launch

    for line in launch.check(cases.find(case), _ports(profile)):
        typer.echo(f"✓ {line}")


@app.command()
def schema(
    case: Case,
    write: Annotated[bool, typer.Option("--write", help="Change the schema.pbtxt that is there.")] = False,
    profile: ProfileName = "local",
) -> None:
    """Write a first schema.pbtxt into the case's folder for review, or show what has changed since."""
    from components.core import profile as profiles
    from pipelines.launch import cases
    from pipelines.launch import schema as launch

    for line in launch.propose(cases.find(case), profiles.load(profile), write=write):
        typer.echo(line)


@app.command()
def replay(
    case: Case,
    profile: ProfileName = "local",
    start: Annotated[str, typer.Option("--from", help="Take events from this moment on (ISO 8601).")] = "",
    stop: Annotated[str, typer.Option("--to", help="Take events before this moment (ISO 8601).")] = "",
    rate: Annotated[float, typer.Option(help="Messages per second; 0: as fast as possible.")] = 0.0,
    speed: Annotated[float, typer.Option(help="Instead of a rate: so many times real time.")] = 0.0,
    late: Annotated[float, typer.Option(help="The share held back, some beyond the case's lateness.")] = 0.0,
    duplicates: Annotated[float, typer.Option(help="The share sent twice.")] = 0.0,
    bad: Annotated[float, typer.Option(help="The share followed by a broken copy.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Which ones are chosen.")] = 0,
    most: Annotated[int | None, typer.Option(min=1, help="Send no more than so many.")] = None,
    as_json: Json = False,
) -> None:
    """Publish a case's own source as it would have happened: events, and their labels when they land."""
    from rich.console import Console

    from components.core import case as case_files
    from pipelines.launch import cases, producer, tables, window
    from pipelines.launch.replay import Faults

    asked = producer.Asked(
        window.parse(start, stop), Faults(late, duplicates, bad, seed), producer.Pace(rate, speed), most
    )
    sent = producer.replay(case_files.load(cases.find(case)), _ports(profile), asked, Console(file=sys.stderr))
    _print(sent) if as_json else tables.replayed(sent)


@app.command()
def serve(
    case: Case,
    profile: ProfileName = "local",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port to listen on.")] = 8080,
    token_file: Annotated[Path | None, typer.Option(help="A file that holds the token.")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no token; on a loopback address only.")] = False,
) -> None:
    """Serve predictions of what is live, following each promotion, until Ctrl+C or SIGTERM."""
    from components.core import profile as profiles
    from pipelines.launch import serve as launch

    chosen, wishes = profiles.load(profile), launch.Wishes(host, port, token_file, not no_auth)
    prepared = launch.prepare(case, chosen, wishes)
    champion = _ports(profile).endpoints.pointer(prepared.case).champion
    for line in launch.greeting(prepared, wishes, champion=champion):
        typer.echo(line)
    sys.stdout.flush()
    prepared.start()


@app.command()
def stream(
    case: Case,
    profile: ProfileName = "local",
    until_idle: Annotated[float | None, typer.Option(help="End after so many seconds without a message.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    as_json: Json = False,
) -> None:
    """Predict a case's events as they come, following each promotion, until Ctrl+C or SIGTERM."""
    from components.core import profile as profiles
    from pipelines.launch import stream as launch

    wishes = launch.Wishes(until_idle, most, as_json)
    launch.prepare(case, profiles.load(profile), _ports(profile), wishes).start()


@app.command()
def rehearse(
    case: Case,
    profile: ProfileName = "local",
    start: Annotated[str, typer.Option("--from", help="Replay events from this moment on (ISO 8601).")] = "",
    rate: Annotated[float, typer.Option(help="Messages per second while the challenger is on trial.")] = 500.0,
    as_json: Json = False,
) -> None:
    """Run the fast pipeline on replayed events, with producer, stream, server and a caller beside it."""
    from rich.console import Console

    from components.core import profile as profiles
    from pipelines.launch import console, window
    from pipelines.launch import rehearse as launch

    wishes = launch.Wishes(window.parse(start, "")[0], rate)
    done = launch.rehearse(case, profiles.load(profile), wishes, Console(file=sys.stderr if as_json else sys.stdout))
    if as_json:
        _print({**asdict(done), "report_page": str(done.finished.report)})
    else:
        console.closing(Console(), done.finished.record, done.finished.report)
        console.beside(Console(), done.published, done.stream, done.calls)
    if not done.finished.record.whole:
        raise typer.Exit(RunError.exit_code)


@app.command()
def doctor(profile: ProfileName = "local", as_json: Json = False) -> None:
    """Say what is installed, which servers and credentials are seen, and what each missing one disables."""
    from components.core import profile as profiles
    from pipelines.launch import doctor as launch

    found = []
    for check in launch.checks(profiles.load(profile)):
        found.append(check)
        if not as_json:
            sign = {"ok": "✓", "missing": "·", "broken": "✗"}[check.level]
            typer.echo(
                f"{sign} {check.name:<24} {check.found}" + (f"\n  without it: {check.without}" if check.without else "")
            )
    if as_json:
        _print([asdict(check) for check in found])
    if any(check.level == "broken" for check in found):
        raise typer.Exit(SetupError.exit_code)


@models.command("list")
def models_list(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """List the versions of a case's model, with what is live."""
    from pipelines.launch import models as launch
    from pipelines.launch import tables

    name, ports = _case_ports(case, profile)
    rows = launch.listed(ports, name)
    if as_json:
        _print([asdict(row) for row in rows])
    else:
        tables.models(name, rows)


@models.command("compare")
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

    name, ports = _case_ports(case, profile)
    compared = launch.compare(ports, name, first, second)
    if as_json:
        _print(asdict(compared))
    else:
        tables.comparison(compared, first, second)


@models.command("history")
def models_history(case: Case, profile: ProfileName = "local", as_json: Json = False) -> None:
    """Show every state of what is live, oldest first: who changed it, when and why."""
    from pipelines.launch import tables

    name, ports = _case_ports(case, profile)
    states = ports.endpoints.history(name)
    if as_json:
        _print([asdict(state) for state in states])
    else:
        tables.history(name, states)


@models.command("promote")
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
    from pipelines.launch import releases

    name, ports = _case_ports(case, profile)
    change = release.promote(ports, name, version, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@models.command("canary")
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
    from pipelines.launch import releases

    name, ports = _case_ports(case, profile)
    change = release.begin_canary(ports, name, version, percent, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@models.command("abort")
def models_abort(
    case: Case, why: Why = "", dry_run: DryRun = False, profile: ProfileName = "local", as_json: Json = False
) -> None:
    """End a canary: the champion has all of the traffic, the challenger stays registered."""
    from components.adapters import release
    from pipelines.launch import releases

    name, ports = _case_ports(case, profile)
    change = release.abort(ports, name, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@models.command("rollback")
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
    from pipelines.launch import releases

    name, ports = _case_ports(case, profile)
    change = release.rollback(ports, name, to=to, by=releases.who(), why=why, dry_run=dry_run)
    _released(name, profile, change, dry_run=dry_run, as_json=as_json)


@runs.command("list")
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

    ports = _ports(profile)
    found = [records.load_run(ports.blobs, job) for job in records.jobs(ports.blobs)[-most:][::-1]]
    if as_json:
        _print([asdict(record) for record in found])
    else:
        tables.runs(found)


@runs.command("show")
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
    from components.core import profile as profiles
    from components.core.record import report_path
    from pipelines.launch import console

    ports = _ports(profile)
    jobs = records.jobs(ports.blobs)
    if not jobs or (job is not None and job not in jobs):
        raise CaseError("JOB", "be a run on this machine", job or "none yet", "See `esteira runs list`.")
    record = records.load_run(ports.blobs, job or jobs[-1])
    page = profiles.load(profile).path("blobs") / report_path(record.job)
    if as_json:
        _print({**asdict(record), "report_page": str(page)})
    else:
        console.closing(Console(), record, page)


def _ports(profile: str) -> Ports:
    from components.adapters.connect import Connected
    from components.core import profile as profiles

    return Connected(profiles.load(profile))


def _case_ports(case: str, profile: str) -> tuple[str, Ports]:
    from pipelines.launch import models as launch

    ports = _ports(profile)
    return launch.case_name(ports, case), ports


def _released(name: str, profile: str, change: Change, *, dry_run: bool, as_json: bool) -> None:
    """Tells what a change did or would do, and how it is undone."""
    from components.core import profile as profiles
    from pipelines.launch import releases, tables

    undo = releases.undo(name, change)
    if not as_json:
        tables.change(change, undo, dry_run=dry_run)  # it has happened: MLflow's seconds come after
    with tables.waiting("its aliases in MLflow"):
        behind = change.behind or ("" if dry_run else releases.follow(profiles.load(profile), name))
    if as_json:
        _print({**asdict(change), "behind": behind, "undo": undo, "dry_run": dry_run})
    elif behind:
        tables.behind(behind)


def _print(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, sort_keys=True, default=str))


cloud.register(app, runs)
app.add_typer(schedules.app, name="schedule")


def main() -> None:
    """The entry point: a typed error becomes one line and its exit code."""
    try:
        app(standalone_mode=True)
    except EsteiraError as error:
        typer.echo(f"esteira: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
