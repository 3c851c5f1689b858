"""Events by period, on disk: rows come in any order, and go out a period at a time.

In memory stand one run of rows, and eight bytes per row by which repeated entity ids are found.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from components.core import periods
from components.core.events import ARRIVAL, ENTITY, EVENT_TIME

RUN_BYTES = 64 * 1024 * 1024

Indices = npt.NDArray[np.int64]


def times_of(table: pa.Table) -> npt.NDArray[np.datetime64]:
    """The event times (n,) datetime64[us] in UTC."""
    return np.asarray(table.column(EVENT_TIME).cast(pa.int64())).view("datetime64[us]")


class Spill:
    """Takes events in the order of the source and gives back each period's, in that order."""

    def __init__(self, schema: pa.Schema, by: periods.By, folder: Path) -> None:
        self._schema, self._by, self._folder = schema, by, folder
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._hashes: list[Indices] = []
        self._batches: dict[np.datetime64, list[tuple[int, int]]] = defaultdict(list)
        self._runs: list[pa.ipc.RecordBatchFileReader] = []
        self._files: list[IO[bytes]] = []
        self._rows: dict[np.datetime64, int] = defaultdict(int)
        self._duplicates: dict[np.datetime64, Indices] = {}

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        self._held.append(table)
        self._held_bytes += table.nbytes
        self._hashes.append(_hashes(table))
        if self._held_bytes > RUN_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Writes what is held as one run, a record batch per period; the file has no name and ends with the process."""
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held, self._held_bytes = [], 0
        starts = periods.starts(times_of(table), self._by)
        order = np.argsort(starts, kind="stable")
        table, starts = table.take(pa.array(order)).combine_chunks(), starts[order]
        edges = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1], True])
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # read until `close`
        self._files.append(file)
        with pa.ipc.new_file(file, self._schema) as writer:
            for batch, (first, last) in enumerate(itertools.pairwise(edges.tolist())):
                writer.write_table(table.slice(first, last - first))
                self._batches[starts[first]].append((len(self._runs), batch))
                self._rows[starts[first]] += last - first
        self._runs.append(pa.ipc.open_file(file))

    def finish(self) -> int:
        """To be called after the last `add`: finds rows whose entity came before; how many there are.

        Of one entity the first by arrival is kept, then by event time, then in the order of the source.
        """
        self._flush()
        hashes = np.sort(np.concatenate(self._hashes)) if self._hashes else np.empty(0, np.int64)
        self._hashes = []
        repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if len(repeated):
            self._duplicates = self._find(repeated)
        return sum(len(rows) for rows in self._duplicates.values())

    def _find(self, repeated: Indices) -> dict[np.datetime64, Indices]:
        starts, candidates = sorted(self._batches), []
        for number, start in enumerate(starts):
            table = self._read(start).select([ENTITY, ARRIVAL, EVENT_TIME])
            rows = np.flatnonzero(np.isin(_hashes(table), repeated))
            table = table.take(pa.array(rows)).append_column("row", pa.array(rows))
            candidates.append(table.append_column("period", pa.array(np.full(len(rows), number))))
        found = pa.concat_tables(candidates)
        found = found.take(pc.sort_indices(found, [(n, "ascending") for n in (ENTITY, ARRIVAL, EVENT_TIME)]))
        entities = found.column(ENTITY).combine_chunks().dictionary_encode().indices
        codes = np.asarray(entities)
        again = found.filter(pa.array(np.r_[False, codes[1:] == codes[:-1]]))
        numbers, rows = np.asarray(again.column("period")), np.asarray(again.column("row"))
        return {starts[i]: rows[numbers == i] for i in np.unique(numbers)}

    def _read(self, start: np.datetime64) -> pa.Table:
        return pa.Table.from_batches([self._runs[run].get_batch(i) for run, i in self._batches[start]], self._schema)

    def counts(self) -> dict[np.datetime64, int]:
        """Rows by the start of their period, in order, without duplicates; periods without rows are left out."""
        left = {start: self._rows[start] - len(self._duplicates.get(start, ())) for start in sorted(self._rows)}
        return {start: rows for start, rows in left.items() if rows}

    def rows(self, start: np.datetime64) -> pa.Table:
        """One period's rows in the order of the source, without duplicates."""
        table = self._read(start)
        duplicates = self._duplicates.get(start)
        if duplicates is None:
            return table
        keep = np.ones(table.num_rows, dtype=bool)
        keep[duplicates] = False
        return table.filter(pa.array(keep))

    def newest(self) -> np.datetime64:
        """The newest event's time; there must be one."""
        newest: np.datetime64 = times_of(self.rows(max(self.counts()))).max()
        return newest

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *error: object) -> None:
        self._runs.clear()
        for file in self._files:
            file.close()


def _hashes(table: pa.Table) -> Indices:
    """Python's hash of each entity: equal ones are equal, and the few that clash are told apart by `_find`."""
    return np.fromiter(map(hash, table.column(ENTITY).to_pylist()), np.int64, table.num_rows)
