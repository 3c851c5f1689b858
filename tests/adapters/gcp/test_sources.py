"""Sources in BigQuery: what is read, what it costs, and what is wrong of what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from google.cloud.bigquery import SchemaField, Table

from components.adapters.gcp import sources as made
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client
from components.adapters.gcp.sources import BigQuerySources
from components.adapters.ports import Bounds, Scan
from components.adapters.sources import AnySources
from components.core import addresses
from components.core.errors import DataError, SetupError
from components.core.profile import Profile
from tests.adapters.gcp.proxy import Proxy, google_error

pytestmark = [pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
server = pytest.mark.servers
JANUARY, FEBRUARY = 1_356_998_400_000_000, 1_359_676_800_000_000
COLUMNS: Any = {"moment": "timestamp", "code": "id", "x": "number"}


@pytest.fixture
def events(bigquery: Proxy, dataset: str) -> str:
    """A table of three rows in December, January and February, and one without a time."""
    client = bigquery_client("esteira")
    kinds = {"moment": "TIMESTAMP", "day": "DATE", "hour": "DATETIME", "code": "STRING", "x": "NUMERIC"}
    fields = [SchemaField(name, kind) for name, kind in kinds.items()]
    fields.append(SchemaField("many", "INTEGER", mode="REPEATED"))
    fields.append(SchemaField("nested", "RECORD", fields=[SchemaField("a", "INTEGER")]))
    client.create_table(Table(f"{dataset}.events", schema=fields))
    rows = [
        f"(TIMESTAMP '{day}T12:00:00Z', DATE '{day}', DATETIME '{day}T12:00:00', '{code}', {x})"
        for day, code, x in (("2012-12-31", "a", "1.5"), ("2013-01-15", "b", "2"), ("2013-02-01", "ß", "NULL"))
    ]
    values = ", ".join([*rows, "(NULL, NULL, NULL, 'none', 0)"])
    client.query_and_wait(f"INSERT INTO `{dataset}.events` (moment, day, hour, code, x) VALUES {values}")
    return f"bigquery://{dataset}.events"


@pytest.fixture
def sources() -> BigQuerySources:
    return BigQuerySources("esteira")


def scanned(sources: Any, address: str, columns: Any = COLUMNS, bounds: Bounds | None = None) -> Scan:
    (listed,) = sources.listing(address)
    assert listed.path == address
    found: Scan = sources.scan(listed, columns, bounds)
    return found


def codes(scan: Scan) -> list[str]:
    return sorted(code for batch in scan.batches for code in batch.column("code").to_pylist())


@server
def test_a_tables_columns_are_read_and_no_others(sources, events):
    found = scanned(sources, events)
    table = pa.Table.from_batches(found.batches)
    assert sorted(table.column_names) == sorted(COLUMNS)
    assert found.bytes > 0
    assert sorted(map(str, table["x"].to_pylist())) == ["0E-9", "1.500000000", "2.000000000", "None"]


@server
@pytest.mark.parametrize("column", ["moment", "hour", "day"])
def test_rows_outside_the_window_are_not_read(sources, events, column):
    columns = {column: "timestamp", "code": "id"}
    assert codes(scanned(sources, events, columns, Bounds(column, JANUARY, FEBRUARY - 1))) == ["b"]
    assert codes(scanned(sources, events, columns, Bounds(column, JANUARY))) == ["b", "ß"]


@server
def test_of_a_time_that_is_a_text_all_rows_are_read(sources, events):
    assert len(codes(scanned(sources, events, {"code": "timestamp"}, Bounds("code", JANUARY)))) == 4


@server
@pytest.mark.parametrize("end", ["", ";", " -- the last\n", " # all\n"])
def test_a_query_gives_rows_by_its_values_and_the_window(sources, events, end):
    name = events.removeprefix(addresses.TABLE)
    query = f"WITH some AS (SELECT moment, upper(code) AS code, x FROM `{name}` WHERE code != $without) SELECT * FROM some{end}"
    address = addresses.of_query(query, {"without": "b"})
    assert codes(scanned(sources, address)) == ["A", "NONE", "SS"]
    assert codes(scanned(sources, address, bounds=Bounds("moment", JANUARY))) == ["SS"]


@server
def test_a_view_is_read_as_a_query(sources, events, dataset):
    bigquery_client("esteira").query_and_wait(
        f"CREATE VIEW `{dataset}.seen` AS SELECT moment, code, x FROM `{dataset}.events`"
    )
    assert len(codes(scanned(sources, f"bigquery://{dataset}.seen"))) == 4


@server
def test_a_value_is_never_a_part_of_the_query(sources, events):
    name = events.removeprefix(addresses.TABLE)
    address = addresses.of_query(f"SELECT moment, code, x FROM `{name}` WHERE code = $code", {"code": "' OR 1 = 1 --"})
    assert codes(scanned(sources, address)) == []


@pytest.mark.parametrize("query", ["DELETE FROM x", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE x", "EXPORT DATA x"])
def test_what_is_not_one_select_is_refused_before_anything_is_asked(sources, query):
    with pytest.raises(DataError) as caught:
        sources.listing(addresses.of_query(query, {}))
    assert str(caught.value) == f"'sql' must be one SELECT. Got {query!r}. Ask for one table at a time."


@pytest.mark.parametrize(
    "name", ["a", "a.b", "esteira.x.y.z", "esteira.x.`y`", "esteira.x.y; DROP", "esteira.x.y WHERE", ""]
)
def test_an_address_that_names_no_table_is_refused_before_anything_is_asked(sources, name, monkeypatch):
    monkeypatch.setenv(BIGQUERY_EMULATOR, "http://127.0.0.1:1")
    with pytest.raises(DataError) as caught:
        sources.listing(f"bigquery://{name}")
    assert str(caught.value) == (
        f"'source' must be bigquery://project.dataset.table. Got 'bigquery://{name}'. Name it so in the case's source."
    )


@server
@pytest.mark.parametrize("dry", [True, False])
def test_a_source_beyond_the_limit_is_not_read(bigquery, events, dry):
    """The estimate is the dry run's; the emulator's is nothing, and then the read session's counts."""
    if dry:
        bigquery.fail(
            '^POST .*"dryRun": true', "alter", times=9, change=lambda body: told(body, totalBytesProcessed="5000")
        )
    with pytest.raises(DataError) as caught:
        scanned(BigQuerySources("esteira", 10), events)
    assert caught.value.name == "bigquery.maximum_bytes_billed"
    assert caught.value.rule.startswith(f"allow what the source reads, {'5000 ' if dry else ''}")
    assert str(caught.value).endswith(
        "Got 10. Raise it in the profile, read fewer columns, or name a window (--from, --to)."
    )


