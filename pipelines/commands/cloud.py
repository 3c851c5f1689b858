"""The commands about runs on other machines: submit, and `runs` over every target."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.core.errors import CaseError, RunError
from pipelines.commands.options import INTERRUPTED, Case, Json, ProfileName, echo_json

if TYPE_CHECKING:
    from rich.console import Console

    from components.adapters.runs import Run, Runs
    from pipelines.launch.backfill import Pace, Window
    from pipelines.launch.submit import Launched, Ready

LocalBlobs = Annotated[
    bool, typer.Option("--allow-local-blobs", help="The profile's folder is mounted where the tasks run.")
]
Every = Annotated[float, typer.Option("--every", min=0.0, help="Seconds between two looks.")]


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
    allow_local_blobs: LocalBlobs = False,
    as_json: Json = False,
) -> None:
    """Start a released pipeline of a case on Vertex AI or Kubeflow Pipelines; the same key never starts two."""
    from rich.console import Console

    from components.adapters.connect import Connected
    from components.adapters.runs import checked_key
    from components.core import profile as profiles
    from pipelines.launch import backfill, targets
    from pipelines.launch import submit as launch

    out = Console(file=sys.stderr if as_json else sys.stdout)
    target, stop = _target_and_end(to or [])
    if key:
        checked_key(key)
    chosen = profiles.load(profile)
    runs = targets.runs(chosen, target)
    ready = launch.ready(case, pipeline, release, target, chosen)
    wanted = backfill_windows(ready, start, stop, key) if start or stop else []
    if not allow_local_blobs:
        targets.require_shared(chosen, ready.file, target, [pipeline])
    on = f"--on {target} --profile {shlex.quote(profile)}"
    if wanted:
        launched = launch.launch(ready, runs, target, chosen, Connected(chosen))
        _backfilled(launched, wanted, backfill.Pace(key, parallel, every), out, on, as_json=as_json)
        return
    key = key or launch.new_key()
    _say(out, f"key      {key}")  # before anything is made: with it the same command finds its run
    started = launch.launch(ready, runs, target, chosen, Connected(chosen)).start(key)
    run, show = started.run, f"esteira runs show {started.run.id} {on}"
    _say(out, f"run      {run.id}" + ("  (found: the key has it already)" if started.found else ""))
    _say(out, f"console  {run.address}")
    if wait:
        run = followed(runs, run.id, out, every, show)
    else:
        _say(out, f"follow   {show} --wait")
    if as_json:
        echo_json({"key": key, "found": started.found, "run": asdict(run)})
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


def _backfilled(launched: Launched, wanted: list[Window], pace: Pace, out: Console, on: str, *, as_json: bool) -> None:
    from pipelines.launch import backfill

    def tell(one: Window, run: Run) -> None:
        _say(out, f"{one.start} to {one.stop}  {run.state:<10} {run.address}")

    with _following(out, f"esteira runs list {on}"):
        ended = backfill.backfill(launched, wanted, pace, tell)
    if as_json:
        echo_json([asdict(run) for run in ended])
    left = len(wanted) - sum(run.state == "done" for run in ended)
    if left:
        remedy = f"Mend what failed, `esteira runs retry RUN {on}`, and give the same command again."
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
        _say(out, f"not followed any more; it goes on: {again}")
        raise typer.Exit(INTERRUPTED) from None


def _say(out: Console, text: str) -> None:
    """As it stands: a width would break addresses, and brackets are no markup."""
    out.print(text, highlight=False, soft_wrap=True, markup=False)


On = Annotated[str, typer.Option("--on", help="Where: local, vertex or kubeflow.")]
RunId = Annotated[str, typer.Argument(help="A run's id: see `esteira runs list --on`.")]


def list_runs(on: str, profile: str, case: str, most: int, *, as_json: bool) -> None:
    """`esteira runs list` of a cloud."""
    from pipelines.launch import tables

    found = _runs(on, profile).list(case, most)
    if as_json:
        echo_json([asdict(run) for run in found])
    else:
        tables.cloud_runs(found, on, profile)


def show_run(id: str | None, on: str, profile: str, every: float, *, wait: bool, as_json: bool) -> None:
    """`esteira runs show` of a cloud: as it is, or followed to its end."""
    from rich.console import Console

    from pipelines.launch import follow, hints

    runs = _runs(on, profile)
    newest = [] if id else runs.list(most=1)
    if not id and not newest:
        remedy = f"Start one: {hints.esteira(f'submit CASE batch --to {on}', profile)}"
        raise CaseError("RUN", f"be one on {on}", "none yet", remedy)
    chosen = id or newest[0].id
    out = Console(file=sys.stderr if as_json else sys.stdout)
    if wait:
        run = followed(runs, chosen, out, every, f"esteira runs show {chosen} --on {on} --profile {profile}")
    else:
        run = runs.get(chosen)
        if not as_json:
            follow.show(run, out)
    if as_json:
        echo_json(asdict(run))
    if wait and run.state in ("failed", "cancelled"):
        raise typer.Exit(RunError.exit_code)


def cancel_run(run: RunId, on: On = "local", profile: ProfileName = "local") -> None:
    """Ask for a run's end; one that has ended stays as it is."""
    runs = _runs(on, profile)
    runs.cancel(run)
    typer.echo(f"{run} {runs.get(run).state}")


def retry_run(
    run: RunId,
    on: On = "local",
    profile: ProfileName = "local",
    key: Annotated[str, typer.Option(help="Names the retry on Vertex: the same key is the same retry.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    every: Every = 10.0,
) -> None:
    """Repeat a run that failed or was cancelled: here and on Vertex as a new one, on Kubeflow within the run."""
    from rich.console import Console

    from components.adapters.runs import checked_key
    from pipelines.launch import submit

    out, runs = Console(), _runs(on, profile)
    name = checked_key(key or submit.new_key())
    if on == "vertex":
        _say(out, f"key      {name}")
    new = runs.retry(run, name).run
    _say(out, f"run      {new.id}")
    _say(out, f"console  {new.address}")
    if wait:
        new = followed(runs, new.id, out, every, f"esteira runs show {new.id} --on {on} --profile {profile}")
    if new.state in ("failed", "cancelled"):
        raise typer.Exit(RunError.exit_code)


def _runs(on: str, profile: str) -> Runs:
    from components.core import profile as profiles
    from pipelines.launch import targets

    return targets.runs(profiles.load(profile), on)
