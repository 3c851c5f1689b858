"""The append-only log of one topic: a folder of segments, and a committed offset per consumer group.

SEGMENT.log
    Records (`local.segment`) from the offset that names it on. Only the last one grows.
groups/GROUP.json
    The offset that the group has committed, and its note: replaced whole.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from components.adapters.local.segment import Segment, encode
from components.adapters.messages import checked_name
from components.adapters.ports import Message
from components.core.artifacts import atomic_write
from components.core.errors import ArtifactError, DataError, RunError

T = TypeVar("T")
SEGMENT_BYTES = 64 * 1024 * 1024
READ_BYTES = 32 * 1024 * 1024
"""One read ends with the message that reaches this, so that memory stays flat whatever the messages' sizes."""


class Log:
    """Offsets are 0, 1, 2… An instance serves one thread; other threads and processes open their own.

    Parameters
    ----------
    folder
        Made by the first append.
    segment_bytes
        An append to a segment of at least this size begins a new one.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder, self._segment_bytes = folder, segment_bytes
        self._known: dict[str, Segment] = {}

    def append(self, messages: Sequence[Message]) -> int:
        """The offset of the first message; all of them are durable, in one piece of the log.

        A message that does not say when it arrived has arrived now.

        Raises
        ------
        RunError
            They could not all be written. Those that are there stay, as a reader may have seen them.
        """
        now = time.time_ns() // 1000
        records = [encode(m if m.arrived is not None else replace(m, arrived=now)) for m in messages]
        with self._locked():
            segment = self._writable()
            first = segment.tail[0]
            if records:
                self._write(segment, b"".join(records))
                segment.appended(len(records), sum(map(len, records)))
            return first

    def read(self, offset: int, most: int) -> list[Message]:
        """Up to `most` messages from `offset` on; none at the log's end.

        Raises
        ------
        DataError
            The offset lies before the first that is kept, or beyond the end.
        ArtifactError
            A record was altered, or is missing between two segments.
        """
        return self._looked(partial(self._read, offset, most))

    @property
    def first(self) -> int:
        """The smallest offset that is kept."""
        return next((segment.first for segment in self._segments()), 0)

    @property
    def end(self) -> int:
        """The offset of the next message."""
        return self._looked(self._end)

    def committed(self, group: str) -> tuple[int, dict[str, Any]]:
        """The group's next offset and its note; the log's first offset and {} for a group that never committed."""
        path = self._group(group)
        try:
            stored = json.loads(path.read_bytes())
            return int(stored["offset"]), dict(stored["note"])
        except FileNotFoundError:
            return self.first, {}
        except (ValueError, KeyError, TypeError) as error:
            remedy = "Delete it to begin with the log's start."
            raise ArtifactError(path.name, "be a group's record", str(error), remedy, where=str(path.parent)) from error

    def commit(self, group: str, offset: int, note: Mapping[str, Any] | None = None) -> None:
        """Messages before `offset` are done with; `note` (JSON) is kept with it. Durable once it has returned.

        Raises
        ------
        DataError
            The offset lies outside of the log.
        """
        self._looked(partial(self._check, offset))
        data = json.dumps({"offset": offset, "note": dict(note or {})}, sort_keys=True, allow_nan=False)
        atomic_write(self._group(group), data.encode())

    def trim(self, before: int, *, older: float = math.inf) -> int:
        """Deletes whole segments of offsets below `before` that every group has committed; the first one kept.

        Those stay that were appended to at `older` (seconds since 1970) or after.
        """
        with self._locked():
            groups = [path.stem for path in (self.folder / "groups").glob("[!.]*.json")]
            limit = min([before, *(self.committed(group)[0] for group in groups)])
            segments = self._segments()
            for segment, following in pairwise(segments):
                if following.first > limit or segment.path.stat().st_mtime >= older:
                    break
                segment.path.unlink()
            return self.first

    def _looked(self, look: Callable[[], T]) -> T:
        """What it sees. A torn tail that is cut off meanwhile looks like an altered record or a log that was cut, and a
        trimmed segment is gone: then it looks again while nobody writes."""
        try:
            return look()
        except (ArtifactError, FileNotFoundError):
            with self._locked():
                return look()

    def _end(self) -> int:
        segments = self._segments()
        return segments[-1].seek_tail() if segments else 0

    def _read(self, offset: int, most: int) -> list[Message]:
        self._check(offset)
        found: list[Message] = []
        size = 0
        segments = self._segments()
        for segment, following in zip_longest(segments, segments[1:]):
            if following is not None and following.first <= offset:
                continue
            if len(found) == most or size >= READ_BYTES:
                break
            for _, message in segment.records(offset):
                found.append(message)
                size += len(message.data)
                offset += 1
                if len(found) == most or size >= READ_BYTES:
                    return found
            if following is not None and offset != following.first:
                remedy = "Restore the segment from a copy."
                value = f"an end at offset {offset}"
                rule = f"hold every record before {following.path.name}"
                raise ArtifactError(segment.path.name, rule, value, remedy, where="log")
        return found

    def _check(self, offset: int) -> None:
        """Raises DataError where the log has no place for the offset."""
        segments = self._segments()
        first = segments[0].first if segments else 0
        if first <= offset and segments and offset <= segments[-1].tail[0]:
            return
        end = self._end()
        if not first <= offset <= end:
            raise DataError("offset", f"lie from {first} to {end}", offset, "Begin anew at one of these.", where="log")

    def _segments(self) -> list[Segment]:
        """Those in the folder, in order."""
        try:
            names = sorted(path.name for path in self.folder.iterdir() if path.suffix == ".log")
        except FileNotFoundError:
            names = []
        self._known = {name: self._known.get(name) or Segment(self.folder / name) for name in names}
        return list(self._known.values())

    def _writable(self) -> Segment:
        """The last segment without a torn tail, or a new one."""
        segments = self._segments()
        if segments:
            last = segments[-1]
            last.seek_tail()
            if last.bytes > last.tail[1]:
                os.truncate(last.path, last.tail[1])
            if last.bytes < self._segment_bytes:
                return last
        path = self.folder / f"{segments[-1].tail[0] if segments else 0:020d}.log"
        path.touch()
        _sync(self.folder)
        return self._segments()[-1]

    def _write(self, segment: Segment, data: bytes) -> None:
        try:
            with open(segment.path, "ab", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
        except OSError as error:
            remedy = "Make room, or look at the disk, and publish again."
            raise RunError("log", "take an append", str(error), remedy, where=str(self.folder)) from error

    def _group(self, name: str) -> Path:
        return self.folder / "groups" / f"{checked_name('group', name)}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across processes; a killed one lets go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _sync(folder: Path) -> None:
    """The names in a folder are durable."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
