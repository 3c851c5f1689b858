"""What every implementation of Tables keeps."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, bigquery_client
from components.adapters.gcp.tables import CloudTables
from components.adapters.local.tables import ParquetTables
from components.adapters.ports import Tables
from components.core.artifacts import sha256
from components.core.errors import CaseError, ConflictError, DataError
from tests import processes

Make = Callable[[Path], Tables]
BIGQUERY = os.environ.get("ESTEIRA_BIGQUERY", "")
REST, _, READ = BIGQUERY.partition(",")


def cloud(run: str, root: Path) -> Tables:
    """Of the emulator, in a dataset per root; in other processes as well, which do not see the fixture's environment."""
    os.environ[BIGQUERY_EMULATOR], os.environ[READ_EMULATOR] = f"http://{REST}", READ
    dataset = f"t_{sha256(f'{run}{root}'.encode())[:16]}"
    bigquery_client("esteira").create_dataset(dataset, exists_ok=True)
    return CloudTables(f"esteira.{dataset}")


MAKERS = [
    pytest.param(ParquetTables, id="parquet"),
    pytest.param(
        partial(cloud, uuid.uuid4().hex),
        id="cloud",
        marks=[
            pytest.mark.servers,
            pytest.mark.skipif(not READ, reason="ESTEIRA_BIGQUERY names no BigQuery emulator (REST, Storage Read)"),
        ],
    ),
]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    for variable in (BIGQUERY_EMULATOR, READ_EMULATOR):
        monkeypatch.setenv(variable, "")  # taken back after the test, whoever set it
    made: Make = request.param
    return made


@pytest.fixture
def tables(make: Make, tmp_path: Path) -> Tables:
    return make(tmp_path / "it's [a] folder*")


def rows(*numbers: int) -> pa.Table:
    return pa.table(
        {"number": pa.array(numbers, pa.int64()), "text": pa.array([f"ß{n}" for n in numbers], pa.string())}
    )


def test_what_was_written_is_read_window_by_window_and_whole(tables):
    tables.replace("scores", "2013-02", rows(3))
    tables.replace("scores", "2013-01", rows(1, 2))
    assert tables.windows("scores") == ["2013-01", "2013-02"]
    assert tables.read("scores", window="2013-01") == rows(1, 2)
    assert tables.read("scores", columns=["number"]) == rows(1, 2, 3).select(["number"])


def test_a_window_written_again_is_replaced(tables):
    tables.replace("scores", "2013-01", rows(1, 2))
    tables.replace("scores", "2013-02", rows(3))
    tables.replace("scores", "2013-01", rows(9))
    assert tables.read("scores") == rows(9, 3)


def test_a_window_without_rows_is_a_window(tables):
    tables.replace("scores", "2013-01", rows())
    assert tables.windows("scores") == ["2013-01"]
    assert tables.read("scores") == rows()
    assert tables.query("SELECT count(*) AS n FROM scores").to_pylist() == [{"n": 0}]


def test_windows_are_in_the_order_of_time_however_long_they_are(tables):
    for number, window in enumerate(["2013-02", "2013-01-02", "2013-01", "2013-01-01"]):
        tables.replace("scores", window, rows(number))
    assert tables.windows("scores") == list(tables.written("scores"))
    assert tables.windows("scores") == ["2013-01", "2013-01-01", "2013-01-02", "2013-02"]


def test_a_column_that_older_windows_lack_is_null_there(tables):
    tables.replace("scores", "2013-01", rows(1).select(["number"]))
    tables.replace("scores", "2013-02", rows(2))
    assert tables.read("scores")["text"].to_pylist() == [None, "ß2"]
    assert tables.query("SELECT text FROM scores ORDER BY number")["text"].to_pylist() == [None, "ß2"]


def test_sql_sees_all_windows_and_values_are_bound(tables):
    tables.replace("scores", "2013-01", rows(1, 2))
    tables.replace("scores", "2013-02", rows(3))
    tables.replace("other_scores", "2013-02", rows(3, 4))
    found = tables.query("SELECT text FROM scores JOIN other_scores USING (text) WHERE text = $text", {"text": "ß3"})
    assert found.to_pylist() == [{"text": "ß3"}]
    injected = tables.query("SELECT * FROM scores WHERE text = $text", {"text": "' OR 1 = 1 --"})
    assert injected.num_rows == 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=20))
def test_numbers_survive_to_the_bit(make, tmp_path_factory, values):
    table = pa.table({"number": pa.array(values, pa.int64())})
    tables = make(tmp_path_factory.mktemp("tables"))
    tables.replace("scores", "w", table)
    assert tables.read("scores") == table
    assert tables.query("SELECT number FROM scores")["number"].to_pylist() == values


@pytest.mark.parametrize("call", [lambda t: t.read("nothing"), lambda t: t.read("scores", window="2013-09")])
def test_an_absent_table_or_window_is_an_error(tables, call):
    tables.replace("scores", "2013-01", rows(1))
    with pytest.raises(DataError, match="'table' must exist"):
        call(tables)


