"""Arrow's types as BigQuery's and back. BigQuery's are fewer: a narrower type is kept in the column's description."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from components.core.errors import DataError, SchemaError
from components.core.events import EVENT_TIME

WINDOW, ROW, TOKEN, KEY = "_window", "_row", "_token", "_key"
"""The columns that every table has besides its own: the window, the row's place in it, its writing's token, and what
tells an appended row from one that was appended twice."""
OWN = {WINDOW: pa.string(), ROW: pa.int64(), TOKEN: pa.string(), KEY: pa.string()}
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_WIDE = {
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "STRING": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": _TIMESTAMP,
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "BYTES": pa.binary(),
}
"""By the names that BigQuery's API answers with."""
_NARROW = {str(kind): kind for kind in (pa.int8(), pa.int16(), pa.int32(), pa.float16(), pa.float32())}
_NARROW |= {str(kind): kind for kind in (pa.uint8(), pa.uint16(), pa.uint32())}
_ALIASES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_PREFIX = "arrow: "
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def check(schema: pa.Schema, table: str) -> None:
    """Raises DataError for a column that BigQuery, or a table of ours, cannot have."""
    for field in schema:
        if not _COLUMN.fullmatch(field.name) or field.name in OWN:
            rule = f"be letters, digits and _, at most 300, and none of {', '.join(OWN)}"
            raise DataError("column", rule, field.name, "Rename it.", where=table)
        bigquery_type(field.type, field.name, table)


def bigquery_type(kind: pa.DataType, column: str, table: str) -> str:
    """The BigQuery type that holds an Arrow type's values. Raises DataError where none does."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for holds, name in (
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_date, "DATE"),
        (lambda k: pa.types.is_string(k) or pa.types.is_large_string(k), "STRING"),
        (lambda k: pa.types.is_binary(k) or pa.types.is_large_binary(k), "BYTES"),
        (lambda k: pa.types.is_integer(k) and k != pa.uint64(), "INTEGER"),
    ):
        if holds(kind):
            return name
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    remedy = "Cast it to a number, text, bool, date, time stamp or bytes."
    raise DataError(column, "have a type that BigQuery holds", str(kind), remedy, where=table)


def fields(schema: pa.Schema, table: str) -> list[Any]:
    """BigQuery's fields of an Arrow schema."""
    from google.cloud.bigquery import SchemaField

    made: Callable[..., Any] = SchemaField
    return [
        made(
            field.name,
            bigquery_type(field.type, field.name, table),
            description=f"{_PREFIX}{field.type}" if str(field.type) in _NARROW else None,
        )
        for field in schema
    ]


def arrow(declared: Iterable[Any]) -> pa.Schema:
    """The Arrow schema that a table's fields say; our own columns among them."""
    return pa.schema([pa.field(field.name, _arrow_type(field)) for field in declared])


def _arrow_type(field: Any) -> pa.DataType:
    text = (field.description or "").removeprefix(_PREFIX)
    return _NARROW.get(text) or _WIDE[_ALIASES.get(field.field_type, field.field_type)]


def missing(declared: Iterable[Any], schema: pa.Schema, table: str) -> list[Any]:
    """The fields that the table lacks of `schema`. Raises SchemaError where a column of both has another type."""
    there = {field.name: field for field in declared}
    found = []
    for field in fields(schema, table):
        if field.name not in there:
            found.append(field)
            continue
        kind = there[field.name].field_type
        kind = _ALIASES.get(kind, kind)
        if kind != field.field_type:
            remedy = f"Cast it to {_WIDE[kind]}, or write to a table of another name."
            raise SchemaError(field.name, f"be {kind}, as the table has it", field.field_type, remedy, where=table)
    return found


def laid_out(
    rows: pa.Table, declared: Iterable[Any], window: str, token: str, *, first: int = 0, key: str | None = None
) -> pa.Table:
    """The rows with the table's columns in its order, each of the widest type; what they lack is null.

    `first` is the first row's place, and `key` the column that names an appended row.
    """
    own = {
        WINDOW: pa.repeat(window, rows.num_rows),
        ROW: pa.array(first + np.arange(rows.num_rows)),
        TOKEN: pa.repeat(token, rows.num_rows),
        KEY: pa.nulls(rows.num_rows, pa.string()) if key is None else rows.column(key).cast(pa.string()),
    }
    columns = {}
    for field in declared:
        kind = _WIDE[_ALIASES.get(field.field_type, field.field_type)]
        if field.name in own:
            columns[field.name] = own[field.name]
        elif field.name in rows.column_names:
            columns[field.name] = rows.column(field.name).cast(kind)
        else:
            columns[field.name] = pa.nulls(rows.num_rows, kind)
    return pa.table(columns)


def partition(schema: pa.Schema) -> str | None:
    """The column by whose days the table is partitioned: when it was predicted or else the event time, if any.

    Of what servers predict nobody knows an event time, and who watches asks for what was predicted lately.
    """
    times = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    return next((name for name in ("_at", EVENT_TIME) if name in times), None)


def in_sql(field: Any) -> str:
    """A field's type as SQL names it."""
    return {name: alias for alias, name in _ALIASES.items()}.get(field.field_type, str(field.field_type))
