"""What the job is to do: each period's use, the earlier rows that its windows reach into, and where everything lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core import artifacts, enrich, events, periods
from components.core.arrow import ARROW, arrow_schema
from components.core.artifacts import Manifest, Partition
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.events import ENTITY, EVENT_TIME, LABEL_TIME
from components.core.labels import arrow_type
from components.core.periods import Use

LABEL, WEIGHT = "_label", "_weight"
PUBLISHED: dict[Use, Literal["features", "holdout", "score"]] = {
    "train": "features",
    "validation": "features",
    "holdout": "holdout",
    "score": "score",
}
"""The artifact that a period's rows go to."""


@dataclass(frozen=True)
class Spec:
    """What every worker is told: texts and numbers only, never the user's code. Paths are directories."""

    bundle: str
    """The digest; a worker fetches and verifies the bundle by it."""
    profile: str
    events: str
    references: str
    features: str
    holdout: str
    score: str
    job: str
    """What the job leaves for the step: rows refused, and the outcomes."""
    start: int
    stop: int
    """The window asked for, in microseconds: rows outside are there for the windows of others."""
    most_refused: int
    """With more than this many in one period the job cannot succeed any more."""


@dataclass(frozen=True)
class Element:
    """One period's work, the unit of parallelism. `before` names the shards (partition, path) that its windows need."""

    key: str
    use: Use
    before: tuple[tuple[str, str], ...] = ()
    laws: bool = False
    """Whether the transform's laws are checked on these rows."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Element:
        data = json.loads(text)
        return cls(data["key"], data["use"], tuple((a, b) for a, b in data["before"]), data["laws"])


def window(manifest: Manifest) -> tuple[int, int]:
    """The window that ingest was asked for, in microseconds."""
    start, stop = manifest.info["window"]
    return events.instant(start), events.instant(stop)


def elements(case: Case, root: Path, manifest: Manifest, purpose: str) -> list[Element]:
    """The periods to work on, in order.

    Raises
    ------
    DataError
        To train, there are fewer periods than the split needs.
    """
    start, stop = window(manifest)
    asked = [p for p in manifest.partitions if _within(p, start, stop)]
    uses: dict[str, Use] = {p.key: "score" for p in asked}
    if purpose != "predict":
        uses = periods.uses([p.key for p in asked], case.split)
    needed = _before(case, root, manifest.partitions, set(uses))
    oldest = next((key for key, use in uses.items() if use == "train"), None)
    return [Element(key, use, needed[key], key == oldest) for key, use in uses.items()]


def _within(partition: Partition, start: int, stop: int) -> bool:
    if partition.time_min is None or partition.time_max is None:
        return False
    return partition.time_max >= start and partition.time_min < stop


def _before(
    case: Case, root: Path, partitions: Sequence[Partition], wanted: set[str]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """For each period, the earlier shards with a row that one of its windows can see.

    A row whose label lands late may lie in a period long before, so the shards' own statistics are asked.
    """
    reach, waits = enrich.reach(case), enrich.waits(case)
    lasts: list[tuple[str, str, int]] = []
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for partition in partitions:
        horizon = (partition.time_min or 0) - reach
        if partition.key in wanted:
            found[partition.key] = tuple((key, path) for key, path, last in lasts if reach and last >= horizon)
        if reach:
            for shard in partition.shards:
                lasts.append((partition.key, shard.path, _last(artifacts.read_verified(root, shard), waits)))
    return found


def _last(data: bytes, waits: bool) -> int:
    """The last moment at which a row of the shard enters a window, in microseconds."""
    metadata = pq.read_metadata(pa.BufferReader(data))
    last = np.iinfo(np.int64).min
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        for column in (group.column(i) for i in range(group.num_columns)):
            if column.path_in_schema == EVENT_TIME or (waits and column.path_in_schema == LABEL_TIME):
                known = column.statistics is not None and column.statistics.has_min_max
                last = max(last, events.micros(column.statistics.max)) if known else last
    return int(last)


def schemas(case: Case, outputs: dict[str, ColumnType]) -> dict[str, pa.Schema]:
    """The schema of each artifact by name; `outputs` are the transform's columns."""
    texts = {"number": pa.float32(), "string": pa.string()}
    identity = [pa.field(ENTITY, pa.string()), pa.field(EVENT_TIME, ARROW["timestamp"])]
    label, weight = pa.field(LABEL, arrow_type(case)), pa.field(WEIGHT, pa.float64())
    made = [pa.field(name, texts[kind]) for name, kind in outputs.items()]
    known = [*arrow_schema(case.event_types()), *identity]
    enriched = pa.schema([*known, label, pa.field(LABEL_TIME, ARROW["timestamp"]), weight])
    return {"features": pa.schema([*made, *identity, label, weight]), "holdout": enriched, "score": enriched}
