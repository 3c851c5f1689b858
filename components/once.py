"""The route of predict in one process, for a place that runs a container on demand or by the clock.

python -m components.once --bundle DIGEST --operations DIGEST --profile JSON [--start MOMENT] [--stop MOMENT]

The steps are those of `pipelines.predict`, by the same tasks, without validate: TFDV needs an environment of its own.
The artifacts between them lie in a scratch folder, so Beam runs in this process whatever the profile's runner. An
attempt after a failed one repeats every step: each is idempotent, and goes on from the watermark.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from components import step
from components.adapters import records
from components.adapters.connect import Connected
from components.adapters.local import processes
from components.core import bundle
from components.core.errors import EsteiraError, RunError
from components.core.profile import Profile
from components.core.record import RunRecord, launch_path
from components.core.sections import Jobs
from components.ingest import task as ingest
from components.monitor import task as monitor
from components.notify import task as notify
from components.predict import task as predict
from components.preprocess import task as preprocess
from components.step import Launch

ROUTE = ("ingest", "preprocess", "predict", "monitor", "notify")
EXECUTION = "CLOUD_RUN_EXECUTION"
"""Cloud Run's own name for what it runs: the same for each attempt."""


def run(launch: Launch, *, start: str = "", stop: str = "") -> bool:
    """Runs the route and records it as a run's; whether every step ended well. Its errors stand in the record."""
    ports = Connected(Profile.from_json(launch.profile))
    arguments = {"bundle": launch.bundle, "operations": launch.operations, "profile": launch.profile}
    arguments |= {"start": start, "stop": stop}
    head = RunRecord(launch.job, "predict", _case(ports, launch), ROUTE, {}, launch.bundle, started=time.time())
    head = replace(head, arguments=arguments, process=processes.mark())
    ports.blobs.write(launch_path(launch.job), records.head(head))
    with tempfile.TemporaryDirectory(prefix="esteira-once-") as scratch:
        done = _ended(partial(_route, _here(launch), Path(scratch), start, stop))
        state = "SUCCEEDED" if done else "FAILED"
        told = _ended(lambda: _say("notify", notify.run(launch, pipeline="predict", state=state)))
    ports.blobs.write(launch_path(launch.job), records.head(replace(head, ended=time.time())))
    return done and told


def _case(ports: Connected, launch: Launch) -> str:
    """Its name. Raises ArtifactError where the bundle is gone or altered: then nothing begins."""
    with tempfile.TemporaryDirectory() as scratch:
        return bundle.read(step.fetch_bundle(ports, launch.bundle, Path(scratch)), launch.bundle).case().name


def _here(launch: Launch) -> Launch:
    """With Beam in this process: another's workers could not read the scratch folder."""
    profile = Profile.from_json(launch.profile)
    if profile.jobs.runner == "FnApiRunner":
        return launch
    return replace(launch, profile=profile.model_copy(update={"jobs": Jobs()}).to_json())


def _route(launch: Launch, root: Path, start: str, stop: str) -> None:
    """As pipelines/predict.py wires it."""

    def place(task: str, name: str) -> str:
        return str(root / task / name)

    events, references = place("ingest", "events"), place("ingest", "references")
    taken = ingest.run(
        launch,
        purpose="predict",
        start=start,
        stop=stop,
        events=events,
        references=references,
        dead_letter=place("ingest", "dead_letter"),
    )
    _say("ingest", taken)
    launch = replace(launch, bundle=taken.parameters["bundle"])
    score, predictions = place("preprocess", "score"), place("predict", "predictions")
    rows = preprocess.run(
        launch,
        purpose="predict",
        events=events,
        references=references,
        statistics="",
        features=place("preprocess", "features"),
        holdout=place("preprocess", "holdout"),
        score=score,
        dead_letter=place("preprocess", "dead_letter"),
    )
    _say("preprocess", rows)
    scored = predict.run(launch, purpose="predict", start=start, stop=stop, score=score, predictions=predictions)
    _say("predict", scored)
    watched = monitor.run(launch, score=score, predictions=predictions, monitoring=place("monitor", "monitoring"))
    _say("monitor", watched)


def _ended(work: Callable[[], None]) -> bool:
    """Whether the steps ended well. One that does not has said why, in the log and in its record."""
    try:
        work()
    except (SystemExit, KeyboardInterrupt):  # the latter: told to end between two steps
        return False
    return True


def _say(name: str, result: step.Result) -> None:
    print(f"{name:<10} {'reused' if result.reused else 'done'}  {result.summary}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, or 8 where a step failed; another where nothing could begin."""
    parser = argparse.ArgumentParser(prog="components.once", description="The route of predict in one process.")
    for name in ("bundle", "operations", "profile"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("start", "stop"):
        parser.add_argument(f"--{name}", default="", help="A moment, ISO 8601: a window outright.")
    given = parser.parse_args(arguments)
    job = os.environ.get(EXECUTION) or f"esteira-predict-once-{uuid.uuid4().hex[:12]}"
    try:
        print(f"run        {job}", flush=True)
        launch = Launch(job, given.bundle, given.operations, given.profile)
        return 0 if run(launch, start=given.start, stop=given.stop) else RunError.exit_code
    except EsteiraError as error:
        print(f"once: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
