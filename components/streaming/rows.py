"""The last step: rows of the three tables, as `core.inference` describes them, but for the clock's columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.core.arrow import ARROW
from components.core.case import Case
from components.core.events import ARRIVAL, ENTITY, EVENT_TIME, LABEL_ARRIVAL, LABEL_TIME
from components.core.inference import Role
from components.core.labels import labels
from components.core.live_rows import LETTERS
from components.streaming.decode import Letter
from components.streaming.score import Scored
from components.streaming.served import Version

ANSWERED, FAILED = 200, 500
AT, LATENCY = "_at", "_latency_ms"
"""The clock's columns: null until `stamped`."""


def live(events: pa.Table, scored: Scored, version: Version, role: Role) -> pa.Table:
    """Predictions of enriched events; a row that the version refused has a status, and no score."""
    rows = events.num_rows
    failed = np.zeros(rows, dtype=bool)
    failed[list(scored.refused)] = True
    made = {
        "_id": events.column(ENTITY),
        AT: pa.nulls(rows, ARROW["timestamp"]),
        "_source": pa.repeat("stream", rows),
        ARRIVAL: events.column(ARRIVAL),
        EVENT_TIME: events.column(EVENT_TIME),
        "_version": pa.array(np.full(rows, version.number, np.int64)),
        "_role": pa.repeat(role, rows),
        "_status": pa.array(np.where(failed, FAILED, ANSWERED)),
        LATENCY: pa.nulls(rows, pa.float64()),
        "_score": pa.array(scored.score, mask=failed),
        "_decision": pa.array(scored.decision, pa.string()),
    }
    return pa.table(made | {name: events.column(name) for name in version.inputs})


def landed(case: Case, rows: pa.Table) -> pa.Table:
    """Labels, of label rows."""
    return pa.table(
        {
            "_id": rows.column(ENTITY),
            EVENT_TIME: rows.column(EVENT_TIME),
            LABEL_TIME: rows.column(LABEL_TIME),
            "_label": labels(case, rows).values,
            ARRIVAL: rows.column(LABEL_ARRIVAL),
        }
    )


def buried(letters: Sequence[Letter]) -> pa.Table:
    """Dead letters, in offset order."""
    ordered = sorted(letters, key=lambda letter: letter.offset)
    columns = {
        "reason": [letter.reason for letter in ordered],
        "raw": [letter.raw for letter in ordered],
        ARRIVAL: [letter.offset for letter in ordered],
        AT: [None] * len(ordered),
        "step": [letter.step for letter in ordered],
    }
    return pa.table(columns, schema=LETTERS)


def stamped(rows: pa.Table, at: float, latencies: Sequence[float] | None = None) -> pa.Table:
    """n rows with the clock's columns: `at` seconds since 1970; (n,) milliseconds from the pull to the prediction."""
    moment = pa.scalar(round(at * 1e6), pa.int64()).cast(ARROW["timestamp"])
    values: dict[str, pa.Array] = {AT: pa.repeat(moment, rows.num_rows)}
    if latencies is not None:
        values[LATENCY] = pa.array(latencies, pa.float64())
    for name, value in values.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, value)
    return rows
