"""Registered versions as records beside the pointer, for whoever follows it and asks no registry: the server.

`versions/CASE/N.json` says of version N what its registry says. It is written before a pointer names the version
(`PointerEndpoints.prepare`); the artifact lies in the same Blobs (`stored_models`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from components.adapters.names import checked_model
from components.adapters.ports import Blobs, ModelVersion
from components.adapters.stored_models import StoredModels
from components.core.errors import ArtifactError


class RecordedModels:
    """Implements `ports.Models`."""

    def __init__(self, blobs: Blobs, cache: Path | None = None) -> None:
        self._blobs, self._models = blobs, StoredModels(blobs, cache)

    def record(self, version: ModelVersion) -> None:
        body = asdict(version)
        del body["aliases"]  # they are the pointer's, and move
        self._blobs.write(_name(version.name, version.version), json.dumps(body, indent=1, sort_keys=True).encode())

    def has(self, name: str, version: int, registry: str = "") -> bool:
        """Whether it is recorded as the registry at this address numbers it: another one had other models."""
        try:
            return self.get(name, version).registry == registry
        except ArtifactError:  # absent, or no record: it is written anew
            return False

    def get(self, name: str, version: int) -> ModelVersion:
        record = _name(name, version)
        if not self._blobs.exists(record):
            remedy = "Start `esteira serve` again: it asks the registry for what is live."
            raise ArtifactError("version", "be recorded beside the pointer", version, remedy, where=record)
        try:
            return ModelVersion(**json.loads(self._blobs.read(record)[0]))
        except (ValueError, TypeError) as error:
            remedy = "Delete it and start `esteira serve` again: it is written anew."
            raise ArtifactError("version", "be a version's record", str(error), remedy, where=record) from error

    def fetch(self, name: str, version: int) -> Path:
        found = self.get(name, version)
        return self._models.fetch(found.identity, found.digest)


def _name(name: str, version: int) -> str:
    return f"versions/{checked_model(name)}/{int(version)}.json"
