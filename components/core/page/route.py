"""The route as a picture: the steps as parcels on a conveyor, in the order in which data flows.

The belt runs to the right, turns, and runs back, as often as the columns ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.core.page.markup import GLYPHS, anchor, kind, tag
from components.core.record import StepRecord
from components.core.shown import duration, escape, size
from components.core.shown import rows as counted

CELL, ROW, MARGIN = 112, 158, 26
"""Width of a cell, height of a row of cells, and the room for the turns at both sides; in the picture's units."""
_PARCEL, _BELT = (92, 56), 78
_NAME = 12


def route_svg(
    route: Sequence[str],
    steps: Mapping[str, StepRecord] | None = None,
    *,
    columns: int = 10,
    style: str = "",
    css: str = "",
) -> str:
    """The picture, with the state, time, rows and memory of each step where `steps` are given.

    `css` makes it stand alone, as a file; without it, it is drawn by the page's style sheet, and each step is a link.
    """
    columns = max(1, min(columns, len(route)))
    lines = -(-len(route) // columns)
    wide, high = 2 * MARGIN + columns * CELL, lines * ROW - (0 if steps is not None else 50)
    words = ", ".join(route if steps is None else [f"{n} {_state(steps, n)}" for n in route])
    head = tag("title", "The route") + tag("desc", escape(words)) + (tag("style", css) if css else "")
    parcels = [_step(name, i, columns, steps, link=not css) for i, name in enumerate(route)]
    limit = None if css else f"max-width:{wide * 1.2:.0f}px"
    size_ = {"viewBox": f"0 0 {wide} {high}", "width": wide if css else None, "height": high if css else None}
    space = "http://www.w3.org/2000/svg" if css else None
    drawn = [_belt(len(route), columns), *parcels] if route else []
    return tag("svg", head, *drawn, xmlns=space, class_=f"route {style}".strip(), role="group", style=limit, **size_)


def _place(index: int, columns: int) -> tuple[float, float]:
    """The middle of a step's cell, and the top of its row; every other row runs backwards."""
    row, column = divmod(index, columns)
    along = column if row % 2 == 0 else columns - 1 - column
    return MARGIN + (along + 0.5) * CELL, row * ROW


def _belt(count: int, columns: int) -> str:
    """One path from the first step to the last, stroked as edge, belt and rollers, with an arrow at its end."""
    left, right = MARGIN, MARGIN + columns * CELL
    path = [f"M{left} {_BELT}"]
    lines = -(-count // columns)
    for row in range(lines):
        y, forward = row * ROW + _BELT, row % 2 == 0
        ends, turn = (right, MARGIN - 9) if forward else (left, 9 - MARGIN)
        if row == lines - 1:
            ends = int(_place(count - 1, columns)[0] + (CELL / 2 if forward else -CELL / 2))
            path.append(f"H{ends}")
            tip = 1 if forward else -1
            arrow = f"M{ends - 3 * tip} {y - 5}l{5 * tip} 5l{-5 * tip} 5"
        else:
            path.append(f"H{ends}q{turn} 0 {turn} {turn if forward else -turn}v{ROW - 2 * abs(turn)}")
            path.append(f"q0 {abs(turn)} {-turn} {abs(turn)}")
    d = "".join(path)
    strokes = [tag("path", d=d, class_=c) for c in ("belt", "rollers")]
    return tag("g", *strokes, tag("path", d=arrow, class_="arrow"), class_="conveyor", aria_hidden="true")


def _step(name: str, index: int, columns: int, steps: Mapping[str, StepRecord] | None, *, link: bool) -> str:
    x, y = _place(index, columns)
    step = StepRecord(name, "not started") if steps is None else steps.get(name, StepRecord(name, "not started"))
    state = "plain" if steps is None else kind(step.state)
    under = [] if steps is None else _below(step)
    texts = [
        tag("text", escape(t), x=x, y=y + _BELT + 28 + 17 * i, class_="figure" if i == 0 else "detail")
        for i, t in enumerate(under)
    ]
    said = tag("title", escape(f"{name}: {step.state}. {step.summary}" if steps is not None else name))
    made = tag("g", said, _parcel(name, index, x, y, state), *texts, class_=f"parcel is-{state}")
    return tag("a", made, href=f"#{anchor(name)}") if link and steps is not None else made


def _parcel(name: str, index: int, x: float, y: float, state: str) -> str:
    """A box with its tape, a sign and a name; what failed has slipped."""
    wide, high = _PARCEL
    top = y + _BELT - 8 - high
    box = {"x": x - wide / 2, "y": top, "width": wide, "height": high, "rx": 5}
    parts = [tag("rect", **{**box, "x": box["x"] + 4, "y": top - 5}, class_="copy")] if state == "reused" else []
    parts.append(tag("rect", **box, class_="box"))
    parts.append(tag("path", d=f"M{x - 7} {top}v9l3.5 -3 3.5 3 3.5 -3 3.5 3v-9", class_="tape"))
    if state == "plain":
        parts.append(tag("text", str(index + 1), x=x, y=top + 26, class_="sign"))
    else:
        sign = GLYPHS.get(state.replace("-", " "), "")  # type: ignore[call-overload]
        parts.append(tag("g", sign, transform=f"translate({x - 8} {top + 13})", class_="sign"))
    short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    parts.append(tag("text", escape(short), x=x, y=top + 46, class_="name"))
    slipped = f"rotate(-5 {x + wide / 2} {top + high})" if state in ("failed", "killed") else None
    return tag("g", *parts, transform=slipped)


def _below(step: StepRecord) -> list[str]:
    """What stands under a step: its time (or its state), its rows, its peak memory."""
    if step.state == "not started":
        return ["not started"]
    rows = step.rows_out if step.rows_out is not None else step.rows_in
    first = step.state if step.state in ("failed", "killed", "running") else duration(step.seconds)
    known = [first, None if rows is None else counted(rows)]
    return [t for t in [*known, None if step.peak_memory is None else size(step.peak_memory)] if t]


def _state(steps: Mapping[str, StepRecord], name: str) -> str:
    return steps[name].state if name in steps else "not started"
