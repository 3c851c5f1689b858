"""Parquet as blocks. A row has no bytes of its own: in the dead letter it is the JSON of its declared columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.adapters.reading.block import Block, check_names
from components.adapters.reading.expand import Member, spool
from components.core.errors import DataError

ROWS = 65_536


def blocks(member: Member, wanted: list[str], scratch: Path) -> Iterator[Block]:
    """One block per batch of rows; positions are row numbers from 1.

    Raises
    ------
    DataError
        It is no Parquet, or a wanted column is missing.
    """
    with ExitStack() as opened:
        stream = member.stream
        if not getattr(stream, "seekable", lambda: False)():
            stream = opened.enter_context(spool(stream, scratch))
        try:
            file = opened.enter_context(pq.ParquetFile(stream))
            check_names(file.schema_arrow.names, wanted, member.name)
            first = 1
            for batch in file.iter_batches(ROWS, columns=wanted):
                yield block(batch, wanted, first)
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            rule, remedy = "be readable as Parquet", "Write it again."
            raise DataError("source", rule, str(error), remedy, where=member.name) from error


def block(batch: pa.RecordBatch, wanted: list[str], first: int) -> Block:
    """The wanted columns of a batch whose first row has the number `first`."""
    columns = {name: _bytes(batch.column(name)) for name in wanted}

    def locate(rows: Sequence[int]) -> list[tuple[int, bytes]]:
        wanted_rows = pa.array(rows, pa.int64())
        taken = zip(*(columns[name].take(wanted_rows).to_pylist() for name in wanted), strict=True)
        texts = [json.dumps(dict(zip(wanted, row, strict=True)), default=_plain) for row in taken]
        return [(first + i, text.encode()) for i, text in zip(rows, texts, strict=True)]

    return Block(columns, batch.num_rows, locate)


def _bytes(values: pa.Array) -> pa.Array:
    """Text as bytes: nothing has looked yet whether it is UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary())
    return values


def _plain(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
