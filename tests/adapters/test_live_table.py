"""The servers' segments come into the live table once each, and whoever watches reads what is new."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest

from components.adapters.live_table import Changes
from components.adapters.local.tables import ParquetTables
from components.core import live_rows
from tests import processes
from tests.adapters.segments import CASE, TABLE, Here, gather


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_each_segment_is_a_window_and_comes_once(here: Here) -> None:
    here.write("a-1", 1, "p", "q")
    here.write("b.2", 1, "r")
    first = here.collect()
    assert (first.segments, first.requests, first.bad) == (2, 3, 0)
    assert here.tables.windows(TABLE) == ["server-a-1-00000001", "server-b.2-00000001"]
    here.write("a-1", 2, "s")
    again = here.collect()
    assert (again.segments, again.requests) == (1, 1)
    assert here.ids() == ["p", "q", "r", "s"]
    assert here.collect().segments == 0


def test_counts_add_up_over_calls_and_drops_are_each_servers_last_word(here: Here) -> None:
    here.write("a", 1, "p", dropped=3, torn=b'{"id": "half')
    found = here.collect()
    here.write("a", 2, "q", dropped=5)
    here.write("b", 1, "r", dropped=2)
    here.collect(found)
    assert (found.segments, found.requests, found.bad) == (3, 3, 1)
    assert found.dropped == {"a": 5, "b": 2}


def test_the_newest_come_first_and_a_backlog_waits(here: Here) -> None:
    for number in range(1, 6):
        here.write("a", number, str(number))
    found = here.collect(most=2)
    assert here.ids() == ["4", "5"]
    assert found.waiting == 3
    here.collect(found, most=2)
    here.collect(found, most=2)
    assert (here.ids(), found.waiting, found.segments) == (["1", "2", "3", "4", "5"], 0, 5)


def test_a_server_that_has_just_begun_does_not_wait_for_one_that_is_up_for_long(here: Here) -> None:
    for number in range(900, 905):
        here.write("old", number, f"old {number}")
    here.write("fresh", 1, "fresh 1")
    here.collect(most=2)
    assert here.ids() == ["fresh 1", "old 904"]


@pytest.mark.parametrize("name", ["a/b/00000001.jsonl", "a/1.jsonl", "a/00000001.json", "ß/00000001.jsonl"])
def test_what_is_no_segment_is_left_alone(here: Here, name: str) -> None:
    here.blobs.write(f"inference/{CASE}/{name}", b"{}")
    assert here.collect().segments == 0
    assert here.tables.windows(TABLE) == []


def test_a_segment_without_a_sound_line_is_done_with_too(here: Here) -> None:
    here.blobs.write(f"inference/{CASE}/a/00000001.jsonl", b"\xff\n{}\n")
    assert here.collect().bad == 2
    assert here.collect().segments == 0
    assert here.tables.read(TABLE).num_rows == 0


@pytest.mark.slow
def test_a_kill_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    n = 1
    while True:
        root = tmp_path / str(n)
        here = Here(root)
        here.write("a", 1, "p", "q")
        here.write("a", 2, "r")
        died = processes.dies_at(n, gather, root)
        here.collect()
        assert here.ids() == ["p", "q", "r"]
        if not died:
            break
        n += 1
    assert n > 2


def test_two_that_collect_at_once_write_the_same_rows(here: Here, tmp_path: Path) -> None:
    for number in range(1, 4):
        here.write("a", number, *(f"{number}-{i}" for i in range(20)))
    processes.at_once([(gather, (tmp_path,))] * 2)
    assert len(here.ids()) == len(set(here.ids())) == 60


def rows(*ids: str) -> pa.Table:
    lines = [
        {"id": i, "at": 50.0 + n, "version": 1, "role": "champion", "status": 500, "ms": 1.0} for n, i in enumerate(ids)
    ]
    return live_rows.parse(b"\n".join(json.dumps(line).encode() for line in lines), {}).rows


def test_only_new_and_changed_windows_are_read(here: Here) -> None:
    watching = Changes(here.tables, TABLE, since=0.0)
    assert watching.windows() == []
    here.tables.replace(TABLE, "stream-0", rows("a"))
    here.tables.replace(TABLE, "stream-1", rows("b"))
    assert watching.windows() == ["stream-0", "stream-1"]
    assert watching.windows() == []
    here.tables.replace(TABLE, "stream-1", rows("b", "c"))
    assert watching.windows() == ["stream-1"]
    with mock.patch.object(ParquetTables, "read", side_effect=AssertionError("nothing has changed")):
        assert watching.windows() == []


def test_windows_that_lay_untouched_since_before_are_never_read(here: Here) -> None:
    here.tables.replace(TABLE, "old", rows("a"))
    since = here.tables.written(TABLE)["old"].at + 5
    watching = Changes(here.tables, TABLE, since)
    assert watching.windows() == []
    path = next(p for p in Path(here.tables._root).rglob("old.parquet"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert Changes(here.tables, TABLE, since - 5).windows() == ["old"]


def test_rows_are_read_from_a_moment_on_with_the_columns_that_are_there(here: Here) -> None:
    here.tables.replace(TABLE, "w", rows("a", "b", "c"))
    watching = Changes(here.tables, TABLE, since=0.0)
    found = watching.read("w", ["_id", "_at", "x"], since=51.0)
    assert found.column_names == ["_id", "_at"]
    assert found["_id"].to_pylist() == ["b", "c"]