@server
def test_a_query_that_is_billed_too_much_names_the_key(bigquery, sources, events):
    name = events.removeprefix(addresses.TABLE)
    found = scanned(sources, addresses.of_query(f"SELECT moment, code, x FROM `{name}`", {}))
    bigquery.fail(
        "^POST .*maximumBytesBilled", "answer", **google_error(400, "bytesBilledLimitExceeded", "Query exceeded")
    )
    with pytest.raises(DataError) as caught:
        list(found.batches)
    assert (caught.value.name, caught.value.rule) == (
        "bigquery.maximum_bytes_billed",
        "allow what the source reads, more",
    )


def told(body: bytes, **changes: str) -> bytes:
    answer = json.loads(body)
    if "statistics" in answer:
        answer["statistics"] |= changes | {"query": answer["statistics"].get("query", {}) | changes}
    return json.dumps(answer).encode()


@server
def test_a_table_that_is_not_there_is_named(sources, dataset):
    with pytest.raises(DataError) as caught:
        sources.listing(f"bigquery://{dataset}.nothing")
    assert (caught.value.name, caught.value.rule, caught.value.where) == (
        "source",
        "exist",
        f"bigquery://{dataset}.nothing",
    )
    assert caught.value.remedy == "Check its name, and that this account may see it."


