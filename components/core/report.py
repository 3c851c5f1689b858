"""The report page: one self-contained HTML file per run, without script, network or font.

`render` draws a whole run, `page` the blocks of one step. Both are pure: the same record gives the same bytes.
A block of an unknown type, or one that is not as it should be, becomes a note: records of other versions are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.core.blocks import UNCHANGED, Block
from components.core.page import markup
from components.core.page.drawn import draw
from components.core.page.markup import anchor, badge, glyph, kind, tag
from components.core.page.route import route_svg
from components.core.page.style import CSS
from components.core.page.timeline import span, timeline
from components.core.record import RunRecord, State, StepRecord, more_memory
from components.core.shown import duration, escape, moment, number, row_count, size

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_KILLED = "It started and left no word of its end: something ended it from outside, most often for want of memory."
_WIDTHS = (("wide", 10), ("middle", 5), ("narrow", 3))


def page(title: str, blocks: Sequence[Block]) -> str:
    """A step's own page, with a list of its blocks where they are many."""
    titles = [(f"block-{i + 1}", str(b.get("title") or f"Part {i + 1}")) for i, b in enumerate(blocks)]
    items = [tag("li", tag("a", tag("bdi", escape(t)), href=f"#{at}")) for at, t in titles]
    head = tag("header", tag("div", tag("h1", tag("bdi", escape(title))), class_="head"))
    return _document(title, head, items if len(items) > 4 else [], draw(blocks, level=2))


def render(record: RunRecord) -> str:
    """The page of a run: what happened, the route, when, then each step."""
    steps = [record.step(name) for name in record.route]
    times = timeline(record)
    when = tag("section", tag("h2", "Timeline"), tag("div", times, class_="card"), class_="part") if times else ""
    sections = "".join(_section(i, s) for i, s in enumerate(steps, 1))
    head = _head(record, steps) + _alarms(steps) + _tiles(record, steps) + _route(record)
    title = f"{record.case} · {record.pipeline} · {record.job}"
    return _document(title, head, [_entry(step) for step in steps], when + sections)


def _entry(step: StepRecord) -> str:
    """A step's line in the list of contents."""
    words = glyph(step.state), tag("bdi", escape(step.step))
    return tag("li", tag("a", *words, href=f"#{anchor(step.step)}", class_=f"is-{kind(step.state)}"))


def _document(title: str, head: str, items: Sequence[str], body: str) -> str:
    metas = (
        tag("meta", charset="utf-8")
        + tag("meta", http_equiv="Content-Security-Policy", content=_POLICY)
        + tag("meta", name="viewport", content="width=device-width, initial-scale=1")
        + tag("meta", name="color-scheme", content="light dark")
    )
    toc = tag("nav", tag("ol", *items), class_="toc", aria_label="Contents") if items else ""
    columns = tag("div", toc, tag("div", body), class_="columns" if items else None)
    main = tag("main", columns, id="content")
    skip = tag("a", "Skip to the content", href="#content", class_="skip")
    made = tag("body", skip, tag("div", class_="stripe"), tag("div", head, main, class_="wrap"))
    sheet = tag("title", escape(title)) + f"<style>{CSS}</style>"
    return "<!doctype html>\n" + tag("html", tag("head", metas, sheet), "\n", made, lang="en") + "\n"


def _head(record: RunRecord, steps: Sequence[StepRecord]) -> str:
    name = tag("h1", tag("bdi", escape(record.case)), " ", tag("small", escape(record.pipeline)))
    gate = [_gate(block) for block in _gates(steps)[:1]]
    ends = span(record)
    job = [tag("code", escape(record.job)), escape(moment(ends[0] if ends else record.started))]
    if record.bundle:
        job.append("bundle " + tag("code", escape(record.bundle[:12])))
    line = tag("p", " · ".join(job), class_="job")
    return tag("header", tag("div", name, badge(*_outcome(steps)), *gate, class_="head"), line)


def _outcome(steps: Sequence[StepRecord]) -> tuple[State, str]:
    """The run's state in words. The last step may be the one that draws this page, and then it still runs."""
    for step in steps:
        if step.state in ("failed", "killed"):
            return step.state, f"{step.state.capitalize()} at {step.step}"
    states = {s.state for s in (steps[:-1] if steps and steps[-1].state == "running" else steps)}
    if "running" in states:
        return "running", "Running"
    if states <= {"not started"}:
        return "not started", "Not started"
    return ("not started", "Incomplete") if "not started" in states else ("done", "Succeeded")


def _gates(steps: Sequence[StepRecord]) -> list[Block]:
    return [b for s in steps for b in _blocks(s) if isinstance(b, dict) and b.get("type") == "verdict"]


def _gate(verdict: Block) -> str:
    if verdict.get("said") == UNCHANGED:
        return badge("reused", "Champion unchanged")
    return badge("done", "Model accepted") if verdict.get("accepted") else badge("failed", "Model refused")


def _blocks(step: StepRecord) -> list[Any]:
    found = step.report.get("blocks", []) if isinstance(step.report, dict) else []
    return list(found) if isinstance(found, list | tuple) else [found]


