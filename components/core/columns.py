"""How a column enters the transform: by the case's declared type, never by its content.

| type      | in Parquet           | in `features(columns)`            | missing |
|-----------|----------------------|-----------------------------------|---------|
| number    | float64              | float64                           | NaN     |
| bool      | bool                 | float64, 0 or 1                   | NaN     |
| string    | string               | object of str                     | ''      |
| id        | string               | object of str                     | ''      |
| timestamp | timestamp[us, UTC]   | datetime64[us], UTC               | NaT     |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ColumnType = Literal["number", "bool", "string", "id", "timestamp"]
Array = npt.NDArray[Any]
Columns = dict[str, Array]

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
