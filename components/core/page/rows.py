"""Charts with one row per name, as tables whose drawn cells are inline SVG: bars and categories.

A reader without the picture has the name and the value; long names wrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.blocks import Block
from components.core.page import markup
from components.core.page.axes import Axis, bare, percent
from components.core.page.markup import tag
from components.core.page.plots import SERIES, Values, legend, notes_below, shares
from components.core.shown import escape, number, row_count

FEW, MOST = 31, 400
"""Rows shown at once, and the most that are shown at all."""
_PREVIEW = 15
_BESIDE = 2
"""So many samples are compared side by side."""
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
    drawn, padded = zip(names, values, strict=True), any(v is not None and v != int(v) for v in values)
    rows = [
        row(name, _bar(value, scale, 0), escape(_value(value, unit if short else "", padded=padded)))
        for name, value in drawn
    ]
    return ("" if short else tag("p", escape(unit), class_="unit")) + long(rows, table)


def categories(block: Block) -> str:
    """One bar per name: one sample's counts, two samples' shares of their own sums, or more samples' counts stacked."""
    names, counts = block["names"], block["counts"]
    rows = _beside(names, counts) if len(counts) <= _BESIDE else _stacked(names, counts)
    return legend(list(counts)) + long(rows, table) + notes_below([t for t in [str(block.get("note") or "")] if t])


def _beside(names: Sequence[object], counts: Mapping[str, Values]) -> list[str]:
    heights, unit = shares(counts)
    scale = bare(v for values in heights.values() for v in values)
    rows = []
    for i, name in enumerate(names):
        cells = [(values[i], counts[sample][i]) for sample, values in heights.items()]
        drawn = "".join(_bar(share, scale, at, count) for at, (share, count) in enumerate(cells))
        words = "".join(
            tag("div", escape(_value(count if unit == "rows" else share, unit, padded=unit == "%")))
            for share, count in cells
        )
        rows.append(row(name, drawn, words))
    return rows


def _stacked(names: Sequence[object], counts: Mapping[str, Values]) -> list[str]:
    """Counts one after the other; the words are their sum, and the sample's name where there is only one."""
    rows = []
    sums = [sum(max(values[i] or 0, 0) for values in counts.values()) for i in range(len(names))]
    scale = bare(sums)
    for i, name in enumerate(names):
        parts, start = [], 0.0
        known = [(at, sample, max(values[i] or 0, 0)) for at, (sample, values) in enumerate(counts.items())]
        for at, sample, count in known:
            said = tag("title", escape(f"{sample}: {number(count)}"))
            left, wide = scale.share(start), scale.share(count)
            shape = tag("rect", said, x=percent(left), width=percent(wide), y=0, height="100%")
            parts.append(tag("g", shape, class_=f"s{at % SERIES}"))
            start += count
        alone = [sample for _, sample, count in known if count > 0]
        words = escape(number(sums[i])) + (" " + tag("span", markup.name(alone[0])) if len(alone) == 1 else "")
        rows.append(row(name, tag("svg", *parts, class_="bar stack", aria_hidden="true"), words))
    return rows


def table(rows: Sequence[str], head: str = "", foot: str = "") -> str:
    """The rows as one chart."""
    return tag("table", head, tag("tbody", *rows), foot, class_="rows")


def row(name: object, drawn: str, words: str, *, rows: int | None = None) -> str:
    """A name, what is drawn of it, and the same in words."""
    said = markup.name(name) + ("" if rows is None else tag("small", escape(row_count(rows))))
    return tag("tr", tag("th", said, scope="row"), tag("td", drawn, class_="drawn"), tag("td", words, class_="value"))


def _value(value: Any, unit: str, *, padded: bool = False) -> str:
    shown = number(value, padded=padded)
    return shown if value is None or unit in ("", "rows") else f"{shown} {unit}"


def _bar(value: float | None, scale: Axis, index: int, count: object = None) -> str:
    """A bar from zero to the value; the value that is missing has none."""
    if value is None:
        return tag("svg", class_="bar", aria_hidden="true")
    zero, end = scale.share(0), scale.share(value)
    said = "" if count is None else tag("title", escape(number(count)))
    shape = tag("rect", said, x=percent(min(zero, end)), width=percent(abs(end - zero)), y=0, height="100%", rx=2)
    line = tag("line", x1=percent(zero), x2=percent(zero), y1=0, y2="100%", class_="zero") if zero > 0 else ""
    return tag("svg", shape, line, class_=f"bar s{index % SERIES}", aria_hidden="true")
