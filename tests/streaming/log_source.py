"""A log as an unbounded source of a Beam job, for workers that import it by its name."""

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

CHUNK = 20
"""Messages of one element."""
_AGAIN = 0.05


class FromLog(beam.PTransform):
    """Chunks of the first `total` messages of the log in `folder`, as they come."""

    def __init__(self, folder: Path, total: int) -> None:
        super().__init__()
        self._folder, self._total = str(folder), total

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        place = (self._folder, self._total)
        return pipeline | beam.Create([place]) | beam.ParDo(_Read()).with_output_types(bytes)


class _Chunks(RestrictionProvider):
    """So many chunks, numbered from 0."""

    def initial_restriction(self, element: tuple[str, int]) -> OffsetRange:
        return OffsetRange(0, -(-element[1] // CHUNK))

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: tuple[str, int], restriction: OffsetRange) -> int:
        return int(restriction.size())


_TRACKER = beam.DoFn.RestrictionParam(_Chunks())


class _Read(beam.DoFn):
    @beam.DoFn.unbounded_per_element()
    def process(self, element: tuple[str, int], tracker: Any = _TRACKER) -> Iterator[bytes]:
        folder, total = element
        log, chunk = Log(Path(folder)), tracker.current_restriction().start
        while True:
            stop = min((chunk + 1) * CHUNK, total)
            if log.end < stop:
                tracker.defer_remainder(Duration(_AGAIN))
                return
            if not tracker.try_claim(chunk):
                return
            yield chunks.of_messages(log.read(chunk * CHUNK, stop - chunk * CHUNK))
            chunk += 1
