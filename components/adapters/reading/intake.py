"""One source of a case, read through: its tables by the declared types, and what is bad of it in the dead letter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.adapters.ports import Bounds, Listed, Sources
from components.adapters.reading import from_jsonl, from_parquet
from components.adapters.reading.block import Bad, Block
from components.adapters.reading.expand import Member, members
from components.adapters.reading.from_csv import CsvReader
from components.core.addresses import is_stored_table
from components.core.arrow import arrow_schema
from components.core.case import Column, Source
from components.core.convert import RULES, Unsuited, convert, shown
from components.core.errors import DataError

_SAY_EVERY = 1_000_000


@dataclass(frozen=True)
class Rows:
    """Good rows of one block: the table (n, declared columns), each row's index in the block, and the block itself."""

    table: pa.Table
    indices: npt.NDArray[np.int64]
    block: Block
    member: str

    def filter(self, keep: npt.NDArray[np.bool_]) -> Rows:
        if keep.all():
            return self
        return Rows(self.table.filter(pa.array(keep)), self.indices[keep], self.block, self.member)


class DeadLetter(Protocol):
    """Takes the bad records of a source's member."""

    def add(self, source: str, records: Iterable[Bad]) -> None: ...


class Intake:
    """Reads one source once and counts: `read` rows, of which `bad` are in the dead letter."""

    def __init__(
        self,
        source: Source,
        columns: Mapping[str, Column],
        listing: Sequence[Listed],
        dead: DeadLetter,
        say: Callable[[str], None],
        bounds: Bounds | None = None,
    ) -> None:
        self._source, self._columns, self._listing, self._dead, self._say = source, columns, listing, dead, say
        self._bounds = bounds
        self._seen: set[str] = set()
        self._first = ""
        self.read = self.bad = 0

    def rows(self, sources: Sources, scratch: Path) -> Iterator[Rows]:
        """The good rows of every member in order.

        Raises
        ------
        DataError
            A member cannot be read as its format, or a declared column is missing.
        """
        said = 0
        for listed in self._listing:
            for name, block in self._read_through(sources, listed, scratch):
                yield self._typed(block, name)
                if self.read - said >= _SAY_EVERY:
                    said = self.read
                    self._say(f"{name}: {self.read:,} rows so far")
        self._check_seen()

    def _read_through(self, sources: Sources, listed: Listed, scratch: Path) -> Iterator[tuple[str, Block]]:
        """Each block, and where it comes from."""
        if is_stored_table(listed.path):
            scan = sources.scan(listed, {name: column.type for name, column in self._columns.items()}, self._bounds)
            self._say(f"{self._source.shown}: reads {scan.bytes:,} bytes")
            first = 1
            for batch in scan.batches:
                yield self._source.shown, from_parquet.block(batch, list(self._columns), first)
                first += batch.num_rows
            return
        for member in members(sources, listed, self._source.format, scratch):
            for block in self._blocks(member, scratch):
                yield member.name, block

    def _blocks(self, member: Member, scratch: Path) -> Iterator[Block]:
        if member.format == "csv":
            return CsvReader(member, self._source, list(self._columns)).blocks()
        if member.format == "jsonl":
            return from_jsonl.blocks(member, self._columns)
        return from_parquet.blocks(member, list(self._columns), scratch)

    def _check_seen(self) -> None:
        """A JSON line may leave out a missing value; a column that none has is misspelt, or a label yet unknown."""
        absent = [n for n, c in self._columns.items() if n not in self._seen and c.known == "event"]
        if absent and self.read > self.bad:
            remedy = "Add it to the file, or take it out of the case."
            raise DataError(absent[0], "be in some record", "in none", remedy, where=self._source.shown)

    def _typed(self, block: Block, member: str) -> Rows:
        self._seen.update(block.columns)
        self.read += block.rows + len(block.malformed)
        self._bury(member, block.malformed)
        faults = dict(block.faults)
        arrays = [self._column(name, block, faults, member) for name in self._columns]
        schema = arrow_schema({name: column.type for name, column in self._columns.items()})
        rows = Rows(pa.table(arrays, schema=schema), np.arange(block.rows), block, member)
        return self.reject(rows, faults)

    def _column(self, name: str, block: Block, faults: dict[int, str], member: str) -> pa.Array:
        column = self._columns[name]
        raw = block.columns.get(name)
        if raw is None:
            raw = pa.nulls(block.rows)
        try:
            values, bad = convert(raw, column.type)
        except Unsuited as error:
            remedy = "Change the file, or the column's type in the case."
            rule = f"hold values for the type {column.type}"
            raise DataError(name, rule, str(raw.type), remedy, where=member) from error
        for row in [] if bad is None else np.flatnonzero(bad).tolist():
            faults.setdefault(row, f"{name!r} must {RULES[column.type]}. Got {shown(raw[row].as_py())}.")
        if not column.missing and values.null_count:
            for row in np.flatnonzero(values.is_null()).tolist():
                faults.setdefault(row, f"{name!r} must not be missing.")
        return values

    def reject(self, rows: Rows, reasons: Mapping[int, str]) -> Rows:
        """Buries the rows (by index in `rows.table`) with their reasons; the others."""
        if not reasons:
            return rows
        wrong = sorted(reasons)
        places = rows.block.locate([int(rows.indices[i]) for i in wrong])
        self._bury(rows.member, [Bad(at, raw, reasons[i]) for i, (at, raw) in zip(wrong, places, strict=True)])
        keep = np.ones(rows.table.num_rows, dtype=bool)
        keep[list(reasons)] = False
        return rows.filter(keep)

    def _bury(self, member: str, records: Sequence[Bad]) -> None:
        if records and not self._first:
            first = min(records, key=lambda bad: bad.position)
            self._first = f"The first, in {member} at {first.position}: {first.reason}"
        self.bad += len(records)
        self._dead.add(member, records)

    def check(self, name: str) -> None:
        """Raises DataError where more of the source is bad than it may be, or it has no rows at all."""
        if self.read == 0:
            raise DataError(name, "hold at least one row", 0, "Give the file that has them.", where=self._source.shown)
        if self.bad > self._source.bad_ratio * self.read:
            rule = f"have at most {self._source.bad_ratio:.3%} bad rows"
            value = f"{self.bad} of {self.read}"
            remedy = f"{self._first} Mend the source or the case; the dead letter holds them all."
            raise DataError(name, rule, value, remedy, where=self._source.shown)
