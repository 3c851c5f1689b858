"""What a step shows on the report page: plain data that any page can draw.

Every number passes `finite`: a NaN would kill KFP's orchestrator and is no JSON. Curves keep at most 200 points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Block = dict[str, Any]
MAX_POINTS = 200
Number = float | int
UNCHANGED = "Unchanged"
"""A verdict's word where the model is the champion itself."""


def finite(value: Number | None) -> float | None:
    """The value as a float, or None where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def thin(values: Sequence[Any], most: int = MAX_POINTS) -> list[Any]:
    """At most `most` of the values, evenly spaced, the first and last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def facts(title: str, items: Mapping[str, object]) -> Block:
    """Names and values; numbers stay numbers, which the page writes for people."""
    return {"type": "facts", "title": title, "items": [[name, _fact(value)] for name, value in items.items()]}


def text(title: str, body: str) -> Block:
    return {"type": "text", "title": title, "text": body}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    """Rows of text and numbers; numbers are aligned right."""
    cells = [[finite(c) if isinstance(c, float) else c for c in row] for row in rows]
    return {"type": "table", "title": title, "columns": list(columns), "rows": cells}


def verdict(accepted: bool, reasons: Sequence[str], *, title: str = "Gate", said: str = "") -> Block:
    """`said` is the verdict in a word; empty: Accepted or Refused."""
    said = said or ("Accepted" if accepted else "Refused")
    return {"type": "verdict", "title": title, "accepted": accepted, "said": said, "reasons": list(reasons)}


def bars(title: str, names: Sequence[str], values: Sequence[Number], *, unit: str = "") -> Block:
    """One horizontal bar per name."""
    return {
        "type": "bars",
        "title": title,
        "names": list(names),
        "values": [finite(v) for v in values],
        "unit": unit,
    }


def lines(
    title: str,
    series: Mapping[str, tuple[Sequence[Number], Sequence[Number]]],
    *,
    x: str,
    y: str,
    diagonal: bool = False,
) -> Block:
    """Curves by name, each (x values, y values)."""
    drawn = [
        {"name": name, "x": [finite(v) for v in thin(xs)], "y": [finite(v) for v in thin(ys)]}
        for name, (xs, ys) in series.items()
    ]
    return {"type": "lines", "title": title, "series": drawn, "x": x, "y": y, "diagonal": diagonal}


def intervals(title: str, rows: Sequence[Mapping[str, object]]) -> Block:
    """Values with an interval: a row has name, value, low, high and perhaps bar (a floor or ceiling), group, rows."""
    return {"type": "intervals", "title": title, "rows": [_finite_row(row) for row in rows]}


def histogram(title: str, edges: Sequence[Number], counts: Mapping[str, Sequence[Number]], *, note: str = "") -> Block:
    """Counts per bin (len(edges) - 1) for one or two named samples."""
    named = {name: [finite(v) for v in values] for name, values in counts.items()}
    return {"type": "histogram", "title": title, "edges": [finite(e) for e in edges], "counts": named, "note": note}


def categories(title: str, names: Sequence[str], counts: Mapping[str, Sequence[Number]], *, note: str = "") -> Block:
    """Counts per category for one or two named samples."""
    named = {name: [finite(v) for v in values] for name, values in counts.items()}
    return {"type": "categories", "title": title, "names": list(names), "counts": named, "note": note}


def matrix(title: str, labels: Sequence[str], values: Sequence[Sequence[Number]]) -> Block:
    """A confusion matrix: values[actual][predicted]."""
    return {"type": "matrix", "title": title, "labels": list(labels), "values": [list(row) for row in values]}


def _fact(value: object) -> object:
    if isinstance(value, float):
        return finite(value)
    return value if value is None or isinstance(value, int) else str(value)


def _finite_row(row: Mapping[str, object]) -> dict[str, object]:
    return {key: finite(value) if isinstance(value, float) else value for key, value in row.items()}
