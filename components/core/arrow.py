"""Columns from and to Arrow, by their declared types (`core.columns`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.columns import Array, Columns, ColumnType

ARROW: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "id": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def arrow_schema(types: Mapping[str, ColumnType]) -> pa.Schema:
    """The Parquet schema of columns with these declared types, in their order."""
    return pa.schema([pa.field(name, ARROW[kind]) for name, kind in types.items()])


def to_numpy(column: pa.ChunkedArray | pa.Array, kind: ColumnType) -> Array:
    """One Arrow column (n rows) as the numpy array (n,) that the transform sees."""
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(flat, pa.ChunkedArray):  # combine_chunks of no chunk at all
        flat = pa.array([], type=column.type)
    if kind == "number":
        return np.asarray(pc.fill_null(flat.cast(pa.float64()), float("nan")))
    if kind == "bool":
        numbers = pc.if_else(flat.cast(pa.bool_()), 1.0, 0.0)
        return np.asarray(pc.fill_null(numbers, float("nan")), dtype=np.float64)
    if kind == "timestamp":
        micros = flat.cast(pa.timestamp("us")) if flat.type.tz is None else flat
        return np.asarray(
            micros.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        ).astype("datetime64[us]")
    if len(flat) == 0:
        return np.empty(0, dtype=object)
    return np.asarray(pc.fill_null(flat.cast(pa.string()), "").to_numpy(zero_copy_only=False), dtype=object)


def columns_of(table: pa.Table | pa.RecordBatch, types: Mapping[str, ColumnType]) -> Columns:
    """The columns named in `types`, in that order; a missing one is a KeyError of pyarrow's."""
    return {name: to_numpy(table.column(name), kind) for name, kind in types.items()}


def to_arrow(values: Array, kind: ColumnType) -> pa.Array:
    """The inverse of `to_numpy`: NaN, NaT and '' become null again."""
    if kind == "timestamp":
        return pa.array(values.astype("datetime64[us]")).cast(pa.timestamp("us")).cast(ARROW[kind])
    if kind == "number":
        return pa.array(values, type=pa.float64(), from_pandas=True)
    if kind == "bool":
        return pa.array([None if np.isnan(v) else bool(v) for v in values], type=pa.bool_())
    return pa.array([v or None for v in values], type=pa.string())


def lacking(inputs: Iterable[tuple[str, str]], schema: Mapping[str, str]) -> list[str]:
    """Of a model's inputs (name, type), those that columns of these Arrow types by name do not hold: "name (type)"."""
    wanted = [(name, str(ARROW[cast(ColumnType, kind)])) for name, kind in inputs]
    return [f"{name} ({kind})" for name, kind in wanted if schema.get(name) != kind]
