"""An event: the case's columns, and what follows from them: its identity, its time, its arrival, its label's time.

| column           | type               | what                                                                        |
|------------------|--------------------|-----------------------------------------------------------------------------|
| `_entity`        | string             | the id columns' texts, joined by '|' ('|' and '\\' inside escaped by '\\')  |
| `_event_time`    | timestamp[us, UTC] | never null                                                                  |
| `_arrival`       | int64              | the arrival column, or the event time in microseconds                       |
| `_label_time`    | timestamp[us, UTC] | when the label is known; null where there is none                           |
| `_label_arrival` | int64              | `_label_time` in microseconds; null without one, and with an arrival column |

Of what came through a log, both arrivals are offsets there: the event's message and the label's. Where files and a log
meet in one run the files' numbers are moved by `HISTORY`, which puts them before every offset in their own order. A
label that has no number (an arrival column numbers events alone) is known by its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.arrow import ARROW, arrow_schema
from components.core.case import UNIT_SECONDS, Case, Moment
from components.core.declared import seconds
from components.core.values import instant as instant
from components.core.values import iso as iso
from components.core.values import micros as micros

ENTITY, EVENT_TIME, ARRIVAL = "_entity", "_event_time", "_arrival"
LABEL_TIME, LABEL_ARRIVAL = "_label_time", "_label_arrival"
HISTORY = -(2**62)
"""Added to the arrival numbers of files that are read beside a log."""
YEARS = (1900, 2200)
"""The first and last year in which an event or its label can lie."""

_ADDED = {
    ENTITY: pa.string(),
    EVENT_TIME: ARROW["timestamp"],
    ARRIVAL: pa.int64(),
    LABEL_TIME: ARROW["timestamp"],
    LABEL_ARRIVAL: pa.int64(),
}
_FIRST, _END = (int(np.datetime64(f"{year}-01-01", "us").astype(np.int64)) for year in (YEARS[0], YEARS[1] + 1))
_FAR = 10**17  # microseconds: 3,170 years; a few of them add up without leaving int64
_EXACT = 2.0**53

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def schema(case: Case) -> pa.Schema:
    """The columns of the artifact `events`, in order."""
    own = arrow_schema({name: column.type for name, column in case.columns.items()})
    return pa.schema([*own, *(pa.field(name, kind) for name, kind in _ADDED.items())])


@dataclass(frozen=True)
class Times:
    """A moment per row: microseconds (n,) int64, and why there is none."""

    values: Integers
    missing: Mask
    """A column of the moment is missing."""
    beyond: Mask
    """It lies outside of `YEARS`, or a number in it is too large."""


def moment(table: pa.Table, of: Moment) -> Times:
    """The moment of each row of the case's columns: column + plus x unit + offset, in whole microseconds."""
    base = table.column(of.column)
    missing = np.asarray(base.is_null())
    total = _integers(base)
    beyond = (total > _FAR) | (total < -_FAR)
    total = np.where(beyond, 0, total)
    for name, unit in of.plus.items():
        column = table.column(name)
        missing |= np.asarray(column.is_null())
        added = np.asarray(pc.fill_null(column, 0.0)) * (UNIT_SECONDS[unit] * 1_000_000)
        far = ~(np.abs(added) <= _FAR)
        beyond |= far
        total += np.rint(np.where(far, 0.0, added)).astype(np.int64)
    total += seconds(of.offset) * 1_000_000 if of.offset else 0
    beyond |= (total < _FIRST) | (total >= _END)
    return Times(total, missing, beyond & ~missing)


def _integers(column: pa.ChunkedArray) -> Integers:
    """A timestamp column as microseconds, 0 where it is null."""
    return np.array(pc.fill_null(column.cast(pa.int64()), 0), dtype=np.int64)


def timestamps(values: Integers, null: Mask | None = None) -> pa.Array:
    return pa.array(values, type=pa.int64(), mask=null).cast(ARROW["timestamp"])


def entities(table: pa.Table, case: Case) -> pa.Array:
    """The `_entity` of each row, (n,) string; null where an id column is."""
    parts = [_escaped(_texts(table.column(name))) for name in case.entity_id]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "|")


