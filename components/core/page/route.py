"""The route as a picture: the steps as parcels on a conveyor, in the order in which data flows.

The belt runs to the right, turns, and runs back, as often as the columns ask for. Lengths are in the picture's units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.core.page.markup import GLYPHS, anchor, kind, tag
from components.core.page.style import ROUTE_CSS
from components.core.record import StepRecord
from components.core.shown import duration, escape, row_count, size

_CELL, _MARGIN = 112, 26
"""Width of a cell, and the room for the turns at both sides."""
_BELT, _TURN = 78, 17
"""How far below the top of its row the belt runs, and the radius of a turn."""
_BOX_WIDE, _BOX_HIGH = 92, 56
_NAME = 12


@dataclass(frozen=True)
class _Grid:
    """`count` cells in rows of `columns`; every other row runs backwards."""

    count: int
    columns: int
    row: int
    """The height of a row."""

    @property
    def rows(self) -> int:
        return -(-self.count // self.columns)

    @property
    def size(self) -> tuple[int, int]:
        return 2 * _MARGIN + self.columns * _CELL, self.rows * self.row

    def place(self, index: int) -> tuple[float, float]:
        """The middle of a cell, and the top of its row."""
        row, column = divmod(index, self.columns)
        along = column if row % 2 == 0 else self.columns - 1 - column
        return _MARGIN + (along + 0.5) * _CELL, row * self.row


def route_svg(route: Sequence[str], steps: Mapping[str, StepRecord], *, columns: int = 10, style: str = "") -> str:
    """The picture for a page: each step with its state, time, rows and memory, and a link to its section."""
    grid = _Grid(len(route), max(1, min(columns, len(route))), 158)
    records = [steps.get(name, StepRecord(name, "not started")) for name in route]
    drawn = [_step(step, *grid.place(i)) for i, step in enumerate(records)]
    words = ", ".join(f"{step.step} {step.state}" for step in records)
    wide, high = grid.size
    return tag(
        "svg", _head(words), _belt(grid), *drawn, class_=f"route {style}".strip(), role="group",
        viewBox=f"0 0 {wide} {high}", style=f"max-width:{wide * 1.2:.0f}px",
    )  # fmt: skip


def route_file(route: Sequence[str], *, columns: int = 5) -> str:
    """The picture as an SVG file that stands alone: the steps by number and name."""
    grid = _Grid(len(route), max(1, min(columns, len(route))), 104)
    drawn = []
    for i, name in enumerate(route):
        x, y = grid.place(i)
        number = tag("text", str(i + 1), x=x, y=y + _BELT - 38, class_="sign")
        drawn.append(tag("g", *_parcel(name, x, y), number, class_="parcel is-plain"))
    wide, high = grid.size
    return tag(
        "svg", _head(", ".join(route)), tag("style", ROUTE_CSS), _belt(grid), *drawn, class_="route", role="img",
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {wide} {high}", width=wide, height=high,
    )  # fmt: skip


def _head(words: str) -> str:
    return tag("title", "The route") + tag("desc", escape(words))


def _belt(grid: _Grid) -> str:
    """One path from the first step to the last, stroked as belt and as rollers, with an arrow at its end."""
    if not grid.count:
        return ""
    path, side = f"M{_MARGIN} {_BELT}", 1
    for row in range(grid.rows - 1):
        side = 1 if row % 2 == 0 else -1
        end = _MARGIN + grid.columns * _CELL if side > 0 else _MARGIN
        turn, down = side * _TURN, grid.row - 2 * _TURN
        path += f"H{end}q{turn} 0 {turn} {_TURN}v{down}q0 {_TURN} {-turn} {_TURN}"
        side = -side
    x, y = grid.place(grid.count - 1)
    tip = x + side * _CELL / 2
    path += f"H{tip:g}"
    arrow = tag("path", d=f"M{tip - 3 * side:g} {y + _BELT - 5:g}l{5 * side} 5l{-5 * side} 5", class_="arrow")
    strokes = [tag("path", d=path, class_=style) for style in ("belt", "rollers")]
    return tag("g", *strokes, arrow, aria_hidden="true")


def _step(step: StepRecord, x: float, y: float) -> str:
    """A parcel with its sign and what stands under it; one that failed has slipped, one that is reused is a copy."""
    state, top = kind(step.state), y + _BELT - 8 - _BOX_HIGH
    sign = GLYPHS.get(step.state, GLYPHS["not started"])
    parts = [*_parcel(step.step, x, y), tag("g", sign, transform=f"translate({x - 8} {top + 13})", class_="sign")]
    if state == "reused":
        behind = {"x": x - _BOX_WIDE / 2 + 4, "y": top - 5, "width": _BOX_WIDE, "height": _BOX_HIGH, "rx": 5}
        parts.insert(0, tag("rect", **behind, class_="copy"))
    slipped = f"rotate(-5 {x + _BOX_WIDE / 2} {top + _BOX_HIGH})" if state in ("failed", "killed") else None
    texts = [
        tag("text", escape(text), x=x, y=y + _BELT + 28 + 17 * i, class_="detail" if i else "figure")
        for i, text in enumerate(_below(step))
    ]
    said = tag("title", escape(f"{step.step}: {step.state}. {step.summary}"))
    made = tag("g", said, tag("g", *parts, transform=slipped), *texts, class_=f"parcel is-{state}")
    return tag("a", made, href=f"#{anchor(step.step)}")


def _parcel(name: str, x: float, y: float) -> list[str]:
    """A box with its tape and its name."""
    top = y + _BELT - 8 - _BOX_HIGH
    short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    return [
        tag("rect", x=x - _BOX_WIDE / 2, y=top, width=_BOX_WIDE, height=_BOX_HIGH, rx=5, class_="box"),
        tag("path", d=f"M{x - 7} {top}v9l3.5 -3 3.5 3 3.5 -3 3.5 3v-9", class_="tape"),
        tag("text", escape(short), x=x, y=top + 46, class_="name"),
    ]


def _below(step: StepRecord) -> list[str]:
    """What stands under a step: its time (or its state), its rows, its peak memory."""
    rows = step.rows_out if step.rows_out is not None else step.rows_in
    first = duration(step.seconds) if step.state in ("done", "reused") else step.state
    known = [first, None if rows is None else row_count(rows)]
    return [text for text in [*known, None if step.peak_memory is None else size(step.peak_memory)] if text]
