"""The first step: messages of a case's topic as events and labels, and what is neither with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.adapters.ports import Message
from components.core import events, json_rows
from components.core.arrow import arrow_schema
from components.core.asof import micros
from components.core.case import Case, Column
from components.core.convert import RULES, convert, shown
from components.core.events import ARRIVAL, ENTITY, EVENT_TIME, LABEL_ARRIVAL, LABEL_TIME, iso
from components.core.labels import labels

OFFSET, KEY, TIME = "_offset", "_key", "_time"
KINDS = ("event", "label")
AHEAD = 3_600_000_000
"""Microseconds by which a message's time may lie after its arrival: clocks differ by less. One message from the future
makes those after it late, with this bound for no longer than an hour."""
_EVER = 2**62

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Letter:
    """One message that was not taken."""

    offset: int
    raw: bytes
    reason: str
    step: str


@dataclass(frozen=True)
class Decoded:
    """`rows` in offset order: `events.schema`, with `_arrival` null of a label and `_label_time` null of an event.

    Then `_offset` int64 (its place in the log), `_key` string (kind and id, for deduplication) and `_time` int64, the
    message's time in microseconds: an event's is the event's, a label's its landing, never before its event.
    """

    rows: pa.Table
    letters: tuple[Letter, ...]


class Decoder:
    """Reads messages by the columns of one case.

    A message stands alone: the columns that are known with the label are left out of an event, whatever it brings.
    """

    def __init__(self, case: Case) -> None:
        # What comes through a log is numbered by it.
        self._case = case.model_copy(update={"arrival": None})
        self._late = {n for n, c in case.columns.items() if c.known == "label"} | {case.label.column}

    def __call__(self, messages: Sequence[Message], first: int) -> Decoded:
        """The messages at the offsets from `first` on."""
        parsed, at, letters = self._parsed(messages, first)
        table, is_label, faults = self._typed(parsed)
        made, reasons = events.derive(table, self._case)
        kept = np.setdiff1d(np.arange(len(parsed)), list(reasons))
        faults = reasons | faults
        for row in kept[is_label[kept] & np.asarray(made.column(LABEL_TIME).is_null())].tolist():
            faults.setdefault(row, "'label.matures' must be known: the message is a label. Got nothing.")
        good = np.array([i not in faults for i in kept.tolist()], dtype=bool)
        at_kept, offsets = kept[good], np.array(at, np.int64)[kept[good]]
        made = self._marked(made.filter(pa.array(good)), is_label[at_kept], offsets)
        names = [messages[offset - first].attributes.get("id") for offset in offsets.tolist()]
        letters += [Letter(at[i], messages[at[i] - first].data, reason, "decode") for i, reason in faults.items()]
        there, ahead = _in_time(_keyed(made, names), messages, first)
        return Decoded(there, tuple(sorted([*letters, *ahead], key=lambda letter: letter.offset)))

    def _parsed(
        self, messages: Sequence[Message], first: int
    ) -> tuple[list[tuple[dict[str, Any], bool]], list[int], list[Letter]]:
        """(JSON object, whether a label) of each that is one, its offset, and the others."""
        import orjson

        parsed, at, letters = [], [], []
        for offset, message in enumerate(messages, first):
            kind = message.attributes.get("kind", "event")
            try:
                row = orjson.loads(message.data)
                if not isinstance(row, dict):
                    raise ValueError(f"a JSON {type(row).__name__}")
            except ValueError as error:
                why = f"'data' must be a JSON object. Got {shown(str(error))}."
            else:
                if kind in KINDS:
                    parsed.append((row, kind == "label"))
                    at.append(offset)
                    continue
                why = f"'kind' must be 'event' or 'label'. Got {shown(kind)}."
            letters.append(Letter(offset, message.data, why, "decode"))
        return parsed, at, letters

    def _typed(self, parsed: Sequence[tuple[dict[str, Any], bool]]) -> tuple[pa.Table, Mask, dict[int, str]]:
        """The declared columns (n rows), which rows are labels, and the rows at fault."""
        rows = [row if label else {n: v for n, v in row.items() if n not in self._late} for row, label in parsed]
        is_label = np.array([label for _, label in parsed], dtype=bool)
        raw, faults = json_rows.arrays(rows, self._case.columns)
        arrays = []
        for name, column in self._case.columns.items():
            there = np.ones(len(rows), dtype=bool) if name not in self._late else is_label
            arrays.append(_column(name, column, raw.get(name, pa.nulls(len(rows))), there, faults))
        table = pa.table(arrays, schema=arrow_schema({n: c.type for n, c in self._case.columns.items()}))
        for name in self._case.require:
            for row in np.flatnonzero(table.column(name).is_null()).tolist():
                faults.setdefault(row, f"{name!r} must be there: the case requires it. Got nothing.")
        told = labels(self._case, table)
        for row in np.flatnonzero(is_label & np.asarray(table.column(self._case.label.column).is_null())).tolist():
            faults.setdefault(row, f"{self._case.label.column!r} must be there: the message is a label. Got nothing.")
        for row, reason in told.faults.items():
            faults.setdefault(row, reason)
        return table, is_label, faults

    def _marked(self, table: pa.Table, is_label: Mask, offsets: npt.NDArray[np.int64]) -> pa.Table:
        """The rows with their offsets as arrival numbers."""
        happened, landed = micros(table.column(EVENT_TIME)), micros(table.column(LABEL_TIME))
        changed = {
            ARRIVAL: pa.array(offsets, mask=is_label),
            LABEL_TIME: events.timestamps(landed, ~is_label),
            LABEL_ARRIVAL: pa.array(offsets, mask=~is_label),
        }
        for name, values in changed.items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        times = np.where(is_label, np.maximum(happened, landed), happened)
        return table.append_column(OFFSET, pa.array(offsets)).append_column(TIME, pa.array(times))


def _column(name: str, column: Column, raw: pa.Array, there: Mask, faults: dict[int, str]) -> pa.Array:
    """The typed values, null where bad; `there` are the rows that may not lack a column without missing values."""
    values, bad = convert(raw, column.type)
    for row in [] if bad is None else np.flatnonzero(bad).tolist():
        faults.setdefault(row, f"{name!r} must {RULES[column.type]}. Got {shown(raw[row].as_py())}.")
    if not column.missing and values.null_count:
        for row in np.flatnonzero(np.asarray(values.is_null()) & there).tolist():
            faults.setdefault(row, f"{name!r} must not be missing.")
    return values


def _keyed(rows: pa.Table, names: Sequence[str | None]) -> pa.Table:
    """The rows with the id by which each is known: the producer's, else the entity; a label's is not its event's."""
    entities = rows.column(ENTITY).to_pylist()
    kinds = np.asarray(rows.column(ARRIVAL).is_null()).tolist()
    keys = [
        f"{KINDS[kind]}:{name if name is not None else entity}"
        for name, entity, kind in zip(names, entities, kinds, strict=True)
    ]
    return rows.append_column(KEY, pa.array(keys, pa.string()))


def _in_time(rows: pa.Table, messages: Sequence[Message], first: int) -> tuple[pa.Table, list[Letter]]:
    """The rows that are not from the future, and the others."""
    offsets, times = rows.column(OFFSET).to_pylist(), np.asarray(rows.column(TIME))
    # One that does not say when it arrived is from a log that did not keep it yet.
    arrived = [messages[offset - first].arrived for offset in offsets]
    limits = np.array([_EVER if at is None else at + AHEAD for at in arrived], np.int64)
    letters = []
    for row in np.flatnonzero(times > limits).tolist():
        limit, raw = iso(int(limits[row])), messages[offsets[row] - first].data
        reason = f"'time' must be at most {limit}, an hour after the message arrived. Got {iso(int(times[row]))}."
        letters.append(Letter(offsets[row], raw, reason, "decode"))
    return rows.filter(pa.array(times <= limits)), letters
