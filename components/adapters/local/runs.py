"""Runs on this machine, read from their records."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from components.adapters import records
from components.adapters.local import processes
from components.adapters.ports import Blobs
from components.adapters.runs import Asked, Run, Started, State, Task, TaskState
from components.core.errors import CaseError, SetupError
from components.core.record import RunRecord, StepRecord, killed, report_path

_TASK_STATES: dict[str, TaskState] = {"killed": "failed"}


class LocalRuns:
    """Implements `runs.Runs`.

    Parameters
    ----------
    root
        The folder of the artifacts, where logs are.
    again
        Runs a record's pipeline with its arguments, to the end; the new run's name.
    listing
        The command that shows them.
    """

    def __init__(
        self, blobs: Blobs, root: Path, again: Callable[[RunRecord], str], listing: str = "esteira runs list"
    ) -> None:
        self._blobs, self._root, self._again, self._listing = blobs, root, again, listing

    def probe(self) -> None:
        """There is nothing that could be away."""

    def start(self, asked: Asked) -> Started:
        remedy = f"Give: esteira run {asked.case} {asked.pipeline}"
        raise CaseError("target", "be vertex or kubeflow: here a run is not submitted", "local", remedy)

    def get(self, id: str) -> Run:
        if id not in records.jobs(self._blobs):
            raise CaseError("RUN", "be one on this machine", id, f"See `{self._listing}`.")
        return self._run(records.load_run(self._blobs, id))

    def list(self, case: str = "", most: int = 20) -> list[Run]:
        found = (records.load_run(self._blobs, job) for job in reversed(records.jobs(self._blobs)))
        return [self._run(record) for record in found if case in ("", record.case)][:most]

    def cancel(self, id: str) -> None:
        if self.get(id).state != "running":
            return
        marked = records.load_run(self._blobs, id).process
        number = processes.alive(marked)
        if number is None:
            remedy = "Press Ctrl-C where it runs."
            raise SetupError("RUN", "run in a process of this machine", marked or "unknown", remedy, where=id)
        os.kill(number, signal.SIGTERM)  # what a script runs in the background has SIGINT ignored

    def retry(self, id: str, key: str) -> Started:  # noqa: ARG002  # a run here has a name of its own
        """Runs it again with the same bundle and window; steps that were done are reused."""
        run = self.get(id)
        if run.state not in ("failed", "cancelled"):
            remedy = "Run it again." if run.state == "done" else "Wait for its end, or cancel it first."
            raise CaseError("RUN", "have failed or been cancelled", run.state, remedy, where=id)
        record = records.load_run(self._blobs, id)
        if not record.arguments:
            raise CaseError("RUN", "have the arguments that it had", "none", "Run the pipeline anew.", where=id)
        return Started(self.get(self._again(record)), found=False)

    def _run(self, record: RunRecord) -> Run:
        lost = record.ended is None and not processes.elsewhere(record.process) and not processes.alive(record.process)
        return Run(
            record.job,
            name=record.job,
            state=_state(record, lost=lost),
            pipeline=record.pipeline,
            case=record.case,
            address=str(self._root.parent / "blobs" / report_path(record.job)),
            tasks=tuple(self._task(record, name) for name in record.route if name in record.steps),
            error="Its launcher was killed." if lost else "",
            created=record.started,
            ended=record.ended,
        )

    def _task(self, record: RunRecord, name: str) -> Task:
        step: StepRecord = record.step(name)
        log = self._root / record.job / "logs" / f"{name}.log"
        return Task(
            name,
            state=_TASK_STATES.get(step.state, step.state),  # type: ignore[arg-type]  # the other words are the same
            error=step.error or (killed(name) if step.state == "killed" else ""),
            logs=str(log) if log.is_file() else "",
            started=step.started,
            ended=step.ended,
        )


def _state(record: RunRecord, *, lost: bool) -> State:
    if record.cancelled:
        return "cancelled"
    if record.ended is None:
        return "failed" if lost else "running"
    return "done" if record.whole else "failed"
