"""`esteira init`: a new case from a data file, with a comment on each key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from components.core import case_file, periods
from components.core.arrow import to_numpy
from components.core.artifacts import atomic_write
from components.core.columns import Array
from components.core.errors import CaseError
from pipelines.launch import infer
from pipelines.launch.infer import Inferred

_ESTIMATORS = {
    "binary": "sklearn.ensemble.HistGradientBoostingClassifier",
    "multiclass": "sklearn.ensemble.HistGradientBoostingClassifier",
    "regression": "sklearn.ensemble.HistGradientBoostingRegressor",
}
_FLOORS = {"binary": "roc_auc: 0.6", "multiclass": "accuracy: 0.5", "regression": "r2: 0.1"}


@dataclass(frozen=True)
class Wishes:
    """What the person named; empty means: find out."""

    label: str
    time: str = ""
    ids: Sequence[str] = ()


def init(folder: Path, data: Path, wishes: Wishes) -> list[str]:
    """Writes case.yaml and features.py into a new folder, whose name is the case's.

    Returns the columns that were left out: nested ones, and those whose names are no identifiers.

    Raises
    ------
    CaseError
        The folder has a case already, the file cannot be read, or a named column is not in it.
    """
    if (folder / "case.yaml").exists():
        raise CaseError("CASE", "not exist yet", str(folder), "Choose another name, or edit its case.yaml.")
    table = infer.sample(data)
    found = infer.columns(table)
    label = _named("--label", wishes.label, found, table)
    time = _named("--time", wishes.time or infer.time_column(found), found, table).name
    ids = [_named("--id", name, found, table).name for name in wishes.ids] or infer.entity_id(table, found, label.name)
    times = to_numpy(_as_times(table.column(time)), "timestamp")
    text = _case(folder.name, data, found, label, time, ids, _split(times), _positive(table, label))
    case_file.parse(text, where=str(folder / "case.yaml"))
    atomic_write(folder / "case.yaml", text.encode())
    inputs = [c for c in found if c.name == time or c.name not in (label.name, *ids)]
    atomic_write(folder / "features.py", _features(inputs).encode())
    return [name for name in table.column_names if name not in {column.name for column in found}]


def _named(option: str, name: str, found: Sequence[Inferred], table: pa.Table) -> Inferred:
    for column in found:
        if column.name == name:
            return column
    if name in table.column_names:
        rule = "name a column of plain values whose name is letters, digits and _, starting with a letter"
        raise CaseError(option, rule, name, "Rename the column in the file.")
    names = ", ".join(column.name for column in found)
    raise CaseError(option, f"name a column of the file: {names}", name, "Mend the option.")


def _as_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("us"), safe=False) if pa.types.is_date(column.type) else column
    text = pc.replace_substring_regex(column.cast(pa.string()), "(Z|[+-][0-9]{2}:?[0-9]{2})$", "")
    return pc.cast(text, pa.timestamp("us"))


def _split(times: Array) -> tuple[str, int]:
    """The largest period of which the data holds at least six, and how many it holds."""
    times = times[~np.isnat(times)]
    choices: tuple[periods.By, ...] = ("month", "week", "day", "hour")
    for by in choices:
        count = len(np.unique(periods.starts(times, by)))
        if count >= 6:
            return by, count
    rule = "reach over at least six hours"
    raise CaseError("--time", rule, f"{len(times)} rows", "Give more history: the newest periods are held out.")


def _positive(table: pa.Table, label: Inferred) -> str | None:
    """The value that counts as 1: the rarer one, true, or none where the label is 0 and 1 already."""
    if infer.task_of(label) != "binary":
        return None
    if label.type == "bool":
        return "true"
    counts = sorted(pc.value_counts(pc.drop_null(table.column(label.name))).to_pylist(), key=lambda c: c["counts"])
    if {float(c["values"]) for c in counts} == {0.0, 1.0} if label.type == "number" else False:
        return None
    if label.type == "number":
        rule = "be 0 and 1, true and false, or two texts"
        raise CaseError("--label", rule, [c["values"] for c in counts], "Recode it, or use label.above in case.yaml.")
    return str(counts[0]["values"])


def _case(
    name: str,
    data: Path,
    found: Sequence[Inferred],
    label: Inferred,
    time: str,
    ids: Sequence[str],
    split: tuple[str, int],
    positive: str | None,
) -> str:
    task = infer.task_of(label)
    by, count = split
    columns = "\n".join(f"  {c.name}: {{{_column(c, label, (time, *ids))}}}" for c in found)
    source = os.path.relpath(data) if data.resolve().is_relative_to(Path.cwd()) else str(data.resolve())
    told = f"\n  positive: {_scalar(positive)}" if positive is not None else ""
    return f"""\
