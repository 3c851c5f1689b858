"""The command line. Heavy modules are imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from components.core.errors import EsteiraError, RunError, SetupError
from pipelines.commands import cloud, cloud_run, live, models, runs, schedules
from pipelines.commands.options import INTERRUPTED, Case, Json, ProfileName, echo_json, ports_of

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Machine-learning pipelines for tabular models: trained, gated, deployed, watched, rolled back.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 case or parameter, 3 data, 4 artifact, 5 model, 6 conflict, "
    "7 setup, 8 a step failed, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"esteira {_number()}")
        raise typer.Exit


def _number() -> str:
    """As installed; in the launcher's image it is not, and our files lie beside pyproject.toml."""
    import tomllib
    from importlib import metadata

    try:
        return metadata.version("esteira")
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and end.")
    ] = False,
) -> None: ...


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
    from pipelines.launch import console, hints
    from pipelines.launch import images as references
    from pipelines.launch import run as launch

    out = Console(file=sys.stderr if as_json else sys.stdout)
    chosen = profiles.load(profile)
    found = references.load(images) if runner == "docker" else None
    try:
        finished = launch.run(case, pipeline, profile=chosen, start=start, stop=stop, out=out, images=found)
    except KeyboardInterrupt:
        names, repeats = (hints.esteira(words, profile) for words in ("runs list", "runs retry RUN"))
        typer.echo(f"esteira: interrupted; `{names}` names the run, `{repeats}` repeats it", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        echo_json({**asdict(finished.record), "report_page": finished.report})
    else:
        console.closing(Console(), finished.record, finished.report, profile)
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

    for line in launch.check(cases.find(case), ports_of(profile)):
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
def doctor(
    case: Annotated[str, typer.Argument(help="A case, whose topic and resources are looked at as well.")] = "",
    profile: ProfileName = "local",
    as_json: Json = False,
) -> None:
    """Say what is installed and what the profile's project, buckets, roles and quotas lack, with the remedy of each."""
    from components.core import profile as profiles
    from pipelines.launch import doctor as launch

    found = []
    for check in launch.checks(profiles.load(profile), *launch.named(case)):
        found.append(check)
        if not as_json:
            sign = {"ok": "✓", "missing": "·", "broken": "✗"}[check.level]
            typer.echo(
                f"{sign} {check.name:<24} {check.found}" + (f"\n  without it: {check.without}" if check.without else "")
            )
    if as_json:
        echo_json([asdict(check) for check in found])
    if any(check.level == "broken" for check in found):
        raise typer.Exit(SetupError.exit_code)


live.register(app)
app.command()(cloud.submit)
app.add_typer(models.app, name="models")
app.add_typer(runs.app, name="runs")
app.add_typer(schedules.app, name="schedule")
app.add_typer(cloud_run.app, name="cloud-run")


def main() -> None:
    """The entry point: a typed error becomes one line and its exit code."""
    try:
        app(standalone_mode=True)
    except EsteiraError as error:
        typer.echo(f"esteira: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
