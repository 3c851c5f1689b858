"""Tables inside artifacts: Parquet shards in partitions of event time, sorted by (event time, entity id).

A table's digest is over its schema and values in order, never over Parquet bytes: the same rows have the same digest
however they were sharded.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.artifacts import File, Manifest, Partition, read_verified, schema_pairs, write_file

SHARD_ROWS = 262_144


class TableDigest:
    """The sha256 of a schema and of canonical column values, fed in row order in pieces of any size."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self.rows = schema, 0
        self._parts = [[hashlib.sha256() for _ in range(3)] for _ in schema]

    def update(self, table: pa.Table | pa.RecordBatch) -> None:
        self.rows += table.num_rows
        for parts, name in zip(self._parts, self.schema.names, strict=True):
            column = table.column(name)
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                _feed(parts, chunk)

    def hexdigest(self) -> str:
        total = hashlib.sha256()
        total.update(json.dumps([schema_pairs(self.schema), self.rows]).encode())
        for parts in self._parts:
            for part in parts:
                total.update(part.digest())
        return total.hexdigest()


def _feed(parts: Sequence[Any], chunk: pa.Array) -> None:
    valid, values, lengths = parts
    valid.update(np.asarray(chunk.is_valid()).astype(np.uint8))
    if pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
        filled = chunk.fill_null("" if pa.types.is_string(chunk.type) else b"")
        lengths.update(np.asarray(pc.binary_length(filled)).astype("<i4"))
        start, stop = _offset(filled, 0), _offset(filled, len(filled))
        data = filled.buffers()[2]
        if data is not None:
            values.update(memoryview(data)[start:stop])
    elif pa.types.is_boolean(chunk.type):
        values.update(np.asarray(chunk.fill_null(False)).astype(np.uint8))
    elif pa.types.is_floating(chunk.type):
        numbers = np.array(chunk.fill_null(0.0))
        numbers[np.isnan(numbers)] = np.nan  # one NaN, whatever bits it came with
        values.update(np.ascontiguousarray(numbers))
    else:
        integers = chunk.cast(pa.int64()) if not pa.types.is_timestamp(chunk.type) else chunk.view(pa.int64())
        values.update(np.ascontiguousarray(np.asarray(integers.fill_null(0)).astype("<i8")))


def _offset(array: pa.Array, index: int) -> int:
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32) if array.buffers()[1] else np.zeros(1, np.int32)
    return int(offsets[array.offset + index]) if len(offsets) > array.offset + index else 0


class PartitionWriter:
    """Writes one partition's rows, in order, as shards of at most `shard_rows` rows; memory holds one shard."""

    def __init__(
        self, root: Path, key: str, schema: pa.Schema, *, time: str | None = None, shard_rows: int = SHARD_ROWS
    ) -> None:
        self._root, self._key, self._schema, self._time = root, key, schema, time
        self._shard_rows = shard_rows
        self._digest = TableDigest(schema)
        self._pending: list[pa.Table] = []
        self._held = 0
        self._shards: list[File] = []
        self._times: list[int] = []

    def write(self, table: pa.Table) -> None:
        table = table.select(self._schema.names).cast(self._schema)
        self._digest.update(table)
        if self._time is not None and table.num_rows:
            limits = pc.min_max(table.column(self._time).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())).as_py()
            self._times += [v for v in limits.values() if v is not None]
        self._pending.append(table)
        self._held += table.num_rows
        while self._held >= self._shard_rows:
            self._flush(self._shard_rows)

    def _flush(self, rows: int) -> None:
        held = pa.concat_tables(self._pending)
        name = f"{self._key}/{len(self._shards):05d}.parquet"
        self._shards.append(
            write_file(self._root, name, parquet_bytes(held.slice(0, rows)), rows=min(rows, held.num_rows))
        )
        rest = held.slice(rows)
        self._pending, self._held = [rest], rest.num_rows

    def close(self) -> Partition:
        if self._held:
            self._flush(self._held)
        return Partition(
            self._key,
            self._digest.rows,
            self._digest.hexdigest(),
            tuple(self._shards),
            min(self._times, default=None),
            max(self._times, default=None),
        )


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", version="2.6")
    return sink.getvalue()


def read_shard(root: Path, shard: File, columns: Sequence[str] | None = None) -> pa.Table:
    data = read_verified(root, shard)
    return pq.read_table(pa.BufferReader(data), columns=list(columns) if columns is not None else None)


def read_tables(
    root: Path,
    manifest: Manifest,
    *,
    partitions: Iterable[str] | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """Each shard's table in order, verified; one in memory at a time."""
    wanted = None if partitions is None else set(partitions)
    for partition in manifest.partitions:
        if wanted is None or partition.key in wanted:
            for shard in partition.shards:
                yield read_shard(root, shard, columns)


def read_all(root: Path, manifest: Manifest, **kwargs: Any) -> pa.Table:
    """All rows as one table; an artifact without rows gives an empty table without columns."""
    tables = list(read_tables(root, manifest, **kwargs))
    return pa.concat_tables(tables) if tables else pa.table({})