@server
def test_a_table_in_another_region_is_told(bigquery, sources, events):
    text = "Not found: Dataset esteira:elsewhere was not found in location US"
    bigquery.fail("^POST .*/jobs", "answer", **google_error(404, "notFound", text))
    with pytest.raises(DataError) as caught:
        sources.listing(addresses.of_query("SELECT 1", {}))
    assert str(caught.value) == (
        f"the query: 'source' must lie in one location with all that it reads. Got {text!r}. "
        "Check the dataset's name; what lies in another region must be copied, or be a source of its own."
    )


@server
def test_whoever_may_not_see_it_is_told_the_role(bigquery, sources, events):
    bigquery.fail("^GET .*/tables/events", "answer", **google_error(403, "accessDenied", "bigquery.tables.get denied"))
    with pytest.raises(SetupError) as caught:
        sources.listing(events)
    assert "roles/bigquery.dataEditor" in caught.value.remedy


@server
@pytest.mark.parametrize(
    ("column", "kind", "rule", "got"),
    [
        ("nope", "number", "be a column of the source", "moment, day, hour, code, x, many, nested"),
        ("many", "number", "have a type that the case's number is read from", "REPEATED INTEGER"),
        ("nested", "string", "have a type that the case's string is read from", "RECORD"),
        ("moment", "number", "have a type that the case's number is read from", "TIMESTAMP"),
        ("x", "timestamp", "have a type that the case's timestamp is read from", "NUMERIC"),
    ],
)
def test_a_column_that_the_case_cannot_have_is_refused_before_it_is_read(sources, events, column, kind, rule, got):
    with pytest.raises(DataError) as caught:
        scanned(sources, events, {"code": "id", column: kind})
    assert (caught.value.name, caught.value.rule, caught.value.value, caught.value.where) == (column, rule, got, events)


def table(**changes: Any) -> Any:
    fields = {"reference": "p.d.t", "etag": "1", "modified": "m", "num_rows": 1, "num_bytes": 2, "table_type": "TABLE"}
    return SimpleNamespace(**{**fields, "streaming_buffer": None, **changes})


def test_a_token_changes_with_the_table_and_is_none_where_nobody_can_say_so(monkeypatch):
    monkeypatch.delenv(BIGQUERY_EMULATOR, raising=False)
    assert made._token([table()]) == made._token([table()]) != ""
    others = [made._token([table(etag="2")]), made._token([table(modified="n")]), made._token([table(), table()])]
    assert len({made._token([table()]), *others}) == 4
    assert {made._token(t) for t in ([], [table(streaming_buffer="rows")], [table(), table(table_type="VIEW")])} == {""}


def test_a_profile_reads_files_and_tables(tmp_path: Path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    sources = AnySources(Profile(sources=str(tmp_path)))
    assert sources.listing("a.csv")[0].bytes == 4
    with pytest.raises(DataError, match="must be a stored table"):
        sources.scan(sources.listing("a.csv")[0], COLUMNS)
    with pytest.raises(DataError, match="must be bigquery://project"):
        sources.listing("bigquery://nothing")


def test_without_anybody_who_pays_a_query_is_not_asked():
    with pytest.raises(SetupError) as caught:
        BigQuerySources("").listing(addresses.of_query("SELECT 1", {}))
    assert str(caught.value) == (
        "profile: 'bigquery.project' must name the project that pays for queries. Got ''. Write it into the profile."
    )


@server
def test_a_tables_own_project_pays_where_nobody_else_is_named(events):
    assert len(codes(scanned(BigQuerySources(""), events))) == 4
