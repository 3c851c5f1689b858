"""The report page: one self-contained HTML file per run, without script, network or font.

`render` draws a whole run, `page` the blocks of one step. Both are pure: the same record gives the same bytes.
A block of an unknown type, or one that is not as it should be, becomes a note: records of other versions are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.core import style
from components.core.blocks import Block
from components.core.record import RunRecord, StepRecord
from components.core.shown import duration, escape, moment, number, size


def page(title: str, blocks: Sequence[Block]) -> str:
    """A step's own page."""
    return _document(title, f"<h1>{escape(title)}</h1>{_blocks(blocks)}")


def render(record: RunRecord) -> str:
    """The page of a run."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(step.state)}</td><td>{duration(step.seconds)}</td>"
        f"<td>{number(step.rows_in)}</td><td>{number(step.rows_out)}</td><td>{size(step.peak_memory)}</td></tr>"
        for name, step in ((name, record.step(name)) for name in record.route)
    )
    heads = "".join(f"<th>{h}</th>" for h in ("step", "state", "time", "rows in", "rows out", "peak memory"))
    body = (
        f"<h1>{escape(record.case)} · {escape(record.pipeline)}</h1>"
        f"<p>{escape(record.job)} · {moment(record.started)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )
    steps = "".join(_step(record.step(name)) for name in record.route)
    return _document(f"{record.case} {record.pipeline} {record.job}", body + steps)


def _step(step: StepRecord) -> str:
    error = f"<pre>{escape(step.error)}</pre>" if step.error else ""
    metrics = "".join(f"<li>{escape(n)}: {escape(number(v))}</li>" for n, v in step.metrics.items())
    return (
        f"<section id='step-{escape(step.step)}'><h2>{escape(step.step)}</h2><p>{escape(step.summary)}</p>{error}"
        f"<ul>{metrics}</ul>{_blocks(step.report.get('blocks', ()))}</section>"
    )


def _blocks(blocks: Sequence[Block]) -> str:
    return "".join(f"<section><h3>{escape(b.get('title', ''))}</h3>{_plain(b)}</section>" for b in blocks)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        rows = "".join(
            f"<tr><th>{escape(k)}</th><td>{_plain(v)}</td></tr>" for k, v in value.items() if k not in ("type", "title")
        )
        return f"<div class=scroll><table>{rows}</table></div>"
    if isinstance(value, list | tuple):
        return " ".join(_plain(v) for v in value)
    return escape(number(value))


def _document(title: str, body: str) -> str:
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style.CSS}</style></head><body><main>{body}</main></body></html>\n"
    )
