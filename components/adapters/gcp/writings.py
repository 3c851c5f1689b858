"""Which writing of each window counts: the table _NAME beside NAME. One UPDATE of it is a writing's commit point.

No transaction of several statements: of two that insert, BigQuery sees no conflict, and a window could be made twice.
For the same reason a window's row is made first, with an empty token, and every UPDATE takes all rows of the window:
two writings then change the same rows, which BigQuery lets only one of them do.

Appends (`appends`) leave no trace here but one: the row GROWS says that the table has some. They are counted where they
stand.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace

import pyarrow as pa

from components.adapters.gcp.bigquery import Dataset
from components.adapters.gcp.table_schema import ROW, TOKEN, WINDOW
from components.adapters.ports import Bounds
from components.core.errors import ConflictError, EsteiraError

STATE = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field(TOKEN, pa.string()),
        pa.field("written", pa.timestamp("us", tz="UTC")),
        pa.field("row_count", pa.int64()),
    ]
)
GROWS = "*"
"""No window's name."""
APPENDED = 10**15
"""The place of an appended row in its window is the nanosecond in which it was sent: beyond any number of rows."""


@dataclass(frozen=True)
class Last:
    """A window's last writing. The token is empty where none counts yet."""

    token: str = ""
    at: float = 0.0
    rows: int = 0
    appended: str = ""
    """What tells the rows that were appended since from those of another moment."""


def new_token(at: float | None = None) -> str:
    """Sorted by time, so that what an ended writer left is known by its age."""
    return f"{time.time_ns() if at is None else int(at * 1e9):020d}-{uuid.uuid4().hex}"


def state_table(table: str) -> str:
    """Never another table's: their names begin with a letter."""
    return f"_{table}"


class Writings:
    """The writings of one table."""

    def __init__(self, dataset: Dataset, table: str) -> None:
        self._dataset, self._table = dataset, table
        self._state = dataset.name(state_table(table))

    def last(self) -> dict[str, Last]:
        """Every window by name, sorted; empty where there is no such table."""
        from google.api_core.exceptions import NotFound

        text = f"SELECT name, MAX({TOKEN}), MAX(written), MAX(row_count) FROM {self._state} GROUP BY name"  # noqa: S608
        with self._dataset.translated(self._table):
            try:
                found = sorted(tuple(row) for row in self._dataset.short(text))
            except NotFound:
                return {}
        return {name: Last(token, at.timestamp(), count) for name, token, at, count in found}

    def committed(self, bounds: Bounds | None = None) -> dict[str, Last]:
        """The windows that have rows or were written without, sorted; of appended rows those in the bounds count."""
        last = self.last()
        found = {window: one for window, one in last.items() if one.token and window != GROWS}
        if GROWS in last:
            for window, token, rows, newest in self._appended(bounds):
                base = found.get(window, Last())
                if token == base.token:
                    found[window] = replace(base, at=max(base.at, newest / 1e9), appended=f"+{newest}-{rows}")
        return dict(sorted(found.items()))

    def _appended(self, bounds: Bounds | None) -> list[tuple[str, str, int, int]]:
        """Of each window, by the token that they bear: how many rows were appended, and the last one's place."""
        # Constants, so that BigQuery reads the days' partitions alone where the table is partitioned by the column.
        within = f"AND {bounds.column} >= TIMESTAMP_MICROS({bounds.start}) " if bounds is not None else ""
        text = (
            f"SELECT {WINDOW}, {TOKEN}, COUNT(*), MAX({ROW}) FROM {self._dataset.name(self._table)} "  # noqa: S608  # as below
            f"WHERE {ROW} >= {APPENDED} {within}GROUP BY {WINDOW}, {TOKEN}"
        )
        with self._dataset.translated(self._table):
            return [tuple(row) for row in self._dataset.short(text)]

    def growing(self) -> dict[str, Last]:
        """Every window, of a table that is marked as one with appended rows from now on."""
        last = self.last()
        if GROWS not in last:
            with self._dataset.translated(self._table):
                self._insert(GROWS, GROWS)
        return last

    def compare(self, window: str, after: str) -> None:
        """Raises ConflictError where the window's last writing is another than `after`, or rows were appended since."""
        found = self.committed().get(window, Last())
        current = found.token + found.appended
        if current != after:
            rule = f"be as it was written with the token {after}" if after else "not be there"
            remedy = "Somebody wrote it first: read it again and decide anew."
            raise ConflictError(window, rule, current, remedy, where=self._table)

    def commit(self, window: str, token: str, rows: int, before: str) -> str:
        """Makes `token` the window's last writing if `before` still is; the token that is so then."""
        there = self.last()
        with self._dataset.translated(self._table):
            if window not in there:
                self._insert(window, "")
        try:
            with self._dataset.translated(self._table):
                self._update(window, token, rows, before)
        except EsteiraError:  # it may have been done, and the answer lost
            if (found := self.last()[window].token) == before:
                raise
            return found
        return self.last()[window].token

    def _insert(self, window: str, token: str) -> None:
        self._dataset.change(
            f"INSERT INTO {self._state} (name, {TOKEN}, written, row_count) "  # noqa: S608  # names by strict pattern, values bound
            "VALUES (@window, @token, CURRENT_TIMESTAMP(), 0)",
            window=window,
            token=token,
        )

    def _update(self, window: str, token: str, rows: int, before: str) -> None:
        self._dataset.change(
            f"UPDATE {self._state} SET {TOKEN} = @token, written = CURRENT_TIMESTAMP(), row_count = @rows "  # noqa: S608  # as above
            f"WHERE name = @window AND (SELECT MAX({TOKEN}) FROM {self._state} WHERE name = @window) = @before",
            window=window,
            token=token,
            rows=rows,
            before=before,
        )
