"""Charts with two axes, as inline SVG: curves and histograms.

Coordinates are percents of the plot's box, which the style sheet sizes: a chart fits any width and its text keeps its
size. Labels stand outside the box, in its margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise

from components.core.blocks import Block
from components.core.page.axes import Axis, axis, percent
from components.core.page.markup import tag
from components.core.shown import escape, number

SERIES = 6
"""How many series the style sheet tells apart, by colour and by dashes."""
_MARKED = 30
Values = Sequence[float | None]


def lines(block: Block) -> str:
    """Curves; those of few points show each point."""
    series, diagonal = block["series"], bool(block.get("diagonal"))
    across, up = ([v for s in series for v in s[name]] for name in ("x", "y"))
    x, y = (axis(_common(across, up)),) * 2 if diagonal else (axis(across), axis(up))
    drawn = [_diagonal(x, y)] if diagonal else []
    drawn += [_curve(s["x"], s["y"], x, y, i) for i, s in enumerate(series)]
    said = "; ".join(_told(s["name"], s["y"], str(block.get("y") or "")) for s in series)
    extra = [_legend_item("diagonal", "the diagonal")] if diagonal else []
    names = [str(s["name"]) for s in series]
    made = _svg(block, said, _frame(x, y), *drawn)
    return legend(names, lines=True, extra=extra) + _boxed(made, block.get("x"), block.get("y"), square=diagonal)


def _common(across: Values, up: Values) -> Values:
    """The range that both axes of a plot with a diagonal have: 0 to 1 where everything lies in it."""
    known = [v for v in (*across, *up) if v is not None]
    return [0, 1] if all(0 <= v <= 1 for v in known) else known


def histogram(block: Block) -> str:
    """One sample as bars; a second one as an outline over it, both in percent of their own sum."""
    edges: Values = block["edges"]
    counts: Mapping[str, Values] = block["counts"]
    slots = len(edges) - 1
    if slots < 1 or any(len(values) != slots for values in counts.values()):
        raise ValueError("one count per bin")
    x, note = _bins(edges)
    places = [float(e) if note is None and e is not None else float(i) for i, e in enumerate(edges)]
    heights, unit = shares(counts)
    y = axis([v for values in heights.values() for v in values], zero=True)
    drawn: list[str] = []
    for i, (name, values) in enumerate(heights.items()):
        if i == 0:
            drawn.append(_filled(places, values, x, y, _titles(edges, counts[name])))
        else:
            drawn.append(_outlined(places, values, x, y, i))
    said = "; ".join(f"{name}: {number(_sum(values))} rows in {slots} bins" for name, values in counts.items())
    notes = [t for t in (note, str(block.get("note") or "")) if t]
    made = _boxed(_svg(block, said, _frame(x, y), *drawn), "", unit if unit == "rows" else "% of rows")
    return (legend(list(counts)) if len(counts) > 1 else "") + made + notes_below(notes)


def shares(counts: Mapping[str, Values]) -> tuple[dict[str, list[float]], str]:
    """What to draw, and its unit: one sample's counts in rows, several samples in percent of their own sums."""
    if len(counts) < 2:
        return {name: [max(v or 0.0, 0.0) for v in values] for name, values in counts.items()}, "rows"
    sums = {name: _sum(values) or 1.0 for name, values in counts.items()}
    return {name: [100 * max(v or 0.0, 0.0) / sums[name] for v in values] for name, values in counts.items()}, "%"


def legend(names: Sequence[str], *, lines: bool = False, extra: Sequence[str] = ()) -> str:
    """What each series looks like. One series needs none."""
    items = [
        _legend_item(f"s{i % SERIES}" + (" line" if lines else " outline" if i else ""), n) for i, n in enumerate(names)
    ]
    return tag("ul", *items, *extra, class_="legend") if len(items) + len(extra) > 1 else ""


def notes_below(notes: Sequence[str]) -> str:
    return "".join(tag("p", escape(note), class_="note") for note in notes)


def _legend_item(style: str, name: str) -> str:
    line = style.endswith(" line") or style == "diagonal"
    mark = tag("line", x1=0, y1=5, x2=24, y2=5) if line else tag("rect", width=24, height=10)
    return tag("li", tag("svg", mark, class_=f"key {style}", aria_hidden="true"), tag("bdi", escape(name)))


def _svg(block: Block, said: str, *parts: str) -> str:
    title = tag("title", escape(block.get("title", ""))) + tag("desc", escape(said))
    return tag("svg", title, *parts, class_="plot", role="img")


def _boxed(drawn: str, x_name: object, y_name: object, *, square: bool = False) -> str:
    """The plot between the names of its axes, which wrap where they are long."""
    above = tag("p", escape(y_name), class_="axis-name") if y_name else ""
    below = tag("p", escape(x_name), class_="axis-name x") if x_name else ""
    return tag("div", above, drawn, below, class_="plot-box square" if square else "plot-box")


