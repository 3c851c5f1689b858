"""Joins and windows against a naive reading of their definition, to the bit and in any chunking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.arrow import ARROW
from components.core.case import Case, Window
from components.core.declared import seconds, validate
from components.core.enrich import Enrichment
from components.core.errors import DataError
from components.core.events import HISTORY

KEYS = ["", None, "ß", "SS", "ﬁ", "fi", "é", "é", "👩‍🚀", "a|b", "\x00"]
NUMBERS = [None, math.nan, 0.0, -0.0, 1.0]
VALUES = [None, math.nan, math.inf, -math.inf, 1e300, 0.04, 0.05, 0.15, -0.25, 7.0, 1e15]
Row = dict[str, Any]


def make_case(*, references: dict[str, Any] | None = None, **windows: Any) -> Case:
    return validate(
        Case,
        {
            "name": "small",
            "source": {"path": "x.csv"},
            "columns": {
                "key": {"type": "string"},
                "other": {"type": "number"},
                "value": {"type": "number"},
                "flag": {"type": "bool"},
                "when": {"type": "timestamp"},
                "seq": {"type": "number"},
                "label": {"type": "number", "known": "label"},
            },
            "entity_id": ["seq"],
            "event_time": {"column": "when"},
            "label": {"column": "label", "matures": {"column": "when"}},
            "windows": windows,
            "references": references or {},
            "model": {"task": "regression"},
        },
        where="test",
    )


WINDOWS: dict[str, Any] = {
    "plain": {"by": ["key"], "over": ["1s", "3s"]},
    "pair": {"by": ["key", "other"], "over": ["5s"], "of": "value", "unit": 0.1, "compute": ["count", "sum", "mean"]},
    "landed": {"by": ["key"], "over": ["2s", "9s"], "of": "label", "compute": ["count", "mean"], "known": "label"},
    "flagged": {"by": ["key"], "over": ["4s"], "of": "value", "unit": 0.5, "compute": ["sum"]},
}


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows with key, other, value, label, at and lands (half seconds), and the arrival numbers of event and label."""

    def times(name: str) -> pa.Array:
        moments = [None if row[name] is None else row[name] * 500_000 for row in rows]
        return pa.array(moments, pa.int64()).cast(pa.timestamp("us")).cast(ARROW["timestamp"])

    columns = {
        "key": pa.array([row["key"] for row in rows], pa.string()),
        "other": pa.array([row["other"] for row in rows], pa.float64()),
        "value": pa.array([row["value"] for row in rows], pa.float64()),
        "label": pa.array([row["label"] for row in rows], pa.float64()),
        "_event_time": times("at"),
        "_arrival": pa.array([row["arrival"] for row in rows], pa.int64()),
        "_label_time": times("lands"),
        "_label_arrival": pa.array([row["landed"] for row in rows], pa.int64()),
    }
    return pa.table(columns)


def naive(case: Case, rows: Sequence[Row]) -> dict[str, list[float]]:
    """The definition, row by row and pair by pair, in whole numbers until the last division."""
    made: dict[str, list[float]] = {}
    for name, window in case.windows.items():
        for column, compute, length in window.names(name):
            made[column] = [_naive_value(window, rows, row, compute, 2 * seconds(length)) for row in rows]
    return made


def _naive_value(window: Window, rows: Sequence[Row], row: Row, compute: str, length: int) -> float:
    if row["arrival"] is None:
        return math.nan
    units = [_units(window, entry) for entry in rows if _sees(window, row, entry, length)]
    kept = [unit for unit in units if unit is not None]
    if compute == "count":
        return float(len(kept))
    total = float(sum(kept)) * window.unit
    if compute == "sum":
        return total
    return total / len(kept) if kept else math.nan


