"""The statistics as blocks: for the run's report, and for the step's own page. Pure: equal summaries, equal bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.core import blocks
from components.core.blocks import Block
from components.validate.anomalies import Anomaly, Distance
from components.validate.summary import Bucket, Summary

BINS = 24
MOST_PERIODS = 60
_TRIM = 2.0
"""A histogram leaves out its outermost buckets where the values reach over more than so many widths of the rest."""
_LABEL = 40
_DAY = 86_400e6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Findings:
    """All that is known of a run's events; `periods` are keys with their rows."""

    columns: Sequence[Summary] = ()
    anomalies: Sequence[Anomaly] = ()
    distances: Sequence[Distance] = ()
    periods: Sequence[tuple[str, int]] = ()


def report(found: Findings, drawn: Sequence[str]) -> list[Block]:
    """What does not fit, rows by period, a table of the columns, and the distributions of the columns in `drawn`."""
    made = [_anomalies(found.anomalies)]
    if found.distances:
        rows = [[d.column, d.kind, d.measure, d.value, d.threshold] for d in found.distances]
        names = ["column", "kind", "measure", "value", "at most"]
        made.append(blocks.table("Distance from the reference", names, rows))
    newest = found.periods[-MOST_PERIODS:]
    if newest:
        more = "" if len(newest) == len(found.periods) else f", the newest {len(newest)} of {len(found.periods)}"
        made.append(blocks.bars(f"Rows by period{more}", [key for key, _ in newest], [rows for _, rows in newest]))
    return [*made, *_columns(found.columns), *(distribution(c) for c in found.columns if c.name in drawn)]


def drawn(columns: Sequence[Summary], first: Sequence[str] = (), most: int | None = None) -> list[str]:
    """The columns worth a look, at most `most`: those named first, then the others in order; identifiers are not."""
    names = [c.name for c in columns if c.type != "id" and (c.buckets or c.top)]
    return sorted(names, key=lambda n: first.index(n) if n in first else len(first))[:most]


def _anomalies(anomalies: Sequence[Anomaly]) -> Block:
    ordered = sorted(anomalies, key=lambda a: (not a.blocking, a))
    rows = [["blocks" if a.blocking else "warning", a.column, a.text] for a in ordered]
    if not rows:
        return blocks.text("Anomalies", "none found")
    return blocks.table("Anomalies", ["effect", "column", "what"], rows)


def _columns(columns: Sequence[Summary]) -> list[Block]:
    """A table for each kind of column: numbers, times, texts."""
    numbers, times, texts = _by_kind(columns)
    moments = ["mean", "deviation", "least", "median", "most"]
    tables = [
        ("Numbers", ["column", "missing %", "zero %", *moments], [_number(c) for c in numbers]),
        ("Times", ["column", "missing %", *moments], [_time(c) for c in times]),
        ("Texts", ["column", "missing %", "distinct", "most frequent"], [_text(c) for c in texts]),
    ]
    return [blocks.table(title, names, rows) for title, names, rows in tables if rows]


def _by_kind(columns: Sequence[Summary]) -> tuple[list[Summary], list[Summary], list[Summary]]:
    times = [c for c in columns if c.type == "timestamp"]
    texts = [c for c in columns if c.type in ("string", "id")]
    return [c for c in columns if c not in times and c not in texts], times, texts


def _number(c: Summary) -> list[object]:
    moments = [_rounded(v) for v in (c.mean, c.deviation, c.least, c.median, c.most)]
    return [c.name, _percent(c.missing, c.rows), _percent(c.zeros, c.present), *moments]


def _time(c: Summary) -> list[object]:
    days = "" if c.deviation is None else f"{c.deviation / _DAY:.4g} days"
    least, median, most = (moment(v) for v in (c.least, c.median, c.most))
    return [c.name, _percent(c.missing, c.rows), moment(c.mean), days, least, median, most]


def _text(c: Summary) -> list[object]:
    frequent = ", ".join(f"{_short(v)} {100 * n / c.present:.1f} %" for v, n in c.top[:3])
    return [c.name, _percent(c.missing, c.rows), c.unique, frequent]


def distribution(c: Summary) -> Block:
    """How one column's values are spread: its most frequent texts, or a histogram out of its quantiles."""
    if c.type in ("string", "id"):
        counts = [n for _, n in c.top]
        note = f"{c.unique:,} distinct values" if c.unique is not None and c.unique > len(c.top) else ""
        return blocks.categories(c.name, [_short(v) for v, _ in c.top], {"rows": counts}, note=note)
    if c.type == "bool":
        return blocks.categories(c.name, ["false", "true"], {"rows": [c.zeros, c.present - c.zeros]})
    edges, shares, trimmed = bins(c.buckets)
    rows = {"rows": [round(n) for n in shares]}
    note = f"the lowest and the highest {100 / len(c.buckets):g} % are not drawn" if trimmed else ""
    if c.type == "timestamp":
        days = edges[1] - edges[0] > _DAY
        return blocks.categories(c.name, [moment(e, days=days) for e in edges[:-1]], rows, note=note)
    return blocks.histogram(c.name, edges, rows, note=note)


def bins(buckets: Sequence[Bucket]) -> tuple[list[float], list[float], bool]:
    """At most `BINS` equal bins out of quantile buckets: edges, rows in each, and whether the tails are left out.

    A bucket's rows are spread evenly from its low to its high end; where all ends are whole numbers, so are the bins.
    """
    finite = [b for b in buckets if math.isfinite(b.low) and math.isfinite(b.high)]
    if not finite:
        return [0.0, 1.0], [0.0], False
    low, high = finite[0].low, finite[-1].high
    inner_low, inner_high = finite[0].high, finite[-1].low
    trimmed = len(finite) > 2 and high - low > _TRIM * (inner_high - inner_low) > 0
    if trimmed:
        low, high = inner_low, inner_high
    edges = _edges(low, high, whole=all(b.low == round(b.low) and b.high == round(b.high) for b in finite))
    counts = [0.0] * (len(edges) - 1)
    for bucket in finite:
        for i in range(len(counts)):
            counts[i] += bucket.rows * _share(bucket, edges[i], edges[i + 1], last=i == len(counts) - 1)
    return edges, counts, trimmed


def _edges(low: float, high: float, *, whole: bool) -> list[float]:
    if whole:
        width = max(1, math.ceil((high - low + 1) / BINS))
        return [low - 0.5 + width * i for i in range(math.ceil((high - low + 1) / width) + 1)]
    if low == high:
        return [low - 0.5, low + 0.5]
    return [low + (high - low) * i / BINS for i in range(BINS)] + [high]


def _share(bucket: Bucket, low: float, high: float, *, last: bool) -> float:
    """The share of a bucket that lies in [low, high), or [low, high] for the last."""
    if bucket.low == bucket.high:
        return float(low <= bucket.low < high or (last and bucket.low == high))
    return max(0.0, min(bucket.high, high) - max(bucket.low, low)) / (bucket.high - bucket.low)


def moment(microseconds: float | None, *, days: bool = False) -> str:
    """'2013-01-31 05:00' in UTC, or the day alone."""
    if microseconds is None:
        return ""
    try:
        text = f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M}"
    except OverflowError:  # a year that Python's calendar does not have
        return f"{microseconds:g} us"
    return text[:10] if days else text


def _percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