def _frame(x: Axis, y: Axis) -> str:
    """The grid and the ticks."""
    parts = []
    for value, text in y.ticks:
        at = percent(100 - y.share(value))
        parts.append(tag("line", x1=0, x2="100%", y1=at, y2=at, class_="base" if value == y.low else "grid"))
        parts.append(tag("text", escape(text), x=0, y=at, dx=-8, dy="0.32em", class_="tick y"))
    for value, text in x.ticks:
        at = percent(x.share(value))
        parts.append(tag("line", x1=at, x2=at, y1="100%", y2="100%", class_="stub"))
        parts.append(tag("text", escape(text), x=at, y="100%", dy="1.5em", class_="tick x"))
    return tag("g", *parts, aria_hidden="true")


def _curve(xs: Values, ys: Values, x: Axis, y: Axis, index: int) -> str:
    """A line that breaks where a value is missing."""
    points = [None if a is None or b is None else (x.share(a), 100 - y.share(b)) for a, b in zip(xs, ys, strict=True)]
    runs = [[p for p in group if p] for known, group in groupby(points, key=lambda p: p is not None) if known]
    drawn = _stretched(*(_polyline(run) for run in runs))
    if len(points) <= _MARKED:
        for (a, b), at in ((pair, p) for pair, p in zip(zip(xs, ys, strict=True), points, strict=True) if p):
            said = tag("title", f"{number(a)}, {number(b)}")
            drawn += tag("circle", said, cx=percent(at[0]), cy=percent(at[1]), r=3.5)
    return tag("g", drawn, class_=f"curve s{index % SERIES}")


def _stretched(*parts: str) -> str:
    """Shapes on a field of 100 by 100 that fills the plot; lines keep their width."""
    return tag("svg", *parts, width="100%", height="100%", viewBox="0 0 100 100", preserveAspectRatio="none")


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    return tag("polyline", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in points))


def _diagonal(x: Axis, y: Axis) -> str:
    low, high = max(x.low, y.low), min(x.high, y.high)
    ends = [(percent(x.share(v)), percent(100 - y.share(v))) for v in (low, high)]
    return tag("line", x1=ends[0][0], y1=ends[0][1], x2=ends[1][0], y2=ends[1][1], class_="diagonal")


def _told(name: object, ys: Values, unit: str) -> str:
    known = [v for v in ys if v is not None]
    if not known:
        return f"{name}: no points"
    return f"{name}: {len(known)} points, {unit} from {number(min(known))} to {number(max(known))}"


def _bins(edges: Values) -> tuple[Axis, str | None]:
    """The axis of a histogram; open or very unequal bins are drawn equally wide, which a note says."""
    known = [float(e) for e in edges if e is not None]
    widths = [b - a for a, b in pairwise(known)]
    if len(known) == len(edges) and min(widths) > 0 and max(widths) <= 2 * min(widths):
        ranged = axis(known)
        kept = tuple(t for t in ranged.ticks if known[0] <= t[0] <= known[-1])
        return Axis(known[0], known[-1], kept), None
    slots = len(edges) - 1
    every = max(1, -(-len(edges) // 6))
    marks = tuple((float(i), _edge(edges[i], i)) for i in range(0, len(edges), every))
    return Axis(0.0, float(slots), marks), "The bins are drawn equally wide; their edges are not equally far apart."


def _edge(value: float | None, index: int) -> str:
    return number(float(value)) if value is not None else ("−∞" if index == 0 else "∞")


def _titles(edges: Values, values: Values) -> list[str]:
    names = [_edge(e, i) for i, e in enumerate(edges)]
    return [f"{a} to {b}: {number(v)}" for (a, b), v in zip(pairwise(names), values, strict=True)]


def _filled(places: Sequence[float], values: Sequence[float], x: Axis, y: Axis, titles: Sequence[str]) -> str:
    made = []
    for (a, b), value, said in zip(pairwise(places), values, titles, strict=True):
        left, top = x.share(a), 100 - y.share(value)
        size = {
            "x": percent(left),
            "width": percent(x.share(b) - left),
            "y": percent(top),
            "height": percent(100 - top),
        }
        made.append(tag("rect", tag("title", escape(said)), **size))
    return tag("g", *made, class_="bins s0")


def _outlined(places: Sequence[float], values: Sequence[float], x: Axis, y: Axis, index: int) -> str:
    points = [(x.share(places[0]), 100.0)]
    for (a, b), value in zip(pairwise(places), values, strict=True):
        points += [(x.share(a), 100 - y.share(value)), (x.share(b), 100 - y.share(value))]
    points.append((x.share(places[-1]), 100.0))
    return tag("g", _stretched(_polyline(points)), class_=f"curve outline s{index % SERIES}")


def _sum(values: Values) -> float:
    return float(sum(v for v in values if v is not None and v > 0))
