"""A small case of orders, and runs of ingest over whatever files a test writes."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.adapters.connect import Connected
from components.core import artifacts, shards
from components.core.artifacts import Manifest
from components.core.profile import Profile
from components.core.record import StepRecord, step_path
from components.ingest import task
from components.step import Launch, Result

ORDERS: dict[str, Any] = {
    "name": "orders",
    "source": {"path": "orders.csv", "bad_ratio": 0.5},
    "columns": {
        "id": {"type": "id", "missing": False},
        "at": {"type": "timestamp", "missing": False},
        "amount": {"type": "number"},
        "city": {"type": "string"},
        "vip": {"type": "bool"},
        "late": {"type": "number", "known": "label"},
    },
    "entity_id": ["id"],
    "event_time": {"column": "at"},
    "label": {"column": "late"},
    "split": {"by": "day"},
    "model": {"task": "regression", "estimator": "sklearn.linear_model.LinearRegression"},
}
HEADER = "id,at,amount,city,vip,late\n"
FULL_DAY = "a,2024-01-01T00:00:00Z,1,Porto,true,0\nb,2024-01-01T23:59:00Z,2,Faro,false,1\n"
"""Two events that make January the first complete."""


def order(number: int, **changes: Any) -> dict[str, Any]:
    """A good order of 2024-01-01, every minute one."""
    at = f"2024-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"
    plain = {"id": str(number), "at": at, "amount": number / 4, "city": "Porto", "vip": number % 2 == 0, "late": 1.0}
    return plain | changes


def csv_of(rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> bytes:
    """As Python writes it: texts in quotes, a bool as such a text in lower case, None as nothing."""
    text = io.StringIO(newline="")
    how: dict[str, Any] = {"delimiter": delimiter, "lineterminator": "\n", "quoting": csv.QUOTE_NONNUMERIC}
    writer = csv.DictWriter(text, list(ORDERS["columns"]), **how)
    writer.writeheader()
    writer.writerows([{k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()} for row in rows])
    return text.getvalue().encode()


def jsonl_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink)
    return sink.getvalue()


@dataclass
class Desk:
    """A folder with sources, a case over it, and the artifacts of the latest run."""

    root: Path
    make_launch: Callable[..., Launch]
    case: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(ORDERS))
    job: str = "job-1"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def sources(self) -> str:
        """What the case's paths stand under."""
        return str(self.data)

    def put(self, name: str, data: bytes | str) -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def launch(self, features: str = "def features(columns):\n    return {}\n", **profile: Any) -> Launch:
        folder = self.root / "case"
        folder.mkdir(exist_ok=True)
        (folder / "case.yaml").write_text(yaml.safe_dump(self.case, sort_keys=False))
        (folder / "features.py").write_text(features)
        return self.make_launch(folder, self.sources, self.job, **profile)

    def run(self, launch: Launch | None = None, **parameters: str) -> Result:
        places = {name: str(self.place(name)) for name in ("events", "references", "dead_letter")}
        return task.run(launch or self.launch(), **places, **parameters)

    def fail(self, launch: Launch | None = None, **parameters: str) -> tuple[int, str]:
        """The exit code and the recorded message of a run that must fail and publish neither events nor references."""
        launch = launch or self.launch()
        with pytest.raises(SystemExit) as exited:
            self.run(launch, **parameters)
        assert not (self.place("events") / artifacts.MANIFEST).exists()
        assert not (self.place("references") / artifacts.MANIFEST).exists()
        assert isinstance(exited.value.code, int)
        return exited.value.code, self.record(launch).error

    def record(self, launch: Launch) -> StepRecord:
        blobs = Connected(Profile.from_json(launch.profile)).blobs
        return StepRecord.from_json(blobs.read(step_path(launch.job, "ingest"))[0])

    def place(self, name: str) -> Path:
        return self.root / "out" / self.job / name

    def manifest(self, name: str = "events") -> Manifest:
        return artifacts.verify(self.place(name), name)

    def rows(self, name: str = "events") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = shards.read_all(self.place(name), self.manifest(name)).to_pylist()
        return found

    def column(self, column: str, name: str = "events") -> list[Any]:
        return [row[column] for row in self.rows(name)]

    @property
    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self.manifest().info["counts"])
        return counts

    def reasons(self) -> list[tuple[int, bytes, str]]:
        return [(row["position"], row["raw"], row["reason"]) for row in self.rows("dead_letter")]


@pytest.fixture
def desk(tmp_path: Path, make_launch: Callable[..., Launch]) -> Desk:
    made = Desk(tmp_path, make_launch)
    made.data.mkdir()
    return made
