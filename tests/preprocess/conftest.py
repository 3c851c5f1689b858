"""A small case of parcels, with a reference table and windows, and runs of preprocess over whatever rows a test gives."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from components.adapters.connect import Connected
from components.core import artifacts, bundle, case_file, events, periods, shards
from components.core.arrow import ARROW, arrow_schema
from components.core.artifacts import Manifest
from components.core.case import Case
from components.core.profile import Profile
from components.core.record import StepRecord, step_path
from components.core.shards import PartitionWriter
from components.preprocess import task
from components.step import Launch, Result, store_bundle, store_operations

with warnings.catch_warnings():
    # Beam's own imports warn (grpcio-status, deprecated modules); what it does afterwards may not.
    warnings.simplefilter("ignore")
    import apache_beam  # noqa: F401

PARCELS: dict[str, Any] = {
    "name": "parcels",
    "source": {"path": "parcels.csv"},
    "columns": {
        "id": {"type": "id", "missing": False},
        "sent": {"type": "timestamp", "missing": False},
        "city": {"type": "string"},
        "weight": {"type": "number"},
        "fragile": {"type": "bool"},
        "hours": {"type": "number", "known": "label"},
    },
    "entity_id": ["id"],
    "event_time": {"column": "sent"},
    "label": {"column": "hours", "above": 24, "matures": {"column": "sent", "plus": {"hours": "hours"}}},
    "references": {
        "rain": {
            "source": {"path": "rain.csv"},
            "columns": {"town": {"type": "string"}, "at": {"type": "timestamp"}, "mm": {"type": "number"}},
            "by": {"city": "town"},
            "time": "at",
            "within": "12h",
            "take": ["mm"],
        }
    },
    "windows": {
        "sent": {"by": ["city"], "over": ["6h"], "of": "weight", "unit": 0.1, "compute": ["count", "mean"]},
        "landed": {"by": ["city"], "over": ["1d"], "of": "hours", "compute": ["count"], "known": "label"},
    },
    "inputs": ["sent", "city", "weight", "fragile", "rain_mm", "sent_count_6h", "sent_mean_6h", "landed_count_1d"],
    "split": {"by": "day"},
    "feature_bad_ratio": 0.1,
    "model": {"task": "binary"},
}
FEATURES = """
import numpy as np
def features(columns):
    names = ("weight", "fragile", "rain_mm", "sent_count_6h", "sent_mean_6h", "landed_count_1d")
    hour = (columns["sent"] - columns["sent"].astype("datetime64[D]")) / np.timedelta64(1, "h")
    return {name: columns[name].astype(np.float32) for name in names} | {
        "hour": hour.astype(np.float32),
        "city": columns["city"],
    }
