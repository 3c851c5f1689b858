"""Model versions as small files beside the stored models: what every step reads, in milliseconds."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from components.adapters.names import ALIASES, checked_aliases, checked_identity, checked_model, unknown_version
from components.adapters.ports import ModelVersion
from components.core import artifacts
from components.core.artifacts import atomic_write
from components.core.errors import ArtifactError


class Versions:
    """The folder of a registry.

    versions/NAME/N.json
        One version: identity, digest of the stored artifact, tags, time. Written once, last, and never changed; a
        version exists when this file does.
    models/IDENTITY/
        The whole model artifact, stored before any version that names it.
    aliases/NAME.json
        Which versions are champion, challenger and previous: a projection of the pointer.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time, across processes; a killed one lets go."""
        self._root.mkdir(parents=True, exist_ok=True)
        with open(self._root / ".lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def register(self, name: str, model: Path, identity: str, tags: Mapping[str, str]) -> ModelVersion:
        checked_identity(identity)
        checked_model(name)
        with self.locked():
            known = self.versions(name)
            same = next((v for v in known if v.identity == identity), None)
            if same is not None:
                return same
            digest = self._store(model, identity)
            version = ModelVersion(name, len(known) + 1, identity, dict(tags), created=time.time())
            body = asdict(version) | {"digest": digest}
            del body["aliases"]
            atomic_write(self._version(name, version.version), json.dumps(body, indent=1, sort_keys=True).encode())
            return version

    def _store(self, model: Path, identity: str) -> str:
        """The digest of the stored artifact; what a killed attempt left is replaced."""
        target = self.model(identity)
        try:
            return artifacts.verify(target, "model").digest
        except ArtifactError:
            artifacts.clear(target)
            return artifacts.copy(model, target).digest

    def versions(self, name: str) -> list[ModelVersion]:
        folder = self._root / "versions" / checked_model(name)
        aliases = self.aliases(name)
        numbers = sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())
        return [self._read(name, number, aliases)[0] for number in numbers]

    def get(self, name: str, version: int) -> tuple[ModelVersion, str]:
        """The version, and the digest of its stored artifact."""
        if not self._version(name, version).is_file():
            raise unknown_version(name, version)
        return self._read(name, version, self.aliases(name))

    def _read(self, name: str, version: int, aliases: Mapping[str, int]) -> tuple[ModelVersion, str]:
        path = self._version(name, version)
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
            digest = str(raw.pop("digest"))
            found = ModelVersion(**raw)
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "Restore the file; the registry wrote it once and never changes it."
            raise ArtifactError(
                path.name, "be a version's record", str(error), remedy, where=str(path.parent)
            ) from error
        return replace(found, aliases=tuple(a for a in ALIASES if aliases.get(a) == version)), digest

    def model(self, identity: str) -> Path:
        return self._root / "models" / identity

    def aliases(self, name: str) -> dict[str, int]:
        try:
            raw = json.loads((self._root / "aliases" / f"{checked_model(name)}.json").read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:  # a projection: the next one writes it anew
            return {}
        return {str(alias): int(version) for alias, version in raw.items()}

    def set_aliases(self, name: str, aliases: Mapping[str, int]) -> None:
        checked_aliases(aliases)
        for version in aliases.values():
            self.get(name, version)
        if aliases != self.aliases(name):
            path = self._root / "aliases" / f"{checked_model(name)}.json"
            atomic_write(path, json.dumps(dict(aliases), sort_keys=True).encode())

    def _version(self, name: str, version: int) -> Path:
        return self._root / "versions" / checked_model(name) / f"{int(version)}.json"
