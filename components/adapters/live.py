"""A registered model, verified and ready to score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.adapters.ports import Registry
from components.core.errors import ArtifactError
from components.core.scorer import Scorer


@dataclass(frozen=True)
class Live:
    version: int
    folder: Path
    """The model artifact."""
    scorer: Scorer


def load(registry: Registry, case: str, version: int) -> Live:
    """The version's model, run with the bundle that its registry record names.

    Raises
    ------
    ArtifactError
        The version or its model is gone or altered, or the record names no bundle.
    """
    bundle = registry.get(case, version).tags.get("bundle", "")
    if not bundle:
        remedy = "Roll back to a version that esteira registered."
        where = f"{case} version {version}"
        raise ArtifactError("bundle", "be named by the model's registry record", None, remedy, where=where)
    folder = registry.fetch(case, version)
    return Live(version, folder, Scorer.open(folder, bundle))