def _sees(window: Window, row: Row, entry: Row, length: int) -> bool:
    mine, theirs = ([r[name] for name in window.by] for r in (row, entry))
    if mine != theirs or any(part in (None, "") or part != part for part in mine):
        return False
    time, arrival = entry["at"], entry["arrival"]
    if window.known == "label":
        if entry["lands"] is None:
            return False
        time, arrival = max(time, entry["lands"]), entry["landed"]
    elif arrival is None:
        return False
    return bool(row["at"] - length <= time < row["at"] and (arrival is None or arrival < row["arrival"]))


def _units(window: Window, entry: Row) -> int | None:
    if window.of is None:
        return 0
    value: float | None = entry[window.of]
    if value is None or not math.isfinite(value) or abs(value / window.unit) > 2**53:
        return None
    return round(value / window.unit)


@st.composite
def events(draw: st.DrawFn, numbers: str = "any") -> list[Row]:
    """Rows sorted by time. Their numbers are any, the times in microseconds, or those before a log's offsets."""
    count = draw(st.integers(0, 40))
    late = draw(st.sampled_from([0, 3, 100]))
    before = HISTORY if numbers == "history" else 0
    rows = []
    for _ in range(count):
        at = draw(st.integers(0, 30))
        lands = draw(st.none() | st.integers(at - 3, at + 20))
        row = {
            "key": draw(st.sampled_from(KEYS)),
            "other": draw(st.sampled_from(NUMBERS)),
            "value": draw(st.sampled_from(VALUES)),
            "label": draw(st.sampled_from(VALUES)),
            "at": at,
            "arrival": at * 500_000 + before,
            "lands": lands,
            "landed": None if lands is None else lands * 500_000 + before,
        }
        if numbers == "any":
            row["arrival"] = at + draw(st.integers(0, late))
            row["landed"] = None if lands is None else draw(st.none() | st.integers(at, at + late))
        rows.append(row)
    return sorted(rows, key=lambda row: int(row["at"]))


def fold(enrichment: Enrichment, rows: pa.Table, cuts: Sequence[int]) -> pa.Table:
    state, done = enrichment.empty(), []
    edges = [0, *sorted(min(cut, rows.num_rows) for cut in cuts), rows.num_rows]
    for start, stop in pairwise(edges):
        state, made = enrichment(state, rows.slice(start, stop - start))
        done.append(made)
    return pa.concat_tables(done)


def assert_same_bits(made: pa.Table, expected: dict[str, list[float]]) -> None:
    for name, values in expected.items():
        got = np.asarray(made.column(name).combine_chunks().fill_null(math.nan))
        np.testing.assert_array_equal(got.view(np.int64), np.array(values, dtype=np.float64).view(np.int64), name)


BURST: list[Row] = [
    {
        "key": "ß",
        "other": 1.0,
        "value": 0.05,
        "label": 2.0,
        "at": i // 3,
        "arrival": -i,
        "lands": i // 3 + i % 4,
        "landed": 50 - i,
    }
    for i in range(60)
]


