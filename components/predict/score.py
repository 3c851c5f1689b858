"""The predictions of a period: in this process, or in a worker that has nothing but the registry and the shards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from components.adapters import live
from components.adapters.connect import Connected
from components.adapters.live import Live
from components.adapters.mounted import store
from components.core import artifacts, events, shards
from components.core.arrow import ARROW, columns_of
from components.core.artifacts import File, Manifest, Partition, atomic_write
from components.core.columns import ColumnType
from components.core.profile import Profile
from components.core.shards import PartitionWriter

LABEL = "_label"
_KEPT = (events.ENTITY, events.EVENT_TIME)


def schema(manifest: Manifest) -> pa.Schema:
    """The columns of predictions of these enriched rows; the label's type is theirs."""
    label = pa.string() if dict(manifest.schema)[LABEL] == "string" else pa.float64()
    return pa.schema(
        [
            (events.ENTITY, pa.string()),
            (events.EVENT_TIME, ARROW["timestamp"]),
            ("version", pa.int64()),
            ("score", pa.float64()),
            ("decision", pa.string()),
            (LABEL, label),
            (events.LABEL_TIME, ARROW["timestamp"]),
        ]
    )


def period(root: Path, manifest: Manifest, key: str, champion: Live, out: Path) -> Partition:
    """Scores the enriched rows of one period at `root` into shards at `out`; memory holds one shard of each."""
    writer = PartitionWriter(out, key, schema(manifest), time=events.EVENT_TIME)
    for rows in shards.read_tables(root, manifest, partitions=[key]):
        writer.write(_scored(rows, champion))
    return writer.close()


def _scored(rows: pa.Table, champion: Live) -> pa.Table:
    types = cast(dict[str, ColumnType], dict(champion.scorer.model.inputs))
    found = champion.scorer.predict(columns_of(rows, types))
    made = {
        "version": pa.array(np.full(rows.num_rows, champion.version, np.int64)),
        "score": pa.array(found.score),
        "decision": pa.array(found.decision, pa.string()),
    }
    return pa.table({name: rows.column(name) for name in (*_KEPT, LABEL, events.LABEL_TIME)} | made)


@dataclass(frozen=True)
class Spec:
    """What the workers get. Paths are the task's."""

    profile: str
    case: str
    version: int
    score: str
    predictions: str
    job: str
    """The folder of what the job says of itself."""


class Worker:
    """One worker's champion, and where it finds the rows: at the task's paths, or fetched from Cloud Storage.

    Raises
    ------
    ArtifactError, SetupError, RunError
        The version, the manifest or a shard is absent, altered, or not open to the worker.
    """

    def __init__(self, spec: Spec) -> None:
        self._from, self._to = store(spec.score), store(spec.predictions)
        self._score, self._out = Path(spec.score), Path(spec.predictions)
        self._scratch = tempfile.TemporaryDirectory(prefix="esteira-predict-")
        here = Path(self._scratch.name)
        if self._from is not None:
            self._score = here / "score"
            self._fetch([artifacts.MANIFEST])
        if self._to is not None:
            self._out = here / "predictions"
        self._manifest = artifacts.read_manifest(self._score, "enriched")
        self._champion = live.load(Connected(Profile.from_json(spec.profile)).registry, spec.case, spec.version)

    def work(self, key: str) -> Partition:
        partition = self._manifest.partition(key)
        assert partition is not None, key
        fetched = [shard.path for shard in partition.shards] if self._from is not None else []
        self._fetch(fetched)
        made = period(self._score, self._manifest, key, self._champion, self._out)
        if self._to is not None:
            for shard in made.shards:
                self._to.write(shard.path, (self._out / shard.path).read_bytes())
                (self._out / shard.path).unlink()
        for path in fetched:
            (self._score / path).unlink()
        return made

    def _fetch(self, paths: list[str]) -> None:
        for path in paths:
            assert self._from is not None
            atomic_write(self._score / path, self._from.read(path)[0])

    def close(self) -> None:
        self._scratch.cleanup()


def to_json(partition: Partition) -> str:
    return json.dumps(asdict(partition))


def from_json(data: Mapping[str, Any]) -> Partition:
    return Partition(**{**data, "shards": tuple(File(**shard) for shard in data["shards"])})
