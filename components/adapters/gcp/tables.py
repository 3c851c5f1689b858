"""Tables on BigQuery. BIGQUERY_EMULATOR_HOST in the environment is followed as Google's client does it.

A table NAME holds the rows, each with its window and the token of the writing that brought it; _NAME says of each
window which writing counts (`writings`). A writing loads its rows beside the old ones, by one load job, and counts
from one UPDATE of _NAME on; what it replaced is deleted then. A killed writer leaves rows that nobody reads; the next
writing of the window deletes them once they are a day old. Rows are also appended to a window, without a writing of
their own (`appends`): they count beside those of its last one, each once. People read the view rows_NAME (`views`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from components.adapters.gcp import errors, sql, table_schema
from components.adapters.gcp.appends import Appends
from components.adapters.gcp.bigquery import MOST_BYTES, Dataset, transient
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, emulated
from components.adapters.gcp.counted import Counted, view
from components.adapters.gcp.table_schema import OWN, TOKEN, WINDOW
from components.adapters.gcp.views import Views, view_name
from components.adapters.gcp.writings import STATE, Last, Writings, new_token, state_table
from components.adapters.names import checked_table, checked_window, is_table
from components.adapters.patience import Patience
from components.adapters.ports import Bounds, Written
from components.core.errors import ConflictError, DataError, EsteiraError

DEADLINE = 120.0
_DAY = 86_400.0
_ATTEMPTS = 10
_PAUSE = 10.0
"""Seconds between two looks: each is billed for 10 MB of both tables at least."""
_log = logging.getLogger(__name__)


class CloudTables:
    """Implements `ports.Tables` over project.dataset, in the dataset's own location."""

    def __init__(self, at: str, *, deadline: float = DEADLINE, most_bytes: int = MOST_BYTES) -> None:
        self._dataset = Dataset(at, deadline, most_bytes)
        self._views, self._appends = Views(self._dataset), dict[str, Appends]()

    @property
    def pause(self) -> float:
        return 0.0 if emulated(BIGQUERY_EMULATOR) else _PAUSE  # an emulator bills nobody

    def replace(self, table: str, window: str, rows: pa.Table, *, after: str | None = None) -> None:
        checked_window(window, table)
        writings = Writings(self._dataset, checked_table(table))
        if after is not None:
            writings.compare(window, after)
        with self._dataset.translated(table):
            assert self._dataset.location  # or it says that there is no dataset
            table_schema.check(rows.schema, table)
            target = self._target(table, rows.schema)
            sent = self._send(target, window, rows)
            self._views.show(table, target.schema)
        while True:
            before = writings.last().get(window, Last()).token if after is None else after.partition("+")[0]
            found = writings.commit(window, sent[-1], rows.num_rows, before)
            if found == sent[-1]:
                if table in self._appends:
                    self._appends[table].replaced(window, found)
                return self._sweep(table, window, found, [before, *sent[:-1]])
            if after is not None:
                self._sweep(table, window, found, sent)
                writings.compare(window, after)

    def append(self, table: str, window: str, rows: pa.Table, *, key: str) -> None:
        checked_window(window, checked_table(table))
        if not rows.num_rows:
            return
        with self._dataset.translated(table):
            table_schema.check(rows.schema, table)
            if table not in self._appends:
                target = self._target(table, rows.schema)
                self._appends[table] = Appends(self._dataset, table, target)
            appends = self._appends[table]
            if table_schema.missing(appends.target.schema, rows.schema, table):
                appends.target = self._target(table, rows.schema)
            appends.send(window, rows, key)
            self._views.show(table, appends.target.schema)  # the rows are there: a stream's first ones wait for no view

    def _send(self, target: Any, window: str, rows: pa.Table) -> list[str]:
        """Loads the rows; the tokens with which they were sent. Those with the last are there."""
        sent: list[str] = []

        def send() -> None:
            sent.append(new_token())
            if rows.num_rows:
                laid = table_schema.laid_out(rows, target.schema, window, sent[-1])
                self._dataset.load(target, laid, f"esteira-{target.table_id}-{sent[-1]}")

        Patience(first=0.2, longest=10.0, deadline=self._dataset.deadline).retry(send, transient)
        return sent

    def _sweep(self, table: str, window: str, kept: str, gone: Sequence[str]) -> None:
        """Deletes the rows of `gone`, and those of writers that ended a day ago: nobody reads them."""
        text = (
            f"DELETE FROM {self._dataset.name(table)} "  # noqa: S608  # names by strict pattern, values bound
            f"WHERE {WINDOW} = @window AND {TOKEN} != @kept AND ({TOKEN} IN UNNEST(@gone) OR {TOKEN} < @old)"
        )
        old = new_token(time.time() - _DAY)
        try:
            with self._dataset.translated(table):
                self._dataset.change(text, window=window, kept=kept, gone=gone, old=old)
        except EsteiraError as error:
            _log.warning("%s %s: the rows that were replaced are still stored: %s", table, window, error)

    def windows(self, table: str) -> list[str]:
        return list(self.written(table))

    def written(self, table: str, bounds: Bounds | None = None) -> dict[str, Written]:
        found = Writings(self._dataset, checked_table(table)).committed(bounds)
        return {window: Written(last.at, last.token + last.appended) for window, last in found.items()}

    def read(self, table: str, *, window: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        writings = Writings(self._dataset, checked_table(table))
        for _ in range(_ATTEMPTS):
            counted = Counted.of(writings.last(), window)
            if counted.chosen or counted.grows:
                schema, stored = self._read(table, counted.restriction(), columns)
                found = counted.pick(stored)
                if found is None:
                    continue  # it was written in between
                if counted.chosen or found.num_rows:
                    return found.select(schema.names).cast(schema)
            what = f"{table} {window}" if counted.written or counted.grows else table
            raise DataError("table", "exist", what, "Run the step that writes it, or see its windows.")
        remedy = "Read it again when fewer write it."
        raise ConflictError(table, "hold still while it is read", f"{_ATTEMPTS} attempts", remedy, where="tables")

    def _read(self, table: str, where: str, columns: Sequence[str] | None) -> tuple[pa.Schema, pa.Table]:
        """The schema that is asked for, and the rows that `where` chooses with our own columns besides."""
        with self._dataset.translated(table):
            schema = table_schema.arrow(self._dataset.get(table).schema)
            wanted = [name for name in schema.names if name not in OWN]
            if absent := [name for name in columns or () if name not in wanted]:
                remedy = f"It has {', '.join(wanted)}."
                raise DataError("columns", "be the table's", absent, remedy, where=table)
            chosen = wanted if columns is None else list(columns)
            stored = self._dataset.read(table, [*chosen, *OWN], where)
        return pa.schema([schema.field(name) for name in chosen]), stored

    def resource(self, table: str) -> str:
        return f"{self._dataset.at}.{view_name(checked_table(table))}"

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        return self._query(sql, parameters or {})

    def _query(self, asked: str, values: Mapping[str, Any]) -> pa.Table:
        from google.api_core.exceptions import BadRequest, NotFound

        text = sql.one_select(asked)
        with self._dataset.translated():
            tables = self._tables()
            named = {
                name: view(self._dataset.name(name), self._dataset.name(state_table(name)))
                for name in tables
                if name in sql.words(text)
            }
            whole = sql.with_tables(sql.bound(text), named)
            try:
                if not self._affordable(whole, values):
                    raise sql.not_one_select(asked)
                job = self._dataset.query(whole, values, maximum_bytes_billed=self._dataset.most)
                fast = not emulated(BIGQUERY_EMULATOR)
                return self._dataset.done(job).to_arrow(create_bqstorage_client=fast)
            except (BadRequest, NotFound) as error:
                remedy = f"Tables: {', '.join(tables) or 'none yet'}."
                raise DataError("sql", "be a query that BigQuery runs", errors.said(error), remedy) from error

    def _affordable(self, text: str, values: Mapping[str, Any]) -> bool:
        """Asks dry first; whether it is one SELECT. Raises DataError where it would read too much."""
        dry = self._dataset.query(text, values, dry_run=True)
        size = int(dry.total_bytes_processed or 0)
        _log.info("the query reads %d bytes of %s", size, self._dataset.at)
        if size > self._dataset.most:
            remedy = "Name fewer columns, or windows by their days."
            raise DataError("sql", f"read at most {self._dataset.most} bytes", size, remedy, where=self._dataset.at)
        return bool(dry.statement_type == "SELECT")

    def _tables(self) -> list[str]:
        names = self._dataset.tables()
        return sorted(name for name in names if is_table(name) and state_table(name) in names)

    def _target(self, table: str, schema: pa.Schema) -> Any:
        """The table as BigQuery has it, made or widened for `schema`."""
        from google.api_core.exceptions import NotFound

        try:
            target = self._dataset.get(table)
        except NotFound:
            self._make(table, schema)
            target = self._dataset.get(table)
        if lacking := table_schema.missing(target.schema, schema, table):
            self._widen(table, lacking)
            target = self._dataset.get(table)
        return target

    def _make(self, table: str, schema: pa.Schema) -> None:
        from google.cloud.bigquery import Table, TimePartitioning

        own = [pa.field(name, kind) for name, kind in OWN.items()]
        made = Table(self._dataset.reference(table), schema=table_schema.fields(pa.schema([*own, *schema]), table))
        made.description = f"As stored, with rows that count no more: {view_name(table)} shows those that do."
        made.clustering_fields = [WINDOW, TOKEN]
        if by := table_schema.partition(schema):
            made.time_partitioning = TimePartitioning(field=by)
        state = Table(self._dataset.reference(state_table(table)), schema=table_schema.fields(STATE, table))
        for new in (made, state):
            self._dataset.client.create_table(new, exists_ok=True, **self._dataset.calls)

    def _widen(self, table: str, lacking: Sequence[Any]) -> None:
        """Adds columns; who else adds one at the same time adds the same."""
        for field in lacking:
            options = f" OPTIONS (description = '{field.description}')" if field.description else ""
            added = f"ADD COLUMN IF NOT EXISTS `{field.name}` {table_schema.in_sql(field)}{options}"
            self._dataset.change(f"ALTER TABLE {self._dataset.name(table)} {added}")
        if emulated(BIGQUERY_EMULATOR):  # it adds the column, and forgets to tell of it
            target = self._dataset.get(table)
            there = {field.name for field in target.schema}
            target.schema = [*target.schema, *(field for field in lacking if field.name not in there)]
            self._dataset.client.update_table(target, ["schema"], **self._dataset.calls)
