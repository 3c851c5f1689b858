"""Tables as folders of Parquet files, one file per window, queried with DuckDB."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from components.adapters.latest import latest
from components.adapters.names import checked_table, checked_window, is_table
from components.adapters.ports import Bounds, Written
from components.core.artifacts import atomic_write
from components.core.errors import ConflictError, DataError, SchemaError
from components.core.shards import parquet_bytes

MEMORY = "1GB"
"""What one query may hold; above it, DuckDB says so."""


class ParquetTables:
    """Implements `ports.Tables` under one folder."""

    pause = 0.0

    def __init__(self, root: Path) -> None:
        self._root = root
        self._appended: dict[str, tuple[Path, str, pa.Table]] = {}
        """By table what the last append wrote, and its token: a stream does not read its own rows again."""

    def replace(self, table: str, window: str, rows: pa.Table, *, after: str | None = None) -> None:
        path, data = self._folder(table) / f"{checked_window(window, table)}.parquet", parquet_bytes(rows)
        with _locked(path.parent):
            current = _written(path).token if path.exists() else ""
            if after is not None and after != current:
                rule = f"be as it was written with the token {after}" if after else "not be there"
                remedy = "Somebody wrote it first: read it again and decide anew."
                raise ConflictError(window, rule, current, remedy, where=table)
            atomic_write(path, data)

    def append(self, table: str, window: str, rows: pa.Table, *, key: str) -> None:
        """Writes the window anew with the rows: it should stay small."""
        path = self._folder(table) / f"{checked_window(window, table)}.parquet"
        if not rows.num_rows:
            return
        with _locked(path.parent):
            known, token, before = self._appended.get(table, (path, "", rows[:0]))
            current = _written(path).token if path.exists() else ""
            if (known, token) != (path, current):
                before = _dataset([path]).to_table() if current else rows[:0]
            whole = latest(_one([before, rows], table), [key]).combine_chunks()
            atomic_write(path, parquet_bytes(whole))
            self._appended[table] = path, _written(path).token, whole

    def windows(self, table: str) -> list[str]:
        return [path.stem for path in self._files(table)]

    def written(self, table: str, bounds: Bounds | None = None) -> dict[str, Written]:  # noqa: ARG002  # a look is cheap
        return {path.stem: _written(path) for path in self._files(table)}

    def read(self, table: str, *, window: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        files = [path for path in self._files(table) if window is None or path.stem == window]
        if not files:
            what = f"{table} {window}" if window is not None and self._files(table) else table
            raise DataError("table", "exist", what, "Run the step that writes it, or see its windows.")
        try:
            return _dataset(files).to_table(columns=list(columns) if columns is not None else None)
        except (pa.ArrowException, KeyError) as error:
            remedy = "Name other columns, or delete the file that differs."
            raise DataError("table", "be readable with one schema", str(error), remedy, where=table) from error

    def resource(self, table: str) -> str:  # noqa: ARG002  # nothing here is in a cloud
        return ""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        import duckdb

        # Without access to anything outside, SQL sees the tables registered here and no file.
        config: dict[str, Any] = {"enable_external_access": "false", "memory_limit": MEMORY}
        try:
            with duckdb.connect(":memory:", config=config) as connection:
                statements = connection.extract_statements(sql)
                if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
                    raise DataError("sql", "be one SELECT", sql, "Ask for one table at a time.")
                for table in self._named_in(sql):
                    connection.register(table, _dataset(self._files(table)))
                return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()
        except (duckdb.Error, pa.ArrowException) as error:
            remedy = f"Tables: {', '.join(self._tables()) or 'none yet'}."
            raise DataError("sql", "be a query that DuckDB runs", str(error), remedy) from error

    def _named_in(self, sql: str) -> list[str]:
        words = set(re.findall(r"[a-z0-9_]+", sql.lower()))
        return [table for table in self._tables() if table in words]

    def _tables(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(p.name for p in self._root.iterdir() if is_table(p.name) and self._files(p.name))

    def _files(self, table: str) -> list[Path]:
        folder = self._folder(table)
        # Who watches a table asks every second: a listing by names costs a tenth of a glob.
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208
        files = [name for name in names if name.endswith(".parquet") and not name.startswith(".")]
        return [folder / name for name in sorted(files, key=lambda name: name.removesuffix(".parquet"))]

    def _folder(self, table: str) -> Path:
        return self._root / checked_table(table)


def _written(path: Path) -> Written:
    """Two writings may share the clock's tick; each makes a new file."""
    state = path.stat()
    return Written(state.st_mtime_ns / 1e9, f"{state.st_mtime_ns}-{state.st_ino}-{state.st_size}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer of a table at a time, across processes; a killed one lets go. Readers need no lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _one(parts: Sequence[pa.Table], table: str) -> pa.Table:
    """One below the other; a column that some lack is null there. Raises SchemaError where their types differ."""
    try:
        return pa.concat_tables(parts, promote_options="default")
    except pa.ArrowException as error:
        remedy = "Cast it, or write to a table of another name."
        raise SchemaError("rows", "have the types of the table's", str(error), remedy, where=table) from error


def _dataset(files: Sequence[Path]) -> ds.Dataset:
    """The files as one table; a column that some lack is null there."""
    schema = pa.unify_schemas([pq.read_schema(path) for path in files], promote_options="permissive")
    return ds.dataset([str(path) for path in files], schema=schema, format="parquet")
