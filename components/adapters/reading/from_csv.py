"""CSV as blocks of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.csv

from components.adapters.reading.block import Bad, Block, check_names, located
from components.adapters.reading.expand import Member
from components.adapters.reading.records import Chunk, Framing, chunks, lines
from components.core.case import Source
from components.core.convert import shown
from components.core.errors import CaseError, DataError

MAX_LINES = 1000
"""A ragged record of more lines than this is no record: a quote was left open."""


class CsvReader:
    """CSV by Arrow's parser, every declared column as text.

    A chunk with a bad record is parsed again in parts: only then is it worth knowing where each record lies.
    """

    def __init__(self, member: Member, source: Source, wanted: list[str]) -> None:
        if not source.delimiter.isascii() or source.delimiter in '"\r\n':
            rule = "be one ASCII character, no quote and no line end"
            raise CaseError("source.delimiter", rule, source.delimiter, "Mend the case.", where=member.name)
        self._member, self._source, self._wanted = member, source, wanted
        self._framing = Framing(source.delimiter)
        self._names: list[str] = []

    def blocks(self) -> Iterator[Block]:
        for chunk in chunks(self._member.stream, self._framing, where=self._member.name):
            rest = chunk if self._names else self._header(chunk)
            if rest.data.strip(b"\r\n"):
                yield self._block(rest)

    def _header(self, chunk: Chunk) -> Chunk:
        """Takes the names from the first record; the rest of the chunk."""
        start, end = self._framing.first(chunk)
        try:
            text = io.StringIO(chunk.data[start:end].decode(), newline="")
            self._names = next(csv.reader(text, delimiter=self._source.delimiter), [])
        except UnicodeDecodeError as error:
            rule, remedy = "be UTF-8", "Convert the file to UTF-8."
            raise DataError("header", rule, shown(error.object), remedy, where=self._member.name) from error
        except csv.Error as error:
            raise DataError(
                "header", "be a line of names", str(error), "Is it CSV?", where=self._member.name
            ) from error
        check_names(self._names, self._wanted, self._member.name)
        return Chunk(chunk.data[end:], chunk.line + lines(chunk.data[:end]))

    def _block(self, chunk: Chunk) -> Block:
        try:
            table = self._parse(chunk.data, pa.string())
        except pa.ArrowInvalid:
            return self._mended(chunk)
        return Block(_columns(table), table.num_rows, _Lazy(chunk, self._framing).locate)

    def _mended(self, chunk: Chunk) -> Block:
        """The chunk as bytes (some may be no text), its ragged records set aside."""
        records = self._framing.records(chunk)
        ragged = self._ragged(chunk.data)
        places = located(chunk, [records[i] for i in ragged])
        for line, raw in places:
            if lines(raw) > MAX_LINES:
                rule, value = f"be closed within {MAX_LINES} lines", f"one left open in the record from line {line}"
                remedy = "Close it: the rows that it swallows cannot be told apart."
                raise DataError("quote", rule, value, remedy, where=self._member.name)
        malformed = [Bad(line, raw, ragged[i]) for i, (line, raw) in zip(ragged, places, strict=True)]
        good = [record for i, record in enumerate(records) if i not in ragged]
        data = b"".join(chunk.data[start:end] for start, end in good)
        table = (
            self._parse(data, pa.binary()) if data else pa.table({n: pa.array([], pa.binary()) for n in self._wanted})
        )
        return Block(
            _columns(table), table.num_rows, lambda rows: located(chunk, [good[i] for i in rows]), tuple(malformed)
        )

    def _ragged(self, data: bytes) -> dict[int, str]:
        """Which records (from 0) have another number of fields than the header, and why that is bad."""
        found: dict[int, str] = {}

        def note(row: Any) -> str:
            found[row.number - 1] = f"'record' must have {row.expected_columns} fields. Got {row.actual_columns}."
            return "skip"

        # As Latin-1 any bytes are text, and the places of delimiters, quotes and line ends stay the same.
        self._parse(data.decode("latin-1").encode(), pa.binary(), note)
        return found

    def _parse(self, data: bytes, kind: pa.DataType, note: Callable[[Any], str] | None = None) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One block, so that a record is never cut, and one thread, so that rows have numbers.
            pyarrow.csv.ReadOptions(column_names=self._names, block_size=len(data) + 1, use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=self._source.delimiter, invalid_row_handler=note),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self._wanted, kind),
                include_columns=self._wanted,
                null_values=list(self._source.null_values),
                strings_can_be_null=True,
            ),
        )


@dataclass(frozen=True)
class _Lazy:
    """Finds records only when one is asked for."""

    chunk: Chunk
    framing: Framing

    @cached_property
    def _records(self) -> list[tuple[int, int]]:
        return self.framing.records(self.chunk)

    def locate(self, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        return located(self.chunk, [self._records[i] for i in rows])


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    return {name: table.column(name).combine_chunks() for name in table.column_names}