def test_the_windows_of_an_absent_table_are_none(tables):
    assert tables.windows("nothing") == []


def test_an_absent_column_is_an_error_that_names_it(tables):
    tables.replace("scores", "2013-01", rows(1))
    with pytest.raises(DataError, match="nope"):
        tables.read("scores", columns=["nope"])
    with pytest.raises(DataError, match="nope") as caught:
        tables.query("SELECT nope FROM scores")
    assert caught.value.rule in ("be a query that DuckDB runs", "be a query that BigQuery runs")
    assert caught.value.remedy == "Tables: scores."


@pytest.mark.parametrize("table", ["../x", "a/b", "a b", 'a"b', "a;drop", "", "A", "1a", "a" * 64, "a\0"])
def test_a_table_name_that_is_no_identifier_is_refused(tables, table):
    for call in (
        lambda: tables.replace(table, "w", rows(1)),
        lambda: tables.read(table),
        lambda: tables.windows(table),
    ):
        with pytest.raises(CaseError) as caught:
            call()
        rule = "be lower-case letters, digits and _, at most 63, starting with a letter"
        assert (caught.value.name, caught.value.rule, caught.value.value) == ("table", rule, table)


@pytest.mark.parametrize("window", ["../x", "a/b", "", ".", "..", ".hidden", "a b", "a" * 101, "a\0", "%2e"])
def test_a_window_name_that_could_leave_the_table_is_refused(tables, window):
    with pytest.raises(CaseError, match=r"'window' must be letters, digits and _\.:\+-, at most 100"):
        tables.replace("scores", window, rows(1))
    assert tables.windows("scores") == []


@pytest.mark.parametrize(
    "window", ["2013-01", "2013-01-01T00:00:00+01:00", "stream-00000001", "server-ab12-00000001", "a" * 100, "v1.2"]
)
def test_a_period_a_time_and_a_writers_number_are_window_names(tables, window):
    tables.replace("scores", window, rows(1))
    assert tables.windows("scores") == [window]
    assert tables.read("scores", window=window) == rows(1)


def token(tables: Tables, window: str = "2013-01") -> str:
    return tables.written("scores")[window].token


def test_what_was_written_is_told_without_reading_it(tables):
    assert tables.written("scores") == {}
    before = time.time()
    tables.replace("scores", "2013-02", rows(1))
    tables.replace("scores", "2013-01", rows(1))
    assert list(tables.written("scores")) == ["2013-01", "2013-02"]
    assert all(before - 1 <= state.at <= time.time() + 1 for state in tables.written("scores").values())


def test_every_writing_has_a_token_of_its_own_that_reading_does_not_change(tables):
    seen = []
    for number in (1, 1, 2, 1):
        tables.replace("scores", "2013-01", rows(number))
        tables.read("scores")
        seen.append(token(tables))
        assert token(tables) == seen[-1]
        tables.replace("scores", "2013-02", rows(number))
        assert token(tables) == seen[-1]
    assert len(set(seen)) == 4


def test_a_window_is_replaced_after_the_writing_that_was_read(tables):
    tables.replace("scores", "2013-01", rows(1), after="")
    tables.replace("scores", "2013-01", rows(2), after=token(tables))
    assert tables.read("scores") == rows(2)


def test_a_window_that_was_written_meanwhile_is_a_conflict_and_stays(tables):
    tables.replace("scores", "2013-01", rows(1))
    stale = token(tables)
    tables.replace("scores", "2013-01", rows(2))
    now = token(tables)
    for after, rule in ((stale, f"be as it was written with the token {stale}"), ("", "not be there")):
        with pytest.raises(ConflictError) as caught:
            tables.replace("scores", "2013-01", rows(3), after=after)
        assert str(caught.value) == (
            f"scores: '2013-01' must {rule}. Got {now!r}. Somebody wrote it first: read it again and decide anew."
        )
    assert (tables.read("scores"), token(tables)) == (rows(2), now)


def test_a_window_that_is_not_there_follows_no_writing(tables):
    with pytest.raises(ConflictError, match="Got ''"):
        tables.replace("scores", "2013-01", rows(3), after="0-0-0")
    assert tables.windows("scores") == []


def add(make: Make, root: Path, number: int) -> int:
    """Adds its row to those that are there; how often another was faster."""
    tables = make(root)
    for conflicts in range(100):
        last = tables.written("scores").get("2013-01")
        before = tables.read("scores", window="2013-01") if last else rows()
        try:
            after = last.token if last else ""
            tables.replace("scores", "2013-01", pa.concat_tables([before, rows(number)]), after=after)
        except ConflictError:
            continue
        return conflicts
    raise AssertionError("it never came to write")


def add_each(make: Make, root: Path, numbers: range) -> int:
    return sum(add(make, root, number) for number in numbers)


@pytest.mark.slow
def test_of_writers_at_once_that_add_to_one_window_none_loses_a_row(make, tmp_path):
    each = 20 if make is ParquetTables else 3  # a server's writing takes a second
    calls = [(add_each, (make, tmp_path, range(start, start + each))) for start in range(0, 4 * each, each)]
    assert sum(processes.at_once(calls)) > 0
    found = make(tmp_path).read("scores")
    assert sorted(found["number"].to_pylist()) == list(range(4 * each))


