"""Rows that come one after the other, by the Storage Write API's default stream: at least once, and at once visible.

A row bears the token of its window's last writing as it was when the first of them came, "" where there was none: so
whatever writes the window anew takes them out too, and what a writer that has ended still had under way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from components.adapters.gcp.bigquery import Dataset, transient
from components.adapters.gcp.table_schema import laid_out
from components.adapters.gcp.writings import Writings
from components.adapters.patience import Patience

_BYTES = 4_000_000
"""Of one request, of which the service takes ten million."""


class Appends:
    """What one process appends to one table; `target` is the table as BigQuery has it."""

    def __init__(self, dataset: Dataset, table: str, target: Any) -> None:
        self._dataset, self._table, self.target = dataset, table, target
        writings = Writings(dataset, table)
        self._tokens = {window: last.token for window, last in writings.growing().items()}
        self._last = 0

    def replaced(self, window: str, token: str) -> None:
        """This process has written the window anew."""
        self._tokens[window] = token

    def send(self, window: str, rows: pa.Table, key: str) -> None:
        """Durable once it has returned."""
        first = max(time.time_ns(), self._last + 1)
        self._last = first + rows.num_rows
        token = self._tokens.get(window, "")
        laid = laid_out(rows, self.target.schema, window, token, first=first, key=key)
        patience = Patience(first=0.2, longest=10.0, deadline=self._dataset.deadline)
        for batch in _batches(laid):
            patience.retry(lambda batch=batch: self._dataset.append(self._table, batch), _passes)  # type: ignore[misc]  # it takes none


def _batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """In order, each of a size that one request takes where its rows are no larger."""
    most = max(1, rows.num_rows * _BYTES // max(rows.nbytes, 1))
    for batch in rows.combine_chunks().to_batches(max_chunksize=most):
        if batch.num_rows:
            yield batch


def _passes(error: Exception) -> bool:
    """Whether it may be sent again: also while the service has not heard of a new table or column yet."""
    from google.api_core.exceptions import Aborted, Cancelled, InvalidArgument, NotFound

    unheard = isinstance(error, InvalidArgument) and "extra fields" in str(error).lower().replace("_", " ")
    return unheard or isinstance(error, Aborted | Cancelled | NotFound) or transient(error)
