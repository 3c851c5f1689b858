"""What a canary found; `show` writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.adapters.live_table import Collected
from components.adapters.ports import Pointer
from components.core.canary import Finding
from components.core.canary_rules import Observed

State = Literal["promote", "abort", "overtaken", "nothing"]


@dataclass(frozen=True)
class Look:
    """The rules' words at one moment, in seconds since the canary began."""

    seconds: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Watched:
    """What was seen in `seconds` seconds."""

    seconds: float
    deadline: float
    """Seconds since the canary began."""
    confidence: float
    observed: tuple[Observed, Observed]
    """Of champion and challenger."""
    looks: Sequence[Look]
    collected: Collected
    lacking: Sequence[str]
    """The champion's inputs that the challenger's requests do not hold."""


@dataclass(frozen=True)
class Findings:
    state: State
    summary: str
    before: Pointer
    after: Pointer
    """What is live at the end."""
    reasons: tuple[str, ...] = ()
    watched: Watched | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The rules' last words."""
        return self.watched.looks[-1].findings if self.watched is not None and self.watched.looks else ()