def test_appended_rows_are_read_at_once_in_their_order(tables):
    tables.append("scores", "stream-1", rows(2, 1), key="number")
    tables.append("scores", "stream-2", rows(4), key="number")
    tables.append("scores", "stream-1", rows(3), key="number")
    assert tables.read("scores", window="stream-1") == rows(2, 1, 3)
    assert tables.read("scores") == rows(2, 1, 3, 4)
    assert tables.windows("scores") == ["stream-1", "stream-2"]
    assert tables.query("SELECT number FROM scores ORDER BY number")["number"].to_pylist() == [1, 2, 3, 4]


def test_what_is_appended_twice_is_read_once_as_it_came_last(tables):
    def labelled(number: int, text: str) -> pa.Table:
        return pa.table({"number": pa.array([number], pa.int64()), "text": [text]})

    tables.append("scores", "w", pa.concat_tables([labelled(1, "old"), labelled(2, "stays")]), key="number")
    tables.append("scores", "w", labelled(1, "new"), key="number")
    tables.append("scores", "v", labelled(1, "another window's"), key="number")
    expected = [(1, "another window's"), (2, "stays"), (1, "new")]
    assert [(row["number"], row["text"]) for row in tables.read("scores").to_pylist()] == expected
    assert tables.query("SELECT count(*) AS n FROM scores").to_pylist() == [{"n": 3}]


def test_rows_are_appended_to_what_was_written_and_go_with_it(tables):
    tables.append("scores", "w", rows(8, 9), key="number")
    tables.replace("scores", "w", rows(1, 2))
    assert tables.read("scores") == rows(1, 2)
    tables.append("scores", "w", rows(3), key="number")
    assert tables.read("scores") == rows(1, 2, 3)
    tables.replace("scores", "w", rows(4))
    assert tables.read("scores") == rows(4)
    assert tables.query("SELECT number FROM scores")["number"].to_pylist() == [4]


def test_appended_rows_bring_columns_and_take_none(tables):
    tables.append("scores", "w", rows(1).select(["number"]), key="number")
    tables.append("scores", "w", rows(2), key="number")
    tables.append("scores", "w", rows(3).select(["number"]), key="number")
    assert tables.read("scores")["text"].to_pylist() == [None, "ß2", None]


def test_a_column_of_another_type_is_refused_and_nothing_is_added(tables):
    tables.append("scores", "w", rows(1), key="number")
    with pytest.raises(DataError, match="Cast it"):
        tables.append("scores", "w", pa.table({"number": [2], "text": [1.5]}), key="number")
    assert tables.read("scores") == rows(1)


def test_no_rows_are_no_append(tables):
    tables.append("scores", "w", rows(), key="number")
    assert tables.windows("scores") == []


def test_an_append_is_told_and_no_stale_writing_follows_it(tables):
    before = time.time()
    tables.append("scores", "2013-01", rows(1), key="number")
    first = token(tables)
    tables.append("scores", "2013-01", rows(2), key="number")
    assert token(tables) != first
    assert before - 1 <= tables.written("scores")["2013-01"].at <= time.time() + 1
    with pytest.raises(ConflictError):
        tables.replace("scores", "2013-01", rows(3), after=first)
    tables.replace("scores", "2013-01", rows(3), after=token(tables))
    assert tables.read("scores") == rows(3)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM scores",
        "SELECT 1; SELECT 2",
        "COPY scores TO '/tmp/esteira-copied.csv'",
        "SET enable_external_access = true",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "",
    ],
)
def test_what_is_not_one_select_is_refused(tables, sql):
    tables.replace("scores", "2013-01", rows(1))
    with pytest.raises(DataError) as caught:
        tables.query(sql)
    assert str(caught.value) == f"'sql' must be one SELECT. Got {sql!r}. Ask for one table at a time."


@pytest.mark.parametrize("file", ["read_csv('/etc/passwd')", "'/etc/passwd'", "read_parquet('/tmp/*')", "glob('/*')"])
def test_sql_reads_no_file(tmp_path, file):
    tables = ParquetTables(tmp_path)
    with pytest.raises(DataError, match="'sql' must be a query that DuckDB runs"):
        tables.query(f"SELECT * FROM {file}")


def replace(make: Make, root: Path) -> None:
    make(root).replace("scores", "2013-01", rows(*range(2000)))


def test_a_writer_killed_at_any_point_leaves_the_old_window_or_the_new_one(make, tmp_path):
    old, new = rows(1, 2), rows(*range(2000))
    seen = []
    for n in range(1, 100):
        make(tmp_path).replace("scores", "2013-01", old)
        killed = processes.dies_at(n, replace, make, tmp_path)
        found = make(tmp_path).query("SELECT * FROM scores")
        seen.append(next(name for name, table in (("old", old), ("new", new)) if table == found))
        assert make(tmp_path).windows("scores") == ["2013-01"]
        if not killed:
            break
    assert set(seen) == {"old", "new"}
