"""Joins with a reference table: the row of the key that is newest as of a time, within a tolerance; or by key alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.core.arrow import ARROW
from components.core.case import Reference
from components.core.declared import seconds
from components.core.errors import DataError
from components.core.windows import Ints, Ordered, missing_as_null

MICROS = 1_000_000


class Lookup:
    """A reference table made ready: looked up for any number of batches.

    A row whose key has a missing part, or whose time is missing, is never found; of rows with equal key and time the
    last one is.

    Raises
    ------
    DataError
        The table lacks a column that the case declares.
    """

    def __init__(self, name: str, reference: Reference, table: pa.Table) -> None:
        for column, declared in reference.columns.items():
            if column not in table.column_names or table.schema.field(column).type != ARROW[declared.type]:
                rule = f"be a column of type {ARROW[declared.type]}"
                remedy = "Ingest the table again with this case."
                raise DataError(column, rule, table.column_names, remedy, where=f"reference {name}")
        self._by, self._keys = tuple(reference.by), _Keys([table.column(c) for c in reference.by.values()])
        times = np.zeros(table.num_rows, np.int64) if reference.time is None else micros(table.column(reference.time))
        kept = np.flatnonzero((self._keys.codes >= 0) & (times != NO_TIME))
        self._timed = reference.time is not None
        self._within = seconds(reference.within) * MICROS if reference.within is not None else 0
        self._ordered = Ordered(self._keys.codes[kept], times[kept])
        rows = kept[self._ordered.order]
        self._codes, self._times = self._keys.codes[rows], times[rows]
        self._table = (
            table.select(reference.take)
            .take(pa.array(rows))
            .rename_columns([f"{name}_{column}" for column in reference.take])
        )

    def join(self, batch: pa.Table, times: Ints) -> pa.Table:
        """The taken columns for each of the batch's n rows, null where no row counts; times (n,) in microseconds."""
        codes = self._keys.find([batch.column(c) for c in self._by])
        asked = times if self._timed else np.zeros(batch.num_rows, np.int64)
        at = self._ordered.before(codes, asked, inclusive=True) - 1
        found = at >= 0
        found[found] = (self._codes[at[found]] == codes[found]) & (
            asked[found] - self._times[at[found]] <= self._within
        )
        return self._table.take(pa.array(at, mask=~found))


class _Keys:
    """The keys of a table as numbers, and the same numbers for the keys of other rows."""

    def __init__(self, columns: Sequence[pa.ChunkedArray]) -> None:
        self._values: list[pa.Array] = []
        self._pairs: list[Ints] = []
        parts = [missing_as_null(column) for column in columns]
        for part in parts:
            self._values.append(pc.drop_null(pc.unique(part)))
        codes = self._single(0, parts[0])
        for index in range(1, len(parts)):
            pair = self._paired(index, codes, parts[index])
            self._pairs.append(np.unique(pair[pair >= 0]))
            codes = _position(self._pairs[-1], pair)
        self.codes = codes

    def find(self, columns: Sequence[pa.ChunkedArray]) -> Ints:
        """The number of each row's key in the table; -1 where it has none."""
        parts = [missing_as_null(column) for column in columns]
        codes = self._single(0, parts[0])
        for index in range(1, len(parts)):
            codes = _position(self._pairs[index - 1], self._paired(index, codes, parts[index]))
        return codes

    def _single(self, index: int, part: pa.Array) -> Ints:
        found = pc.index_in(part, value_set=self._values[index], skip_nulls=True)
        return np.asarray(found.fill_null(-1)).astype(np.int64)

    def _paired(self, index: int, codes: Ints, part: pa.Array) -> Ints:
        other = self._single(index, part)
        return np.where((codes < 0) | (other < 0), -1, codes * len(self._values[index]) + other)


def _position(values: Ints, wanted: Ints) -> Ints:
    """Where each wanted value stands among the sorted values; -1 where it does not."""
    if not len(values):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[at] == wanted, at, -1)


NO_TIME = np.iinfo(np.int64).min
"""Where a time is missing, as `micros` gives it."""


def micros(column: pa.ChunkedArray | pa.Array) -> Ints:
    """A timestamp or int64 column (n,) as int64, NO_TIME where it is null."""
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(pc.fill_null(flat.cast(pa.int64()), NO_TIME)).astype(np.int64, copy=False)
