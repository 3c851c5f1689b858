"""The command line. Heavy modules are imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.errors import EsteiraError, RunError

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
app.add_typer(models, name="models")

Case = Annotated[str, typer.Argument(help="A case's folder, or the name of one under ./cases or of a packaged one.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Where things live: 'local', or profiles/NAME.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command()
def run(
    case: Case,
    pipeline: Annotated[str, typer.Argument(help="batch or predict.")] = "batch",
    profile: ProfileName = "local",
    start: Annotated[str, typer.Option("--from", help="Take events from this moment on (ISO 8601).")] = "",
    stop: Annotated[str, typer.Option("--to", help="Take events before this moment (ISO 8601).")] = "",
    as_json: Json = False,
) -> None:
    """Run a pipeline of a case on this machine."""
    from rich.console import Console

    from pipelines.launch import console
    from pipelines.launch import run as launch

    finished = launch.run(case, pipeline, profile=profile, start=start, stop=stop, out=Console(stderr=as_json))
    if as_json:
        _print({**asdict(finished.record), "report_page": str(finished.report)})
    else:
        console.closing(Console(), finished.record, finished.report)
    if finished.record.failed:
        raise typer.Exit(RunError.exit_code)


@app.command("compile")
def compile_(
    case: Annotated[str | None, typer.Argument(help="Write this case's bundle and resources in as defaults.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the YAML files.")] = Path("build"),
    profile: ProfileName = "local",
) -> None:
    """Compile every pipeline to YAML, the same for every case unless one is named."""
    from components.adapters.connect import Connected
    from components.core import profile as profiles
    from pipelines.launch import cases, compile

    if case is None:
        paths = compile.write_all(out)
    else:
        chosen = profiles.load(profile)
        taken = cases.snapshot(cases.find(case), Connected(chosen))
        defaults = {"bundle": taken.bundle, "operations": taken.operations, "profile": chosen.to_json()}
        paths = compile.write_all(out, defaults, taken.file.resources)
    for path in paths:
        typer.echo(path)


def _print(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, sort_keys=True, default=str))


def main() -> None:
    """The entry point: a typed error becomes one line and its exit code."""
    try:
        app(standalone_mode=True)
    except EsteiraError as error:
        typer.echo(f"esteira: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
