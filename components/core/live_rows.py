"""A segment of the servers' log as rows of `live_CASE` (`core.inference` says what both are).

A line that is torn or not as it should be is counted and left out: a log must never stop who reads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from components.core import json_rows
from components.core.arrow import ARROW
from components.core.case import Column
from components.core.columns import ColumnType
from components.core.convert import Unsuited, convert
from components.core.events import ARRIVAL
from components.core.inference import COLUMNS, Role

_ARROW = {str(kind): kind for kind in (pa.string(), pa.int64(), pa.float64(), ARROW["timestamp"])}
SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in COLUMNS.items()])
"""The table's own columns; the model's inputs follow by name."""
LETTERS = pa.schema(
    {"reason": pa.string(), "raw": pa.binary(), ARRIVAL: pa.int64(), "_at": ARROW["timestamp"], "step": pa.string()}
)
"""Of the table of dead letters."""
_LAST = 7_258_118_400  # the year 2200
Line = tuple[int, bytes]
"""The place in the segment, from 0 on, and what stands there."""


@dataclass(frozen=True)
class Segment:
    rows: pa.Table
    """`SCHEMA`, then the inputs that at least one line has. `_arrival` is the place in the segment, from 0 on, whatever
    lines `types` leave out."""
    lines: list[Line]
    """The requests that the rows are of."""
    unfit: list[Line]
    """Requests with an input that is none of its type, left out."""
    bad: int
    """Lines that are torn or altered, left out."""
    dropped: int
    """Requests that the server had not logged by its end."""


def parse(data: bytes, types: Mapping[str, ColumnType]) -> Segment:
    """The rows of a segment; inputs are taken by their names in `types`, others are left aside."""
    lines, found = list[Line](), list[dict[str, Any]]()
    bad = dropped = 0
    for place, text in enumerate(data.splitlines()):
        line = _line(text)
        if line is not None and set(line) == {"dropped"} and _whole(line["dropped"], 0):
            dropped = max(dropped, line["dropped"])
        elif line is not None and _sound(line):
            lines.append((place, text))
            found.append(line)
        elif text.strip():
            bad += 1
    rows, harmed = _table(found, {name: kind for name, kind in types.items() if name not in COLUMNS})
    kept = [line for at, line in enumerate(lines) if at not in harmed]
    return Segment(rows, kept, [lines[at] for at in sorted(harmed)], bad, dropped)


def letters(lines: Sequence[Line], first: int, reason: str, at: float) -> pa.Table:
    """Requests that the table does not take, of the segment whose places there begin at `first`, as dead letters."""
    moment = pa.scalar(round(at * 1e6), pa.int64()).cast(ARROW["timestamp"])
    return pa.table(
        {
            "reason": pa.repeat(reason, len(lines)),
            "raw": pa.array([text for _, text in lines], pa.binary()),
            ARRIVAL: pa.array([first + place for place, _ in lines], pa.int64()),
            "_at": pa.repeat(moment, len(lines)),
            "step": pa.repeat("intake", len(lines)),
        },
        schema=LETTERS,
    )


def _line(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sound(line: dict[str, Any]) -> bool:
    """Whether every key is there, of its type and in its range."""
    known = (
        _text(line.get("id"))
        and _number(line.get("at"), 0, _LAST)
        and _whole(line.get("version"), 1)
        and line.get("role") in get_args(Role)
        and _whole(line.get("status"), 100, 599)
        and _number(line.get("ms"), 0, math.inf)
    )
    if not known or not any(name in line for name in ("inputs", "score", "decision")):
        return known
    inputs, scores, decisions = (line.get(name) for name in ("inputs", "score", "decision"))
    if not (isinstance(inputs, list) and isinstance(scores, list) and isinstance(decisions, list)):
        return False
    return (
        0 < len(inputs) == len(scores) == len(decisions)
        and all(isinstance(row, dict) for row in inputs)
        and all(score is None or _number(score, -math.inf, math.inf) for score in scores)
        and all(_text(decision) for decision in decisions)
    )


def _text(value: object) -> bool:
    """Whether it is text that can be written: JSON may hold half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high and abs(value) < math.inf  # type: ignore[operator, arg-type]


def _whole(value: object, low: int, high: int = 2**31) -> bool:
    return type(value) is int and low <= value <= high


def _table(lines: list[dict[str, Any]], types: Mapping[str, ColumnType]) -> tuple[pa.Table, set[int]]:
    """The lines as rows, without those, which come second, that have an input that is none of its type."""
    inputs = [row for line in lines for row in line.get("inputs") or [{}]]
    counts = [len(line.get("inputs") or [{}]) for line in lines]
    of = np.repeat(np.arange(len(lines)), counts)
    arrays, faults = _inputs(inputs, types)
    unfit = set(of[faults].tolist())
    harmed = np.isin(of, list(unfit))
    values: dict[str, list[Any]] = {
        "_id": [line["id"] for line in lines],
        "_at": [round(line["at"] * 1e6) for line in lines],
        "_source": ["server"] * len(lines),
        "_event_time": [None] * len(lines),
        "_version": [line["version"] for line in lines],
        "_role": [line["role"] for line in lines],
        "_status": [line["status"] for line in lines],
        "_latency_ms": [float(line["ms"]) for line in lines],
    }
    own = {name: _array(name, column).take(pa.array(of)) for name, column in values.items()}
    own[ARRIVAL] = pa.array(range(len(of)), pa.int64())
    own["_score"] = pa.array([s for line in lines for s in line.get("score") or [None]], pa.float64())
    own["_decision"] = _array("_decision", [d for line in lines for d in line.get("decision") or [None]])
    whole = pa.table({name: own[name] for name in COLUMNS} | arrays)
    return whole.filter(pa.array(~harmed)), unfit


def _array(name: str, values: list[Any]) -> pa.Array:
    kind = SCHEMA.field(name).type
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _inputs(rows: list[dict[str, Any]], types: Mapping[str, ColumnType]) -> tuple[dict[str, pa.Array], list[int]]:
    """The typed columns that the rows have between them, and the rows at fault."""
    if not rows:
        return {}, []
    raw, faults = json_rows.arrays(rows, {name: Column(type=kind) for name, kind in types.items()})
    made, harmed = {}, set(faults)
    for name, values in raw.items():
        try:
            made[name], bad = convert(values, types[name])
        except Unsuited:  # such as words where numbers are declared, in every row
            made[name], bad = pa.nulls(len(rows), ARROW[types[name]]), np.asarray(values.is_valid())
        harmed.update(np.flatnonzero(bad).tolist() if bad is not None else ())
    return made, sorted(harmed)
