"""Sources in BigQuery: a table, read by the Storage Read API, or what a query gives; columns and rows pushed down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import pyarrow as pa

from components.adapters.gcp import errors, sql
from components.adapters.gcp.bigquery import MOST_BYTES, Session
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client, emulated, read_client
from components.adapters.gcp.source_schema import check_columns, restriction
from components.adapters.ports import Bounds, Listed, Scan
from components.core.addresses import QUERY, TABLE
from components.core.artifacts import sha256
from components.core.columns import ColumnType
from components.core.errors import DataError, SetupError

DEADLINE = 120.0
_PROJECT = r"(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])"
_NAME = re.compile(_PROJECT + r"\.(?P<dataset>[A-Za-z0-9_]{1,1024})\.(?P<table>[A-Za-z0-9_-]{1,1024})")
_STORED = {"TABLE", "SNAPSHOT", "MATERIALIZED_VIEW"}
"""What the Storage Read API reads; a view is queried."""
_VOLATILE = re.compile(r"current_|rand|session_user|generate_uuid|system_time", re.IGNORECASE)
_ELSEWHERE = re.compile(r"Dataset \S+ was not found in location", re.IGNORECASE)


@dataclass(frozen=True)
class _Found:
    """What is read: its fields, its rows as SQL names them, the values bound there, and the table if it is one."""

    schema: Any
    rows: str
    values: Mapping[str, Any]
    stored: Any = None


class BigQuerySources:
    """Implements `ports.Sources` for bigquery://project.dataset.table, and for a case's query.

    Parameters
    ----------
    project
        Whose jobs and read sessions they are: who pays. Empty: the table's own.
    most_bytes
        What one source may be billed for.
    """

    def __init__(self, project: str, most_bytes: int = MOST_BYTES) -> None:
        self._project, self._most = project, most_bytes
        self._clients: dict[str, Any] = {}

    def listing(self, path: str) -> list[Listed]:
        """One: its token changes with the content of all tables that it reads; "" where nobody can say so."""
        with self._translated(path):
            if path.startswith(TABLE):
                found = self._table(path)
                return [Listed(path, int(found.num_bytes or 0), _token([found]))]
            asked = _asked(path)
            client = self._client(path)
            dry = _query(client, *asked, dry_run=True)
            referenced = [client.get_table(name, **_calls()) for name in dry.referenced_tables]
            token = "" if _VOLATILE.search(asked[0]) else _token(referenced)
            return [Listed(path, int(dry.total_bytes_processed or 0), token)]

    def open(self, listed: Listed) -> IO[bytes]:
        raise DataError("source", "be a file", _shown(listed.path), "Read it by its columns.")

    def scan(self, listed: Listed, columns: Mapping[str, ColumnType], bounds: Bounds | None = None) -> Scan:
        """One snapshot of it. Nothing is billed before the first batch is asked for."""
        with self._translated(listed.path):
            found = self._query_of(listed.path) if listed.path.startswith(QUERY) else self._table_of(listed.path)
            check_columns(found.schema, columns, _shown(listed.path))
            where = restriction(found.schema, bounds)
            text = f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM {found.rows}"  # noqa: S608  # names by strict pattern; the query is the case's own
            text += f" WHERE {where}" if where else ""
            client = self._client(listed.path)
            size = int(_query(client, text, found.values, dry_run=True).total_bytes_processed or 0)
            if found.stored is not None:
                session = self._session(found.stored, list(columns), where)
                size, batches = size or session.bytes, session.batches()
            else:
                batches = self._queried(client, text, found.values)
        self._check_cost(size, listed.path)
        return Scan(size, self._told(batches, listed.path))

    def _table_of(self, path: str) -> _Found:
        table = self._table(path)
        stored = table if table.table_type in _STORED else None
        return _Found(table.schema, f"`{path.removeprefix(TABLE)}`", {}, stored)

    def _query_of(self, path: str) -> _Found:
        text, values = _asked(path)
        dry = _query(self._client(path), text, values, dry_run=True)
        return _Found(dry.schema, f"(\n{text}\n)", values)

    def _check_cost(self, size: int, path: str) -> None:
        if size > self._most:
            raise self._too_much(f"{size} bytes", _shown(path))

    def _too_much(self, read: str, shown: str) -> DataError:
        rule = f"allow what the source reads, {read}"
        remedy = "Raise it in the profile, read fewer columns, or name a window (--from, --to)."
        return DataError("bigquery.maximum_bytes_billed", rule, self._most, remedy, where=shown)

    def _told(self, batches: Iterator[pa.RecordBatch], path: str) -> Iterator[pa.RecordBatch]:
        """The batches, with what goes wrong on the way as one of our errors."""
        with self._translated(path):
            yield from batches

    def _session(self, stored: Any, columns: list[str], where: str) -> Session:
        project = self._project or stored.project
        path = f"projects/{stored.project}/datasets/{stored.dataset_id}/tables/{stored.table_id}"
        return Session(self._reading, project, path, columns, where)

    def _queried(self, client: Any, text: str, values: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        found = _query(client, text, values, maximum_bytes_billed=self._most).result(**_calls())
        yield from found.to_arrow_iterable(bqstorage_client=None if emulated(BIGQUERY_EMULATOR) else self._reading)

    def _table(self, path: str) -> Any:
        return self._client(path).get_table(path.removeprefix(TABLE), **_calls())

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        from google.api_core.exceptions import BadRequest, NotFound

        with errors.translated(errors.BIGQUERY, _shown(path)):
            try:
                yield
            except (NotFound, BadRequest) as error:
                raise self._wrong(error, _shown(path)) from error

    def _wrong(self, error: Exception, shown: str) -> DataError:
        """What the case or the profile must be told of a table that is not there, or a query that does not run."""
        from google.api_core.exceptions import NotFound

        text = errors.said(error)
        if errors.reasons_of(error) & errors.BILLED:
            return self._too_much("more", shown)
        if _ELSEWHERE.search(text):
            remedy = "Check the dataset's name; what lies in another region must be copied, or be a source of its own."
            return DataError("source", "lie in one location with all that it reads", text, remedy, where=shown)
        if isinstance(error, NotFound):
            return DataError("source", "exist", text, "Check its name, and that this account may see it.", where=shown)
        return DataError("source", "be a query that BigQuery runs", text, "Mend it in the case.", where=shown)

    def _client(self, path: str) -> Any:
        """Of whoever pays. Raises DataError for an address that names no table, SetupError where nobody is named."""
        project = self._project
        if path.startswith(TABLE):
            found = _NAME.fullmatch(path.removeprefix(TABLE))
            if not found:
                remedy = "Name it so in the case's source."
                raise DataError("source", f"be {TABLE}project.dataset.table", path, remedy)
            project = project or found["project"]
        if not project:
            remedy = "Write it into the profile."
            raise SetupError(
                "bigquery.project", "name the project that pays for queries", project, remedy, where="profile"
            )
        if project not in self._clients:
            self._clients[project] = bigquery_client(project)
        return self._clients[project]

    @cached_property
    def _reading(self) -> Any:
        return read_client()


def _query(client: Any, text: str, values: Mapping[str, Any], **settings: Any) -> Any:
    """A query's job, begun; where it runs, BigQuery sees from its tables."""
    from google.cloud.bigquery import QueryJobConfig

    config = QueryJobConfig(query_parameters=sql.parameters(values), **settings)
    return client.query(text, job_config=config, job_retry=None, **_calls())


def _calls() -> dict[str, Any]:
    """How long one call is tried, and tried again."""
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    chosen: Any = DEFAULT_RETRY
    return {"retry": chosen.with_timeout(DEADLINE).with_delay(0.2, 10.0, 2.0), "timeout": 60.0}


def _asked(path: str) -> tuple[str, dict[str, Any]]:
    """The query of an address and its values. Raises DataError for what is not one SELECT."""
    asked: dict[str, Any] = json.loads(path.removeprefix(QUERY))
    return sql.bound(sql.one_select(asked["query"])), asked["parameters"]


def _shown(path: str) -> str:
    return "the query" if path.startswith(QUERY) else path


def _token(tables: Sequence[Any]) -> str:
    """Changes with the content of any. Of a table into which rows stream, a view and an emulator nobody can say so."""
    unsaid = any(table.streaming_buffer or table.table_type not in _STORED for table in tables)
    if unsaid or not tables or emulated(BIGQUERY_EMULATOR):
        return ""
    parts = [
        [str(table.reference), table.etag, str(table.modified), table.num_rows, table.num_bytes] for table in tables
    ]
    return sha256(json.dumps(parts).encode())
