"""A log as an unbounded source: for a portable job service on this machine, which reads no Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration

from components.adapters.local.log import Log
from components.streaming.beam import chunks

CHUNK = 100
"""Messages of one element at most."""
EVER = 2**62
_AGAIN = 0.05


class FromLog(beam.PTransform):  # type: ignore[misc]  # Beam has no types here
    """Chunks of the log's messages as they come, from the offset `first` on and before `stop`."""

    def __init__(self, folder: Path, first: int, stop: int = EVER) -> None:
        super().__init__()
        self._place = (str(folder), first, stop)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | beam.Create([self._place]) | beam.ParDo(_Read()).with_output_types(bytes)


class _Offsets(RestrictionProvider):  # type: ignore[misc]  # Beam has no types here
    def initial_restriction(self, element: tuple[str, int, int]) -> OffsetRange:
        return OffsetRange(*element[1:])

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: tuple[str, int, int], restriction: OffsetRange) -> int:  # noqa: ARG002
        return int(restriction.size())


_TRACKER = beam.DoFn.RestrictionParam(_Offsets())


class _Read(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam has no types here
    def process(self, element: tuple[str, int, int], tracker: Any = _TRACKER) -> Iterator[bytes]:
        log, offset = Log(Path(element[0])), tracker.current_restriction().start
        while offset < (stop := tracker.current_restriction().stop):  # a runner may take the end away meanwhile
            messages = log.read(offset, min(CHUNK, stop - offset))
            if not messages:
                tracker.defer_remainder(Duration(_AGAIN))
                return
            if tracker.try_claim(offset + len(messages) - 1):
                yield chunks.of_messages(messages, offset)
                offset += len(messages)
