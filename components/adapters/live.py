"""A registered model, verified and ready to score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.adapters.ports import Models
from components.core import bundle, model
from components.core.errors import ArtifactError
from components.core.model import Model
from components.core.scorer import Scorer


@dataclass(frozen=True)
class Live:
    version: int
    folder: Path
    """The model artifact."""
    scorer: Scorer


def load(registry: Models, case: str, version: int) -> Live:
    """The version's model, run with the bundle that its registry record names.

    Raises
    ------
    ArtifactError
        The version or its model is gone or altered, or the record names no bundle.
    """
    folder, digest = _fetched(registry, case, version)
    return Live(version, folder, Scorer.open(folder, digest))


def verify(registry: Models, case: str, version: int) -> Model:
    """The model's description. Reads everything that `load` would, and runs none of it: it costs milliseconds.

    Raises
    ------
    ArtifactError
        The version, its model or its bundle is gone or altered, or they do not belong together.
    """
    folder, digest = _fetched(registry, case, version)
    described = Model.from_json((folder / model.FILE).read_bytes(), where=str(folder))
    wanted = (registry.get(case, version).identity, digest)
    if (described.identity, described.bundle) != wanted:
        found = f"{described.identity} of bundle {described.bundle}"
        remedy = "Restore the folder, or take another version."
        raise ArtifactError(
            "model", f"be {wanted[0]} of bundle {wanted[1]}, as registered", found, remedy, where=str(folder)
        )
    bundle.read(folder / model.BUNDLE, digest)
    return described


def model_of(registry: Models, case: str, version: int) -> Model:
    """What the version says of itself. Raises ArtifactError where it or its model is gone or altered."""
    folder = registry.fetch(case, version)
    return Model.from_json((folder / model.FILE).read_bytes(), where=str(folder))


def _fetched(registry: Models, case: str, version: int) -> tuple[Path, str]:
    """The verified model artifact, and the digest of the bundle whose code may run with it."""
    digest = registry.get(case, version).tags.get("bundle", "")
    if not digest:
        remedy = "Roll back to a version that esteira registered."
        where = f"{case} version {version}"
        raise ArtifactError("bundle", "be named by the model's registry record", None, remedy, where=where)
    return registry.fetch(case, version), digest
