"""The view rows_NAME beside each table NAME: the rows that count, for whoever asks BigQuery and not this adapter.

NAME itself also holds rows that were replaced, that an ended writer left, or that were appended twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from components.adapters.gcp.bigquery import Dataset, transient
from components.adapters.gcp.counted import view
from components.adapters.gcp.table_schema import OWN
from components.adapters.gcp.writings import state_table
from components.adapters.patience import Patience
from components.core.errors import EsteiraError

_log = logging.getLogger(__name__)


def view_name(table: str) -> str:
    """In front, where the pipeline's tables say what they hold: no case's name makes another table of it."""
    return f"rows_{table}"


class Views:
    """Makes the views of a dataset's tables, and makes those anew that lack a column or have another text."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._seen: dict[str, set[str]] = {}

    def show(self, table: str, declared: Iterable[Any]) -> None:
        """Looks once for the columns of the table. A failure is a warning: nothing of ours reads the view."""
        columns = {field.name for field in declared} - set(OWN)
        if columns <= self._seen.get(table, set()):
            return
        self._seen[table] = columns
        text = view(self._dataset.name(table), self._dataset.name(state_table(table)))

        def make() -> None:
            if not self._stands(table, columns, text):
                self._make(table, text)

        try:
            with self._dataset.translated(view_name(table)):
                Patience(first=0.2, longest=10.0, deadline=self._dataset.deadline).retry(make, transient)
        except EsteiraError as error:
            _log.warning("%s has no view that shows only the rows that count: %s", table, error)

    def _stands(self, table: str, columns: set[str], text: str) -> bool:
        """Whether it shows at least these columns: another process may have added some since."""
        from google.api_core.exceptions import NotFound

        try:
            found = self._dataset.get(view_name(table))
        except NotFound:
            return False
        there = {field.name for field in found.schema}
        # The emulator does not tell the text.
        return found.table_type == "VIEW" and columns <= there and found.view_query in (None, text)

    def _make(self, table: str, text: str) -> None:
        """By a statement: an update with the same text would not refresh the columns that BigQuery reports."""
        options = f"OPTIONS (description = 'The rows of {table} that count, each once.')"
        self._dataset.change(f"CREATE OR REPLACE VIEW {self._dataset.name(view_name(table))} {options} AS {text}")
