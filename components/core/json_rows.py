"""JSON objects as columns: numbers as they are where a number is declared, all else as the text that CSV would hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from components.core.case import Column
from components.core.convert import shown
from components.core.values import RULES, as_text


def arrays(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]
) -> tuple[dict[str, pa.Array], dict[int, str]]:
    """The declared columns that n rows have between them, for `convert.convert`; and by row what is no value at all."""
    seen = set().union(*rows)
    faults: dict[int, str] = {}
    return {n: _array(n, c, [row.get(n) for row in rows], faults) for n, c in columns.items() if n in seen}, faults


def _array(name: str, column: Column, values: list[Any], faults: dict[int, str]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float} and column.type == "number":
        try:
            return pa.array(values, pa.float64())
        except pa.ArrowInvalid:  # an integer that float64 does not hold exactly
            pass
    if kinds <= {str}:
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:  # half of a surrogate pair
            pass
    return pa.array([_text(name, column, row, value, faults) for row, value in enumerate(values)], pa.string())


def _text(name: str, column: Column, row: int, value: Any, faults: dict[int, str]) -> str | None:
    try:
        if value is None or isinstance(value, dict | list):
            raise TypeError
        text = repr(value) if isinstance(value, float) and column.type == "number" else as_text(value)
        if text is not None:
            text.encode()
        return text
    except (TypeError, ValueError):
        if value is not None:
            faults.setdefault(row, f"{name!r} must {RULES[column.type]}. Got {shown(value)}.")
        return None
