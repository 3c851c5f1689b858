"""What BigQuery's console shows of a table: the view beside it has the rows that `Tables.read` gives."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from google.cloud.bigquery import SchemaField, Table

from components.adapters.gcp.clients import bigquery_client
from components.adapters.gcp.tables import CloudTables
from components.core.errors import RunError
from tests.adapters.gcp.proxy import FOREVER, Proxy, google_error

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
LOOK, MAKE = "^GET .*/tables/rows_scores", "^POST .*CREATE OR REPLACE VIEW"
NO_VIEW = "scores has no view that shows only the rows that count: "


@pytest.fixture
def tables(bigquery: Proxy, dataset: str) -> CloudTables:
    return CloudTables(dataset, deadline=10.0)


def rows(*numbers: int, **more: Any) -> pa.Table:
    return pa.table({"number": pa.array(numbers, pa.int64()), **more})


def shown(dataset: str) -> list[Any]:
    """What the view has, as a person asks for it."""
    answer = bigquery_client("esteira").query_and_wait(f"SELECT * FROM `{dataset}.rows_scores`")
    return in_order(dict(row.items()) for row in answer)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "components.adapters.gcp.views"]


def in_order(found: Any) -> list[Any]:
    return sorted(found, key=repr)


def test_the_view_has_the_rows_that_a_read_gives(bigquery, dataset, tables):
    def same() -> list[Any]:
        read = in_order(tables.read("scores").to_pylist())
        assert shown(dataset) == read
        return [row["number"] for row in read]

    tables.replace("scores", "v", rows(1, 1))
    tables.replace("scores", "w", rows(2, 3))
    tables.replace("scores", "w", rows(4))
    tables.append("scores", "w", rows(5, 6, 5), key="number")
    tables.append("scores", "x", rows(5, 6), key="number")
    assert same() == [1, 1, 4, 5, 5, 6, 6]
    tables.append("scores", "w", rows(6, text=["later"]), key="number")
    assert {"number": 6, "text": "later"} in shown(dataset)
    assert same() == [1, 1, 4, 5, 5, 6, 6]
    bigquery.fail("^POST .*UPDATE ", "refuse", times=FOREVER)
    with pytest.raises(RunError):
        CloudTables(dataset, deadline=0.5).replace("scores", "v", rows(7))
    bigquery.faults.clear()
    assert same() == [1, 1, 4, 5, 5, 6, 6]
    tables.replace("scores", "w", rows())
    assert same() == [1, 1, 5, 6]


def test_it_is_made_with_the_table_and_again_for_a_column_only(bigquery, dataset, tables):
    tables.replace("scores", "w", rows(1))
    tables.replace("scores", "w", rows(2))
    tables.append("scores", "w", rows(3), key="number")
    assert (bigquery.count(LOOK), bigquery.count(MAKE)) == (1, 1)
    CloudTables(dataset).replace("scores", "w", rows(4))
    assert (bigquery.count(LOOK), bigquery.count(MAKE)) == (2, 1)
    tables.append("scores", "w", rows(5, text=["new"]), key="number")
    assert bigquery.count(MAKE) == 2
    CloudTables(dataset).replace("scores", "v", rows(6))
    assert bigquery.count(MAKE) == 2
    view = bigquery_client("esteira").get_table(f"{dataset}.rows_scores")
    assert (view.table_type, [field.name for field in view.schema]) == ("VIEW", ["number", "text"])


def test_a_streams_first_rows_are_there_before_the_view_is_looked_for(bigquery, tables):
    found = []
    bigquery.fail(LOOK, "alter", then=lambda: found.append(tables.read("scores")))
    tables.append("scores", "w", rows(1), key="number")
    assert found == [rows(1)]


def test_the_table_says_where_the_rows_that_count_are(dataset, tables):
    tables.replace("scores", "w", rows(1))
    told = "As stored, with rows that count no more: rows_scores shows those that do."
    assert bigquery_client("esteira").get_table(f"{dataset}.scores").description == told
    assert tables.resource("scores") == f"{dataset}.rows_scores"


def test_a_view_is_no_table_of_ours(dataset, tables):
    tables.replace("scores", "w", rows(1))
    assert tables.windows("rows_scores") == []
    assert tables.query("SELECT number FROM scores") == rows(1)


@pytest.mark.parametrize(("text", "made"), [("SELECT 1 AS number", 1), ("", 0)])
def test_a_view_of_another_text_is_replaced(bigquery, dataset, tables, text, made):
    """BigQuery tells the text, the emulator does not."""
    tables.replace("scores", "w", rows(1))
    asked = next(request for request in bigquery.seen if "CREATE OR REPLACE VIEW" in request)
    own = json.loads(asked[asked.index("{") :])["configuration"]["query"]["query"].partition("OPTIONS")[2]
    bigquery.seen.clear()

    def told(answer: bytes) -> bytes:
        query = text or own[own.index("SELECT ") :]
        return json.dumps(json.loads(answer) | {"view": {"query": query, "useLegacySql": False}}).encode()

    bigquery.fail(LOOK, "alter", change=told)
    CloudTables(dataset).replace("scores", "v", rows(2))
    assert bigquery.count(MAKE) == made
    assert shown(dataset) == [{"number": 1}, {"number": 2}]


def test_a_table_without_a_view_gets_one(bigquery, dataset, tables):
    """Its maker was killed in between, or knew of none."""
    tables.replace("scores", "w", rows(1))
    bigquery_client("esteira").query_and_wait(f"DROP VIEW `{dataset}.rows_scores`")
    CloudTables(dataset).replace("scores", "v", rows(2))
    assert shown(dataset) == [{"number": 1}, {"number": 2}]


def test_two_that_make_it_at_once_make_the_same(bigquery, dataset, tables):
    bigquery.fail(LOOK, "alter", then=lambda: CloudTables(dataset).replace("scores", "v", rows(2)))
    tables.replace("scores", "w", rows(1))
    assert bigquery.count(MAKE) == 2
    assert shown(dataset) == [{"number": 1}, {"number": 2}]


@pytest.mark.parametrize("action", ["lose", "answer"])
def test_it_is_made_where_the_answer_was_lost_or_the_service_busy(bigquery, dataset, tables, action):
    fault = bigquery.fail(MAKE, action, **google_error(400, "jobRateLimitExceeded", "Job exceeded rate limits"))
    tables.replace("scores", "w", rows(1))
    assert fault.hits == 1
    assert shown(dataset) == [{"number": 1}]


def test_rows_are_written_where_the_view_is_refused_and_it_is_told_once(bigquery, dataset, tables, caplog):
    bigquery.fail(MAKE, "answer", times=FOREVER, **google_error(403, "accessDenied", "Access Denied: rows_scores"))
    tables.replace("scores", "w", rows(1))
    tables.replace("scores", "w", rows(2))
    assert tables.read("scores") == rows(2)
    assert warned(caplog) == [
        f"{NO_VIEW}{dataset}.rows_scores: 'BigQuery' must be open to this account. Got 'Access Denied: rows_scores'. "
        "Give the account roles/bigquery.dataEditor, roles/bigquery.jobUser and roles/bigquery.readSessionUser."
    ]


def test_a_table_in_its_place_stays(dataset, tables, caplog):
    client = bigquery_client("esteira")
    client.create_table(Table(f"{dataset}.rows_scores", schema=[SchemaField("number", "INTEGER")]))
    tables.replace("scores", "w", rows(1))
    assert client.get_table(f"{dataset}.rows_scores").table_type == "TABLE"
    assert tables.read("scores") == rows(1)
    assert [message.startswith(NO_VIEW) for message in warned(caplog)] == [True]
