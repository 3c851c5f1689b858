"""The commands of what lives: replay, serve, stream, rehearse."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from components.core.errors import RunError
from pipelines.commands.options import Case, Json, ProfileName, echo_json, ports_of


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

    from components.core import case_file
    from pipelines.launch import cases, producer, tables, window
    from pipelines.launch.replay import Faults

    asked = producer.Asked(
        window.parse(start, stop), Faults(late, duplicates, bad, seed), producer.Pace(rate, speed), most
    )
    sent = producer.replay(case_file.load(cases.find(case)), ports_of(profile), asked, Console(file=sys.stderr))
    echo_json(sent) if as_json else tables.replayed(sent)


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
    champion = launch.champion(prepared, ports_of(profile))
    for line in launch.greeting(prepared, wishes, champion=champion):
        typer.echo(line)
    sys.stdout.flush()
    prepared.start()


def stream(
    case: Case,
    profile: ProfileName = "local",
    until_idle: Annotated[float | None, typer.Option(help="End after so many seconds without a message.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    beam: Annotated[bool, typer.Option("--beam", help="As a Beam job on the profile's runner.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Take the place of the Beam job, with its state.")] = False,
    rename: Annotated[list[str] | None, typer.Option(help="OLD=NEW: a transform's new name, to update.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Show the Beam job.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="End the Beam job when it has done what it took.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the Beam job at once.")] = False,
    as_json: Json = False,
) -> None:
    """Predict a case's events as they come, following each promotion, until Ctrl+C or SIGTERM.

    With --beam on Dataflow the job goes on by itself until it is drained or cancelled.
    """
    from components.core import profile as profiles
    from pipelines.launch import stream as launch

    asked = {"update": update, "status": status, "drain": drain, "cancel": cancel}
    meant, wishes = launch.Beam.of(beam, asked, rename or []), launch.Wishes(until_idle, most, as_json)
    launch.prepare(case, profiles.load(profile), ports_of(profile), wishes, meant).start()


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
        echo_json({**asdict(done), "report_page": done.finished.report})
    else:
        console.closing(Console(), done.finished.record, done.finished.report, profile)
        console.beside(Console(), done.published, done.stream, done.calls)
    if not done.finished.record.whole:
        raise typer.Exit(RunError.exit_code)


def register(app: typer.Typer) -> None:
    """Adds these commands to the command line."""
    for command in (replay, serve, stream, rehearse):
        app.command()(command)
