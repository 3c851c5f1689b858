"""The dead letter: every record that is no event or no reference row, with the reason and its own bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from components.adapters.reading.block import Bad
from components.core import artifacts
from components.core.artifacts import Manifest
from components.core.shards import PartitionWriter

SCHEMA = pa.schema(
    {"reason": pa.string(), "source": pa.string(), "position": pa.int64(), "raw": pa.binary(), "step": pa.string()}
)
_SHARD_ROWS = 1024  # raw records may be large
_HELD_BYTES = 32 * 1024 * 1024
_STEP = "ingest"
SAMPLES = 20


class DeadLetter:
    """Collects records and publishes them; what stands in memory is bounded."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writer = PartitionWriter(root, "all", SCHEMA, shard_rows=_SHARD_ROWS)
        self._held: list[Bad] = []
        self._bytes = 0
        self.counts: Counter[str] = Counter()
        self.samples: list[tuple[str, Bad]] = []
        """Some of each source, for the report."""

    def add(self, source: str, records: Iterable[Bad]) -> None:
        for bad in sorted(records, key=lambda bad: bad.position):
            self._held.append(bad)
            self._bytes += len(bad.raw)
            self.counts[source] += 1
            if len(self.samples) < SAMPLES and self.counts[source] <= SAMPLES // 4:
                self.samples.append((source, bad))
            if self._bytes > _HELD_BYTES:
                self._write(source)
        self._write(source)

    def _write(self, source: str) -> None:
        if self._held:
            columns = {
                "reason": [bad.reason for bad in self._held],
                "source": [source] * len(self._held),
                "position": [bad.position for bad in self._held],
                "raw": [bad.raw for bad in self._held],
                "step": [_STEP] * len(self._held),
            }
            self._writer.write(pa.table(columns, schema=SCHEMA))
        self._held, self._bytes = [], 0

    def publish(self) -> Manifest:
        partitions = [self._writer.close()] if sum(self.counts.values()) else []
        info = {"counts": dict(sorted(self.counts.items()))}
        return artifacts.publish(self._root, "dead_letter", schema=SCHEMA, partitions=partitions, info=info)
