"""A segment of the servers' log as rows: whole lines typed, torn and altered ones counted."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import live_rows
from components.core.inference import COLUMNS

TYPES: Any = {"x": "number", "kind": "string", "late": "bool", "at": "timestamp"}
LINE = {
    "id": "a",
    "at": 1_700_000_000.25,
    "version": 2,
    "role": "challenger",
    "status": 200,
    "ms": 3.5,
    "inputs": [{"x": 1, "kind": "p", "late": True, "at": "2013-01-01T05:00:00Z"}],
    "score": [0.75],
    "decision": ["1"],
}
FAILED = {name: LINE[name] for name in ("id", "at", "version", "role", "ms")} | {"status": 503}


def parsed(*lines: Any, types: Any = TYPES) -> live_rows.Segment:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return live_rows.parse(b"\n".join(texts), types)


def test_a_request_becomes_a_row_with_its_inputs_typed() -> None:
    found = parsed(LINE)
    assert (len(found.lines), found.bad) == (1, 0)
    assert found.rows.column_names == [*COLUMNS, "x", "kind", "late", "at"]
    assert {f.name: str(f.type) for f in found.rows.schema if f.name in COLUMNS} == COLUMNS
    (row,) = found.rows.to_pylist()
    assert row["_at"].timestamp() == 1_700_000_000.25
    assert row["at"].isoformat() == "2013-01-01T05:00:00+00:00"
    given = {
        name: row[name]
        for name in ("_id", "_source", "_version", "_role", "_status", "_latency_ms", "_score", "_decision")
    }
    assert given == {"_id": "a", "_source": "server", "_version": 2, "_role": "challenger", "_status": 200, "_latency_ms": 3.5, "_score": 0.75, "_decision": "1"}  # fmt: skip
    assert (row["_arrival"], row["_event_time"], row["x"], row["kind"], row["late"]) == (0, None, 1.0, "p", True)


def test_a_request_of_several_rows_is_as_many_and_a_failed_one_is_one() -> None:
    several = LINE | {"inputs": [{"x": 1}, {"kind": "q"}], "score": [0.1, None], "decision": ["0", "1"]}
    found = parsed(several, FAILED)
    assert len(found.lines) == 2
    assert found.rows.select(["_id", "_status", "_score", "_decision", "x", "kind"]).to_pylist() == [
        {"_id": "a", "_status": 200, "_score": 0.1, "_decision": "0", "x": 1.0, "kind": None},
        {"_id": "a", "_status": 200, "_score": None, "_decision": "1", "x": None, "kind": "q"},
        {"_id": "a", "_status": 503, "_score": None, "_decision": None, "x": None, "kind": None},
    ]


def test_the_last_word_on_what_was_dropped_is_kept() -> None:
    found = parsed(LINE, {"dropped": 7})
    assert (found.dropped, found.bad) == (7, 0)


def test_a_request_that_named_its_version_keeps_that_role() -> None:
    assert parsed(LINE | {"role": "named"}).rows["_role"].to_pylist() == ["named"]


def test_a_segment_without_requests_has_the_tables_columns() -> None:
    assert parsed({"dropped": 0}).rows.schema == live_rows.SCHEMA
    assert parsed().rows.num_rows == 0


def test_inputs_that_are_not_asked_for_are_left_aside() -> None:
    assert parsed(LINE, types={"x": "number"}).rows.column_names == [*COLUMNS, "x"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "a", "at": 17',
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b"}",
        {},
        {"dropped": -1},
        {"dropped": "7"},
        LINE | {"id": 1},
        LINE | {"at": "now"},
        LINE | {"at": -1.0},
        LINE | {"at": 1e18},
        LINE | {"at": math.nan},
        LINE | {"version": 0},
        LINE | {"version": 2**63},
        LINE | {"version": True},
        LINE | {"role": "king"},
        LINE | {"role": ["champion"]},
        LINE | {"status": 42},
        LINE | {"ms": -1},
        LINE | {"ms": math.inf},
        LINE | {"ms": None},
        LINE | {"inputs": None},
        LINE | {"inputs": []},
        LINE | {"inputs": [[1]]},
        LINE | {"inputs": LINE["inputs"] * 2},  # type: ignore[operator]
        LINE | {"score": ["high"]},
        LINE | {"score": [math.nan]},
        LINE | {"decision": [1]},
        LINE | {"decision": "1"},
        {name: value for name, value in LINE.items() if name != "decision"},
    ],
    ids=str,
)
def test_a_torn_or_altered_line_is_counted_and_the_others_stay(line: Any) -> None:
    found = parsed(LINE, line, FAILED)
    assert (len(found.lines), found.bad) == (2, 1)
    assert found.rows.num_rows == 2
    assert found.rows["_status"].to_pylist() == [200, 503]


@pytest.mark.parametrize("inputs", [{"x": "one"}, {"x": {"y": 1}}, {"kind": 1.5}, {"at": "yesterday"}], ids=str)
def test_a_request_with_an_input_of_another_type_is_named_and_the_others_stay(inputs: Any) -> None:
    other = json.dumps(LINE | {"inputs": [inputs]}).encode()
    found = parsed(LINE, other, FAILED)
    assert (len(found.lines), found.bad, found.unfit) == (2, 0, [(1, other)])
    assert found.rows["_status"].to_pylist() == [200, 503]
    assert found.rows["_arrival"].to_pylist() == [0, 2]


def test_half_of_a_surrogate_pair_harms_its_own_line_alone() -> None:
    broken = json.dumps(LINE | {"inputs": [{"kind": "\ud800"}]}).encode()
    found = parsed(broken, LINE)
    assert (found.lines[0][0], found.unfit, found.bad) == (1, [(0, broken)], 0)
    assert parsed(json.dumps(LINE | {"id": "\ud800"}).encode(), LINE).bad == 1
    assert parsed(json.dumps(LINE | {"decision": ["\ud800"]}).encode(), LINE).bad == 1


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_stop_the_reader(noise: bytes, at: int) -> None:
    data = json.dumps(LINE).encode() + b"\n" + json.dumps(FAILED).encode()
    found = live_rows.parse(data[:at] + noise + data[at:], TYPES)
    assert len(found.lines) <= 2
    assert found.rows.schema.field("_id").type == pa.string()


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=["Cs"]))),
        min_size=1,
        max_size=5,
    )
)
def test_inputs_come_back_as_they_were_sent(pairs: list[tuple[float, str]]) -> None:
    inputs = [{"x": x, "kind": kind} for x, kind in pairs]
    line = LINE | {"inputs": inputs, "score": [0.5] * len(inputs), "decision": ["1"] * len(inputs)}
    rows = parsed(line).rows
    np.testing.assert_array_equal(rows["x"].to_numpy(), np.array([x for x, _ in pairs]) + 0.0)
    assert rows["kind"].to_pylist() == [kind or None for _, kind in pairs]
