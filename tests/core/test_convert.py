"""Values as a declared type: what is good, what is missing, what is bad."""

from __future__ import annotations

import decimal
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.core.columns import ColumnType
from components.core.convert import Unsuited, convert

BAD = "bad"


def converted(values: pa.Array, kind: ColumnType) -> list[Any]:
    typed, bad = convert(values, kind)
    flags = np.zeros(len(values), dtype=bool) if bad is None else bad
    assert not (flags & np.asarray(typed.is_valid())).any()
    return [BAD if flag else value for value, flag in zip(typed.to_pylist(), flags, strict=True)]


def of_texts(kind: ColumnType, *texts: str | bytes | None) -> list[Any]:
    """Each text by itself, and all of them together, which must not differ."""
    alone = [converted(pa.array([text]), kind)[0] for text in texts]
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    assert converted(pa.array(raw, pa.binary()), kind) == alone
    return alone


def test_numbers():
    good = of_texts("number", "1", "-1.5", "+2", "1e5", "1E-2", ".5", "5.", " 7 ", "0001")
    assert good == [1.0, -1.5, 2.0, 1e5, 0.01, 0.5, 5.0, 7.0, 1.0]
    assert of_texts("number", None, "", "nan", "NaN", "-nan") == [None] * 5
    bad = ("1_000", "0x10", "1,5", "1d", "one", "inf", "-Infinity", "1e400", "1e", "--1", "١", " ", "1 2", b"\xff")
    assert of_texts("number", *bad) == [BAD] * len(bad)


def test_there_is_one_zero():
    typed, _ = convert(pa.array(["-0", "0", "-0.0"]), "number")
    assert not np.signbit(np.asarray(typed)).any()


def test_bools():
    assert of_texts("bool", "true", "False", "TRUE", "1", "0", " true") == [True, False, True, True, False, True]
    assert of_texts("bool", "", None) == [None, None]
    assert of_texts("bool", "yes", "t", "2", "1.0", b"\xff") == [BAD] * 5
    assert converted(pa.array([1, 0, 2, None]), "bool") == [True, False, BAD, None]
    assert converted(pa.array([1.0, 0.5, float("nan")]), "bool") == [True, BAD, None]


def test_timestamps():
    first = datetime(2024, 1, 1, tzinfo=UTC)
    texts = ("2024-01-01", "2024-01-01T00:00Z", "2024-01-01 01:00:00+01:00", "2024-01-01T00:00:00.0000009")
    assert of_texts("timestamp", *texts) == [first] * 4
    assert of_texts("timestamp", "", None) == [None, None]
    bad = ("2024", "01/02/2024", "2024-01-32", "1704067200", "2024-01-01T00:00:60", b"2024-01-01\xff")
    assert of_texts("timestamp", *bad) == [BAD] * len(bad)


def test_typed_times():
    first = datetime(2024, 1, 1, tzinfo=UTC)
    for kind in (pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ms", tz="Asia/Tokyo")):
        assert converted(pa.array([date(2024, 1, 1)], pa.date32()).cast(kind), "timestamp") == [first]
    nanoseconds = pa.array([1_704_067_200_000_000_999], pa.timestamp("ns"))
    assert converted(nanoseconds, "timestamp") == [first]


def test_texts():
    assert of_texts("id", "007", " x ", "1e3", "NaN") == ["007", " x ", "1e3", "NaN"]
    assert of_texts("string", "", None) == [None, None]
    assert of_texts("string", b"\xff", b"ok") == [BAD, "ok"]
    assert converted(pa.array([1545, -1, None]), "id") == ["1545", "-1", None]
    assert converted(pa.array([1545.0, 1.5, float("nan"), 1e300]), "id") == ["1545", BAD, None, BAD]
    assert converted(pa.array([True, False]), "string") == ["true", "false"]
    assert converted(pa.array([decimal.Decimal("1.50")]), "string") == ["1.50"]
    assert converted(pa.array([date(2024, 1, 1)]), "string") == ["2024-01-01T00:00:00Z"]
    assert converted(pa.array(["a", "b", "a"]).dictionary_encode(), "string") == ["a", "b", "a"]


@pytest.mark.parametrize("kind", ["number", "bool", "timestamp", "string", "id"])
def test_all_null_is_all_missing(kind: ColumnType):
    assert converted(pa.nulls(2), kind) == [None, None]
    assert converted(pa.array([], pa.string()), kind) == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([[1]]), "number"),
        (pa.array([True]), "number"),
        (pa.array([1]), "timestamp"),
        (pa.array([{"a": 1}]), "string"),
        (pa.array([date(2024, 1, 1)]), "bool"),
    ],
)
def test_a_type_that_cannot_fit_is_unsuited(values: pa.Array, kind: ColumnType):
    with pytest.raises(Unsuited):
        convert(values, kind)


SPELLINGS: dict[ColumnType, st.SearchStrategy[str]] = {
    "number": st.text("0123456789+-.eEnaifNty() x_", max_size=10),
    "bool": st.sampled_from(["true", "FALSE", "0", "1", "01", "t", "no", " 1"]) | st.text("true01 ", max_size=5),
    "timestamp": st.from_regex(r"20(24|00)-[01]\d-[0-3]\d([T ][0-2]\d(:[0-6]\d(:[0-6]\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?", fullmatch=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPELLINGS)
@given(data=st.data())
def test_a_value_does_not_depend_on_its_neighbours(kind: ColumnType, data: st.DataObject):
    texts = data.draw(st.lists(SPELLINGS[kind], min_size=1, max_size=6))
    of_texts(kind, *texts)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(2.0**53 + 1)
def test_a_number_comes_back_to_the_bit(value: float):
    assert of_texts("number", repr(value), "x") == [value + 0.0, BAD]
