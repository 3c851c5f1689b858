"""The newest events, from the log of the case's topic: judged as the stream judges them, with the labels so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from components.adapters.local.log import Log
from components.adapters.reading.block import Bad
from components.core import events
from components.core.asof import MICROS, micros
from components.core.case import Case
from components.core.declared import seconds
from components.core.errors import DataError
from components.core.events import ARRIVAL, ENTITY, EVENT_TIME, HISTORY, LABEL_ARRIVAL, LABEL_TIME
from components.ingest.dead_letter import DeadLetter
from components.streaming.decode import Decoder
from components.streaming.judge import Seen, judge

BATCH = 8_192
TOGETHER = 16
"""Batches that are labelled at once: the labels are looked through for each."""
FILE = "streamed.arrow"


@dataclass(frozen=True)
class Streamed:
    """What a log holds: its good events on disk, and in memory their labels alone.

    `joint` is the time (microseconds) of the first event: before it the sources count.
    """

    case: Case
    file: Path
    labels: pa.Table
    joint: int
    counts: Mapping[str, int]

    def events(self) -> Iterator[pa.Table]:
        """The good ones with their labels so far, in the log's order, some at once."""
        with pa.ipc.open_file(self.file) as reader:
            for first in range(0, reader.num_record_batches, TOGETHER):
                at = range(first, min(first + TOGETHER, reader.num_record_batches))
                yield self._labelled(pa.Table.from_batches(map(reader.get_batch, at)))

    def _labelled(self, rows: pa.Table) -> pa.Table:
        """The events with what the first label of their entity brought; null where none has landed."""
        at = pc.index_in(rows.column(ENTITY), value_set=self.labels.column(ENTITY).combine_chunks())
        for name in _brought(self.case):
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(place), self.labels.column(name).take(at))
        return rows

    def history(self, table: pa.Table) -> tuple[pa.Table, int]:
        """Those events of a source that lie before the log's, numbered before its offsets; and how many do not."""
        times = micros(table.column(EVENT_TIME))
        oldest = self.joint - seconds(self.case.fast.history) * MICROS
        kept = table.filter(pa.array((times < self.joint) & (times >= oldest)))
        for name in (ARRIVAL, LABEL_ARRIVAL):
            moved = pc.add(kept.column(name), HISTORY)
            kept = kept.set_column(kept.schema.get_field_index(name), name, moved)
        return kept, table.num_rows - kept.num_rows


def read(log: Log, offsets: tuple[int, int], case: Case, lateness: int, dead: DeadLetter, scratch: Path) -> Streamed:
    """The messages at the offsets [first, end); `lateness` in seconds.

    A log that was trimmed is judged from its first offset on, with an empty memory: what lay before makes no message
    late and none a duplicate.

    Raises
    ------
    DataError
        None of them is an event.
    """
    kept, labels, joint, counts = events.schema(case), [], None, Counter[str]()
    with pa.ipc.new_file(scratch / FILE, kept) as writer:
        for good in _good(log, offsets, Decoder(case), lateness, dead, counts):
            happened = good.filter(good.column(ARRIVAL).is_valid()).select(kept.names)
            labels.append(good.filter(good.column(ARRIVAL).is_null()).select([ENTITY, *_brought(case)]))
            counts["labels"] += labels[-1].num_rows
            if happened.num_rows:
                writer.write_table(happened.combine_chunks())
                joint = joint if joint is not None else int(micros(happened.column(EVENT_TIME))[0])
    if joint is None:
        remedy = "Wait until the producer has sent some."
        raise DataError("topic", "hold at least one event", f"{counts['read']:,} messages", remedy, where="ingest")
    return Streamed(case, scratch / FILE, pa.concat_tables(labels), joint, counts)


def _good(
    log: Log, offsets: tuple[int, int], decode: Decoder, lateness: int, dead: DeadLetter, counts: Counter[str]
) -> Iterator[pa.Table]:
    """The good messages of some offsets at once, decoded; the others are counted."""
    seen, (at, end) = Seen.nothing(), offsets
    while at < end:
        messages = log.read(at, min(BATCH, end - at))
        found = decode(messages, at)
        dead.add("the topic", [Bad(letter.offset, letter.raw, letter.reason) for letter in found.letters])
        seen, judged = judge(seen, found.rows, lateness * MICROS)
        late, duplicate = int(judged.late.sum()), int(judged.duplicate.sum())
        counts.update(read=len(messages), dead_letter=len(found.letters), late=late, duplicate=duplicate)
        at += len(messages)
        yield found.rows.filter(pa.array(judged.good))


def _brought(case: Case) -> list[str]:
    """The columns that come with a label."""
    late = {name for name, column in case.columns.items() if column.known == "label"} | {case.label.column}
    return [*sorted(late), LABEL_TIME, LABEL_ARRIVAL]
