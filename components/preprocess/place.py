"""Where a worker finds the artifacts. A task on Vertex has Cloud Storage mounted at /gcs; Beam's workers have nothing
mounted: they fetch what a period needs, and bring back what it gives.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.adapters.mounted import store
from components.core import artifacts
from components.core.artifacts import File, atomic_write
from components.preprocess.period import Outcome
from components.preprocess.plan import PUBLISHED, Element, Spec

_FETCHED, _BROUGHT = ("events", "references"), ("features", "holdout", "score", "job")


class Place:
    """A worker's copy of the spec, whose paths are all on its own disk.

    Raises
    ------
    ArtifactError, SetupError, RunError
        What is to be fetched or brought is not there, not open to the worker, or nobody answers.
    """

    def __init__(self, spec: Spec, scratch: Path) -> None:
        stores = {name: store(getattr(spec, name)) for name in (*_FETCHED, *_BROUGHT)}
        self._far = {name: far for name, far in stores.items() if far is not None}
        here: dict[str, Any] = {name: str(scratch / name) for name in self._far}
        self.spec = replace(spec, **here)

    def begin(self) -> None:
        """The manifests and the reference tables."""
        for name in _FETCHED:
            self._fetch(name, [artifacts.MANIFEST])
        if "references" in self._far:
            root = Path(self.spec.references)
            self._fetch("references", [file.path for file in artifacts.read_manifest(root).files])

    def fetch(self, element: Element) -> None:
        """The shards of a period, and those before it that its windows need."""
        if "events" in self._far:
            partition = artifacts.read_manifest(Path(self.spec.events)).partition(element.key)
            shards = [shard.path for shard in partition.shards] if partition is not None else []
            self._fetch("events", dict.fromkeys([path for _, path in element.before] + shards))

    def bring(self, outcome: Outcome) -> None:
        """What the period gave; nothing of it stays on this disk."""
        self._bring(PUBLISHED[outcome.use], outcome.partition.shards)
        self._bring("job", outcome.refused.shards)
        if "events" in self._far:
            for folder in (path for path in Path(self.spec.events).iterdir() if path.is_dir()):
                shutil.rmtree(folder)

    def _fetch(self, name: str, paths: Iterable[str]) -> None:
        if (far := self._far.get(name)) is not None:
            for path in paths:
                atomic_write(Path(getattr(self.spec, name)) / path, far.read(path)[0])

    def _bring(self, name: str, files: Iterable[File]) -> None:
        if (far := self._far.get(name)) is not None:
            for file in files:
                here = Path(getattr(self.spec, name)) / file.path
                far.write(file.path, here.read_bytes())
                here.unlink()
