"""One file of a log: records one after the other, each with its sizes and checksums.

A record is a header of 16 bytes (bytes of attributes, bytes of data, crc32 of both, crc32 of these twelve) and a body
(attributes as JSON, when the message arrived among them, and data). What a kill leaves of an append is a prefix of its
bytes, so an incomplete last record is torn; a complete one with a wrong checksum was altered. The header's own checksum
tells a wrong size from a torn tail. A power cut may leave the size of an append without its bytes: what is zero from
within a record to the file's end was never whole, and is torn as well.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from components.adapters.ports import Message
from components.core.errors import ArtifactError

_SIZES, _CHECK = struct.Struct("<III"), struct.Struct("<I")
_HEADER = _SIZES.size + _CHECK.size
_BUFFER = 1 << 20
_ARRIVED = ""
"""An attribute that no producer can give."""
_EVERY = 1024
"""Records between two marks of the index."""
_Record = tuple[int, bytes]


def encode(message: Message) -> bytes:
    """The message as one record."""
    attributes = json.dumps({**message.attributes, _ARRIVED: message.arrived}).encode()
    body = attributes + message.data
    sizes = _SIZES.pack(len(attributes), len(message.data), zlib.crc32(body))
    return sizes + _CHECK.pack(zlib.crc32(sizes)) + body


class Segment:
    """The records from offset `first` on, and what this process has seen of their places."""

    def __init__(self, path: Path) -> None:
        self.path, self.first = path, int(path.stem)
        self._marks = [(self.first, 0)]
        self._cursor = self.tail = (self.first, 0)
        """(offset, position): where the last reader stopped, and the furthest end of a whole record seen."""

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size

    def records(self, offset: int) -> Iterator[tuple[int, Message]]:
        """(offset, message) from `offset` on, up to the last whole record.

        Raises
        ------
        ArtifactError
            A record was altered.
        """
        at, position = self._nearest(offset)
        with open(self.path, "rb", buffering=_BUFFER) as file:
            file.seek(position)
            while (record := self._record(file, at, position)) is not None:
                attributes, body = record
                found, position = at, position + _HEADER + len(body)
                at += 1
                self._passed(at, position)
                if found >= offset:
                    named = json.loads(body[:attributes])
                    arrived = named.pop(_ARRIVED, None)
                    yield found, Message(body[attributes:], named, arrived)

    def seek_tail(self) -> int:
        """The offset after the last whole record. Raises ArtifactError where whole records went away."""
        size = self.bytes
        if size < self.tail[1]:
            remedy = "Open the log anew: it was cut or replaced."
            value = f"{size} bytes of {self.tail[1]}"
            raise ArtifactError(self.path.name, "keep its whole records", value, remedy, where="log")
        if size > self.tail[1]:
            for _ in self.records(sys.maxsize):
                pass
        return self.tail[0]

    def appended(self, records: int, size: int) -> None:
        """So many records of `size` bytes altogether were written behind the tail."""
        self._passed(self.tail[0] + records, self.tail[1] + size)

    def _record(self, file: BinaryIO, at: int, position: int) -> _Record | None:
        """The record that begins here: how many bytes its attributes have, and its body; None where it is torn."""
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return None
        attributes, data, checksum = _SIZES.unpack_from(header)
        size = _HEADER
        if zlib.crc32(header[: _SIZES.size]) == _CHECK.unpack_from(header, _SIZES.size)[0]:
            body = file.read(attributes + data)
            if len(body) < attributes + data:
                return None
            if zlib.crc32(body) == checksum:
                return attributes, body
            size += len(body)
        if _unwritten(file, position, size):
            return None
        raise self._altered(at, position)

    def _nearest(self, offset: int) -> tuple[int, int]:
        """The last known place at or before `offset`."""
        known = [place for place in (self._cursor, self.tail) if place[0] <= offset]
        return max([self._marks[bisect_right(self._marks, (offset, sys.maxsize)) - 1], *known])

    def _passed(self, offset: int, position: int) -> None:
        self._cursor = (offset, position)
        self.tail = max(self.tail, self._cursor)
        if offset - self._marks[-1][0] >= _EVERY:
            self._marks.append(self._cursor)

    def _altered(self, offset: int, position: int) -> ArtifactError:
        remedy = f"Restore the segment from a copy. Offset {offset} is the first that is lost."
        value = f"other bytes at {position}, offset {offset}"
        return ArtifactError(self.path.name, "hold its records as they were written", value, remedy, where="log")


def _unwritten(file: BinaryIO, position: int, size: int) -> bool:
    """Whether the file is zero from within the `size` bytes at `position` to its end."""
    file.seek(position)
    written = len(file.read(size).rstrip(b"\0"))
    while written < size and (more := file.read(_BUFFER)):
        if more.strip(b"\0"):
            return False
    return written < size
