"""Runs of a cloud, whose failed tasks say what their steps wrote of themselves.

Kubeflow's API tells no task's error, and Vertex's only that a replica ended badly: the typed error stands in the run
record, and so does, by its lack of an end, that a step was killed.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from dataclasses import replace

from components.adapters.ports import Blobs
from components.adapters.runs import Asked, Run, Runs, Started, Task
from components.core.errors import EsteiraError
from components.core.record import StepRecord, killed, more_memory, step_path

_MEMORY = re.compile(r"out[- ]of[- ]memory|low on memory|\bOOM|OOMKilled|\b137\b", re.IGNORECASE)


class RecordedRuns:
    """Implements `runs.Runs` by another one; `blobs` is asked for when a task has failed."""

    def __init__(self, runs: Runs, blobs: Callable[[], Blobs]) -> None:
        self._runs, self._blobs = runs, blobs

    def probe(self) -> None:
        self._runs.probe()

    def start(self, asked: Asked) -> Started:
        return self._runs.start(asked)

    def get(self, id: str) -> Run:
        run = self._runs.get(id)
        return replace(run, tasks=tuple(self._told(run, task) for task in run.tasks))

    def list(self, case: str = "", most: int = 20) -> builtins.list[Run]:
        return self._runs.list(case, most)

    def cancel(self, id: str) -> None:
        self._runs.cancel(id)

    def retry(self, id: str, key: str) -> Started:
        return self._runs.retry(id, key)

    def _told(self, run: Run, task: Task) -> Task:
        if task.state != "failed":
            return task
        found = self._record(run.name, task.name)
        if found is not None and found.error:
            return replace(task, error=found.error)
        if _MEMORY.search(task.error):
            return replace(task, error=f"{task.error} {more_memory(task.name)}")
        if found is not None and found.state == "running":
            return replace(task, error=" ".join(filter(None, [task.error, killed(task.name)])))
        return task

    def _record(self, run: str, step: str) -> StepRecord | None:
        """None where there is none, and where it cannot be read: the run's state does not hang on it."""
        try:
            return StepRecord.from_json(self._blobs().read(step_path(run, step))[0])
        except (EsteiraError, ValueError, TypeError):
            return None
