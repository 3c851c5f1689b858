"""Charts with one row per name, as tables whose drawn cells are inline SVG: bars, categories, intervals.

A reader without the picture has the name and the value; long names wrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from components.core.blocks import Block
from components.core.page import markup
from components.core.page.axes import Axis, axis, bare, percent
from components.core.page.markup import tag
from components.core.page.plots import SERIES, legend, notes_below, shares
from components.core.shown import escape, number
from components.core.shown import rows as shown_rows

FEW, MOST = 20, 400
"""Rows shown at once, and the most that are shown at all."""
_PREVIEW = 10
_SHORT = 4
"""The longest unit that stands beside each value; a longer one stands above them all, once."""


def long(rows: Sequence[str], wrap: Any) -> str:
    """Many rows: the first of them, and all of them behind a click."""
    if len(rows) <= FEW:
        return str(wrap(rows))
    words = f"All {number(len(rows))} rows" if len(rows) <= MOST else f"{MOST} of {number(len(rows))} rows"
    full = tag("details", tag("summary", words), wrap(rows[:MOST]))
    return tag("div", tag("div", wrap(rows[:_PREVIEW]), class_="preview"), full, class_="long")


def bars(block: Block) -> str:
    """One bar per name, from zero."""
    names, values, unit = block["names"], block["values"], str(block.get("unit") or "")
    scale, short = bare(values), len(unit) <= _SHORT
    drawn = zip(names, values, strict=True)
    rows = [_row(name, _bar(value, scale, 0), escape(_value(value, unit if short else ""))) for name, value in drawn]
    return ("" if short else tag("p", escape(unit), class_="unit")) + long(rows, _table)


def categories(block: Block) -> str:
    """One bar per name and sample: one sample's counts, or each sample's share of its own sum."""
    names, counts = block["names"], block["counts"]
    heights, unit = shares(counts)
    scale = bare(v for values in heights.values() for v in values)
    rows = []
    for i, name in enumerate(names):
        cells = [(values[i], counts[sample][i]) for sample, values in heights.items()]
        drawn = "".join(_bar(share, scale, at, count) for at, (share, count) in enumerate(cells))
        words = "".join(tag("div", escape(_value(count if unit == "rows" else share, unit))) for share, count in cells)
        rows.append(_row(name, drawn, words))
    return legend(list(counts)) + long(rows, _table) + notes_below([t for t in [str(block.get("note") or "")] if t])


def intervals(block: Block) -> str:
    """A dot with whiskers per row, and the bar that it is held against; each group has its own axis."""
    parts = []
    for group, members in groupby(block["rows"], key=lambda r: str(r.get("group") or "")):
        rows = list(members)
        scale = axis([r.get(k) for r in rows for k in ("value", "low", "high", "bar")])
        head = tag("caption", escape(group)) if group else ""
        drawn = [_row(r["name"], _whiskers(r, scale), _interval(r), rows=r.get("rows")) for r in rows]
        parts.append(long(drawn, lambda some, head=head, scale=scale: _table(some, head, _scale(scale))))
    barred = any(r.get("bar") is not None for r in block["rows"])
    return "".join(parts) + notes_below(
        ["The dashed mark is the bar that the value is held against."] if barred else []
    )


def _table(rows: Sequence[str], head: str = "", foot: str = "") -> str:
    return tag("table", head, tag("tbody", *rows), foot, class_="rows")


def _row(name: object, drawn: str, words: str, *, rows: int | None = None) -> str:
    said = markup.name(name) + ("" if rows is None else tag("small", escape(shown_rows(rows))))
    return tag("tr", tag("th", said, scope="row"), tag("td", drawn, class_="drawn"), tag("td", words, class_="value"))


def _value(value: Any, unit: str) -> str:
    shown = number(value)
    return (
        f"{shown}{'' if unit in ('', 'rows') else ' '}{'' if unit == 'rows' else unit}" if value is not None else shown
    )


def _bar(value: float | None, scale: Axis, index: int, count: object = None) -> str:
    """A bar from zero to the value; the value that is missing has none."""
    if value is None:
        return tag("svg", class_="bar", aria_hidden="true")
    zero, end = scale.share(0), scale.share(value)
    said = "" if count is None else tag("title", escape(number(count)))
    shape = tag("rect", said, x=percent(min(zero, end)), width=percent(abs(end - zero)), y=0, height="100%", rx=2)
    line = tag("line", x1=percent(zero), x2=percent(zero), y1=0, y2="100%", class_="zero") if zero > 0 else ""
    return tag("svg", shape, line, class_=f"bar s{index % SERIES}", aria_hidden="true")


def _whiskers(row: Mapping[str, Any], scale: Axis) -> str:
    value, low, high, bar = (row.get(k) for k in ("value", "low", "high", "bar"))
    parts = [_upright(v, scale, "grid") for v, _ in scale.ticks]
    if low is not None and high is not None:
        ends = {"x1": percent(scale.share(low)), "x2": percent(scale.share(high))}
        parts.append(tag("line", **ends, y1="50%", y2="50%", class_="whisker"))
        parts += [_upright(v, scale, "cap", "32%", "68%") for v in (low, high)]
    if bar is not None:
        parts.append(_upright(bar, scale, "floor"))
    if value is not None:
        parts.append(tag("circle", cx=percent(scale.share(value)), cy="50%", r=5))
    return tag("svg", *parts, class_="whiskers s0", aria_hidden="true")


def _upright(value: float, scale: Axis, style: str, top: str = "0", bottom: str = "100%") -> str:
    at = percent(scale.share(value))
    return tag("line", x1=at, x2=at, y1=top, y2=bottom, class_=style)


def _interval(row: Mapping[str, Any]) -> str:
    value, low, high, bar = (row.get(k) for k in ("value", "low", "high", "bar"))
    parts = [tag("b", escape(_padded(value)))]
    if low is not None and high is not None:
        parts.append(tag("span", escape(f"{_padded(low)} to {_padded(high)}")))
    if bar is not None:
        parts.append(tag("span", escape(f"· bar {_padded(bar)}")))
    return " ".join(parts)


def _padded(value: object) -> str:
    return number(value, padded=True)


def _scale(scale: Axis) -> str:
    """The axis below the rows."""
    texts = [
        tag("text", escape(text), x=percent(scale.share(v)), y="1.1em", class_="tick x") for v, text in scale.ticks
    ]
    drawn = tag("svg", *texts, class_="scale", aria_hidden="true")
    return tag("tfoot", tag("tr", tag("td"), tag("td", drawn, class_="drawn"), tag("td")), aria_hidden="true")
