"""ingest from BigQuery gives what the same rows give from a file, and reads no more than a window needs."""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.bigquery import LoadJobConfig, SchemaField

from components.adapters.connect import Connected
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, bigquery_client
from components.core import watermark
from components.core.profile import Profile
from pipelines.launch.check import check

from .conftest import Desk, csv_of, order, parquet_of

REST, _, GRPC = os.environ.get("ESTEIRA_BIGQUERY", "").partition(",")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not GRPC, reason="ESTEIRA_BIGQUERY names no BigQuery emulator (REST, Storage Read)"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
ROWS = [order(n * 97, city=["Porto", "ß", None][n % 3], amount=None if n % 7 == 0 else n / 8) for n in range(60)]
FIELDS = {"id": "STRING", "at": "TIMESTAMP", "amount": "FLOAT", "city": "STRING", "vip": "BOOLEAN", "late": "FLOAT"}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """project.dataset.table with the rows."""
    monkeypatch.setenv(BIGQUERY_EMULATOR, f"http://{REST}")
    monkeypatch.setenv(READ_EMULATOR, GRPC)
    client, dataset = bigquery_client("esteira"), f"t_{uuid.uuid4().hex[:12]}"
    client.create_dataset(dataset)
    schema = [SchemaField(name, kind) for name, kind in FIELDS.items()]
    config = LoadJobConfig(source_format="PARQUET", schema=[SchemaField("at_text", "STRING"), *schema[:1], *schema[2:]])
    rows = [{"at_text": row.pop("at"), **row} for row in map(dict, ROWS)]
    client.load_table_from_file(io.BytesIO(parquet_of(rows)), f"{dataset}.raw", job_config=config).result()
    made = f"SELECT id, TIMESTAMP(at_text) AS `at`, amount, city, vip, late FROM `esteira.{dataset}.raw`"
    client.query_and_wait(f"CREATE TABLE {dataset}.orders AS {made}")
    yield f"esteira.{dataset}.orders"
    client.delete_dataset(dataset, delete_contents=True)


def from_file(desk: Desk, **window: str) -> str:
    desk.put("orders.csv", csv_of(ROWS))
    return desk.run(**window).parameters["snapshot"]


@pytest.mark.parametrize("window", [{}, {"start": "2024-01-02", "stop": "2024-01-03"}])
@pytest.mark.parametrize("query", [False, True])
def test_a_table_and_a_query_give_the_events_of_a_file(
    desk: Desk, table: str, query: bool, window: dict[str, str]
) -> None:
    expected = from_file(desk, **window)
    asked = {"query": f"SELECT * FROM `{table}` WHERE id != $none", "parameters": {"none": "?"}}
    desk.case["source"] = asked if query else {"path": f"bigquery://{table}"}
    desk.job = "job-2"
    assert desk.run(desk.launch(bigquery={"project": "esteira"}), **window).parameters["snapshot"] == expected
    within = [row for row in ROWS if not window or "2024-01-02" <= row["at"] < "2024-01-03"]
    assert desk.counts["read"] == len(within)


def test_its_cost_is_told_before_it_is_read(desk: Desk, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    desk.case["source"] = {"path": f"bigquery://{table}"}
    launch = desk.launch("def features(columns):\n    return {'amount': columns['amount'].astype('float32')}\n")
    desk.run(launch)
    said = capsys.readouterr().out.splitlines()[0].removeprefix("[ingest] ")
    assert re.fullmatch(rf"bigquery://{table}: reads [1-9][0-9,]* bytes", said)
    assert said in list(check(desk.root / "case", Connected(Profile.from_json(launch.profile))))


def test_nothing_new_since_the_watermark_is_a_success_that_says_so(desk: Desk, table: str) -> None:
    desk.case["source"] = {"path": f"bigquery://{table}"}
    launch = desk.launch()
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    blobs.write(watermark.path("orders"), watermark.content("2024-02-01T00:00:00Z"))
    result = desk.run(launch, purpose="predict")
    assert result.summary == "No new rows since 2024-02-01T00:00:00Z."
    assert desk.counts["read"] == 0
    assert result.parameters["window_start"] == result.parameters["window_end"]


def test_a_window_that_no_row_lies_in_is_refused(desk: Desk, table: str) -> None:
    desk.case["source"] = {"path": f"bigquery://{table}"}
    code, error = desk.fail(start="2025-01-01", stop="2025-02-01")
    assert (code, error) == (
        3,
        f"bigquery://{table}: 'events' must have a row from 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z. Got 'none'. "
        "Name another window (--from, --to).",
    )


def test_a_run_beyond_the_limit_reads_nothing_and_names_the_key(desk: Desk, table: str) -> None:
    desk.case["source"] = {"path": f"bigquery://{table}"}
    code, error = desk.fail(desk.launch(bigquery={"maximum_bytes_billed": 10}))
    assert code == 3
    assert error.startswith(f"bigquery://{table}: 'bigquery.maximum_bytes_billed' must allow what the source reads")


def test_a_reference_table_may_stand_there_too(desk: Desk, table: str, tmp_path: Path) -> None:
    desk.put("orders.csv", csv_of(ROWS))
    desk.case["references"] = {
        "vip": {
            "source": {"query": f"SELECT id, amount FROM `{table}` WHERE vip AND $all", "parameters": {"all": True}},
            "columns": {"id": {"type": "id"}, "amount": {"type": "number"}},
            "by": {"id": "id"},
            "take": ["amount"],
        }
    }
    desk.run(desk.launch(bigquery={"project": "esteira"}))
    assert desk.manifest("references").files[0].rows == sum(row["vip"] for row in ROWS)
