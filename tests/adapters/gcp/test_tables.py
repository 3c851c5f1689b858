"""BigQuery that fails: a writing counts once or not at all, and the error says what to do."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions

from components.adapters.gcp import sql
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client
from components.adapters.gcp.tables import CloudTables
from components.core.errors import CaseError, ConflictError, DataError, RunError, SetupError
from tests.adapters.gcp.proxy import FOREVER, Proxy, google_error

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
LOAD, COMMIT = "^PUT /upload/", "^POST .*UPDATE "
UTC = dt.UTC


@pytest.fixture
def tables(bigquery: Proxy, dataset: str) -> CloudTables:
    return CloudTables(dataset, deadline=10.0)


@pytest.fixture
def hasty(bigquery: Proxy, dataset: str) -> CloudTables:
    """The same tables; gives up after half a second."""
    return CloudTables(dataset, deadline=0.5)


def rows(*numbers: int) -> pa.Table:
    return pa.table({"number": pa.array(numbers, pa.int64())})


def stored(dataset: str, table: str = "scores") -> list[int]:
    """The rows that BigQuery holds, also those that count for nothing."""
    answer = bigquery_client("esteira").query_and_wait(f"SELECT number FROM `{dataset}.{table}`")
    return sorted(row["number"] for row in answer)


@pytest.mark.parametrize("lost", ["^POST /upload/", LOAD, COMMIT, "^POST .*INSERT INTO", "^POST .*DELETE FROM"])
def test_what_was_done_without_an_answer_is_done_once(bigquery, dataset, tables, lost):
    tables.replace("scores", "w", rows(1, 2))
    fault = bigquery.fail(lost, "lose")
    tables.replace("scores", "w", rows(3, 4), after=tables.written("scores")["w"].token)
    tables.replace("scores", "v", rows(5))
    assert tables.read("scores") == rows(5, 3, 4)
    assert stored(dataset) == [3, 4, 5]
    assert fault.hits == 1


@pytest.mark.parametrize("answer", ["lose", "instead"])
def test_a_load_job_that_exists_is_taken_for_ones_own(bigquery, dataset, tables, answer):
    bigquery.fail(LOAD, answer, **google_error(409, "duplicate", "Already Exists: Job esteira"))
    # The emulator does not keep a load job's id.
    done = {
        "status": {"state": "DONE"},
        "configuration": {"load": {}},
        "jobReference": {"projectId": "esteira", "jobId": "j"},
    }
    job = bigquery.fail("^GET .*/jobs/esteira-scores-", "answer", status=200, body=json.dumps(done).encode())
    tables.replace("scores", "w", rows(1, 2))
    assert (tables.read("scores"), stored(dataset)) == (rows(1, 2), [1, 2])
    assert (bigquery.count(LOAD), job.hits) == (1, 1)


def test_half_of_an_upload_is_nothing_and_is_sent_again(bigquery, dataset, tables):
    fault = bigquery.fail(LOAD, "cut")
    tables.replace("scores", "w", rows(1, 2))
    assert (tables.read("scores"), stored(dataset)) == (rows(1, 2), [1, 2])
    assert fault.hits == 1


def test_a_load_job_that_bigquery_gave_up_for_its_load_is_another_one_then(bigquery, dataset, tables):
    for reason in ("jobBackendError", "jobInternalError", "jobRateLimitExceeded"):
        bigquery.fail(LOAD, "answer", **google_error(400, reason, "Retry the job."))
    tables.replace("scores", "w", rows(1, 2))
    assert (tables.read("scores"), stored(dataset)) == (rows(1, 2), [1, 2])
    assert bigquery.count(LOAD) == 4
    named = [re.search(r"esteira-scores-[0-9a-f-]+", request) for request in bigquery.seen if "/upload/" in request]
    assert len({found[0] for found in named if found}) == 4


@pytest.mark.slow
def test_a_writer_cut_off_at_any_request_leaves_the_old_window_or_the_new_one(bigquery, dataset, tables, hasty):
    seen = []
    for passed in range(100):
        tables.replace("scores", "w", rows(1, 2))
        fault = bigquery.fail("", "refuse", skip=passed, times=FOREVER)
        ended = True
        try:
            hasty.replace("scores", "w", rows(7, 8, 9))
        except RunError:
            ended = False
        bigquery.faults.clear()
        found = tables.read("scores")["number"].to_pylist()
        seen.append(found)
        assert found in ([1, 2], [7, 8, 9])
        assert not ended or found == [7, 8, 9]
        if not fault.hits:
            break
    assert [1, 2] in seen
    assert seen.index([7, 8, 9]) < len(seen) - 1, "the deletion of what was replaced fails without harm"


def test_rows_that_a_killed_writer_left_count_for_nothing_and_go_after_a_day(
    bigquery, dataset, tables, hasty, monkeypatch
):
    tables.replace("scores", "w", rows(1))
    bigquery.fail(COMMIT, "refuse", times=FOREVER)
    with pytest.raises(RunError):
        hasty.replace("scores", "w", rows(2))
    bigquery.faults.clear()
    assert (tables.read("scores"), stored(dataset)) == (rows(1), [1, 2])
    assert tables.query("SELECT number FROM scores") == rows(1)
    tables.replace("scores", "w", rows(3))
    assert stored(dataset) == [2, 3]
    monkeypatch.setattr("components.adapters.gcp.tables._DAY", 0.0)
    tables.replace("scores", "w", rows(4))
    assert stored(dataset) == [4]


def test_a_writing_while_another_reads_is_read_whole(bigquery, dataset, tables):
    tables.replace("scores", "w", rows(1, 2))
    again = CloudTables(dataset)
    bigquery.fail("^GET .*/tables/scores", "alter", then=lambda: again.replace("scores", "w", rows(3, 4, 5)))
    assert tables.read("scores") == rows(3, 4, 5)


def test_a_conflict_found_at_the_commit_leaves_no_row(bigquery, dataset, tables):
    tables.replace("scores", "w", rows(1))
    token = tables.written("scores")["w"].token
    other = CloudTables(dataset)
    bigquery.fail(LOAD, "alter", then=lambda: other.replace("scores", "w", rows(2)))
    with pytest.raises(ConflictError, match="Somebody wrote it first"):
        tables.replace("scores", "w", rows(3), after=token)
    assert (tables.read("scores"), stored(dataset)) == (rows(2), [2])


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            google_error(403, "accessDenied", "Access Denied: Dataset esteira:d"),
            SetupError,
            "'BigQuery' must be open to this account. Got 'Access Denied: Dataset esteira:d'. Give the account "
            "roles/bigquery.dataEditor, roles/bigquery.jobUser and roles/bigquery.readSessionUser.",
        ),
        (
            google_error(403, "accessNotConfigured", "BigQuery API has not been used"),
            SetupError,
            "'bigquery.googleapis.com' must be enabled in the project. Got 'BigQuery API has not been used'. "
            "Enable it: gcloud services enable bigquery.googleapis.com",
        ),
        (
            google_error(403, "quotaExceeded", "Quota exceeded: too many table update operations"),
            RunError,
            "'BigQuery' must have quota left for the request. Got 'Quota exceeded: too many table update operations'. "
            "Wait and run it again, write fewer windows at once, or ask for more of the quota.",
        ),
        (
            google_error(403, "rateLimitExceeded", "Exceeded rate limits"),
            RunError,
            "'BigQuery' must have quota left for the request. Got 'Exceeded rate limits'. "
            "Wait and run it again, write fewer windows at once, or ask for more of the quota.",
        ),
        (
            google_error(404, "notFound", "Not found: Dataset esteira:d was not found in location US"),
            SetupError,
            "'BigQuery' must have what the profile names. Got 'Not found: Dataset esteira:d was not found in location US'. "
            "Make it, or mend its name in the profile; a dataset is found in its own location only.",
        ),
    ],
)
def test_what_bigquery_refuses_is_told_with_its_remedy(bigquery, dataset, hasty, fault, kind, message):
    hasty.replace("scores", "w", rows(1))
    bigquery.fail("^POST /(upload/)?bigquery/v2/projects/esteira/jobs", "answer", times=FOREVER, **fault)
    with pytest.raises(kind) as caught:
        hasty.replace("scores", "w", rows(2))
    assert str(caught.value) == f"{dataset}.scores: {message}"
    bigquery.faults.clear()
    assert hasty.read("scores") == rows(1)


def test_a_service_that_never_answers_is_an_error(bigquery, dataset, hasty):
    bigquery.fail("", "refuse", times=FOREVER)
    with pytest.raises(RunError) as caught:
        hasty.written("scores")
    assert (caught.value.name, caught.value.rule) == ("BigQuery", "answer in time")


def test_a_dataset_that_is_not_there_is_no_empty_one(bigquery):
    for call in (
        lambda t: t.windows("scores"),
        lambda t: t.replace("scores", "w", rows(1)),
        lambda t: t.query("SELECT 1"),
    ):
        with pytest.raises(SetupError) as caught:
            call(CloudTables("esteira.nowhere"))
        assert (caught.value.name, caught.value.rule, caught.value.value) == ("dataset", "exist", "esteira.nowhere")
        assert caught.value.remedy == "Make it (bq mk --location=LOCATION esteira:nowhere), or mend tables.at."


def test_jobs_run_where_the_dataset_lies(bigquery, tables):
    tables.replace("scores", "w", rows(1))
    tables.query("SELECT number FROM scores")
    jobs = bigquery.count("^POST .*/(jobs|queries)")
    assert jobs == bigquery.count('^POST .*/(jobs|queries).*"location": ?"EU"') > 0


def test_another_type_than_the_tables_is_refused_before_anything_is_written(bigquery, dataset, tables):
    tables.replace("scores", "w", rows(1))
    with pytest.raises(DataError) as caught:
        tables.replace("scores", "w", pa.table({"number": ["one"]}))
    assert str(caught.value) == (
        "scores: 'number' must be INTEGER, as the table has it. Got 'STRING'. "
        "Cast it to int64, or write to a table of another name."
    )
    assert (tables.read("scores"), stored(dataset)) == (rows(1), [1])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([[1]]),
            "scores: 'x' must have a type that BigQuery holds. Got 'list<item: int64>'. "
            "Cast it to a number, text, bool, date, time stamp or bytes.",
        ),
        (
            pa.array([2**64 - 1], pa.uint64()),
            "scores: 'x' must have a type that BigQuery holds. Got 'uint64'. "
            "Cast it to a number, text, bool, date, time stamp or bytes.",
        ),
    ],
)
def test_a_type_that_bigquery_does_not_hold_is_refused(tables, column, message):
    with pytest.raises(DataError) as caught:
        tables.replace("scores", "w", pa.table({"x": column}))
    assert str(caught.value).startswith(message[:60])
    assert tables.windows("scores") == []


@pytest.mark.parametrize("name", ["a b", "a`b", "1a", "", "ä", "_token"])
def test_a_column_that_is_no_identifier_is_refused(tables, name):
    with pytest.raises(
        DataError, match="'column' must be letters, digits and _, at most 300, and none of _window, _row, _token"
    ):
        tables.replace("scores", "w", pa.table({name: [1]}))


def test_every_type_comes_back_as_it_was(tables):
    moment = dt.datetime(2013, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    table = pa.table(
        {
            "float": pa.array([0.1, float("nan"), None], pa.float32()),
            "double": pa.array([0.1, float("-inf"), None], pa.float64()),
            "small": pa.array([-128, 127, None], pa.int8()),
            "long": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
            "bool": pa.array([True, False, None]),
            "text": pa.array(["ß", "", None]),
            "bytes": pa.array([b"\0\xff", b"", None]),
            "day": pa.array([dt.date(1970, 1, 1), dt.date(2100, 12, 31), None]),
            "_event_time": pa.array([moment, dt.datetime(2100, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        }
    )
    tables.replace("kinds", "w", table)
    assert tables.read("kinds").schema == table.schema
    assert [str(row) for row in tables.read("kinds").to_pylist()] == [str(row) for row in table.to_pylist()]


def test_categories_are_stored_as_text(tables):
    tables.replace("kinds", "w", pa.table({"x": pa.array(["a", None, "a"]).dictionary_encode()}))
    assert tables.read("kinds")["x"] == pa.chunked_array([["a", None, "a"]])


def test_a_table_is_partitioned_by_the_day_of_its_events_and_clustered(tables, dataset):
    tables.replace("kinds", "w", pa.table({"_event_time": pa.array([], pa.timestamp("us", "UTC"))}))
    made = bigquery_client("esteira").get_table(f"{dataset}.kinds")
    assert (made.time_partitioning.field, made.time_partitioning.type_) == ("_event_time", "DAY")
    assert made.clustering_fields == ["_window", "_token"]


def test_what_was_predicted_is_partitioned_by_the_day_of_that(tables, dataset):
    times = pa.array([], pa.timestamp("us", "UTC"))
    tables.replace("live_x", "w", pa.table({"_event_time": times, "_at": times}))
    assert bigquery_client("esteira").get_table(f"{dataset}.live_x").time_partitioning.field == "_at"


def test_a_query_is_asked_dry_first_and_then_billed_within_its_limit(bigquery, dataset):
    tables = CloudTables(dataset, most_bytes=1000)
    tables.replace("scores", "w", rows(1))
    bigquery.seen.clear()
    tables.query("SELECT number FROM scores")
    asked = [request for request in bigquery.seen if "EXCEPT" in request]
    assert ['"dryRun": true' in request for request in asked] == [True, False]
    assert '"maximumBytesBilled": "1000"' in asked[1]


def test_each_statement_of_our_own_is_billed_within_the_limit(bigquery, dataset):
    tables = CloudTables(dataset, most_bytes=1000)
    tables.replace("scores", "w", rows(1))
    tables.append("scores", "w", rows(2), key="number")
    tables.replace("scores", "w", rows(3), after=tables.written("scores")["w"].token)
    asked = [request for request in bigquery.seen if re.search("^POST (?!/upload).*/(jobs|queries)", request)]
    kinds = ("SELECT", "INSERT", "UPDATE", "DELETE")
    assert all(any(f'"query": "{kind}' in request for request in asked) for kind in kinds)
    limited = [request for request in asked if '"maximumBytesBilled": "1000"' in request]
    assert [request for request in asked if request not in limited and "CREATE OR REPLACE VIEW" not in request] == []


def test_a_look_that_is_billed_too_much_names_the_key(bigquery, dataset, tables):
    tables.replace("scores", "w", rows(1))
    text = "Query exceeded limit for bytes billed: 1000. 10485760 or higher required."
    bigquery.fail("^POST .*/queries", "answer", **google_error(400, "bytesBilledLimitExceeded", text))
    with pytest.raises(DataError) as caught:
        tables.written("scores")
    assert str(caught.value) == (
        f"{dataset}.scores: 'BigQuery' must bill no more than the profile allows. Got '{text}'. "
        "Raise bigquery.maximum_bytes_billed in the profile."
    )


def test_who_watches_looks_less_often_where_each_look_is_billed(dataset, tables, monkeypatch):
    assert tables.pause == 0.0
    monkeypatch.delenv(BIGQUERY_EMULATOR)
    assert tables.pause == 10.0


def test_a_query_that_would_read_too_much_is_not_run(bigquery, dataset):
    def large(answer: bytes) -> bytes:
        job = json.loads(answer)
        job["statistics"]["query"]["totalBytesProcessed"] = job["statistics"]["totalBytesProcessed"] = "2000"
        return json.dumps(job).encode()

    tables = CloudTables(dataset, most_bytes=1000)
    bigquery.fail('"dryRun": true', "alter", change=large)
    with pytest.raises(DataError) as caught:
        tables.query("SELECT 1")
    assert str(caught.value) == (
        f"{dataset}: 'sql' must read at most 1000 bytes. Got 2000. Name fewer columns, or windows by their days."
    )


def test_values_of_every_kind_are_bound(tables):
    values = {"a": 1, "b": 0.5, "c": "'; DROP TABLE scores", "d": True, "e": dt.date(2013, 1, 1)}
    assert tables.query("SELECT $a AS a, $b AS b, $c AS c, $d AS d, $e AS e", values).to_pylist() == [values]
    assert tables.query("SELECT 2 IN UNNEST($f) AS found", {"f": [1, 2]}).to_pylist() == [{"found": True}]
    with pytest.raises(DataError) as caught:
        tables.query("SELECT $a", {"a": object})
    assert caught.value.rule == "be a number, text, bool, bytes, date, time stamp or a list of them"


@pytest.mark.parametrize(
    "quoted", ["'$a'", '"$a"', "`$a`", "-- $a\n", "# $a\n", "/* $a */", "'it\\'s $a'", "'''' $a'''"]
)
def test_what_is_quoted_is_no_value(quoted):
    assert sql.bound(f"SELECT $a, {quoted}") == f"SELECT @a, {quoted}"
    assert sql.one_select(f"SELECT 1 {quoted.replace('$a', ';')}")


@pytest.mark.parametrize("text", ["SELECT 1; -- a\nDROP TABLE x", "/* SELECT */ DROP TABLE x", "BEGIN SELECT 1; END"])
def test_a_comment_hides_no_second_statement(text):
    with pytest.raises(DataError, match="'sql' must be one SELECT"):
        sql.one_select(text)


def test_ones_own_with_clause_stands_beside_the_tables(tables):
    tables.replace("scores", "w", rows(1, 2))
    assert tables.query("WITH best AS (SELECT MAX(number) AS n FROM scores) SELECT n FROM best;").to_pylist() == [
        {"n": 2}
    ]


@pytest.mark.parametrize("at", ["", "esteira", "esteira.", ".x", "esteira.a.b", "esteira.a`b", "Esteira.a"])
def test_an_address_that_is_no_dataset_is_refused(at):
    with pytest.raises(CaseError) as caught:
        CloudTables(at)
    assert (
        str(caught.value) == f"profile: 'tables.at' must be project.dataset. Got {at!r}. Write both into the profile."
    )


def test_a_writer_that_was_replaced_adds_nothing_any_more(tables, dataset):
    """One that hangs, and awakes after another has cut the window back and gone on."""
    old, new = CloudTables(dataset), tables
    old.append("scores", "w", rows(1, 2), key="number")
    new.replace("scores", "w", rows(1))
    old.append("scores", "w", rows(2), key="number")
    new.append("scores", "w", rows(5), key="number")
    assert new.read("scores") == rows(1, 5)


class Failing:
    """Google's client of the Storage Write API, whose first call fails as it is told; `done`: behind the writing."""

    def __init__(self, real: Any, error: Exception, *, done: bool) -> None:
        self._real, self._error, self._done, self.calls = real, error, done, 0

    def append_rows(self, requests: Any, **settings: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            return self._real.append_rows(requests, **settings)
        if self._done:
            list(self._real.append_rows(requests, **settings))
        raise self._error


def failing(tables: CloudTables, error: Exception, *, done: bool = False) -> Failing:
    made = Failing(tables._dataset._writing, error, done=done)
    tables._dataset._writing = made
    return made


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ServiceUnavailable("away"),
        exceptions.DeadlineExceeded("late"),
        exceptions.Aborted("moved"),
        exceptions.ResourceExhausted("busy"),
        exceptions.NotFound("a table that was made a moment ago"),
        exceptions.InvalidArgument("Input schema has more fields than BigQuery schema, extra fields: 'number'"),
        exceptions.InvalidArgument("SCHEMA_MISMATCH_EXTRA_FIELDS: a column that was added a moment ago"),
    ],
)
@pytest.mark.parametrize("done", [False, True])
def test_an_append_whose_answer_was_lost_is_read_once(tables, dataset, error, done):
    client = failing(tables, error, done=done)
    tables.append("scores", "w", rows(1, 2), key="number")
    assert client.calls == 2
    assert tables.read("scores") == rows(1, 2)
    assert tables.query("SELECT count(*) AS n FROM scores").to_pylist() == [{"n": 2}]
    assert stored(dataset) == ([1, 1, 2, 2] if done else [1, 2])


def test_an_append_that_is_refused_is_not_sent_again(tables, dataset):
    client = failing(tables, exceptions.PermissionDenied("bigquery.tables.updateData denied"))
    with pytest.raises(SetupError) as caught:
        tables.append("scores", "w", rows(1), key="number")
    assert str(caught.value) == (
        f"{dataset}.scores: 'BigQuery' must be open to this account. "
        "Got '403 bigquery.tables.updateData denied'. "
        "Give the account roles/bigquery.dataEditor, roles/bigquery.jobUser and roles/bigquery.readSessionUser."
    )
    assert client.calls == 1


def test_more_rows_than_one_request_takes_are_appended_in_order(tables):
    sent = pa.table({"number": pa.array(range(40), pa.int64()), "raw": [bytes(300_000)] * 40})
    tables.append("scores", "w", sent, key="number")
    assert tables.read("scores") == sent
