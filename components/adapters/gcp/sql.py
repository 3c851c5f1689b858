"""The SQL that a caller may ask BigQuery: one SELECT, whose values are bound."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.core.errors import DataError

_QUOTED = re.compile(
    r"""('{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|--[^\n]*|\#[^\n]*|/\*.*?\*/)""",
    re.DOTALL,
)
_VALUE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"),
    (int, "INT64"),
    (float, "FLOAT64"),
    (str, "STRING"),
    (bytes, "BYTES"),
    (dt.datetime, "TIMESTAMP"),
    (dt.date, "DATE"),
)


def one_select(sql: str) -> str:
    """The query without its last semicolon. Raises DataError for what is not one SELECT."""
    bare = "".join(part if i % 2 == 0 else " " for i, part in enumerate(_QUOTED.split(sql))).strip()
    statement = bare.removesuffix(";")
    if ";" in statement or not re.match(r"[\s(]*(select|with)\b", statement, re.IGNORECASE):
        raise not_one_select(sql)
    return sql.rstrip().removesuffix(";") if bare != statement else sql


def not_one_select(sql: str) -> DataError:
    return DataError("sql", "be one SELECT", sql, "Ask for one table at a time.")


def words(sql: str) -> set[str]:
    return set(re.findall(r"[a-z0-9_]+", sql.lower()))


def bound(sql: str) -> str:
    """`$name` as BigQuery writes it, but for what is quoted."""
    return "".join(
        part if i % 2 else _VALUE.sub(lambda found: f"@{found[1]}", part) for i, part in enumerate(_QUOTED.split(sql))
    )


def with_tables(sql: str, tables: Mapping[str, str]) -> str:
    """The query over the tables as they are named, each by the SELECT that reads it."""
    if not tables:
        return sql
    defined = ", ".join(f"`{name}` AS ({select})" for name, select in tables.items())
    own = re.match(r"\s*with\b(?!\s+recursive\b)", sql, re.IGNORECASE)
    return f"WITH {defined}, {sql[own.end() :]}" if own else f"WITH {defined} {sql}"


def parameters(values: Mapping[str, Any]) -> list[Any]:
    """BigQuery's parameters. Raises DataError for a value of another type."""
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    return [
        ArrayQueryParameter(name, _type(name, value), list(value))
        if _is_array(value)
        else ScalarQueryParameter(name, _type(name, [value]), value)
        for name, value in values.items()
    ]


def _is_array(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _type(name: str, values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    for kind, text in _TYPES if known else ():
        if all(isinstance(value, kind) for value in known):
            return text
    if not known:
        return "STRING"
    rule = "be a number, text, bool, bytes, date, time stamp or a list of them"
    raise DataError(name, rule, values, "Bind another value.", where="sql")
