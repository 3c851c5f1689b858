"""When each step ran: one row per step over the run's own time."""

from __future__ import annotations

from components.core.page.axes import Axis, percent, seconds
from components.core.page.markup import anchor, glyph, kind, tag
from components.core.record import RunRecord, StepRecord
from components.core.shown import duration, escape


def span(record: RunRecord) -> tuple[float, float] | None:
    """The first and the last moment that the record knows of; None where it knows no time."""
    steps = [record.step(name) for name in record.route]
    starts = [t for t in [record.started, *(s.started for s in steps)] if t is not None]
    ends = [t for t in [record.ended, *(t for s in steps for t in (s.started, s.ended))] if t is not None]
    return (min(starts), max(ends)) if starts and ends and max(ends) > min(starts) else None


def timeline(record: RunRecord) -> str:
    """The table of bars, or nothing where no time is known."""
    ends = span(record)
    if ends is None:
        return ""
    start, length = ends[0], ends[1] - ends[0]
    scale = seconds(length)
    rows = "".join(_row(record.step(name), start, length, scale) for name in record.route)
    ticks = "".join(
        tag("text", escape(t), x=percent(scale.share(v)), y="1.1em", class_="tick x") for v, t in scale.ticks
    )
    drawn = tag("svg", ticks, class_="scale", aria_hidden="true")
    foot = tag("tfoot", tag("tr", tag("td"), tag("td", drawn, class_="drawn"), tag("td")), aria_hidden="true")
    return tag("table", tag("tbody", rows), foot, class_="rows timeline")


def _row(step: StepRecord, start: float, length: float, scale: Axis) -> str:
    name = tag("a", glyph(step.state), tag("bdi", escape(step.step)), href=f"#{anchor(step.step)}")
    style = f"is-{kind(step.state)}"
    words = duration(step.seconds) if step.seconds is not None else step.state
    bar = tag("svg", *_bar(step, start, length, scale), class_="span", aria_hidden="true")
    cells = tag("td", bar, class_="drawn"), tag("td", escape(words), class_="value")
    return tag("tr", tag("th", name, scope="row"), *cells, class_=style)


def _bar(step: StepRecord, start: float, length: float, scale: Axis) -> list[str]:
    """The grid, and the bar from the step's start to its end; one that never ended runs on to the right."""
    ats = [percent(scale.share(v)) for v, _ in scale.ticks]
    grid = [tag("line", x1=at, x2=at, y1=0, y2="100%", class_="grid") for at in ats]
    if step.started is None:
        return grid
    left = scale.share(step.started - start)
    right = scale.share(length if step.ended is None else step.ended - start)
    wide = percent(max(right - left, 0.3))
    return [*grid, tag("rect", x=percent(min(left, 99.7)), width=wide, y="18%", height="64%", rx=3)]