@pytest.mark.parametrize("numbers", ["any", "times", "history"])
@settings(deadline=None, max_examples=60)
@given(data=st.data(), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_windows_are_their_definition_in_any_chunking_of_sorted_rows(
    numbers: str, data: st.DataObject, cuts: list[int]
) -> None:
    rows = data.draw(events(numbers))
    case = make_case(**WINDOWS)
    enrichment, expected = Enrichment(case, {}), naive(case, rows)
    whole = fold(enrichment, table(rows), [])
    assert_same_bits(whole, expected)
    assert_same_bits(fold(enrichment, table(rows), cuts), expected)


def test_many_rows_of_one_key_that_arrive_in_reverse_are_the_definition_too() -> None:
    case = make_case(**WINDOWS)
    assert_same_bits(fold(Enrichment(case, {}), table(BURST), [7, 8, 31]), naive(case, BURST))


@settings(deadline=None, max_examples=60)
@given(rows=events(), jitter=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 80), max_size=5))
def test_events_and_labels_folded_as_they_arrive_get_what_the_sorted_whole_gets(
    rows: list[Row], jitter: Any, cuts: list[int]
) -> None:
    """Each row comes as an event and, where its label lands, once more by itself; the whole has both in one row."""
    sent = [(row["at"] + jitter.randint(0, 9), i, "event") for i, row in enumerate(rows)]
    sent += [
        (row["lands"] + jitter.randint(0, 9), i, "label") for i, row in enumerate(rows) if row["lands"] is not None
    ]
    arrived, whole = [], [dict(row, arrival=None, landed=None) for row in rows]
    for number, (_, i, kind) in enumerate(sorted(sent)):
        name = "arrival" if kind == "event" else "landed"
        whole[i][name] = number
        arrived.append(
            rows[i] | {"arrival": None, "landed": None, name: number} | ({"lands": None} if name == "arrival" else {})
        )
    case = make_case(**WINDOWS)
    made = fold(Enrichment(case, {}, lateness=20), table(arrived), cuts)
    assert_same_bits(made, naive(case, arrived))
    assert_same_bits(fold(Enrichment(case, {}), table(whole), cuts), naive(case, whole))
    asked = [i for number, (_, i, kind) in enumerate(sorted(sent)) if kind == "event"]
    expected = {name: [values[i] for i in asked] for name, values in naive(case, whole).items()}
    assert_same_bits(made.filter(made.column("_arrival").is_valid()), expected)


def test_the_state_holds_the_longest_window_and_the_labels_that_have_not_landed() -> None:
    row = {"key": "a", "other": 1.0, "value": 1.0, "label": 1.0, "arrival": 0, "landed": None}
    rows = [{**row, "at": at, "lands": lands} for at, lands in ((0, None), (0, 50), (1, 2), (10, 11), (28, 30))]
    case = make_case(**WINDOWS)
    state, _ = Enrichment(case, {})(Enrichment(case, {}).empty(), table(rows))
    kept = [round(moment.timestamp() * 2) for moment in state.column("_event_time").to_pylist()]
    assert kept == [0, 10, 28]  # 28 - 2 * 9s = 10
    late = Enrichment(case, {}, lateness=4)
    state, _ = late(late.empty(), table(rows))
    kept = [round(moment.timestamp() * 2) for moment in state.column("_event_time").to_pylist()]
    assert kept == [0, 1, 10, 28]


def test_a_label_that_came_by_itself_stays_as_long_as_its_landing_counts_where_a_window_waits() -> None:
    row = {"key": "a", "other": 1.0, "value": 1.0, "label": 1.0}
    label = row | {"at": 0, "arrival": None, "lands": 40, "landed": 1}
    event = row | {"at": 0, "arrival": 0, "lands": None, "landed": None}
    later = event | {"at": 20, "arrival": 2}
    for windows, kept in ((WINDOWS, [None, 2]), ({"plain": WINDOWS["plain"]}, [2])):
        enrichment = Enrichment(make_case(**windows), {})
        # The landing is yet to come for rows in the order of their events: it moves nothing on.
        before = enrichment.remember(enrichment.empty(), table([event, label]))
        assert 0 in before.column("_arrival").to_pylist()
        assert enrichment.remember(before, table([later])).column("_arrival").to_pylist() == kept


def test_a_case_without_windows_keeps_no_state() -> None:
    enrichment = Enrichment(make_case(), {})
    rows = table(BURST)
    state, made = enrichment(enrichment.empty(), rows)
    assert (state.num_rows, made.equals(rows)) == (0, True)


REFERENCE = {
    "source": {"path": "r.csv"},
    "columns": {
        "k": {"type": "string"},
        "n": {"type": "number"},
        "at": {"type": "timestamp"},
        "v": {"type": "number"},
        "w": {"type": "string"},
    },
    "by": {"key": "k", "other": "n"},
    "time": "at",
    "within": "3s",
    "take": ["v", "w"],
}