"""
Row = dict[str, Any]


def parcel(number: int, **changes: Any) -> Row:
    """A good parcel: one every half hour from 2024-01-01 on."""
    sent = events.instant("2024-01-01") + number * 1_800_000_000
    plain = {"id": f"p{number}", "sent": sent, "city": ("Porto", "Faro", "ß|é")[number % 3], "weight": number / 8}
    return plain | {"fragile": number % 2 == 0, "hours": float(number % 40)} | changes


def parcels(days: int = 5, **changes: Any) -> list[Row]:
    return [parcel(number, **changes) for number in range(48 * days)]


def table_of(case: Case, rows: Sequence[Row]) -> pa.Table:
    """The rows as ingest publishes them, sorted."""
    schema = arrow_schema({name: column.type for name, column in case.columns.items()})
    columns = {
        f.name: pa.array([row[f.name] for row in rows], pa.int64()).cast(f.type)
        if f.type == ARROW["timestamp"]
        else pa.array([row[f.name] for row in rows], f.type)
        for f in schema
    }
    made, faults = events.derive(pa.table(columns, schema=schema), case)
    assert not faults
    order = [(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")]
    return made.take(pc.sort_indices(made, order))


def rain_table(hours: int = 240) -> pa.Table:
    start = events.instant("2024-01-01")
    rows = [(town, start + hour * 3_600_000_000, hour / 4) for town in ("Faro", "Porto") for hour in range(hours)]
    at = pa.array([row[1] for row in rows], pa.int64()).cast(ARROW["timestamp"])
    return pa.table({"town": [row[0] for row in rows], "at": at, "mm": [row[2] for row in rows]})


@dataclass
class Bench:
    """A case folder, the artifacts before preprocess, and its outputs, under one folder."""

    root: Path
    case: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(PARCELS))
    features: str = FEATURES
    jobs: dict[str, Any] = field(default_factory=dict)
    blobs: dict[str, Any] = field(default_factory=dict)

    def launch(self) -> Launch:
        folder = self.root / "case"
        folder.mkdir(exist_ok=True)
        (folder / "case.yaml").write_text(yaml.safe_dump(self.case, sort_keys=False), encoding="utf-8")
        (folder / "features.py").write_text(self.features, encoding="utf-8")
        profile = Profile.model_validate({"root": str(self.root / "esteira"), "jobs": self.jobs, "blobs": self.blobs})
        ports, built = Connected(profile), bundle.build(folder)
        store_bundle(ports, built)
        operations = store_operations(ports, case_file.load(folder).operations())
        return Launch("job-1", built.digest, operations, profile.to_json())

    def parsed(self) -> Case:
        return case_file.parse(yaml.safe_dump(self.case), where="test").case()

    def give(
        self, rows: Sequence[Row], *, window: tuple[str, str] | None = None, shard_rows: int = 1000, rain: int = 240
    ) -> Manifest:
        """Publishes events and references; the window is all of it if none is named."""
        parsed, root = self.parsed(), self.path("events")
        artifacts.clear(root)
        table = table_of(parsed, rows)
        times = table.column(events.EVENT_TIME).combine_chunks().cast(pa.timestamp("us")).to_numpy()
        starts = periods.starts(times, parsed.split.by)
        made = []
        for start in sorted(set(starts.tolist())):
            key = periods.key(start64 := starts[starts == start][0], parsed.split.by)
            writer = PartitionWriter(root, key, table.schema, time=events.EVENT_TIME, shard_rows=shard_rows)
            writer.write(table.filter(pa.array(starts == start64)))
            made.append(writer.close())
        everything = ("1900-01-01T00:00:00Z", "2200-01-01T00:00:00Z")
        info = {"window": list(window or everything)}
        references = self.path("references")
        artifacts.clear(references)
        files = [artifacts.write_file(references, "rain.parquet", shards.parquet_bytes(rain_table(rain)))]
        artifacts.publish(references, "references", files=files if parsed.references else [])
        return artifacts.publish(root, "events", schema=table.schema, partitions=made, info=info)

    def run(self, purpose: str = "train") -> Result:
        return task.run(self.launch(), purpose=purpose, **self.paths())

    def paths(self) -> dict[str, str]:
        """What a pipeline hands to the task."""
        names = ("events", "references", "statistics", "features", "holdout", "score", "dead_letter")
        return {name: str(self.path(name)) for name in names}

    def path(self, name: str) -> Path:
        return self.root / "artifacts" / name

    def read(self, name: str, partitions: Sequence[str] | None = None) -> pa.Table:
        return shards.read_all(self.path(name), self.manifest(name), partitions=partitions)

    def manifest(self, name: str) -> Manifest:
        return artifacts.verify(self.path(name))

    def digests(self) -> dict[str, str]:
        return {name: self.manifest(name).digest for name in ("features", "holdout", "score", "dead_letter")}

    def fails(self) -> tuple[int, str]:
        """Runs what must fail: the exit code, and the recorded message."""
        with pytest.raises(SystemExit) as caught:
            self.run()
        launch = self.launch()
        ports = Connected(Profile.from_json(launch.profile))
        record = StepRecord.from_json(ports.blobs.read(step_path(launch.job, "preprocess"))[0])
        return int(str(caught.value.code)), record.error

    def published(self) -> list[str]:
        names = ("features", "holdout", "score", "dead_letter")
        return [name for name in names if (self.path(name) / artifacts.MANIFEST).exists()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rows_by_id(table: pa.Table, *names: str) -> Mapping[str, tuple[Any, ...]]:
    columns = [table.column(name).to_pylist() for name in names]
    return dict(zip(table.column("_entity").to_pylist(), zip(*columns, strict=True), strict=True))
