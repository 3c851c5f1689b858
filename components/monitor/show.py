"""monitoring.json, and what the page shows of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from components.core import blocks
from components.core.blocks import Block, finite
from components.core.drift import ColumnDrift
from components.core.metrics import LESS_IS_BETTER
from components.core.summaries import CategoryBins, Counts, NumberBins, Summary
from components.monitor.findings import Findings, Performance

FORMAT = 1
_DISTANCES, _PICTURES, _VALUES, _NAMED = 15, 6, 12, 8


def summary(found: Findings) -> str:
    """One line: the verdict, why, and the performance where it is known."""
    said = f"{found.verdict.capitalize()}: {_shortened(found)}"
    if found.compared is None or found.compared.performance.estimate is None:
        return said
    return f"{said}; {_performed(found.compared.performance)}"


def _shortened(found: Findings) -> str:
    names = found.compared.drifting if found.compared is not None else []
    if found.compared is None or len(names) <= _NAMED:
        return found.reason
    return f"{len(names)} of {len(found.compared.columns)} columns: {', '.join(names[:_NAMED])} …"


def _performed(known: Performance) -> str:
    assert known.estimate is not None
    e = known.estimate
    if not math.isfinite(e.value):
        return f"{known.metric} is undefined on {known.rows:,} labelled rows"
    said = f"{known.metric} {e.value:.4g} ({e.low:.4g} to {e.high:.4g}) on {known.rows:,} labelled rows"
    return said if known.validation is None else f"{said}, {known.validation:.4g} in validation"


def metrics(found: Findings) -> dict[str, float]:
    if found.compared is None:
        return {}
    distances = [c.distance for c in found.compared.columns if c.distance is not None]
    made: dict[str, float] = {"drifting_columns": float(len(found.compared.drifting))}
    if distances:
        made["largest_distance"] = max(distances)
    known = found.compared.performance
    if known.estimate is not None and math.isfinite(known.estimate.value):
        made[known.metric] = known.estimate.value
    return made


def to_json(found: Findings) -> bytes:
    return json.dumps(data(found), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def data(found: Findings) -> dict[str, Any]:
    """Everything as JSON; what is not known is null."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "drift": found.verdict,
        "reason": found.reason,
        "rows": found.rows,
        "version": None,
        "window": None,
        "ignored": [],
        "columns": [],
        "performance": None,
    }
    if found.compared is None:
        return made
    compared, known = found.compared, found.compared.performance
    estimate = known.estimate
    return made | {
        "version": compared.version,
        "window": [compared.first, compared.last],
        "ignored": list(compared.ignored),
        "columns": [asdict(column) for column in compared.columns],
        "performance": {
            "metric": known.metric,
            "rows": known.rows,
            "value": estimate and finite(estimate.value),
            "interval": estimate and [finite(estimate.low), finite(estimate.high)],
            "validation": finite(known.validation),
        },
    }


def report(found: Findings) -> list[Block]:
    """The blocks of the page: the verdict, what drifts, how it looks, then every column."""
    if found.compared is None:
        return [_facts(found)]
    compared = found.compared
    farthest = [c for c in compared.columns if c.distance is not None]
    return [
        _facts(found),
        *_performance(compared.performance),
        *_distances(farthest[:_DISTANCES]),
        *(_picture(c, compared.base[c.name], compared.now[c.name]) for c in farthest[:_PICTURES]),
        _table(compared.columns),
    ]


def _facts(found: Findings) -> Block:
    items: dict[str, object] = {"verdict": found.verdict, "because": _shortened(found), "rows": found.rows}
    if found.compared is not None:
        compared = found.compared
        items |= {"version": compared.version, "from": compared.first, "to": compared.last}
        items |= {"labelled rows": compared.performance.rows}
        items |= {"ignored": ", ".join(compared.ignored)} if compared.ignored else {}
    return blocks.facts("Drift", items)


def _performance(known: Performance) -> list[Block]:
    if known.estimate is None:
        few = f"{known.rows:,} labelled rows are too few to say how good the predictions are."
        return [blocks.text("Performance: insufficient data", few)]
    e = known.estimate
    row = {"name": known.metric, "value": e.value, "low": e.low, "high": e.high, "rows": known.rows}
    better = "less" if known.metric in LESS_IS_BETTER else "more"
    title = f"On matured labels, beside validation ({better} is better)"
    return [blocks.intervals(title, [row | ({} if known.validation is None else {"bar": known.validation})])]


def _distances(columns: Sequence[ColumnDrift]) -> list[Block]:
    axis = "Jensen-Shannon distance"
    rows = [{"name": c.name, "value": c.distance, "bar": c.threshold, "group": axis} for c in columns]
    return [blocks.intervals("How far each column has moved, beside its threshold", rows)] if rows else []


def _picture(column: ColumnDrift, base: Summary, now: Summary) -> Block:
    title = f"{column.name}: {column.verdict}"
    shares = [100 * s.missing / s.rows if s.rows else 0.0 for s in (base, now)]
    note = f"Missing: {shares[0]:.3g} % in the baseline, {shares[1]:.3g} % now." if any(shares) else ""
    if isinstance(base.bins, CategoryBins):
        return _categories(title, base.bins, base.counts, now.counts)
    edges = _edges(base.bins)
    known = {"baseline": base.counts[:-1].tolist(), "now": now.counts[:-1].tolist()}
    return blocks.histogram(title, edges, known, note=note)


def _edges(bins: NumberBins) -> list[float]:
    """The bins' edges; the outer ones, which are open, end where the baseline's values did."""
    last = bins.edges[-1] if bins.edges else bins.low
    return [bins.low, *bins.edges, bins.high if bins.high > last else last + 1.0]


def _categories(title: str, bins: CategoryBins, base: Counts, now: Counts) -> Block:
    """The most frequent values, then all others together, then missing."""
    most = min(_VALUES, len(bins.values))
    names = [*bins.values[:most], "(other)", "(missing)"]
    shown = [[*values[:most].tolist(), int(values[most:-1].sum()), int(values[-1])] for values in (base, now)]
    known = [i for i in range(len(names)) if i < most or any(values[i] for values in shown)]
    counts = {sample: [values[i] for i in known] for sample, values in zip(("baseline", "now"), shown, strict=True)}
    return blocks.categories(title, [names[i] for i in known], counts)


def _table(columns: Sequence[ColumnDrift]) -> Block:
    titles = ["column", "verdict", "distance", "threshold", "PSI", "KS", "L-infinity", "missing"]
    rows: list[list[object]] = [
        [c.name, c.verdict, c.distance, c.threshold, c.psi, c.ks, c.l_infinity, c.missing] for c in columns
    ]
    if any(c.verdict == "insufficient data" for c in columns):  # what else a reason says stands in the numbers
        titles.append("why not judged")
        rows = [
            [*row, c.reason if c.verdict == "insufficient data" else ""] for row, c in zip(rows, columns, strict=True)
        ]
    return blocks.table("Every column", titles, rows)
