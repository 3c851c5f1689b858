"""What every reader gives: some rows as columns of raw values, before any declared type is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from components.adapters.reading.records import Chunk, lines
from components.core.errors import DataError


@dataclass(frozen=True)
class Bad:
    """One record at fault; `position` is its line (or row, in Parquet), from 1."""

    position: int
    raw: bytes
    reason: str


@dataclass(frozen=True)
class Block:
    """Rows of one member."""

    columns: Mapping[str, pa.Array]
    """Raw values (rows,) by column; a JSON block has no column that none of its lines has."""
    rows: int
    locate: Callable[[Sequence[int]], list[tuple[int, bytes]]]
    """Position and own bytes of rows, by index, in order."""
    malformed: Sequence[Bad] = ()
    """Records that are no rows."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """Rows that the reader knows to be bad, with the reason."""


def located(chunk: Chunk, records: Sequence[tuple[int, int]]) -> list[tuple[int, bytes]]:
    """The line and the bytes, without its line end, of each record, given by start and end in order."""
    found, before, line = [], 0, chunk.line
    for start, end in records:
        line += lines(chunk.data[before:start])
        before = start
        found.append((line, chunk.data[start:end].removesuffix(b"\n").removesuffix(b"\r")))
    return found


def check_names(found: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Raises DataError for the first wanted column that is missing or there twice; others do not matter."""
    for name in wanted:
        times = list(found).count(name)
        if times == 0:
            remedy = "Add it to the file, or take it out of the case."
            raise DataError(name, "be a column of the source", ", ".join(found), remedy, where=where)
        if times > 1:
            raise DataError(name, "be one column", f"{times} of that name", "Rename the others.", where=where)
