"""The newest events, from the log of the case's topic: judged as the stream judges them, with the labels so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.local.log import Log
from components.adapters.reading.block import Bad
from components.core import events
from components.core.asof import MICROS, micros
from components.core.case import Case, seconds
from components.core.errors import DataError
from components.core.events import ARRIVAL, ENTITY, EVENT_TIME, HISTORY, LABEL_ARRIVAL, LABEL_TIME
from components.ingest.dead_letter import DeadLetter
from components.streaming.decode import Decoder
from components.streaming.judge import Seen, judge

BATCH = 8_192


@dataclass(frozen=True)
class Streamed:
    """What a log holds.

    `events` are the good ones with their labels so far, in the log's order; `joint` is the time (microseconds) of the
    first of them: before it the sources count.
    """

    case: Case
    events: pa.Table
    joint: int
    counts: Mapping[str, int]

    def history(self, table: pa.Table) -> tuple[pa.Table, int]:
        """Those events of a source that lie before the log's, numbered before its offsets; and how many do not."""
        times = micros(table.column(EVENT_TIME))
        oldest = self.joint - seconds(self.case.fast.history) * MICROS
        kept = table.filter(pa.array((times < self.joint) & (times >= oldest)))
        for name in (ARRIVAL, LABEL_ARRIVAL):
            moved = pc.add(kept.column(name), HISTORY)
            kept = kept.set_column(kept.schema.get_field_index(name), name, moved)
        return kept, table.num_rows - kept.num_rows


def read(log: Log, offsets: tuple[int, int], case: Case, lateness: int, dead: DeadLetter) -> Streamed:
    """The messages at the offsets [first, end); `lateness` in seconds.

    Raises
    ------
    DataError
        None of them is an event.
    """
    decode, seen, tables, counts = Decoder(case), Seen.nothing(), [], Counter[str]()
    at, end = offsets
    while at < end:
        messages = log.read(at, min(BATCH, end - at))
        found = decode(messages, at)
        dead.add("the topic", [Bad(letter.offset, letter.raw, letter.reason) for letter in found.letters])
        seen, judged = judge(seen, found.rows, lateness * MICROS)
        tables.append(found.rows.filter(pa.array(judged.good)).select(events.schema(case).names))
        counts.update(
            dead_letter=len(found.letters), late=int(judged.late.sum()), duplicate=int(judged.duplicate.sum())
        )
        counts["read"] += len(messages)
        at += len(messages)
    rows = pa.concat_tables(tables)
    is_label = np.asarray(rows.column(ARRIVAL).is_null())
    found_events, labels = rows.filter(pa.array(~is_label)), rows.filter(pa.array(is_label))
    if not found_events.num_rows:
        remedy = "Wait until the producer has sent some."
        raise DataError("topic", "hold at least one event", f"{counts['read']:,} messages", remedy, where="ingest")
    counts["labels"] = labels.num_rows
    joint = int(micros(found_events.column(EVENT_TIME))[0])
    return Streamed(case, _labelled(found_events, labels, case), joint, counts)


def _labelled(rows: pa.Table, labels: pa.Table, case: Case) -> pa.Table:
    """The events with what the first label of their entity brought; null where none has landed."""
    at = pc.index_in(rows.column(ENTITY), value_set=labels.column(ENTITY).combine_chunks())
    late = {name for name, column in case.columns.items() if column.known == "label"} | {case.label.column}
    for name in (*late, LABEL_TIME, LABEL_ARRIVAL):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), labels.column(name).take(at))
    return rows
