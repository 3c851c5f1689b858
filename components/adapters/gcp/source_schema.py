"""What a case's columns are read from in BigQuery, and the rows of a window as BigQuery filters them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.adapters.ports import Bounds
from components.core.columns import ColumnType
from components.core.errors import DataError
from components.core.events import iso

_NUMBERS = {"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}
_TIMES = {"TIMESTAMP", "DATETIME", "DATE"}
_BOOLS = {"BOOLEAN", "BOOL"}
_READ: dict[ColumnType, set[str]] = {
    "number": _NUMBERS | {"STRING"},
    "bool": _BOOLS | {"INTEGER", "INT64", "FLOAT", "FLOAT64", "STRING"},
    "timestamp": _TIMES | {"STRING"},
    "string": _NUMBERS | _TIMES | _BOOLS | {"STRING", "BYTES"},
    "id": _NUMBERS | _TIMES | _BOOLS | {"STRING", "BYTES"},
}
"""By a case's type, BigQuery's that `core.convert` takes."""


def check_columns(schema: Iterable[Any], columns: Mapping[str, ColumnType], where: str) -> None:
    """Raises DataError for the first column that is not there, or whose type does not fit the case's."""
    there = {field.name: field for field in schema}
    for name, kind in columns.items():
        if name not in there:
            remedy = "Add it to the query or table, or take it out of the case."
            raise DataError(name, "be a column of the source", ", ".join(there), remedy, where=where)
        field = there[name]
        if field.mode == "REPEATED" or field.field_type not in _READ[kind]:
            found = f"{field.mode} {field.field_type}" if field.mode == "REPEATED" else field.field_type
            rule = f"have a type that the case's {kind} is read from"
            raise DataError(
                name, rule, found, "Cast it in a query, or change the column's type in the case.", where=where
            )


def restriction(schema: Iterable[Any], bounds: Bounds | None) -> str:
    """The rows of the bounds as SQL; empty: all, also where the column has no time's type."""
    if bounds is None:
        return ""
    kind = {field.name: field.field_type for field in schema}[bounds.column]
    if kind not in _TIMES:
        return ""
    parts = [
        f"`{bounds.column}` {sign} {_literal(kind, moment)}"
        for sign, moment in ((">=", bounds.start), ("<" if kind != "DATE" else "<=", bounds.stop))
        if moment is not None
    ]
    return " AND ".join(parts)


def _literal(kind: str, moment: int) -> str:
    text = iso(moment)
    if kind == "DATE":
        return f"DATE '{text[:10]}'"
    return f"DATETIME '{text.removesuffix('Z')}'" if kind == "DATETIME" else f"TIMESTAMP '{text}'"
