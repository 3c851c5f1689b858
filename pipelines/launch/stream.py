"""`esteira stream`: a case's streaming inference as a process of the pipeline environment, or a Beam job from there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from components import types
from components.adapters.ports import Ports
from components.core.declared import seconds
from components.core.errors import CaseError
from components.core.profile import Profile
from pipelines.launch import cases, environments


@dataclass(frozen=True)
class Wishes:
    """When it ends by itself, and how it tells what it did."""

    idle: float | None = None
    most: int | None = None
    as_json: bool = False

    def __post_init__(self) -> None:
        if self.idle is not None and not 0 <= self.idle < float("inf"):
            raise CaseError("--until-idle", "be seconds from 0", self.idle, "Leave it out to go on until Ctrl+C.")


@dataclass(frozen=True)
class Beam:
    """What is to be done with the case's Beam job."""

    action: str = "start"
    renamed: tuple[str, ...] = ()

    @classmethod
    def of(cls, beam: bool, asked: Mapping[str, bool], renamed: Sequence[str]) -> Self | None:
        """Of the options by name; None: no Beam job is meant. Raises CaseError for options that do not go together."""
        actions = [name for name, given in asked.items() if given]
        if len(actions) > 1:
            raise CaseError(f"--{actions[1]}", f"stand without --{actions[0]}", "both", "Do one after the other.")
        if renamed and actions != ["update"]:
            raise CaseError("--rename", "stand beside --update", renamed[0], "Add --update, or leave it out.")
        return cls(actions[0] if actions else "start", tuple(renamed)) if beam or actions else None


@dataclass(frozen=True)
class Launch:
    """A stream that is ready to start."""

    python: Path
    arguments: tuple[str, ...]
    variables: dict[str, str]

    def start(self) -> None:
        """Becomes the stream, so that what ends this process ends it."""
        os.execve(self.python, [str(self.python), *self.arguments], self.variables)  # noqa: S606


def prepare(name: str, profile: Profile, ports: Ports, wishes: Wishes, beam: Beam | None = None) -> Launch:
    """The stream over a snapshot of the case.

    Raises
    ------
    CaseError
        The case or a wish.
    SetupError
        The pipeline environment is not there.
    """
    taken = cases.snapshot(cases.find(name), ports)
    asked = taken.file.streaming
    if beam is not None:
        profile = profile.with_workers(asked.workers)
    module = "components.streaming" if beam is None else "components.streaming.beam"
    arguments = [
        "-m",
        module,
        "--bundle",
        taken.bundle,
        "--profile",
        profile.to_json(),
        "--lateness",
        str(seconds(asked.lateness)),
    ]
    arguments += _of_the_job(beam, wishes) if beam is not None else _of_the_loop(taken, wishes)
    if wishes.as_json:
        arguments += ["--json"]
    return Launch(environments.python(types.PIPELINE), tuple(arguments), environments.variables(types.PIPELINE))


def _of_the_job(beam: Beam, wishes: Wishes) -> list[str]:
    if wishes.idle is not None or wishes.most is not None:
        name, value = ("--until-idle", wishes.idle) if wishes.idle is not None else ("--most", wishes.most)
        raise CaseError(name, "stand without --beam", value, "A Beam job ends when it is drained or cancelled.")
    return ["--action", beam.action, *(text for pair in beam.renamed for text in ("--rename", pair))]


def _of_the_loop(taken: cases.Snapshot, wishes: Wishes) -> list[str]:
    arguments = []
    if taken.file.streaming.retention is not None:
        arguments += ["--retention", str(seconds(taken.file.streaming.retention))]
    if wishes.idle is not None:
        arguments += ["--until-idle", str(wishes.idle)]
    if wishes.most is not None:
        arguments += ["--most", str(wishes.most)]
    return arguments