# What the model is about. `esteira check {name}` says whether it holds together; every key is in docs/case.md.
format: 1
name: {_scalar(name)}
description: ""

# One row is one event. A relative path stands under the folder in which you run esteira.
source:
  path: {_scalar(source)}
  bad_ratio: 0.01        # more rows than this that do not parse stop the run

# type: number, bool, string, id or timestamp. missing: false sends a row without a value to the dead letters.
# known: label marks what is known only when the label is: it never becomes an input of the model.
columns:
{columns}

# The columns that together name a row once.
entity_id: [{", ".join(ids)}]

# When the event happens. `plus: {{column: minutes}}` adds number columns to it.
event_time: {{column: {time}}}

label:
  column: {label.name}{told}
  # matures: {{column: {time}, offset: 1d}}   # when the label is known, if that is later than the event

# references: tables joined by key or as of the event's time.   windows: counts, sums and means per key over the
# last hours. Both are explained in docs/case.md; pipelines/cases/flights/case.yaml has both.

# The data reaches over {count} periods of one {by}. The newest is scored, the one before is held out for the gate,
# the one before that chooses the threshold and the search; all earlier ones train.
split: {{by: {by}, validation: 1, holdout: 1, score: 1}}

model:
  task: {task}
  estimator: {_ESTIMATORS[task]}
  parameters: {{max_iter: 100}}
  categories: ordinal      # how texts are encoded: ordinal, onehot or target
  seed: 0

# When a new model may become champion: every floor holds, and it is not worse than the champion.
gate:
  floors: {{{_FLOORS[task]}}}
  minimum_rows: 50
"""


def _column(column: Inferred, label: Inferred, needed: Sequence[str]) -> str:
    parts = [f"type: {column.type}"]
    if column.name in needed:
        parts.append("missing: false")
    if column.name == label.name:
        parts.append("known: label")
    return ", ".join(parts)


def _scalar(value: str) -> str:
    return yaml.safe_dump(value, width=1000).removesuffix("\n...\n").strip()


def _features(found: Sequence[Inferred]) -> str:
    numbers = [c.name for c in found if c.type in ("number", "bool")]
    words = [c.name for c in found if c.type == "string"]
    times = [c.name for c in found if c.type == "timestamp"]
    return f'''\
"""What the model sees of an event."""

import numpy as np

NUMBERS = {_names(numbers)}
WORDS = {_names(words)}
TIMES = {_names(times)}


def features(columns):
    """Columns of n events -> float32 and str columns of n rows.

    Row by row: no sum, mean, rank or sort over the rows. A number is float64 with NaN for missing, a bool is 0 or 1,
    a text is a str with '' for missing, a time is datetime64[us] in UTC.
    """
    result = {{name: columns[name].astype(np.float32) for name in NUMBERS}}
    for name in TIMES:
        hours = columns[name].astype("datetime64[h]").astype(np.int64)
        known = ~np.isnat(columns[name])
        result[f"{{name}}_hour"] = np.where(known, hours % 24, np.nan).astype(np.float32)
        result[f"{{name}}_weekday"] = np.where(known, (hours // 24 + 3) % 7, np.nan).astype(np.float32)
    return result | {{name: columns[name] for name in WORDS}}
'''


def _names(names: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"({quoted},)" if len(names) == 1 else f"({quoted})"
