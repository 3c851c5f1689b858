"""The servers' segments come into the live table once each, and whoever watches reads what is new."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters import live_table, taken
from components.adapters.changes import Changes
from components.adapters.live_table import Intake
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.tables import ParquetTables
from components.core import live_rows
from components.core.errors import ArtifactError
from tests import processes
from tests.adapters.segments import CASE, TABLE, TYPES, Here, gather, local


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return local(tmp_path)


@dataclass
class Clock:
    now: float = 1e9

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The collectors' own."""
    made = Clock()
    monkeypatch.setattr(live_table, "time", made)
    return made


def test_segments_come_once_each_sixteen_of_a_server_in_a_window(here: Here) -> None:
    here.write("a-1", 1, "p", "q")
    here.write("b.2", 1, "r")
    first = here.collect()
    assert (first.segments, first.requests, first.bad) == (2, 3, 0)
    assert here.tables.windows(TABLE) == ["server-a-1-00000001+16", "server-b.2-00000001+16"]
    here.write("a-1", 16, "s")
    here.write("a-1", 17, "t")
    again = here.collect(here.collector())
    assert (again.segments, again.requests) == (2, 2)
    assert here.ids() == ["p", "q", "r", "s", "t"]
    assert here.tables.windows(TABLE) == ["server-a-1-00000001+16", "server-a-1-00000017+16", "server-b.2-00000001+16"]
    assert here.collect(here.collector()).segments == 0


def test_a_row_is_named_by_its_segment_and_its_place_there(here: Here) -> None:
    here.write("a", 2, "r")
    here.write("a", 1, "p", "q")
    here.collect()
    rows = here.tables.read(TABLE, columns=["_id", "_arrival"]).to_pylist()
    assert {row["_id"]: row["_arrival"] for row in rows} == {"p": 1 << 24, "q": (1 << 24) + 1, "r": 2 << 24}


def test_counts_add_up_over_calls_and_drops_are_each_servers_last_word(here: Here) -> None:
    here.write("a", 1, "p", dropped=3, torn=b'{"id": "half')
    here.collect()
    here.write("a", 2, "q", dropped=5)
    here.write("b", 1, "r", dropped=2)
    found = here.collect()
    assert (found.segments, found.requests, found.bad) == (3, 3, 1)
    assert found.dropped == {"a": 5, "b": 2}


def test_the_newest_come_first_and_a_backlog_waits(here: Here) -> None:
    for number in range(1, 6):
        here.write("a", number, str(number))
    found = here.collect(most=2)
    assert here.ids() == ["4", "5"]
    assert found.waiting == 3
    here.collect(most=2)
    here.collect(most=2)
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
    assert here.blobs.exists(f"inference/{CASE}/{name}")


def test_a_segment_without_a_sound_line_is_done_with_too(here: Here) -> None:
    here.blobs.write(f"inference/{CASE}/a/00000001.jsonl", b"\xff\n{}\n")
    assert here.collect().bad == 2
    assert here.collect(here.collector()).segments == 0
    assert here.tables.windows(TABLE) == []


@pytest.mark.slow
def test_a_kill_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    n = 1
    while True:
        root = tmp_path / str(n)
        here = local(root)
        here.write("a", 1, "p", "q")
        here.write("a", 2, "r")
        died = processes.dies_at(n, gather, root)
        here.collect()
        assert here.ids() == ["p", "q", "r"]
        if not died:
            break
        n += 1
    assert n > 10


def test_a_row_keeps_its_place_whatever_lines_a_collector_leaves_out(here: Here) -> None:
    """Canaries differ in their models' inputs; one of them was killed before it had noted what it took in."""
    here.write("a", 1, "p", "q", "r")
    name = f"inference/{CASE}/a/00000001.jsonl"
    lines = here.blobs.read(name)[0].splitlines()
    here.blobs.write(name, b"\n".join([lines[0].replace(b'"x": 0.5', b'"x": "no number"'), *lines[1:]]))
    here.collect(here.collector({}))
    here.blobs.delete(f"inference/{CASE}/a/{taken.FILE}")
    assert here.collect(here.collector()).refused == 1
    assert here.ids() == ["p", "q", "r"]
    (letter,) = here.tables.read("dead_letter_my_case").to_pylist()
    assert (json.loads(letter["raw"])["id"], letter["_arrival"]) == ("p", 1 << 24)
    assert letter["reason"] == "an input is of another type than the live models'"