def reference_table(rows: Sequence[tuple[str | None, float | None, int | None, float | None, str | None]]) -> pa.Table:
    k, n, at, v, w = ([row[i] for row in rows] for i in range(5))
    moments = pa.array([None if m is None else m * 500_000 for m in at], pa.int64())
    return pa.table(
        {
            "k": pa.array(k, pa.string()),
            "n": pa.array(n, pa.float64()),
            "at": moments.cast(pa.timestamp("us")).cast(ARROW["timestamp"]),
            "v": pa.array(v, pa.float64()),
            "w": pa.array(w, pa.string()),
        }
    )


reference_rows = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(NUMBERS),
        st.none() | st.integers(0, 30),
        st.sampled_from([None, 0.5, -1.0]),
        st.sampled_from(["", None, "ß"]),
    ),
    max_size=60,
)


@pytest.mark.parametrize("timed", [True, False])
@settings(deadline=None, max_examples=60)
@given(rows=events(), known=reference_rows)
def test_a_join_takes_the_newest_row_of_the_key_within_the_tolerance(
    timed: bool, rows: list[Row], known: list[tuple[Any, ...]]
) -> None:
    reference = REFERENCE if timed else {**REFERENCE, "time": None, "within": None}
    enrichment = Enrichment(make_case(references={"ref": reference}), {"ref": reference_table(known)})
    made = enrichment(enrichment.empty(), table(rows))[1]
    expected: list[tuple[Any, Any]] = []
    for row in rows:
        best: tuple[Any, ...] | None = None
        for k, n, at, v, w in known:
            missing = k in (None, "") or n is None or n != n
            if missing or (k, n) != (row["key"], row["other"]):
                continue
            if timed and (at is None or not row["at"] - 6 <= at <= row["at"]):
                continue
            if best is None or not timed or at >= best[0]:
                best = (at, v, w)
        expected.append((None, None) if best is None else best[1:])
    got = zip(made.column("ref_v").to_pylist(), made.column("ref_w").to_pylist(), strict=True)
    assert list(got) == expected


def test_a_reference_table_must_be_there_with_its_columns() -> None:
    case = make_case(references={"ref": REFERENCE})
    with pytest.raises(DataError) as absent:
        Enrichment(case, {})
    assert str(absent.value) == "'ref' must be a reference table of ingest's. Got []. Ingest again."
    with pytest.raises(DataError) as lacking:
        Enrichment(case, {"ref": reference_table([]).drop(["v"])})
    expected = (
        "reference ref: 'v' must be a column of type double. Got ['k', 'n', 'at', 'w']. Ingest the table again with"
    )
    assert str(lacking.value).startswith(expected)


def test_the_added_columns_stand_in_the_cases_order() -> None:
    case = make_case(references={"ref": REFERENCE}, **WINDOWS)
    enrichment = Enrichment(case, {"ref": reference_table([])})
    made = enrichment(enrichment.empty(), table(BURST))[1]
    added = [name for name in made.column_names if name not in table(BURST).column_names]
    assert added == list(case.enriched_types())[len(case.columns) :]
    assert {str(made.schema.field(name).type) for name in added if name != "ref_w"} == {"double"}


def test_sums_that_wrap_in_between_are_exact() -> None:
    """Prefix sums beyond 2^63: the window holds two entries, the prefix 3,000."""
    large = 2.0**53
    rows = [
        {"key": "a", "other": 1.0, "value": large, "label": None, "at": i, "arrival": i, "lands": None, "landed": None}
        for i in range(3000)
    ]
    case = make_case(w={"by": ["key"], "over": ["1s"], "of": "value", "compute": ["sum"]})
    enrichment = Enrichment(case, {})
    made = enrichment(enrichment.empty(), table(rows))[1].column("w_sum_1s").to_pylist()
    assert made == [0.0, large, *[2 * large] * 2998]
