"""Columns enter the transform by their declared type, never by their content."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.arrow import ARROW, columns_of, to_arrow, to_numpy
from components.core.columns import ColumnType


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        ("number", [1.5, None], np.dtype("float64")),
        ("number", [1.0, 2.0], np.dtype("float64")),
        ("number", [None, None], np.dtype("float64")),
        ("bool", [True, None], np.dtype("float64")),
        ("string", ["ß", None], np.dtype("object")),
        ("id", ["7", "8"], np.dtype("object")),
        ("timestamp", [datetime(2013, 1, 1, tzinfo=UTC), None], np.dtype("datetime64[us]")),
    ],
)
def test_the_dtype_follows_from_the_declared_type(kind: ColumnType, values: list[object], dtype: np.dtype) -> None:  # type: ignore[type-arg]
    for some in (values, values[:1], [None], []):
        assert to_numpy(pa.array(some, type=ARROW[kind]), kind).dtype == dtype


def test_missing_is_nan_nat_or_the_empty_string() -> None:
    table = pa.table(
        {
            "n": pa.array([None], pa.float64()),
            "b": pa.array([None], pa.bool_()),
            "s": pa.array([None], pa.string()),
            "t": pa.array([None], ARROW["timestamp"]),
        }
    )
    found = columns_of(table, {"n": "number", "b": "bool", "s": "string", "t": "timestamp"})
    assert np.isnan(found["n"][0])
    assert np.isnan(found["b"][0])
    assert found["s"][0] == ""
    assert np.isnat(found["t"][0])


def test_a_number_may_come_as_integers_and_a_chunked_column_as_none() -> None:
    assert to_numpy(pa.array([1, None, 3]), "number").tolist()[::2] == [1.0, 3.0]
    assert to_numpy(pa.chunked_array([], type=pa.string()), "string").shape == (0,)


texts = st.text(min_size=1, max_size=8).filter(lambda text: text < "\ud800" or text.isprintable())


@given(
    st.lists(st.none() | st.floats(allow_nan=False)), st.lists(st.none() | texts), st.lists(st.none() | st.booleans())
)
def test_there_and_back_again(numbers: list[float | None], words: list[str | None], bools: list[bool | None]) -> None:
    for kind, values in (("number", numbers), ("string", words), ("bool", bools)):
        array = pa.array(values, type=ARROW[kind])  # type: ignore[index]
        assert to_arrow(to_numpy(array, kind), kind).equals(array)  # type: ignore[arg-type]


@given(st.lists(st.none() | st.datetimes(datetime(1677, 9, 22), datetime(2262, 4, 11))))
def test_times_there_and_back_again(times: list[datetime | None]) -> None:
    array = pa.array(times, type=pa.timestamp("us")).cast(ARROW["timestamp"])
    assert to_arrow(to_numpy(array, "timestamp"), "timestamp").equals(array)