def test_two_that_collect_at_once_write_the_same_rows(here: Here, tmp_path: Path) -> None:
    for number in range(1, 4):
        here.write("a", number, *(f"{number}-{i}" for i in range(20)))
    processes.at_once([(gather, (tmp_path,))] * 2)
    assert len(here.ids()) == len(set(here.ids())) == 60


HOUR = 3600.0


def test_what_was_a_window_of_its_own_before_there_were_marks_stays_and_is_not_taken_in_again(here: Here) -> None:
    here.write("a", 1, "p")
    here.write("a", 2, "q")
    here.tables.replace(TABLE, "server-a-00000001", rows("p"))
    assert here.collect().segments == 1
    assert set(here.tables.windows(TABLE)) == {"server-a-00000001", "server-a-00000001+16"}
    assert here.ids() == ["p", "q"]
    here.write("a", 3, "r")
    assert here.collect(here.collector()).segments == 1
    assert here.ids() == ["p", "q", "r"]


def test_a_number_that_comes_late_is_taken_in(here: Here) -> None:
    here.write("a", 1, "p")
    here.write("a", 3, "r")
    here.collect()
    here.write("a", 2, "q")
    assert here.collect().segments == 3
    assert here.ids() == ["p", "q", "r"]


def test_segments_are_deleted_an_hour_or_two_after_they_were_taken_in(here: Here, clock: Clock) -> None:
    for number in (1, 2):
        here.write("a", number, str(number))
    here.collect()
    clock.now += HOUR / 2
    here.write("a", 3, "3")
    here.collect()
    clock.now += HOUR / 2 - 1
    here.collect()
    assert here.logged() == ["a/00000001.jsonl", "a/00000002.jsonl", "a/00000003.jsonl", "a/taken.json"]
    clock.now += 1
    here.collect()
    assert here.logged() == ["a/00000003.jsonl", "a/taken.json"]
    here.collect()  # notes what is taken in by now
    clock.now += HOUR
    here.collect(here.collector())
    assert here.logged() == ["a/taken.json"]
    assert here.ids() == ["1", "2", "3"]


def test_a_server_without_segments_loses_its_mark_and_may_go_on(here: Here, clock: Clock) -> None:
    here.write("a", 7, "p")
    here.collect()
    clock.now += HOUR
    here.collect()
    here.collect()
    assert here.logged() == []
    here.write("a", 8, "q")
    assert here.collect().segments == 2
    assert here.ids() == ["p", "q"]


def test_a_backlog_is_deleted_piece_by_piece_and_nothing_that_has_just_come(here: Here, clock: Clock) -> None:
    first, second, *rest = (f"a/{number:08d}.jsonl" for number in range(1, 6))
    for number in range(1, 6):
        here.write("a", number, str(number))
    here.collect(most=3)
    clock.now += HOUR
    here.collect(most=2)
    assert here.logged() == [first, second, rest[-1], "a/taken.json"]
    here.collect()
    assert here.logged() == [first, second, "a/taken.json"]
    assert here.ids() == ["1", "2", "3", "4", "5"]


def test_a_backlog_is_worked_off_by_one_call_and_deleted_by_two_however_long_after(here: Here, clock: Clock) -> None:
    for number in range(1, 8):
        here.write("a", number, str(number))
    here.intake.work_off(60.0, most=3, clears=True)
    assert (here.intake.collected.waiting, here.intake.collected.segments) == (0, 7)
    clock.now += 24 * HOUR
    here.intake.work_off(60.0, most=2, clears=True)
    assert here.logged() == [*(f"a/{number:08d}.jsonl" for number in range(1, 5)), "a/taken.json"]
    clock.now += 24 * HOUR
    here.intake.work_off(60.0, most=2, clears=True)
    assert here.logged() == ["a/taken.json"]
    assert here.ids() == ["1", "2", "3", "4", "5", "6", "7"]


def test_without_time_a_backlog_waits(here: Here) -> None:
    for number in range(1, 4):
        here.write("a", number, str(number))
    here.intake.work_off(0.0, most=2)
    assert here.intake.collected.waiting == 1


def test_who_looks_at_what_another_has_taken_in_and_deleted_goes_on(here: Here, clock: Clock) -> None:
    here.write("a", 1, "p")
    late, names = here.collector(), here.blobs.names(f"inference/{CASE}/")
    here.collect()
    clock.now += HOUR
    here.collect()
    here.collect()
    with mock.patch.object(FileBlobs, "names", return_value=names):
        assert here.collect(late).segments == 0
    assert here.ids() == ["p"]


