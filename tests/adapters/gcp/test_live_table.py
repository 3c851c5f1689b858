"""The servers' segments in Cloud Storage come into BigQuery by appends: no load job, and each once."""

from __future__ import annotations

from unittest import mock

import pytest

from components.adapters import live_table
from components.adapters.changes import Changes
from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.tables import CloudTables
from tests.adapters.gcp.proxy import Proxy
from tests.adapters.segments import CASE, TABLE, Here

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
MARK = f"inference/{CASE}/a/taken.json"


@pytest.fixture
def here(gcs: Proxy, bigquery: Proxy, prefix: str, dataset: str) -> Here:
    return Here(CloudBlobs(prefix), CloudTables(dataset))


@pytest.mark.slow
def test_segments_cost_no_load_job_and_who_watches_sees_the_windows_that_grew(here: Here, bigquery: Proxy) -> None:
    watching = Changes(here.tables, TABLE, since=0.0)
    for number in range(1, 19):
        here.write("a", number, f"a{number}")
    here.write("b", 1, "b1")
    found = here.collect()
    assert (found.segments, found.waiting) == (19, 0)
    assert watching.windows() == ["server-a-00000001+16", "server-a-00000017+16", "server-b-00000001+16"]
    assert watching.windows() == []
    here.write("a", 19, "a19")
    assert here.collect(here.collector()).segments == 1
    assert watching.windows() == ["server-a-00000017+16"]
    assert watching.read("server-a-00000017+16", ["_id"])["_id"].to_pylist() == ["a17", "a18", "a19"]
    assert here.ids() == sorted([f"a{number}" for number in range(1, 20)] + ["b1"])
    assert bigquery.count("^(PUT|POST) /upload/") == 0


def test_a_look_asks_for_what_was_predicted_since_and_nothing_before(here: Here, bigquery: Proxy) -> None:
    here.write("a", 1, "a1")  # predicted at 101 seconds since 1970
    here.write("a", 17, "a17")
    here.collect()
    watching = Changes(here.tables, TABLE, since=110.5, by="_at")
    bigquery.seen.clear()
    assert watching.windows() == ["server-a-00000017+16"]
    [asked] = (request for request in bigquery.seen if "COUNT(*)" in request)
    assert "AND _at >= TIMESTAMP_MICROS(110500000) GROUP BY" in asked
    here.write("a", 2, "a2")
    here.write("a", 18, "a18")
    here.collect()
    assert watching.windows() == ["server-a-00000017+16"]


@pytest.mark.slow
def test_rows_whose_mark_was_lost_come_again_and_count_once(here: Here) -> None:
    here.write("a", 1, "p", "q")
    here.collect()
    here.blobs.delete(MARK)
    here.write("a", 2, "r")
    assert here.collect(here.collector()).segments == 2
    assert here.ids() == ["p", "q", "r"]
    counted = here.tables.query(f"SELECT COUNT(*) AS n FROM {TABLE}")
    assert counted["n"].to_pylist() == [3]


@pytest.mark.slow
def test_windows_of_one_segment_stay_beside_those_that_grow(here: Here) -> None:
    here.write("a", 1, "p")
    here.collect()
    rows = here.tables.read(TABLE)
    here.tables.replace(TABLE, "server-old-00000001", rows)
    here.write("old", 1, "p")
    here.write("old", 2, "q")
    assert here.collect(here.collector()).segments == 1
    assert here.tables.windows(TABLE) == ["server-a-00000001+16", "server-old-00000001", "server-old-00000001+16"]
    assert here.ids() == ["p", "p", "q"]


@pytest.mark.slow
def test_segments_go_after_a_while_and_then_the_mark(here: Here) -> None:
    here.write("a", 1, "p")
    with mock.patch.object(live_table, "time") as clock:
        clock.time.return_value = 1e9
        here.collect()
        assert here.logged() == ["a/00000001.jsonl", "a/taken.json"]
        clock.time.return_value += 3600.0
        here.collect()
        assert here.logged() == ["a/taken.json"]
        here.collect(here.collector())
    assert here.logged() == []
    assert here.ids() == ["p"]


def test_segments_whose_input_has_another_type_than_the_table_has_are_among_the_dead_letters(here: Here) -> None:
    here.write("a", 1, "p")
    here.collect()
    here.write("b", 1, "q", x="word")
    other = live_table.Intake(here.blobs, here.tables, CASE, {"x": "string"})
    assert here.collect(other).refused == 1
    assert here.collect(here.collector()).segments == 0
    assert here.ids() == ["p"]
    (letter,) = here.tables.read("dead_letter_my_case").to_pylist()
    assert letter["reason"] == (
        f"{TABLE}: 'x' must be FLOAT, as the table has it. Got 'STRING'. "
        "Cast it to double, or write to a table of another name."
    )
