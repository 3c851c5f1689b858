"""A byte stream as chunks of whole records, without parsing them; and where each record of a chunk lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.adapters.reading.expand import Readable
from components.core.errors import DataError

CHUNK = 8 * 1024 * 1024
MAX_RECORD = 64 * 1024 * 1024
_QUOTE, _LF, _CR = b'"\n\r'
_EMPTY = (b"\n", b"\r\n", b"\r")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_UTF8_MARK = b"\xef\xbb\xbf"

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Whole records, and the number of the line on which the first one starts, from 1."""

    data: bytes
    line: int


def lines(data: bytes) -> int:
    """How many lines end in `data`, by \\n, \\r\\n or \\r."""
    count = data.count(b"\n")
    return count + data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else count


class Framing:
    """Where records end: at the end of a line, or with a `delimiter` only of a line that is not in quotes.

    As in Arrow's parser, a quote counts at the start of a field alone, and a doubled one stays inside.
    """

    def __init__(self, delimiter: str | None = None) -> None:
        self._before = None if delimiter is None else delimiter.encode() + b"\r\n"
        if self._before is not None:
            start = rb"(?:\A|(?<=[" + re.escape(self._before) + rb"]))"
            self._quoted = re.compile(start + rb'"[^"]*+(?:""[^"]*+)*+(?:(")|\Z)')

    def ends(self, data: bytes, *, final: bool) -> tuple[Offsets, bool]:
        """The offset after each whole record, and whether the rest lies in quotes.

        With `final` nothing comes after `data`: its last bytes are a record without a line end.
        """
        bytes_ = np.frombuffer(data, np.uint8)
        stops = np.flatnonzero(bytes_ == _LF)
        if b"\r" in data:
            returns = np.flatnonzero(bytes_ == _CR)
            if not final:
                returns = returns[returns != len(data) - 1]  # a \n may follow
            alone = returns[bytes_[np.minimum(returns + 1, len(data) - 1)] != _LF]
            stops = np.sort(np.concatenate([stops, alone]))
        opened = False
        if self._before is not None and b'"' in data:
            starts, closes = self._spans(data, bytes_)
            stops = stops[np.searchsorted(starts, stops) == np.searchsorted(closes, stops)]
            opened = len(starts) > len(closes)
        offsets = stops + 1
        if final and (len(offsets) == 0 or offsets[-1] < len(data)):
            offsets = np.append(offsets, len(data))
        return offsets, opened

    def _spans(self, data: bytes, bytes_: npt.NDArray[np.uint8]) -> tuple[Offsets, Offsets]:
        """Where quoted stretches start and where they close; the last may have no close."""
        assert self._before is not None
        quotes = np.flatnonzero(bytes_ == _QUOTE)
        starts, closes = quotes[0::2], quotes[1::2]
        # Every other quote opens, if each of those stands at the start of a field or right behind a closing one.
        proper = np.isin(bytes_[starts - 1], np.frombuffer(self._before, np.uint8)) | (starts == 0)
        proper[1:] |= starts[1:] == closes[: len(starts) - 1] + 1
        if proper.all():
            return starts, closes
        found = [(m.start(), m.end(), m[1] is not None) for m in self._quoted.finditer(data)]
        spans = np.array(found, dtype=np.int64).reshape(-1, 3)
        return spans[:, 0], spans[spans[:, 2] == 1, 1] - 1

    def first(self, chunk: Chunk) -> tuple[int, int]:
        """Start and end of the first record."""
        return next(self._records(chunk), (0, 0))

    def records(self, chunk: Chunk) -> list[tuple[int, int]]:
        """Start and end of each record of the chunk, its line end included; empty lines are none."""
        return list(self._records(chunk))

    def _records(self, chunk: Chunk) -> Iterator[tuple[int, int]]:
        start = 0
        for end in map(int, self.ends(chunk.data, final=True)[0]):
            if chunk.data[start:end] not in _EMPTY:
                yield start, end
            start = end


def chunks(stream: Readable, framing: Framing, *, where: str) -> Iterator[Chunk]:
    """The stream's records, some megabytes of whole ones at a time.

    Raises
    ------
    DataError
        It is empty, of another encoding by its byte order mark, a quote is left open, or a record is beyond the cap.
    """
    held, line = _first(stream, where), 1
    while piece := stream.read(CHUNK):
        held += piece
        ends, _ = framing.ends(held, final=False)
        if len(ends):
            chunk, held = Chunk(held[: ends[-1]], line), held[ends[-1] :]
            yield chunk
            line += lines(chunk.data)
        if len(held) > MAX_RECORD:
            remedy = "Mend it: a quote may be left open there."
            raise DataError("record", f"be at most {MAX_RECORD} bytes", f"more, from line {line}", remedy, where=where)
    ends, opened = framing.ends(held, final=True)
    if opened:
        line += lines(held[: ends[-2]]) if len(ends) > 1 else 0
        remedy = "Close it: what follows cannot be told apart."
        raise DataError("quote", "be closed", f"one left open in the record from line {line}", remedy, where=where)
    if held:
        yield Chunk(held, line)


def _first(stream: Readable, where: str) -> bytes:
    data = b""
    while len(data) < 4 and (piece := stream.read(CHUNK)):
        data += piece
    if not data:
        raise DataError("source", "hold data", "an empty file", "Write it again, or take it out.", where=where)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            remedy = f"Convert it: iconv -f {encoding} -t UTF-8."
            raise DataError("encoding", "be UTF-8", encoding, remedy, where=where)
    return data.removeprefix(_UTF8_MARK)
