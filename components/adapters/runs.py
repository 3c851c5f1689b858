"""The ports Runs and Schedules: pipelines that run, or will, on some target.

A run is named by its key: the same key is the same run, however often it is asked for and whatever was lost on the way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from components.core import declared
from components.core.errors import CaseError

State = Literal["pending", "running", "paused", "cancelling", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
TaskState = Literal[
    "pending", "running", "cancelling", "done", "reused", "failed", "cancelled", "skipped", "not started"
]
_GROUP = re.compile(r"root|executor|.*-driver|(exit-handler|condition|condition-branches|for-loop)-[0-9]+")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}")


@dataclass(frozen=True)
class Asked:
    """A run that is wanted.

    Parameters
    ----------
    pipeline, case
        Their names, such as batch and flights.
    key
        Names the run; see `checked_key`.
    spec
        The compiled pipeline.
    arguments
        The pipeline's parameters, all texts.
    retry_of
        The id of the run that this one repeats.
    """

    pipeline: str
    case: str
    key: str
    spec: Mapping[str, Any]
    arguments: Mapping[str, str]
    retry_of: str = ""

    @property
    def id(self) -> str:
        """Lower case, at most 84 characters, and the run's name for its tasks: pipeline, case, hash of the key."""
        return f"esteira-{self.pipeline}-{self.case}-{hashed(self.key)[:20]}"

    @property
    def pipeline_digest(self) -> str:
        """32 hex digits of the pipeline alone."""
        return declared.digest(dict(self.spec))[:32]

    @property
    def digest(self) -> str:
        """32 hex digits of pipeline and parameters: what a label holds."""
        return declared.digest({"spec": self.spec, "arguments": dict(self.arguments)})[:32]


def is_group(task: str) -> bool:
    """Whether a task of a target is no step of ours: what holds others, or prepares one."""
    return _GROUP.fullmatch(task) is not None


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def checked_key(key: str) -> str:
    """The key, if it can stand in every target's names and labels. Raises CaseError."""
    if not _KEY.fullmatch(key):
        rule = "be 1 to 80 letters, digits or . _ : / + -, starting with a letter or digit"
        raise CaseError("--key", rule, key, "A commit or a window is one.")
    return key


@dataclass(frozen=True)
class Task:
    """One task of a run, with the address of its log, as far as the target tells them. Times: seconds since 1970."""

    name: str
    state: TaskState
    error: str = ""
    logs: str = ""
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Run:
    """A run as its target sees it. `tasks` stand in the order of their beginning; a listing has none."""

    id: str
    name: str
    """What its tasks call the run: the record stands under this name."""
    state: State
    pipeline: str = ""
    case: str = ""
    key: str = ""
    address: str = ""
    """Its page in the target's console."""
    tasks: tuple[Task, ...] = ()
    error: str = ""
    created: float | None = None
    ended: float | None = None
    retry_of: str = ""


@dataclass(frozen=True)
class Started:
    run: Run
    found: bool
    """The key had its run already."""


class Runs(Protocol):
    """Pipelines on one target."""

    def probe(self) -> None:
        """Raises SetupError where the target cannot be used: before anything is made."""
        ...

    def start(self, asked: Asked) -> Started:
        """Starts the run, or finds the one that the key has. Raises ConflictError where that one is another."""
        ...

    def get(self, id: str) -> Run:
        """Raises CaseError where there is none, RunError where its state is none that is documented."""
        ...

    def list(self, case: str = "", most: int = 20) -> list[Run]:
        """The newest first; all cases' where none is named."""
        ...

    def cancel(self, id: str) -> None:
        """Asks for its end; one that has ended stays as it is."""
        ...

    def retry(self, id: str, key: str) -> Started:
        """Repeats a run that has ended, on a target that repeats within the run without the key. Raises CaseError."""
        ...


@dataclass(frozen=True)
class Plan:
    """A schedule that is wanted: `asked` is each of its runs, without a key of its own."""

    name: str
    """The case's own name of it."""
    cron: str
    """Five canonical fields: see `components.core.cron`."""
    time_zone: str
    concurrency: int
    paused: bool
    asked: Asked

    @property
    def display_name(self) -> str:
        return display_name(self.asked.case, self.name)


def display_name(case: str, name: str) -> str:
    """What a schedule is called on its target; neither part has a dot."""
    return f"esteira.{case}.{name}"


@dataclass(frozen=True)
class Scheduled:
    """A schedule as it stands on its target."""

    id: str
    display_name: str
    cron: str
    """Five fields."""
    time_zone: str
    concurrency: int
    paused: bool
    pipeline: str
    digest: str
    """Of pipeline and parameters, as `Asked.digest`; empty where somebody else made it."""
    created: float
    next: float | None = None
    address: str = ""
    ends: bool = False
    """Somebody has given it an end, which cannot be taken away."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What each run gets as parameters."""

    @property
    def name(self) -> str:
        return self.display_name.rpartition(".")[2]


class Schedules(Protocol):
    """Schedules on one target."""

    def probe(self) -> None:
        """As Runs.probe."""
        ...

    def check(self, plan: Plan) -> None:
        """Raises CaseError where the target cannot keep this schedule."""
        ...

    def list(self, case: str) -> list[Scheduled]:
        """This case's, the oldest first; several may have one name."""
        ...

    def create(self, plan: Plan) -> Scheduled: ...

    def update(self, existing: Scheduled, plan: Plan) -> Scheduled:
        """Makes it as planned; on some targets by another in its place, without killing what runs."""
        ...

    def pause(self, existing: Scheduled) -> None: ...

    def resume(self, existing: Scheduled) -> None:
        """Without making up for what was missed."""
        ...

    def delete(self, existing: Scheduled) -> None:
        """What it has started goes on."""
        ...
