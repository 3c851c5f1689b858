"""The label and weight of each row, as training and evaluation read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core.arrow import to_arrow, to_numpy
from components.core.case import Case
from components.core.columns import Array, ColumnType

Mask = npt.NDArray[np.bool_]


def arrow_type(case: Case) -> pa.DataType:
    return pa.string() if case.model.task == "multiclass" else pa.float64()


@dataclass(frozen=True)
class Labels:
    """Of n rows: `values` (n,) with null where there is none, `known` (n,), and `faults` by position."""

    values: pa.Array
    known: Mask
    faults: dict[int, str]


def labels(case: Case, rows: pa.Table) -> Labels:
    """0 or 1 for a binary task, the number for regression, the class for multiclass.

    A value that the task cannot take is a fault, and its label is null.
    """
    name, task = case.label.column, case.model.task
    column, kind = rows.column(name), case.columns[case.label.column].type
    if task == "multiclass" or (task == "binary" and case.label.positive is not None):
        texts = _texts(column, kind)
        known = texts != ""
        if task == "multiclass":
            return Labels(to_arrow(texts, "string"), known, {})
        return Labels(pa.array((texts == case.label.positive).astype(np.float64), mask=~known), known, {})
    values = to_numpy(column, kind)
    known = ~np.isnan(values)
    if case.label.above is not None:
        return Labels(pa.array((values > case.label.above).astype(np.float64), mask=~known), known, {})
    wrong = known & (~np.isfinite(values) if task == "regression" else ~np.isin(values, (0.0, 1.0)))
    rule = "be finite" if task == "regression" else "be 0 or 1"
    faults = dict(_faults(wrong, name, rule, values))
    return Labels(pa.array(values, mask=~known | wrong), known & ~wrong, faults)


def weights(case: Case, rows: pa.Table) -> tuple[Array, dict[int, str]]:
    """The weight of each row (n,) float64, NaN where it is at fault, and the faults by position."""
    name = case.model.weights.column
    if name is None:
        return np.ones(rows.num_rows), {}
    values = to_numpy(rows.column(name), case.columns[name].type)
    wrong = ~(np.isfinite(values) & (values >= 0))
    return np.where(wrong, np.nan, values), dict(_faults(wrong, name, "be a weight, 0 or more", values))


def _texts(column: pa.ChunkedArray, kind: ColumnType) -> Array:
    """(n,) object of str, '' for missing: 'true' or 'false' of a bool, a whole number without a point."""
    values = to_numpy(column, kind)
    if kind in ("string", "id"):
        return values
    if kind == "bool":
        return np.where(np.isnan(values), "", np.where(values == 1, "true", "false")).astype(object)
    texts = ["" if v != v else str(int(v)) if v.is_integer() else repr(v) for v in values.tolist()]
    return np.array(texts, dtype=object)


def _faults(wrong: Mask, name: str, rule: str, values: Array) -> Iterator[tuple[int, str]]:
    for at in np.flatnonzero(wrong).tolist():
        yield at, f"{name!r} must {rule}. Got {float(values[at])!r}."
