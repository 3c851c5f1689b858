"""The rows that are refused: as JSON, with the reason and where they stood."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core import artifacts, shards
from components.core.arrow import to_numpy
from components.core.artifacts import Manifest, Partition
from components.core.columns import ColumnType
from components.core.shards import PartitionWriter

SCHEMA = pa.schema(
    {"reason": pa.string(), "source": pa.string(), "position": pa.int64(), "raw": pa.binary(), "step": pa.string()}
)
STEP = "preprocess"


def letters(
    rows: pa.Table,
    types: Mapping[str, ColumnType],
    reasons: Mapping[int, str],
    source: str,
    positions: npt.NDArray[np.int64],
) -> pa.Table:
    """One record per refused row; `reasons` by the row's place in `rows`, `positions` (n,) where each stood, from 1."""
    at = sorted(reasons)
    picked = rows.take(pa.array(at, pa.int64()))
    columns = {name: _texts(picked.column(name), kind) for name, kind in types.items()}
    raw = [json.dumps({n: c[i] for n, c in columns.items()}, ensure_ascii=False).encode() for i in range(len(at))]
    return pa.table(
        {
            "reason": [reasons[i] for i in at],
            "source": [source] * len(at),
            "position": positions[at],
            "raw": raw,
            "step": [STEP] * len(at),
        },
        schema=SCHEMA,
    )


def _texts(column: pa.ChunkedArray, kind: ColumnType) -> list[Any]:
    """The values as JSON has them: null for missing, infinity and times as texts."""
    values = to_numpy(column, kind)
    if kind == "timestamp":
        return [None if np.isnat(value) else f"{value}Z" for value in values]
    if kind in ("string", "id"):
        return [value or None for value in values]
    return [None if value != value else value if math.isfinite(value) else repr(value) for value in values.tolist()]


def publish(root: Path, job: Path, parts: Sequence[Partition], counts: Mapping[str, int]) -> Manifest:
    """The periods' records as the one partition of a dead letter."""
    writer = PartitionWriter(root, "all", SCHEMA, shard_rows=1024)
    for table in _tables(job, parts):
        writer.write(table)
    partitions = [writer.close()] if any(part.rows for part in parts) else []
    return artifacts.publish(root, "dead_letter", schema=SCHEMA, partitions=partitions, info={"counts": dict(counts)})


def _tables(job: Path, parts: Sequence[Partition]) -> Iterable[pa.Table]:
    return (shards.read_shard(job, shard) for part in parts for shard in part.shards)
