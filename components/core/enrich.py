"""The first stage of the transform: what the case declares of other tables and of earlier rows, joined to each row.

One pure function from (state, batch) to (state, columns). Batch folds it over shards sorted by event time, the stream
over what arrives; any chunking of the same rows gives the same bits. The state is the rows that later ones may see.

- A reference column is that of the newest row of the key at or before the event's time, at most `within` older, or of
  the key's last row where the reference has no time.
- A window over [t - length, t) sees rows strictly before t (so neither the row itself nor its timestamp peers), and of
  them those with a smaller arrival number. With `known: event` a row enters at its event time, with `_arrival`. With
  `known: label` it enters when its label lands, never before its event, with `_label_arrival`; without that number it
  is seen by its time alone.
- A row without `_arrival` is a label that came by itself: it enters the windows `known: label` and asks nothing (its
  own window columns are null). One without `_label_time` is an event whose label has not landed.
- A key with a missing part (null, '', NaN) finds nothing. A value that is missing, infinite or beyond 2^53 units is
  no entry.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from components.core.arrow import ARROW, to_numpy
from components.core.asof import MICROS, NO_TIME, Lookup, micros
from components.core.case import Case, Window
from components.core.columns import Array
from components.core.declared import seconds
from components.core.errors import DataError
from components.core.events import ARRIVAL, EVENT_TIME, HISTORY, LABEL_ARRIVAL, LABEL_TIME
from components.core.windows import Entries, Ints, key_codes

_LARGEST = 2.0**53
_TIMES = {
    EVENT_TIME: ARROW["timestamp"],
    ARRIVAL: pa.int64(),
    LABEL_TIME: ARROW["timestamp"],
    LABEL_ARRIVAL: pa.int64(),
}


def reach(case: Case) -> int:
    """The longest window in microseconds; 0 without windows."""
    lengths = [seconds(length) for window in case.windows.values() for length in window.over]
    return max(lengths, default=0) * MICROS


def waits(case: Case) -> bool:
    """Whether a row may enter a window long after its event, when its label lands."""
    return any(window.known == "label" for window in case.windows.values())


class Enrichment:
    """A case's joins and windows, with its reference tables made ready.

    Parameters
    ----------
    references
        Each reference table of the case, by name.
    lateness
        How many seconds behind the newest event a later batch's events may lie; 0 for sorted rows.

    Raises
    ------
    DataError
        A reference table is absent, or lacks a column.
    """

    def __init__(self, case: Case, references: Mapping[str, pa.Table], *, lateness: int = 0) -> None:
        self._case = case
        self._lookups = []
        for name, reference in case.references.items():
            if name not in references:
                raise DataError(name, "be a reference table of ingest's", sorted(references), "Ingest again.")
            self._lookups.append(Lookup(name, reference, references[name]))
        self._reach, self._waits = reach(case), waits(case)
        self._kept = self._reach + lateness * MICROS
        names = {n: None for w in case.windows.values() for n in (*w.by, *([w.of] if w.of is not None else []))}
        self.remembered = (*names, *_TIMES)
        """The columns that the state keeps."""

    def empty(self) -> pa.Table:
        """The state before the first row."""
        types = {n: _TIMES.get(n) or ARROW[self._case.columns[n].type] for n in self.remembered}
        return pa.schema(list(types.items())).empty_table()

    def remember(self, state: pa.Table, rows: pa.Table) -> pa.Table:
        """The rows of both that a batch after them may see."""
        if not self._reach:
            return self.empty()
        both = pa.concat_tables([state, rows.select(self.remembered)])
        if not both.num_rows:
            return both
        events, landings = micros(both.column(EVENT_TIME)), micros(both.column(LABEL_TIME))
        happened = micros(both.column(ARRIVAL)) != NO_TIME
        last = np.where(happened | self._waits, events, NO_TIME)
        if self._waits:
            last = np.maximum(last, landings)
        return both.filter(pa.array(last >= events.max() - self._kept)).combine_chunks()

    def __call__(self, state: pa.Table, batch: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The state after the batch, and the batch with the case's reference and window columns added, in order."""
        times = micros(batch.column(EVENT_TIME))
        for lookup in self._lookups:
            joined = lookup.join(batch, times)
            for field, column in zip(joined.schema, joined.columns, strict=True):
                batch = batch.append_column(field, column)
        if not self._reach:
            return state, batch
        rows = pa.concat_tables([state, batch.select(self.remembered)])
        for name, window in self._case.windows.items():
            for column, values in self._window(name, window, rows, state.num_rows).items():
                batch = batch.append_column(column, pa.array(values, pa.float64(), from_pandas=True))
        return self.remember(state, batch), batch

    def _window(self, name: str, window: Window, rows: pa.Table, first: int) -> dict[str, Array]:
        """The window's columns for the rows from position `first` on; NaN for those that ask nothing."""
        codes = key_codes([rows.column(c) for c in window.by])
        events, asking = micros(rows.column(EVENT_TIME)), micros(rows.column(ARRIVAL))
        values, entered = _units(window, rows)
        times, arrivals = events, asking
        if window.known == "label":
            landings, arrivals = micros(rows.column(LABEL_TIME)), micros(rows.column(LABEL_ARRIVAL))
            entered &= landings != NO_TIME
            times = np.maximum(events, landings)
        else:
            entered &= asking != NO_TIME
        at = np.flatnonzero(entered & (codes >= 0))
        asked = first + np.flatnonzero(asking[first:] != NO_TIME)
        numbered = not _implied(times[at], arrivals[at], events[asked], asking[asked])
        entries = Entries(codes[at], times[at], values[at], arrivals[at] if numbered else None)
        lengths = [seconds(length) * MICROS for length in window.over]
        seen = dict(zip(window.over, entries.look(codes[asked], events[asked], lengths, asking[asked]), strict=True))
        made = {}
        for column, compute, length in window.names(name):
            made[column] = np.full(rows.num_rows - first, np.nan)
            made[column][asked - first] = _computed(compute, *seen[length], window.unit)
        return made


def _implied(times: Ints, arrivals: Ints, asked: Ints, asking: Ints) -> bool:
    """Whether an earlier time means a smaller arrival number: for files, where the time is the order of arrival."""
    return any(bool((arrivals <= times + by).all() and (asking >= asked + by).all()) for by in (0, HISTORY))


def _units(window: Window, rows: pa.Table) -> tuple[Ints, Array]:
    """The window's values as whole units (n,) int64, and which of them are entries (n,) bool."""
    if window.of is None:
        return np.zeros(rows.num_rows, np.int64), np.ones(rows.num_rows, np.bool_)
    with np.errstate(over="ignore"):
        units = np.rint(to_numpy(rows.column(window.of), "number") / window.unit)
    entered = np.abs(units) <= _LARGEST  # False for NaN
    return np.where(entered, units, 0.0).astype(np.int64), entered


def _computed(compute: str, counts: Ints, sums: Ints, unit: float) -> Array:
    if compute == "count":
        return counts.astype(np.float64)
    total = sums.astype(np.float64) * unit
    if compute == "sum":
        return total
    means: Array = np.divide(total, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means
