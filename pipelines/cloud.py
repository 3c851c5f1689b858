"""The commands about runs and schedules on other machines: submit, schedule, and `runs` over every target."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.core.errors import CaseError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from components.adapters.runs import Run, Runs
    from pipelines.launch.backfill import Window
    from pipelines.launch.submit import Launched, Ready

Case = Annotated[str, typer.Argument(help="A case's folder, or the name of one under ./cases or of a packaged one.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Where things live: 'local', or profiles/NAME.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Every = Annotated[float, typer.Option("--every", min=0.0, help="Seconds between two looks.")]
INTERRUPTED = 130
"""The exit code of Ctrl-C."""


def submit(
    case: Case,
    pipeline: Annotated[str, typer.Argument(help="batch, predict or fast.")] = "batch",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="vertex or kubeflow. Once more, with a time: the end of the windows (ISO 8601)."),
    ] = None,
    start: Annotated[str, typer.Option("--from", help="Backfill from this moment on, window by window.")] = "",
    release: Annotated[Path, typer.Option(help="The folder of `esteira compile CASE --images`.")] = Path("release"),
    key: Annotated[str, typer.Option(help="Names the run: the same key is the same run. None: a new one.")] = "",
    profile: ProfileName = "local",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    every: Every = 10.0,
    parallel: Annotated[int, typer.Option(min=1, max=20, help="So many windows of a backfill at once.")] = 2,
    allow_local_blobs: Annotated[
        bool, typer.Option("--allow-local-blobs", help="The profile's folder is mounted where the tasks run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a released pipeline of a case on Vertex AI or Kubeflow Pipelines; the same key never starts two."""
    from rich.console import Console

    from components.adapters.connect import Connected
    from components.adapters.runs import checked_key
    from components.core import profile as profiles
    from pipelines.launch import submit as launch
    from pipelines.launch import targets

    out = Console(file=sys.stderr if as_json else sys.stdout)
    target, stop = _target_and_end(to or [])
    if key:
        checked_key(key)
    chosen = profiles.load(profile)
    runs = targets.runs(chosen, target)
    ready = launch.ready(case, pipeline, release)
    if not allow_local_blobs:
        targets.require_shared_blobs(chosen, target)
    on = f"--on {target} --profile {profile}"
    if start or stop:
        wanted = backfill_windows(ready, start, stop, key)
        launched = launch.launch(ready, runs, chosen, Connected(chosen))
        _backfilled(launched, wanted, key, parallel, every, on, out, as_json=as_json)
        return
    key = key or launch.new_key()
    out.print(f"key      {key}", highlight=False)  # before anything is made: with it the same command finds its run
    started = launch.launch(ready, runs, chosen, Connected(chosen)).start(key)
    run, show = started.run, f"esteira runs show {started.run.id} {on}"
    out.print(f"run      {run.id}" + ("  (found: the key has it already)" if started.found else ""), highlight=False)
    out.print(f"console  {run.address}", highlight=False, soft_wrap=True)
    if wait:
        run = followed(runs, run.id, out, every, show)
    else:
        out.print(f"follow   {show} --wait", highlight=False, soft_wrap=True)
    if as_json:
        _print({"key": key, "found": started.found, "run": asdict(run)})
    if run.state in ("failed", "cancelled"):
        raise typer.Exit(RunError.exit_code)


def backfill_windows(ready: Ready, start: str, stop: str, key: str) -> list[Window]:
    """The windows, with keys that every target takes."""
    from components.adapters.runs import checked_key
    from pipelines.launch import backfill

    wanted = backfill.windows(start, stop, ready.file.case().of(ready.pipeline).split)
    for one in wanted:
        checked_key(one.key(key))
    return wanted


def _backfilled(
    launched: Launched,
    wanted: list[Window],
    key: str,
    parallel: int,
    every: float,
    on: str,
    out: Console,
    *,
    as_json: bool,
) -> None:
    from pipelines.launch import backfill

    def tell(one: Window, run: Run) -> None:
        out.print(f"{one.start} to {one.stop}  {run.state:<10} {run.address}", highlight=False, soft_wrap=True)

    with _following(out, f"esteira runs list {on}"):
        ended = backfill.backfill(launched, wanted, key=key, parallel=parallel, tell=tell, every=every)
    if as_json:
        _print([asdict(run) for run in ended])
    left = len(wanted) - sum(run.state == "done" for run in ended)
    if left:
        remedy = "Mend what failed, `esteira runs retry` it, and give the same command again."
        raise RunError("windows", "all be done", f"{left} of {len(wanted)} are not", remedy)


def _target_and_end(given: list[str]) -> tuple[str, str]:
    """--to names the target, and once more the end of the windows."""
    from pipelines.launch import targets, window

    names = [text for text in given if not text[:1].isdigit()]
    moments = [text for text in given if text[:1].isdigit()]
    if len(names) != 1 or len(moments) > 1:
        rule = "name vertex or kubeflow once, and at most one time"
        raise CaseError("--to", rule, given, "Such as --to vertex, or --to vertex --from 2013-01-01 --to 2013-06-01.")
    targets.known(names[0], targets.CLOUD, "--to")
    window.parse("", moments[0] if moments else "")
    return names[0], moments[0] if moments else ""


def followed(runs: Runs, id: str, out: Console, every: float, again: str) -> Run:
    """The run as it ended; Ctrl-C ends the following, and the run goes on."""
    from pipelines.launch import follow

    with _following(out, f"{again} --wait"):
        return follow.follow(runs, id, out, every=every)


@contextmanager
def _following(out: Console, again: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        out.print(f"not followed any more; it goes on: {again}", highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


def _print(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, sort_keys=True, default=str))


def register(app: typer.Typer) -> None:
    """Adds these commands to the command line."""
    app.command()(submit)