def _alarms(steps: Sequence[StepRecord]) -> str:
    """What went wrong, first and large."""
    made = []
    for step in steps:
        if step.state in ("failed", "killed"):
            title = tag("h2", escape(f"{step.step} {'failed' if step.state == 'failed' else 'was killed'}"))
            words = tag("pre", escape(step.error)) if step.error else ""
            silent = step.state == "killed" and not step.error
            remedy = tag("p", escape(f"{_KILLED} {more_memory(step.step)}")) if silent else ""
            made.append(tag("section", title, words, remedy, class_=f"alarm is-{step.state}", role="alert"))
    return "".join(made)


def _tiles(record: RunRecord, steps: Sequence[StepRecord]) -> str:
    ends = span(record)
    finished = [s for s in steps if s.state in ("done", "reused")]
    reused = [s for s in steps if s.state == "reused"]
    first = next((s for s in steps if s.rows_in is not None), None)
    top = max((s for s in steps if s.peak_memory is not None), key=lambda s: s.peak_memory or 0, default=None)
    tiles = [
        ("Total time", duration(ends[1] - ends[0] if ends else None), ""),
        ("Steps finished", f"{len(finished)} of {len(steps)}", f"{len(reused)} reused" if reused else ""),
        ("Rows read", number(first.rows_in if first else None), f"by {first.step}" if first else ""),
        ("Peak memory", size(top.peak_memory if top else None), f"in {top.step}" if top else ""),
    ]
    tiles += [*_headline(steps), *_live(steps)]
    made = (
        tag("div", tag("dt", markup.name(name)), tag("dd", escape(value), tag("small", escape(more)) if more else ""))
        for name, value, more in tiles
    )
    return tag("dl", *made, class_="tiles")


def _headline(steps: Sequence[StepRecord]) -> list[tuple[str, str, str]]:
    """The first figure of the step that decides: the first row of its first block of intervals."""
    for step in steps:
        blocks = [b for b in _blocks(step) if isinstance(b, dict)]
        rows = next((b.get("rows") for b in blocks if b.get("type") == "intervals"), None)
        if any(b.get("type") == "verdict" for b in blocks) and isinstance(rows, list) and rows:
            row = rows[0] if isinstance(rows[0], dict) else {}
            ends = f"{number(row.get('low'))} to {number(row.get('high'))}" if row.get("low") is not None else ""
            return [(str(row.get("name") or ""), number(row.get("value")), ends)]
    return []


def _live(steps: Sequence[StepRecord]) -> list[tuple[str, str, str]]:
    """What the steps' outputs say of the champion and of drift."""
    found = [(s, s.parameters["champion"]) for s in steps if s.parameters.get("champion")]
    # A canary comes after deploy.
    tiles = [("Champion", f"version {version}", f"after {step.step}") for step, version in found[-1:]]
    drift = [(s, s.parameters["drift"]) for s in steps if s.parameters.get("drift")]
    words = {"drift": "yes", "no drift": "no"}
    return tiles + [("Drift", words.get(text, text), f"says {step.step}") for step, text in drift[:1]]


def _route(record: RunRecord) -> str:
    """The picture in up to three shapes; the style sheet shows the one that fits."""
    shapes: dict[int, list[str]] = {}
    for width, columns in _WIDTHS:
        shapes.setdefault(min(columns, len(record.route)), []).append(width)
    drawn = [
        route_svg(record.route, record.steps, columns=columns, style=" ".join(widths))
        for columns, widths in shapes.items()
    ]
    return tag("section", *drawn, class_="route-box", aria_label="The route") if record.route else ""


def _section(index: int, step: StepRecord) -> str:
    name = tag("h2", tag("span", f"{index}"), tag("bdi", escape(step.step)))
    head = tag("div", name, badge(step.state, step.state), _measures(step), class_="step-head")
    summary = tag("p", escape(step.summary), class_="summary") if step.summary else ""
    error = tag("pre", escape(step.error), class_="error") if step.error else ""
    told = _told(step)
    metrics = {} if set(step.metrics) <= told else step.metrics
    figures = [tag("div", tag("dt", markup.name(n)), tag("dd", escape(number(v)))) for n, v in metrics.items()]
    listed = tag("dl", *figures, class_="metrics") if figures else ""
    outputs = draw([{"type": "facts", "items": list(step.parameters.items())}]) if step.parameters else ""
    more = tag("details", tag("summary", "Outputs"), outputs) if outputs else ""
    body = summary + error + listed + draw(_blocks(step)) + more
    return tag("section", head, body, class_="step", id=anchor(step.step))


def _told(step: StepRecord) -> set[str]:
    """The names that its blocks give a value: metrics among them need not be told twice."""
    blocks = [b for b in _blocks(step) if isinstance(b, dict) and isinstance(b.get("rows"), list)]
    names = {r.get("name") for b in blocks for r in b["rows"] if isinstance(r, dict)}
    names |= {r[0] for b in blocks for r in b["rows"] if isinstance(r, list) and r and isinstance(r[0], str)}
    return {name for name in names if isinstance(name, str)}


def _measures(step: StepRecord) -> str:
    rows = [None if n is None else f"{row_count(n)} {way}" for n, way in ((step.rows_in, "in"), (step.rows_out, "out"))]
    memory = None if step.peak_memory is None else f"{size(step.peak_memory)} at its peak"
    known = [None if step.seconds is None else duration(step.seconds), *rows, memory]
    return tag("div", *(tag("span", escape(t)) for t in known if t), class_="measures")
