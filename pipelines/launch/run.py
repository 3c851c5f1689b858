"""`esteira run`: a snapshot of the case, the compiled pipeline, a run here, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console

from components import ROUTE
from components.adapters import records
from components.adapters.connect import Connected
from components.adapters.local import processes
from components.core import case_file, report
from components.core import profile as profiles
from components.core.errors import ArtifactError, RunError
from components.core.profile import Profile
from components.core.record import RunRecord, StepRecord, launch_path, report_path, step_path
from pipelines.launch import cases, compile, console, docker, local, window
from pipelines.launch.ending import ended_by_sigterm

_NOT_IN_PREDICT = ("train", "evaluate", "register", "deploy")
ROUTES: dict[str, tuple[str, ...]] = {
    "batch": ROUTE,
    "predict": tuple(step for step in ROUTE if step not in _NOT_IN_PREDICT),
    "fast": (*ROUTE[: ROUTE.index("deploy") + 1], "canary", "notify"),
}


@dataclass(frozen=True)
class Finished:
    record: RunRecord
    report: str
    """The page's address: a file here, or gs://…."""


def run(
    name: str,
    pipeline: str,
    *,
    profile: Profile | None = None,
    start: str = "",
    stop: str = "",
    out: Console,
    images: Mapping[str, str] | None = None,
) -> Finished:
    """Runs a pipeline of a case on this machine, to its end, whatever its steps do.

    Parameters
    ----------
    profile
        Where things live; None: the built-in `local`.
    images
        References of the container images that the steps run in; None: prebuilt environments.

    Raises
    ------
    CaseError, SetupError
        Before anything runs.
    RunError
        No step ran at all.
    """
    window.parse(start, stop)  # what ingest would refuse, told before anything runs and by the option's name
    folder = cases.find(name)
    chosen = profile or profiles.load("local")
    ports = Connected(chosen)
    text = compile.text(pipeline, resources=case_file.load(folder).resources, images=images)
    taken = cases.snapshot(folder, ports)
    arguments = {"bundle": taken.bundle, "operations": taken.operations, "profile": chosen.to_json()}
    arguments |= {"start": start, "stop": stop}
    head = RunRecord("", pipeline, taken.file.name, ROUTES[pipeline], {}, taken.bundle, arguments=arguments)
    return go(head, text, out, images=images)


def go(head: RunRecord, text: str, out: Console, images: Mapping[str, str] | None = None) -> Finished:
    """Runs the compiled pipeline with the head's arguments, to its end. Raises as `run`."""
    chosen = Profile.from_json(head.arguments["profile"])
    ports = Connected(chosen)
    watcher = _Watcher(ports, replace(head, started=time.time(), process=processes.mark()), out)
    limits = docker.memory_limits(text) if images is not None else {}
    say = partial(out.print, highlight=False, soft_wrap=True)
    runner = docker.Containers(chosen, images, limits, watcher.killed, say) if images is not None else None
    with ended_by_sigterm():
        try:
            local.run(text, dict(head.arguments), root=chosen.path("artifacts"), watch=watcher, runner=runner)
        except KeyboardInterrupt:
            watcher.interrupted()
            raise
        finally:
            watcher.close()
    if not watcher.head.job:
        log = chosen.path("artifacts") / "kfp.log"
        raise RunError("pipeline", "start its first step", "none started", f"See {log}.")
    record = replace(watcher.head, ended=time.time())
    ports.blobs.write(launch_path(record.job), records.head(record))
    record = records.load_run(ports.blobs, record.job)
    ports.blobs.write(report_path(record.job), report.render(record).encode())
    return Finished(record, ports.blobs.link(report_path(record.job)))


class _Watcher:
    """Turns what the handler sees into progress, and writes the run's head when its first task tells its name."""

    def __init__(self, ports: Connected, head: RunRecord, out: Console) -> None:
        self._ports, self.head = ports, head
        self._progress = console.Progress(out, head.route)
        self._current = ""

    def __call__(self, task: local.Started, line: str | None) -> None:
        if line is not None:
            self._progress.says(task.step, line)
            return
        if not self.head.job:
            self.head = replace(self.head, job=task.job)
            self._ports.blobs.write(launch_path(task.job), records.head(self.head))
        self._show_last()
        self._current = task.step
        self._progress.begins(task.step)

    def killed(self, task: local.Started, why: str) -> None:
        """The task cannot say so itself."""
        place = step_path(task.job, task.step)
        try:
            begun = StepRecord.from_json(self._ports.blobs.read(place)[0])
        except ArtifactError:  # it was killed before it wrote one
            begun = StepRecord(task.step, "running")
        self._ports.blobs.write(place, replace(begun, state="killed", ended=time.time(), error=why).to_json())

    def interrupted(self) -> None:
        """The run has ended: what was under way was killed."""
        self._current = ""
        if self.head.job:
            self.head = replace(self.head, ended=time.time(), cancelled=True)
            self._ports.blobs.write(launch_path(self.head.job), records.head(self.head))

    def close(self) -> None:
        self._show_last()
        self._progress.stop()

    def _show_last(self) -> None:
        if not self._current:
            return
        try:
            data = self._ports.blobs.read(step_path(self.head.job, self._current))[0]
            self._progress.ended(StepRecord.from_json(data))
        except ArtifactError:
            error = "It ended before it wrote its record: see its log."
            silent = StepRecord(self._current, "failed", error=error)
            # Nobody else can: without it the run would look as if nothing had failed.
            self._ports.blobs.write(step_path(self.head.job, self._current), silent.to_json())
            self._progress.ended(silent)
        self._current = ""
