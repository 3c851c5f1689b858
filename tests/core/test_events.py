"""What follows from a case's columns: identity, times, arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import events
from components.core.arrow import ARROW, arrow_schema
from components.core.case import Case, Moment

HOUR = 3_600_000_000


def case_of(**changes: Any) -> Case:
    columns = {
        "shop": {"type": "string"},
        "id": {"type": "id"},
        "number": {"type": "number"},
        "flag": {"type": "bool"},
        "at": {"type": "timestamp"},
        "wait": {"type": "number"},
        "paid": {"type": "number", "known": "label"},
    }
    plain = {
        "name": "x",
        "source": {"path": "x.csv"},
        "columns": columns,
        "entity_id": ["id"],
        "event_time": {"column": "at", "plus": {"wait": "minutes"}, "offset": "2h"},
        "label": {"column": "paid"},
        "model": {"task": "regression"},
    }
    return Case.model_validate(plain | changes)


def table_of(*rows: dict[str, Any]) -> pa.Table:
    schema = arrow_schema({name: column.type for name, column in case_of().columns.items()})
    plain = {"shop": "s", "id": "1", "number": 2.0, "flag": True, "at": 0, "wait": 0.0, "paid": 1.0}
    filled = [plain | row for row in rows]
    arrays = []
    for field in schema:
        values = [row[field.name] for row in filled]
        arrays.append(
            pa.array(values, pa.int64()).cast(field.type) if field.name == "at" else pa.array(values, field.type)
        )
    return pa.table(arrays, schema=schema)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T01", HOUR),
        ("1970-01-01 01:00", HOUR),
        ("1970-01-01T01:00:00Z", HOUR),
        ("1970-01-01T03:00:00+02:00", HOUR),
        ("1969-12-31T23:30:00-0130", HOUR),
        ("1970-01-01T00:00:00.1234569Z", 123_456),
        ("1969-12-31T23:59:59.5", -500_000),
    ],
)
def test_an_instant_is_iso_8601(text: str, time: int):
    assert events.instant(text) == time


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1970", "1970-1-1", "1970-01-01Z", "1970-13-01", "1970-01-01T25:00", "1970-W01-1", "19700101"),
        *("1970-01-01T00:00:00+02:99", "1970-01-01T00:00:00,5", "١٩٧٠-٠١-٠١", "1970-01-01\n", "0001-01-01T00:00+24:00"),
    ],
)
def test_other_texts_are_no_instant(text: str):
    with pytest.raises(ValueError):  # noqa: PT011  # whichever rule it breaks
        events.instant(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_and_instant_are_inverse(time: datetime):
    value = events.micros(time)
    assert events.instant(events.iso(value)) == value
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value) == time


def test_an_entity_is_the_texts_of_its_columns():
    case = case_of(entity_id=["at", "shop", "id", "number", "flag"])
    rows = table_of({"at": HOUR, "id": "007"}, {"at": 1, "shop": "a|b\\", "number": 2.5, "flag": False})
    assert events.entities(rows, case).to_pylist() == [
        "1970-01-01T01:00:00Z|s|007|2|true",
        "1970-01-01T00:00:00.000001Z|a\\|b\\\\|1|2.5|false",
    ]


@given(st.lists(st.tuples(st.text("|\\ab", max_size=4), st.text("|\\ab", max_size=4)), max_size=20))
def test_different_ids_are_different_entities(pairs: list[tuple[str, str]]):
    rows = table_of(*({"shop": shop, "id": own} for shop, own in pairs)) if pairs else table_of({}).slice(1)
    found = events.entities(rows, case_of(entity_id=["shop", "id"])).to_pylist()
    assert len(set(found)) == len(set(pairs))


def test_a_moment_adds_numbers_in_their_unit_and_an_offset():
    rows = table_of({"at": HOUR, "wait": 1.5}, {"at": HOUR, "wait": -30.0})
    found = events.moment(rows, case_of().event_time)
    assert found.values.tolist() == [3 * HOUR + 90_000_000, 3 * HOUR - 30 * 60_000_000]
    assert not (found.missing | found.beyond).any()


@pytest.mark.parametrize("wait", [1e300, -1e300, 1e12, 2e8])
def test_a_moment_beyond_the_years_is_told(wait: float):
    found = events.moment(table_of({"wait": wait}), case_of().event_time)
    assert found.beyond.tolist() == [True]


@pytest.mark.parametrize(
    "time", [-(2**63), 2**63 - 1, events.instant("1899-12-31T23:59:59"), events.instant("2201-01-01")]
)
def test_a_time_beyond_the_years_is_told(time: int):
    assert events.moment(table_of({"at": time}), Moment(column="at")).beyond.tolist() == [True]


@pytest.mark.parametrize("time", ["1900-01-01", "1970-01-01", "2100-06-01", "2200-12-31T23:59:59.999999"])
def test_a_time_within_the_years_is_one(time: str):
    assert events.moment(table_of({"at": events.instant(time)}), Moment(column="at")).beyond.tolist() == [False]


def test_a_missing_part_makes_a_moment_missing():
    found = events.moment(table_of({"at": None}, {"wait": None}, {}), case_of().event_time)
    assert found.missing.tolist() == [True, True, False]


def test_rows_that_are_no_events_are_left_out_with_the_reason():
    case = case_of(label={"column": "paid", "matures": {"column": "at", "plus": {"number": "days"}}}, arrival="wait")
    rows = table_of(
        {"id": "good"},
        {"id": None},
        {"wait": None},
        {"wait": 0.5},
        {"wait": 1e15},
        {"number": 1e9},
        {"number": 1e9, "paid": None},
        {"at": 2**62},
    )
    table, reasons = events.derive(rows, case)
    assert table.column("id").to_pylist() == ["good", "1"]
    assert reasons == {
        1: "'id' must be there: it is part of the entity id. Got nothing.",
        2: "'wait' must be there: the event time is made of it. Got nothing.",
        3: "'wait' must be a whole number: it is the order of arrival. Got 0.5.",
        4: "'event_time' must lie in the years 1900 to 2200. Got at = 1970-01-01T00:00:00Z, wait = 1000000000000000.0.",
        5: "'label.matures' must lie in the years 1900 to 2200. Got at = 1970-01-01T00:00:00Z, number = 1000000000.0.",
        7: "'event_time' must lie in the years 1900 to 2200. Got at = 4611686018427387904us, wait = 0.0.",
    }


def test_a_label_is_known_when_it_matures():
    matures = {"column": "at", "plus": {"number": "hours"}}
    rows = table_of({"number": 3.0}, {"number": None}, {"paid": None})
    table, _ = events.derive(rows, case_of(label={"column": "paid", "matures": matures}))
    assert table.column("_label_time").cast(pa.int64()).to_pylist() == [3 * HOUR, None, None]
    table, _ = events.derive(rows, case_of())
    assert table.column("_label_time").cast(pa.int64()).to_pylist() == [2 * HOUR, 2 * HOUR, None]


def test_arrival_is_a_column_or_the_event_time():
    rows = table_of({"number": 7.0})
    assert events.derive(rows, case_of(arrival="number"))[0].column("_arrival").to_pylist() == [7]
    assert events.derive(rows, case_of(arrival="at"))[0].column("_arrival").to_pylist() == [0]
    assert events.derive(rows, case_of())[0].column("_arrival").to_pylist() == [2 * HOUR]


def test_a_labels_arrival_is_its_time_and_none_beside_a_column_that_numbers_events():
    rows = table_of({}, {"paid": None})
    assert events.derive(rows, case_of())[0].column("_label_arrival").to_pylist() == [2 * HOUR, None]
    assert events.derive(rows, case_of(arrival="number"))[0].column("_label_arrival").to_pylist() == [None, None]


def test_events_have_the_schema_that_is_promised():
    table, _ = events.derive(table_of({}, {}), case_of())
    assert table.schema == events.schema(case_of())
    assert table.schema.field("_event_time").type == ARROW["timestamp"]
    assert np.asarray(table.column("_event_time").cast(pa.int64())).tolist() == [2 * HOUR] * 2
