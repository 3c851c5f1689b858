"""Events of a case as the messages that their producer would have sent: in order, apart from the faults asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Message
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.errors import CaseError
from components.core.events import ENTITY, EVENT_TIME, LABEL_TIME

FIRST, COPY, BROKEN = 0, 1, 2
"""How a message is sent: as it is, once more, or cut off somewhere."""
_BEYOND = 1.25
"""What is held back comes up to so many times the lateness behind: a fifth of it is too late."""
_BLOCK = 4096
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Faults:
    """Shares of the messages, each from 0 to 1: exactly so many are chosen, by the seed.

    late
        Held back by up to a little more than the case's lateness.
    duplicates
        Sent again, the same bytes, within the lateness.
    bad
        Followed by a copy that breaks off: no JSON.
    """

    late: float = 0.0
    duplicates: float = 0.0
    bad: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "bad"):
            if not 0 <= getattr(self, name) <= 1:
                raise CaseError(f"--{name}", "be a share from 0 to 1", getattr(self, name), "Such as 0.05.")


@dataclass(frozen=True)
class _Order:
    """What is sent, in order: the row, whether its label, how, when by message time, and where it breaks off."""

    row: Integers
    label: npt.NDArray[np.bool_]
    how: Integers
    time: Integers
    release: Integers
    cut: npt.NDArray[np.float64]

    def take(self, order: Integers) -> _Order:
        return _Order(*(getattr(self, name)[order] for name in self.__dataclass_fields__))


class Schedule:
    """The messages in the order of sending: iterate over it. See `schedule`."""

    def __init__(self, events: pa.Table, case: Case, order: _Order, lateness: int) -> None:
        self._events, self._case, self._order, self._lateness = events, case, order, lateness

    def __len__(self) -> int:
        return len(self._order.row)

    @property
    def releases(self) -> Integers:
        """When each is sent (n,), on the clock of the message times, in microseconds; never falls."""
        return self._order.release

    def part(self, start: int, stop: int | None = None) -> Schedule:
        """The messages from place `start` to before `stop`, as a schedule of their own."""
        order = self._order.take(np.arange(len(self))[start:stop])
        return Schedule(self._events, self._case, order, self._lateness)

    def counts(self, sent: int | None = None) -> dict[str, int]:
        """Of the first `sent` messages how many are events, labels, copies (duplicates) and broken (bad).

        Among events and labels, those that were held back are counted again as late.
        """
        order, some = self._order, slice(sent)
        first = order.how[some] == FIRST
        found = {
            "events": first & ~order.label[some],
            "labels": first & order.label[some],
            "duplicates": order.how[some] == COPY,
            "bad": order.how[some] == BROKEN,
            "late": first & (order.release > order.time)[some],
        }
        return {name: int(mask.sum()) for name, mask in found.items()}

    def verdicts(self, sent: int | None = None) -> dict[str, int]:
        """What the stream must make of the first `sent` messages, if the topic held none before.

        Broken ones are dead letters; of the others what lies behind the newest one before it by more than the
        lateness is late, and a copy that does not is a duplicate.
        """
        order, some = self._order, slice(sent)
        broken = order.how == BROKEN
        times = np.where(broken, np.iinfo(np.int64).min, order.time)
        newest = np.maximum.accumulate(np.r_[times[:1], times])[:-1]
        late = ~broken & (order.time < newest - self._lateness)
        duplicate = ~late & (order.how == COPY)
        found = {"dead_letter": broken, "late": late, "duplicate": duplicate, "good": ~(broken | late | duplicate)}
        return {name: int(mask[some].sum()) for name, mask in found.items()}

    def __iter__(self) -> Iterator[Message]:
        for start in range(0, len(self), _BLOCK):
            yield from self._rendered(self._order.take(np.arange(start, min(start + _BLOCK, len(self)))))

    def _rendered(self, order: _Order) -> Iterator[Message]:
        rows = self._columns.take(pa.array(order.row))
        values = zip(*(column.to_pylist() for column in rows.columns[1:]), strict=True)
        entities = rows.column(0).to_pylist()
        for i, row in enumerate(values):
            names, kind = (self._names, "label") if order.label[i] else (self._early, "event")
            data = _ENCODE({n: v for n, v in zip(names, row, strict=False) if v is not None}).encode()
            if order.how[i] == BROKEN:
                data = data[: 1 + int(order.cut[i] * (len(data) - 1))]
            yield Message(data, {"kind": kind, "id": entities[i]})

    @cached_property
    def _early(self) -> list[str]:
        """The columns that are known with the event."""
        return [n for n, c in self._case.columns.items() if c.known == "event" and n != self._case.label.column]

    @cached_property
    def _names(self) -> list[str]:
        """The case's columns, those of the label last."""
        return self._early + [n for n in self._case.columns if n not in self._early]

    @cached_property
    def _columns(self) -> pa.Table:
        """The entity, and the columns `_names` as JSON will hold them."""
        types = {name: self._case.columns[name].type for name in self._names}
        plain = [_plain(self._events.column(name), kind) for name, kind in types.items()]
        return pa.table([self._events.column(ENTITY), *plain], names=[ENTITY, *types])


