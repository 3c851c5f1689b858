"""A block as HTML. What cannot be drawn becomes a note: records of other versions are read, and a page never breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from components.core.blocks import Block
from components.core.page import markup, plots, rows
from components.core.page.intervals import intervals
from components.core.page.markup import badge, scroll, tag
from components.core.shown import escape, number

_UNDRAWABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_LONG_TEXT = 1500
_COLUMNS, _CELL = 4, 40
"""The most columns, and characters in a cell, of a table that stands beside another block."""


def draw(blocks: object, *, level: int = 3) -> str:
    """All blocks in their order, on a grid; headings of the given level."""
    if not isinstance(blocks, Sequence) or isinstance(blocks, str):
        return note("its blocks are no list")
    return tag("div", *(_card(b, level, i) for i, b in enumerate(blocks)), class_="cards") if blocks else ""


def note(why: str) -> str:
    return tag("p", escape(f"Not shown: {why}."), class_="note")


def _card(block: object, level: int, index: int) -> str:
    if not isinstance(block, dict):
        return tag("section", note("a block that is no mapping"), class_="card")
    name = str(block.get("type"))
    drawn = _drawn(name, block)
    title = str(block.get("title") or "")
    head = tag(f"h{level}", tag("bdi", escape(title))) if title else ""
    style = "card wide" if _wide(name, block) else "card"
    return tag("section", head, drawn, class_=style, id=f"block-{index + 1}" if level == 2 else None)


def _wide(name: str, block: Block) -> bool:
    """Whether the block takes the whole width: intervals, and tables of many columns or of long texts."""
    columns, rows = block.get("columns"), block.get("rows")
    if name != "table" or not isinstance(columns, list) or not isinstance(rows, list):
        return name in ("intervals", "verdict")
    longest = max((len(c) for row in rows if isinstance(row, list) for c in row if isinstance(c, str)), default=0)
    return len(columns) > _COLUMNS or longest > _CELL


def _drawn(name: str, block: Block) -> str:
    drawing = DRAWINGS.get(name)
    if drawing is None:
        return note(f"a block of the type {name!r}, which this version does not know")
    try:
        return drawing(block)
    except _UNDRAWABLE:
        return note(f"the {name} is not as this version expects it")


def _facts(block: Block) -> str:
    pairs = (
        tag("div", tag("dt", markup.name(name)), tag("dd", markup.name(number(value))))
        for name, value in block["items"]
    )
    return tag("dl", *pairs, class_="facts")


def _text(block: Block) -> str:
    text = str(block["text"])
    body = tag("p", escape(text), class_="text")
    if len(text) <= _LONG_TEXT:
        return body
    return tag("details", tag("summary", f"{number(len(text))} characters"), body)


def _table(block: Block) -> str:
    columns, cells = block["columns"], block["rows"]
    right = [
        any(_numeric(row[i]) for row in cells) and all(row[i] is None or _numeric(row[i]) for row in cells)
        for i in range(len(columns))
    ]
    padded = [any(isinstance(row[i], float) and not row[i].is_integer() for row in cells) for i in range(len(columns))]
    styles = ["number" if r else None for r in right]
    head = tag("tr", *(tag("th", escape(c), class_=s, scope="col") for c, s in zip(columns, styles, strict=True)))
    made = [
        tag("tr", *(tag("td", _cell(c, padded=p), class_=s) for c, p, s in zip(row, padded, styles, strict=True)))
        for row in cells
    ]
    label = str(block.get("title") or "table")

    def wrap(some: Sequence[str]) -> str:
        return scroll(label, tag("table", tag("thead", head), tag("tbody", *some), class_="data"))

    return rows.long(made, wrap) if made else wrap(made) + tag("p", "No rows.", class_="note")


def _verdict(block: Block) -> str:
    accepted = block["accepted"]
    reasons = "".join(tag("li", tag("bdi", escape(r))) for r in block["reasons"])
    # Records of earlier versions have no word.
    said = str(block.get("said") or ("Accepted" if accepted else "Refused"))
    sign = badge("done" if accepted else "failed", said)
    return tag("p", sign) + (tag("ul", reasons, class_="reasons") if reasons else "")


def _matrix(block: Block) -> str:
    """Each cell's count and its share of the row, which the shade repeats."""
    labels, values = [str(v) for v in block["labels"]], block["values"]
    head = tag("tr", tag("td"), *(tag("th", tag("bdi", escape(n)), scope="col") for n in labels))
    top = tag("tr", tag("td"), tag("th", "predicted", colspan=len(labels), scope="colgroup", class_="axis-name"))
    body = []
    for name, row in zip(labels, values, strict=True):
        total = sum(row) or 1
        cells = [_heat(v, v / total) for _, v in zip(labels, row, strict=True)]
        body.append(tag("tr", tag("th", tag("small", "actual "), tag("bdi", escape(name)), scope="row"), *cells))
    made = tag("table", tag("thead", top, head), tag("tbody", *body), class_="matrix")
    return scroll(str(block.get("title") or "matrix"), made)


def _heat(value: float, share: float) -> str:
    shade = f"--share:{min(max(share, 0.0), 1.0):.3f}"
    return tag("td", tag("b", escape(number(value))), tag("small", f"{100 * share:.1f} %"), style=shade)


def _numeric(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any, *, padded: bool) -> str:
    return tag("bdi", escape(number(value, padded=padded)))


DRAWINGS: dict[str, Callable[[Block], str]] = {
    "facts": _facts,
    "text": _text,
    "table": _table,
    "verdict": _verdict,
    "bars": rows.bars,
    "lines": plots.lines,
    "intervals": intervals,
    "histogram": plots.histogram,
    "categories": rows.categories,
    "matrix": _matrix,
}
"""How each type of block is drawn."""
