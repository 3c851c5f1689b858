"""Blobs as plain files, which a person can open. A lock file orders writers; readers need none."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.adapters.names import checked_blob
from components.core.artifacts import atomic_write, sha256
from components.core.errors import ArtifactError, ConflictError


class FileBlobs:
    """Implements `ports.Blobs` under one folder.

    The generation is taken from the content: compare-and-set on it is compare-and-set on the state itself.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> tuple[bytes, int]:
        try:
            data = self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ArtifactError("blob", "exist", name, "Check the name, or run the step that writes it.") from error
        return data, _generation(data)

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            current = self.read(name)[1] if path.is_file() else 0
            if generation is not None and generation != current:
                rule = f"be at generation {generation}"
                raise ConflictError(name, rule, current, "Somebody wrote it first: read it again and decide anew.")
            atomic_write(path, data)
            return _generation(data)

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def names(self, prefix: str) -> list[str]:
        head = prefix.rpartition("/")[0]
        folder = self._path(head) if head else self._root
        start = len(os.fspath(folder))
        # Who watches a log asks every second, and a Path for each name would cost ten times as much.
        found = (
            f"{head}{place[start:]}/{name}".lstrip("/")
            for place, _, files in os.walk(folder)
            for name in files
            if not name.startswith(".")
        )
        return sorted(name for name in found if name.startswith(prefix))

    def delete(self, name: str) -> None:
        with self._locked():
            self._path(name).unlink(missing_ok=True)

    def address(self, name: str) -> str:
        return str(self._path(name))

    link = address

    def _path(self, name: str) -> Path:
        return self._root.joinpath(*checked_blob(name).split("/"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with open(self._root / ".lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _generation(data: bytes) -> int:
    """Never 0, which means that nothing is there."""
    return int(sha256(data)[:15], 16) + 1