def _texts(column: pa.ChunkedArray) -> pa.Array:
    """A text as it stands, a number as Python writes it (whole ones without a point), a time as ISO 8601."""
    flat = column.combine_chunks()
    if pa.types.is_string(flat.type):
        return flat
    write: Callable[[Any], str] = _text
    if pa.types.is_timestamp(flat.type):
        flat, write = flat.cast(pa.int64()), _time
    encoded = flat.dictionary_encode()
    return pa.array([write(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _text(value: bool | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _time(value: int) -> str:
    try:
        return iso(value)
    except OverflowError:  # a year that Python's calendar does not have
        return f"{value}us"


def _escaped(texts: pa.Array) -> pa.Array:
    for mark in "\\|":  # regular expressions cost more than both looks
        if pc.any(pc.match_substring(texts, mark)).as_py():
            texts = pc.replace_substring(texts, mark, "\\" + mark)
    return texts


def arrivals(table: pa.Table, case: Case, times: Integers) -> tuple[Integers, Mask]:
    """The `_arrival` of each row (n,), and which have none: a missing or fractional number."""
    if case.arrival is None:
        return times, np.zeros(len(times), dtype=bool)
    column = table.column(case.arrival)
    missing = np.asarray(column.is_null())
    if pa.types.is_timestamp(column.type):
        return _integers(column), missing
    numbers = np.asarray(pc.fill_null(column, 0.0))
    bad = missing | (numbers != np.rint(numbers)) | (np.abs(numbers) > _EXACT)
    return np.where(bad, 0.0, numbers).astype(np.int64), bad


def derive(table: pa.Table, case: Case) -> tuple[pa.Table, dict[int, str]]:
    """The rows of the case's columns as events, and why the others are none.

    Returns
    -------
    The events in the rows' order, with `schema(case)`; and for each row left out its index and the reason.
    """
    faults = _Faults(table)
    entity = entities(table, case)
    faults.missing(entity.is_null(), case.entity_id, "be there: it is part of the entity id")
    when = moment(table, case.event_time)
    faults.missing(when.missing, _columns(case.event_time), "be there: the event time is made of it")
    faults.beyond(when.beyond, "event_time", case.event_time)
    arrival, none = arrivals(table, case, when.values)
    if case.arrival is not None:
        faults.add(none, case.arrival, "be a whole number: it is the order of arrival")
    label, unknown = when.values, np.asarray(table.column(case.label.column).is_null())
    if case.label.matures is not None:
        lands = moment(table, case.label.matures)
        faults.beyond(lands.beyond & ~unknown, "label.matures", case.label.matures)
        label, unknown = lands.values, unknown | lands.missing
    added = {
        ENTITY: entity,
        EVENT_TIME: timestamps(when.values),
        ARRIVAL: pa.array(arrival, type=pa.int64()),
        LABEL_TIME: timestamps(label, unknown),
        LABEL_ARRIVAL: pa.array(label, type=pa.int64(), mask=unknown | (case.arrival is not None)),
    }
    for name, values in added.items():
        table = table.append_column(name, values)
    if faults.reasons:
        keep = np.ones(table.num_rows, dtype=bool)
        keep[list(faults.reasons)] = False
        table = table.filter(pa.array(keep))
    return table, faults.reasons


class _Faults:
    """The first reason per row."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.reasons: dict[int, str] = {}

    def add(self, mask: Mask, column: str, rule: str) -> None:
        for row in np.flatnonzero(mask).tolist():
            self.reasons.setdefault(row, f"{column!r} must {rule}. Got {self._shown(column, row)}.")

    def missing(self, mask: Mask | pa.Array, columns: Sequence[str], rule: str) -> None:
        for row in np.flatnonzero(mask).tolist():
            column = next(c for c in columns if not self._table.column(c)[row].is_valid)
            self.reasons.setdefault(row, f"{column!r} must {rule}. Got nothing.")

    def beyond(self, mask: Mask, name: str, of: Moment) -> None:
        rule = f"lie in the years {YEARS[0]} to {YEARS[1]}"
        for row in np.flatnonzero(mask).tolist():
            values = ", ".join(f"{c} = {self._shown(c, row)}" for c in _columns(of))
            self.reasons.setdefault(row, f"{name!r} must {rule}. Got {values}.")

    def _shown(self, column: str, row: int) -> str:
        value = self._table.column(column)[row]
        if not value.is_valid:
            return "nothing"
        return _time(value.value) if pa.types.is_timestamp(value.type) else repr(value.as_py())


def _columns(of: Moment) -> tuple[str, ...]:
    return (of.column, *of.plus)
