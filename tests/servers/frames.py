"""What a run of a contract server looks like at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Frame:
    """The run's state, and its tasks' by name, in Vertex's words."""

    state: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def usual(steps: Sequence[str]) -> list[Frame]:
    """Begun, half done, done."""
    half = {name: "SUCCEEDED" if i < len(steps) // 2 else "RUNNING" for i, name in enumerate(steps)}
    return [Frame("RUNNING"), Frame("RUNNING", half), Frame("SUCCEEDED", dict.fromkeys(steps, "SUCCEEDED"))]
