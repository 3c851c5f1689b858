"""Chunks of whole records: nothing lost, nothing cut, and the same records as Arrow's parser sees."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.adapters.reading import records
from components.adapters.reading.records import Chunk, Framing, chunks
from components.core.errors import DataError

CSV = Framing(",")
TEXT = st.text('a",\n\r;', max_size=40).map(str.encode)


class Slow(io.BytesIO):
    """Gives some bytes at a time, as a network does."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._step)


def arrow_rows(data: bytes) -> int:
    """How many records Arrow parses, of whatever width."""
    skipped = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        skipped.append(row)
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        pyarrow.csv.ReadOptions(column_names=["a", "b"], block_size=len(data) + 1, use_threads=False),
        pyarrow.csv.ParseOptions(invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(column_types={"a": pa.binary(), "b": pa.binary()}),
    )
    return int(table.num_rows) + len(skipped)


@given(TEXT.filter(bool))
def test_records_are_those_of_arrows_parser(data: bytes):
    assert len(CSV.records(Chunk(data, 1))) == arrow_rows(data)


@given(TEXT, st.integers(1, 7))
def test_chunks_are_the_stream_and_end_where_records_do(data: bytes, step: int):
    whole = CSV.records(Chunk(data, 1))
    _, opened = CSV.ends(data, final=True)
    if opened or not data:
        with pytest.raises(DataError) as caught:
            list(chunks(Slow(data, step), CSV, where="x"))
        assert caught.value.name == ("quote" if data else "source")
        return
    found = list(chunks(Slow(data, step), CSV, where="x"))
    assert b"".join(chunk.data for chunk in found) == data
    assert sum(len(CSV.records(chunk)) for chunk in found) == len(whole)
    lines = 1
    for chunk in found:
        assert chunk.line == lines
        lines += records.lines(chunk.data)


def test_a_quote_inside_a_field_is_only_a_character():
    data = b'1,5" pipe\n2,"a ""b"" c\nd"\n"x"y"z,3\n4,"5""'
    assert [data[a:b] for a, b in CSV.records(Chunk(data, 1))] == [
        b'1,5" pipe\n',
        b'2,"a ""b"" c\nd"\n',
        b'"x"y"z,3\n',
        b'4,"5""',
    ]
    assert CSV.ends(data, final=True)[1]


def test_lines_end_by_any_of_three():
    assert records.lines(b"a\nb\r\nc\rd") == 3
    assert list(Framing().ends(b"a\nb\r\nc\rd", final=True)[0]) == [2, 5, 7, 8]
    assert list(Framing().ends(b"a\nb\r", final=False)[0]) == [2]


def test_a_record_beyond_the_cap_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "MAX_RECORD", 100)
    with pytest.raises(DataError) as caught:
        list(chunks(Slow(b"1,2\n" + b"x" * 101, 50), CSV, where="big.csv"))
    assert str(caught.value) == (
        "big.csv: 'record' must be at most 100 bytes. Got 'more, from line 2'. Mend it: a quote may be left open there."
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-be"])
def test_a_byte_order_mark_of_another_encoding_is_refused(encoding: str):
    with pytest.raises(DataError, match="'encoding' must be UTF-8"):
        list(chunks(io.BytesIO("\ufeffid,at\n".encode(encoding)), CSV, where="x"))
