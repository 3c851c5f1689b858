"""What each of the doctor's looks comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing looked at. `without` says what its absence disables, and how to mend it."""

    name: str
    level: Level
    found: str
    without: str = ""