def _plain(column: pa.ChunkedArray, kind: ColumnType) -> pa.ChunkedArray:
    """Times as ISO 8601 with Z, and numbers without a point where all of them are whole."""
    if kind == "timestamp":
        texts = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        return pc.replace_substring(texts, ".000000Z", "Z")
    if kind == "number":
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            return column
    return column


NO_FAULTS = Faults()


def schedule(
    events: pa.Table, case: Case, lateness: int, faults: Faults = NO_FAULTS, most: int | None = None
) -> Schedule:
    """One message per event, and one per label when it lands (never before its event); in order, then faulted as asked.

    Parameters
    ----------
    events
        Rows with `events.schema(case)`, of unique entities, in any order.
    lateness
        The case's, in microseconds.
    most
        Send no more than so many.
    """
    event_times, label_times = (_micros(events.column(name)) for name in (EVENT_TIME, LABEL_TIME))
    landed = np.flatnonzero(np.asarray(events.column(LABEL_TIME).is_valid()))
    rows = np.arange(events.num_rows)
    time = np.concatenate([event_times, np.maximum(event_times, label_times)[landed]])
    label = np.arange(len(time)) >= len(rows)
    order = np.argsort(time, kind="stable")  # at one moment events go first
    plain = _Order(
        np.concatenate([rows, landed])[order], label[order], np.zeros_like(time), time[order], time[order], time * 0.0
    )
    faulted = _faulted(plain, lateness, faults)
    sent = np.argsort(faulted.release, kind="stable")
    return Schedule(events, case, faulted.take(sent[:most]), lateness)


def _micros(column: pa.ChunkedArray) -> Integers:
    return np.array(pc.fill_null(column.cast(pa.int64()), 0), dtype=np.int64)


def _faulted(plain: _Order, lateness: int, faults: Faults) -> _Order:
    """Some held back; behind all of them the copies and the broken ones, which at one moment come after the first."""
    random = np.random.default_rng(faults.seed)
    count = len(plain.row)

    def chosen(share: float) -> Integers:
        return np.sort(random.permutation(count)[: round(share * count)])

    late, again, bad = (chosen(share) for share in (faults.late, faults.duplicates, faults.bad))
    release = plain.time.copy()
    release[late] += 1 + np.int64(random.random(len(late)) * lateness * _BEYOND)
    waits = np.int64(random.random(len(again)) * lateness / 2)
    picked = np.concatenate([np.arange(count), again, bad])
    parts = chain((FIRST,) * count, (COPY,) * len(again), (BROKEN,) * len(bad))
    return _Order(
        plain.row[picked],
        plain.label[picked],
        np.fromiter(parts, np.int64, len(picked)),
        plain.time[picked],
        np.concatenate([release, release[again] + waits, release[bad]]),
        random.random(len(picked)),
    )


def summary(schedule: Schedule, sent: int) -> dict[str, Any]:
    """What was sent, and what the stream must make of it."""
    return {"sent": sent, **schedule.counts(sent), "expected": schedule.verdicts(sent)}
