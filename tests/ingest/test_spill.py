"""Rows in any order, out by period, each entity once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.arrow import ARROW
from components.ingest import spill
from components.ingest.spill import Spill

SCHEMA = pa.schema(
    {"_entity": pa.string(), "_arrival": pa.int64(), "_event_time": ARROW["timestamp"], "row": pa.int64()}
)
DAY = 86_400_000_000
ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.integers(0, 3)), max_size=30)


def table_of(rows: list[tuple[str, int, int]], first: int) -> pa.Table:
    """Rows (entity, arrival, half day), numbered from `first`."""
    entities, arrivals, halves = ([row[i] for row in rows] for i in range(3))
    times = pa.array([half * DAY // 2 for half in halves], pa.int64()).cast(ARROW["timestamp"])
    numbers = pa.array(range(first, first + len(rows)), pa.int64())
    return pa.table([pa.array(entities, pa.string()), pa.array(arrivals, pa.int64()), times, numbers], schema=SCHEMA)


def kept(rows: list[tuple[str, int, int]]) -> dict[str, list[int]]:
    """By day, the rows that stay: the naive way."""
    first: dict[str, tuple[int, int, int]] = {}
    for number, (entity, arrival, half) in enumerate(rows):
        first[entity] = min(first.get(entity, (9, 9, 99)), (arrival, half, number))
    result: dict[str, list[int]] = {}
    for _, half, number in sorted(first.values(), key=lambda found: found[2]):
        result.setdefault(f"1970-01-0{1 + half // 2}", []).append(number)
    return result


@pytest.mark.parametrize("run_bytes", [1, 300, spill.RUN_BYTES])
@given(rows=ROWS, size=st.integers(1, 10))
def test_each_entity_comes_out_once_in_its_period(
    tmp_path_factory: pytest.TempPathFactory, run_bytes: int, rows: list[tuple[str, int, int]], size: int
):
    with pytest.MonkeyPatch.context() as patch, Spill(SCHEMA, "day", tmp_path_factory.getbasetemp()) as taken:
        patch.setattr(spill, "RUN_BYTES", run_bytes)
        for start in range(0, len(rows), size):
            taken.add(table_of(rows[start : start + size], start))
        expected = kept(rows)
        assert taken.finish() == len(rows) - sum(map(len, expected.values()))
        found = {str(start)[:10]: taken.rows(start).column("row").to_pylist() for start in taken.counts()}
        assert found == expected
        if rows:
            assert taken.newest() == max(
                np.datetime64(rows[n][2] * DAY // 2, "us") for numbers in expected.values() for n in numbers
            )


def test_entities_whose_hashes_clash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spill, "_hashes", lambda table: np.zeros(table.num_rows, np.int64))
    with Spill(SCHEMA, "day", tmp_path) as taken:
        taken.add(table_of([("a", 0, 0), ("b", 0, 0), ("a", 1, 0)], 0))
        assert taken.finish() == 1
        (start,) = taken.counts()
        assert taken.rows(start).column("row").to_pylist() == [0, 1]


def test_nothing_is_left_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spill, "RUN_BYTES", 1)
    with Spill(SCHEMA, "day", tmp_path) as taken:
        taken.add(table_of([("a", 0, 0)], 0))
        assert list(tmp_path.iterdir()) == []
