"""Values with their intervals: a dot with whiskers per row, and the bar that it is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from components.core.blocks import Block
from components.core.page.axes import Axis, axis, percent
from components.core.page.markup import name, tag
from components.core.page.plots import notes_below
from components.core.page.rows import long, row, table
from components.core.shown import escape, number

_HELD = "The dashed mark is the bar that the value is held against."
_NEAR = 5
Row = Mapping[str, Any]


def intervals(block: Block) -> str:
    """Rows of one group share its axis; rows without a group measure unlike things, and each has its own."""
    groups = groupby(block["rows"], key=lambda r: str(r.get("group") or ""))
    parts = [_group(group, list(rows)) if group else _unlike(list(rows)) for group, rows in groups]
    return "".join(parts) + notes_below([_HELD] if any(r.get("bar") is not None for r in block["rows"]) else [])


def _group(group: str, rows: Sequence[Row]) -> str:
    scale = axis(v for r in rows for v in _values(r))
    head, foot = tag("caption", name(group)), _foot(scale)
    made = [row(r["name"], _whiskers(r, scale), _words(r), rows=r.get("rows")) for r in rows]
    return long(made, lambda some: table(some, head, foot))


def _unlike(rows: Sequence[Row]) -> str:
    drawn = [(r, _own_axis(r)) for r in rows]
    made = [row(r["name"], _whiskers(r, s) + _ticks(s), _words(r), rows=r.get("rows")) for r, s in drawn]
    return long(made, table)


def _values(r: Row) -> list[float | None]:
    return [r.get(key) for key in ("value", "low", "high", "bar")]


def _own_axis(r: Row) -> Axis:
    """An axis for one row, which reaches to 0 where that is not far off in terms of the row's width."""
    known = [v for v in _values(r) if v is not None]
    near = bool(known) and min(abs(v) for v in known) <= _NEAR * (max(known) - min(known))
    return axis(known, zero=near)


def _whiskers(r: Row, scale: Axis) -> str:
    value, low, high, bar = _values(r)
    parts = [_upright(v, scale, "base" if v == 0 else "grid") for v, _ in scale.ticks]
    if low is not None and high is not None:
        ends = {"x1": percent(scale.share(low)), "x2": percent(scale.share(high))}
        parts.append(tag("line", **ends, y1="50%", y2="50%", class_="whisker"))
        parts += [_upright(v, scale, "cap", "25%", "75%") for v in (low, high)]
    if bar is not None:
        parts.append(_upright(bar, scale, "floor"))
    if value is not None:
        parts.append(tag("circle", cx=percent(scale.share(value)), cy="50%", r=4.5))
    return tag("svg", *parts, class_="whiskers s0", aria_hidden="true")


def _upright(value: float, scale: Axis, style: str, top: str = "0", bottom: str = "100%") -> str:
    at = percent(scale.share(value))
    return tag("line", x1=at, x2=at, y1=top, y2=bottom, class_=style)


def _words(r: Row) -> str:
    value, low, high, bar = (number(v, padded=True) if v is not None else None for v in _values(r))
    parts = [tag("b", escape(number(value)))]
    more = [f"{low} to {high}"] if low is not None and high is not None else []
    more += [f"{'· ' if more else ''}bar {bar}"] if bar is not None else []
    return " ".join([*parts, *(tag("span", escape(text)) for text in more)])


def _ticks(scale: Axis) -> str:
    texts = (tag("text", escape(t), x=percent(scale.share(v)), y="1.1em", class_="tick x") for v, t in scale.ticks)
    return tag("svg", *texts, class_="scale", aria_hidden="true")


def _foot(scale: Axis) -> str:
    """The axis below a group's rows."""
    cells = tag("td"), tag("td", _ticks(scale), class_="drawn"), tag("td")
    return tag("tfoot", tag("tr", *cells), aria_hidden="true")