def test_a_mark_that_somebody_altered_is_named(here: Here) -> None:
    name = f"inference/{CASE}/a/taken.json"
    here.write("a", 1, "p")
    here.blobs.write(name, b"{}")
    with pytest.raises(ArtifactError) as caught:
        here.collect()
    assert str(caught.value) == (
        f"{name}: 'mark' must be as it was written. Got b'{{}}'. "
        "Delete it: what it names is taken in again, and counts once."
    )
    here.blobs.delete(name)
    assert here.collect().segments == 1


class Killed(Exception):
    """In place of a kill: what was done stays, and nobody cleans up."""


class Frail:
    """A store whose n-th call from now on ends its caller, before it is done or after."""

    def __init__(self, store: Any) -> None:
        self._store, self.left, self.done = store, 0, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.done:
                raise Killed
            answer = method(*given, **named)
            if self.left == 0:
                raise Killed
            return answer

        return call


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("ab"), st.sampled_from([1, 1, 1, 2, 9])),
    st.tuples(st.just("late"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("collect"), st.sampled_from([0, 1]), st.integers(1, 4)),
    st.tuples(st.just("kill"), st.booleans(), st.integers(1, 11)),
    st.tuples(st.just("wait"), st.just(""), st.sampled_from([HOUR / 2, HOUR])),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=4, max_size=25))
def test_whatever_happens_each_line_is_there_once_and_deleted_only_then(
    tmp_path_factory: pytest.TempPathFactory, clock: Clock, steps: list[tuple[str, Any, Any]]
) -> None:
    here = local(tmp_path_factory.mktemp("log"))
    at, missing, ids = Counter[str](), list[tuple[str, int]](), list[str]()

    def write(server: str, number: int) -> None:
        mine = [f"{server}{number}-{i}" for i in range(2)]
        here.write(server, number, *mine)
        ids.extend(mine)

    collectors = [here.collector(), here.collector()]
    for what, who, number in steps:
        if what == "write":  # past the numbers of writes that failed
            missing += [(who, at[who] + skipped) for skipped in range(1, number)]
            at[who] += number
            write(who, at[who])
        elif what == "late" and missing:
            write(*missing.pop())
        elif what == "collect":
            here.collect(collectors[who], most=number)
        elif what == "kill":
            blobs, tables = Frail(here.blobs), Frail(here.tables)
            fails, at_call = (blobs, number) if number <= 8 else (tables, number - 8)
            fails.left, fails.done = at_call, who
            with suppress(Killed):
                Intake(blobs, tables, CASE, TYPES).collect(most=5)
        elif what == "wait":
            clock.now += number
    while here.collect(collectors[0]).waiting:
        pass
    assert (here.ids() if ids else []) == sorted(ids)
    for _ in range(4):
        clock.now += HOUR
        for _ in range(2):
            here.collect(collectors[0])
    assert here.logged() == []
    assert (here.ids() if ids else []) == sorted(ids)


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


def test_windows_that_lay_untouched_since_before_are_never_read(here: Here, tmp_path: Path) -> None:
    here.tables.replace(TABLE, "old", rows("a"))
    since = here.tables.written(TABLE)["old"].at + 5
    watching = Changes(here.tables, TABLE, since)
    assert watching.windows() == []
    path = next(tmp_path.rglob("old.parquet"))
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


def test_a_segment_with_another_type_than_the_table_has_is_among_the_dead_letters_and_the_others_are_not(
    here: Here,
) -> None:
    here.write("a", 1, "p", "q")
    here.collect()
    other = Intake(here.blobs, here.tables, CASE, {"x": "string"})
    here.write("a", 2)  # of failed requests alone: without inputs
    here.write("a", 3, "r", x="word")
    found = here.collect(other)
    assert (found.segments, found.requests, found.refused, found.waiting) == (2, 1, 1, 0)
    assert here.ids() == ["p", "q"]
    letters = here.tables.read(f"dead_letter_{TABLE.removeprefix('live_')}").to_pylist()
    assert [json.loads(row["raw"])["id"] for row in letters] == ["r"]
    assert [(row["_arrival"] - (3 << 24), row["step"]) for row in letters] == [(0, "intake")]
    assert letters[0]["reason"].startswith(f"{TABLE}: 'rows' must have the types of the table's. Got ")
    here.write("a", 4, "s")
    assert here.collect().segments == 2
    assert here.collect(here.collector()).segments == 0
    assert here.ids() == ["p", "q", "s"]
