"""What the evaluation artifact says to the steps after the gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core import artifacts
from components.core.errors import ArtifactError

FILE = "evaluation.json"


@dataclass(frozen=True)
class Verdict:
    """The gate's word on one model, and the metrics (on the holdout) that it rests on."""

    accepted: bool
    reasons: tuple[str, ...]
    model: str
    """The identity of the model that was evaluated."""
    champion: int | None
    """The version that it was compared with; None where there was none, or where it is the champion itself."""
    metrics: dict[str, float]


def read(root: Path) -> Verdict:
    """The verdict in the evaluation artifact at `root`. Raises ArtifactError where it is none."""
    manifest = artifacts.read_manifest(root, "evaluation")
    try:
        raw: dict[str, Any] = json.loads(artifacts.read_named(root, manifest, FILE))
        accepted = raw["accepted"]
        metrics = {name: float(value) for name, value in raw["metrics"].items()}
        champion = None if raw["champion"] is None else int(raw["champion"]["version"])
        return Verdict(accepted is True, tuple(raw["reasons"]), str(raw["model"]), champion, metrics)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(FILE, "be an evaluation", str(error), "Evaluate again.", where=str(root)) from error
