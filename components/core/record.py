"""The run record: what each step of a run did, one small file per step, written at its start and at its end.

Nobody else knows: kfp.local does not tell what it skipped, an exit task learns only that something failed, and tasks
see nothing of each other. Started without an end reads "killed", absent "not started".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["not started", "running", "done", "reused", "failed", "killed"]


@dataclass(frozen=True)
class StepRecord:
    """One step. Times are seconds since 1970, memory is bytes at its peak, rows are counted by the step."""

    step: str
    state: State
    started: float | None = None
    ended: float | None = None
    peak_memory: int | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    summary: str = ""
    """One line for the table of what happened."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the report page draws of this step; JSON, bounded."""
    error: str = ""

    @property
    def seconds(self) -> float | None:
        return None if self.started is None or self.ended is None else self.ended - self.started

    def to_json(self) -> bytes:
        """In the order in which the step wrote: the page shows metrics, samples and curves in it."""
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> StepRecord:
        return cls(**json.loads(data))


@dataclass(frozen=True)
class RunRecord:
    """One run: its job name, pipeline, case, route (step names in order) and their records."""

    job: str
    pipeline: str
    case: str
    route: tuple[str, ...]
    steps: Mapping[str, StepRecord]
    bundle: str = ""
    started: float | None = None
    ended: float | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    """The pipeline's parameters."""
    process: str = ""
    """The launcher's on its machine, as `processes.mark` names it: a run here ends with it."""
    cancelled: bool = False

    def step(self, name: str) -> StepRecord:
        return self.steps.get(name, StepRecord(name, "not started"))

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(n for n in self.route if self.step(n).state in ("failed", "killed"))

    @property
    def state(self) -> str:
        """The run's state in one word: running, done, failed, cancelled, or incomplete, where no step says why."""
        if self.failed and not self.cancelled:
            return "failed"
        if self.ended is None:
            return "running"
        return "done" if self.whole else "cancelled" if self.cancelled else "incomplete"

    @property
    def whole(self) -> bool:
        """Whether every step of the route has ended well; one that never started has not."""
        return all(self.step(n).state in ("done", "reused") for n in self.route)


def more_memory(step: str) -> str:
    """What to do about a step that was killed, or may have been, for want of memory."""
    return f"If memory ran out, raise resources.{step}.memory in the case."


def killed(step: str) -> str:
    """What is said in the place of the error of a step that started and left no word of its end."""
    return f"Killed before it ended. {more_memory(step)}"


def launch_path(job: str) -> str:
    return f"runs/{job}/run.json"


def step_path(job: str, step: str) -> str:
    return f"runs/{job}/steps/{step}.json"


def report_path(job: str) -> str:
    return f"runs/{job}/report.html"
