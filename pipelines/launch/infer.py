"""What a data file seems to hold: columns and types, which one is the time, which ones name a row."""

from __future__ import annotations

import gzip
import itertools
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json, parquet

from components.core.columns import ColumnType
from components.core.errors import CaseError

SAMPLE_BYTES = 32 * 1024 * 1024
NULLS = ("", "NA")
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_ID = re.compile(r"(^|_)(id|key|uuid|number|no)$", re.IGNORECASE)
MOST_CLASSES = 20

Format = Literal["csv", "jsonl", "parquet"]
Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Inferred:
    """One column: its type, whether a value is missing in the sample, and how many distinct ones there are."""

    name: str
    type: ColumnType
    missing: bool
    distinct: int


def format_of(path: Path) -> Format:
    """By the ending, under .gz and .zip. Raises CaseError for another one."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zip")
    for ending, kind in ((".csv", "csv"), (".jsonl", "jsonl"), (".ndjson", "jsonl"), (".parquet", "parquet")):
        if name.endswith(ending):
            return cast(Format, kind)
    remedy = "Give a CSV, JSON lines or Parquet file, as it is or with .gz or .zip."
    raise CaseError("--data", "end in .csv, .jsonl, .ndjson or .parquet", path.name, remedy)


def sample(path: Path) -> pa.Table:
    """The first rows of a data file, types as Arrow sees them. Raises CaseError where it cannot be read."""
    if not path.is_file():
        raise CaseError("--data", "be a file", str(path), "Name one data file.")
    kind = format_of(path)
    try:
        if kind == "parquet":
            file = parquet.ParquetFile(path)
            batches = list(itertools.islice(file.iter_batches(batch_size=200_000), 1))
            return pa.Table.from_batches(batches, schema=file.schema_arrow)
        with _opened(path) as stream:
            head = stream.read(SAMPLE_BYTES)
        if len(head) == SAMPLE_BYTES:
            head = head[: head.rfind(b"\n") + 1]
        if kind == "jsonl":
            return json.read_json(pa.BufferReader(head), json.ReadOptions(block_size=len(head) + 1))
        convert = csv.ConvertOptions(null_values=NULLS, strings_can_be_null=True)
        return csv.read_csv(pa.BufferReader(head), csv.ReadOptions(block_size=len(head) + 1), convert_options=convert)
    except (pa.ArrowInvalid, OSError, zipfile.BadZipFile) as error:
        raise CaseError(
            "--data", f"be readable as {kind}", str(error), "Look at its first lines.", where=str(path)
        ) from error


def _opened(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(path))
    if path.name.lower().endswith(".zip"):
        archive = zipfile.ZipFile(path)
        return archive.open(archive.namelist()[0])
    return path.open("rb")


def columns(table: pa.Table) -> list[Inferred]:
    """Each usable column of the sample: its name is an identifier, and it is not nested."""
    found = []
    for name in table.column_names:
        column = table.column(name)
        kind = _type(name, column)
        if kind is not None and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            distinct = len(pc.unique(pc.drop_null(column)))
            found.append(Inferred(name, kind, column.null_count > 0, distinct))
    return found


def _type(name: str, column: pa.ChunkedArray) -> ColumnType | None:
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind) and not pa.types.is_duration(kind):
        return "timestamp"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "id" if pa.types.is_integer(kind) and _ID.search(name) else "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind) or _is_words(kind):
        values = pc.drop_null(column).cast(pa.string())
        if len(values) and pc.all(pc.match_substring_regex(values, _ISO)).as_py():
            return "timestamp"
        return "id" if _ID.search(name) else "string"
    return None


def _is_words(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def time_column(found: Sequence[Inferred]) -> str:
    """The timestamp column with a value in every row, the most distinct first. Raises CaseError without one."""
    times = sorted((c for c in found if c.type == "timestamp"), key=lambda c: (c.missing, -c.distinct))
    if not times:
        remedy = "An event needs a time: add an ISO 8601 column to the file, or name one with --time."
        raise CaseError("--time", "name a timestamp column", [c.name for c in found], remedy)
    return times[0].name


def entity_id(table: pa.Table, found: Sequence[Inferred], label: str) -> list[str]:
    """The fewest columns (at most three) that name a row of the sample once. Raises CaseError without such."""
    usable = [c for c in found if not c.missing and c.name != label and c.type != "bool"]
    rank = {"id": 0, "string": 1, "timestamp": 2, "number": 3, "bool": 4}
    usable.sort(key=lambda c: (rank[c.type], -c.distinct))
    for count in (1, 2, 3):
        for chosen in itertools.islice(itertools.combinations([c.name for c in usable], count), 60):
            if count == 1 and next(c for c in usable if c.name == chosen[0]).type == "number":
                continue  # unique by chance
            if table.select(list(chosen)).group_by(list(chosen)).aggregate([]).num_rows == table.num_rows:
                return list(chosen)
    raise CaseError(
        "--id", "name columns that together are unique", "none found", "Name them with --id, once for each."
    )


def task_of(column: Inferred) -> Task:
    """Two values: binary; a few texts: multiclass; numbers: regression."""
    if column.type == "bool" or column.distinct == 2:
        return "binary"
    if column.type in ("string", "id") and column.distinct <= MOST_CLASSES:
        return "multiclass"
    if column.type == "number":
        return "regression"
    rule = f"hold numbers, two values, or at most {MOST_CLASSES} texts"
    raise CaseError("--label", rule, f"{column.name}: {column.distinct} {column.type} values", "Name another column.")
