"""`esteira stream`: a case's streaming inference as a process of the pipeline environment, on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components import types
from components.adapters.ports import Ports
from components.core.case import seconds
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
class Launch:
    """A stream that is ready to start."""

    python: Path
    arguments: tuple[str, ...]
    variables: dict[str, str]

    def start(self) -> None:
        """Becomes the stream, so that what ends this process ends it."""
        os.execve(self.python, [str(self.python), *self.arguments], self.variables)  # noqa: S606


def prepare(name: str, profile: Profile, ports: Ports, wishes: Wishes) -> Launch:
    """The stream over a snapshot of the case.

    Raises
    ------
    CaseError
        The case or a wish.
    SetupError
        The pipeline environment is not there.
    """
    taken = cases.snapshot(cases.find(name), ports)
    lateness = seconds(taken.file.streaming.lateness)
    arguments = ["-m", "components.streaming", "--bundle", taken.bundle, "--profile", profile.to_json()]
    arguments += ["--lateness", str(lateness)]
    if taken.file.streaming.retention is not None:
        arguments += ["--retention", str(seconds(taken.file.streaming.retention))]
    if wishes.idle is not None:
        arguments += ["--until-idle", str(wishes.idle)]
    if wishes.most is not None:
        arguments += ["--most", str(wishes.most)]
    if wishes.as_json:
        arguments += ["--json"]
    return Launch(environments.python(types.PIPELINE), tuple(arguments), environments.variables(types.PIPELINE))
