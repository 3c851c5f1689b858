"""The flights' features row by row in Beam, as a pipeline of dicts is commonly written. It gets the rows enriched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions

NAN = float("nan")
Row = dict[str, Any]


def rows_of(path: str) -> Iterator[Row]:
    for batch in pq.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


def _number(value: float | None) -> float:
    return NAN if value is None else value


def features_of(row: Row) -> Row:
    """One enriched flight; the same features as the case's, number by number."""
    local = row["time_hour"] - timedelta(hours=5)
    departure = _number(row["hour"]) * 60 + _number(row["minute"])
    sched = _number(row["sched_arr_time"])
    arrival = math.floor(sched / 100) * 60 + sched % 100
    made: Row = {
        "weekday": local.weekday(),
        "season": abs(local.month - 1 - 6),
        "departure_minute": departure,
        "arrival_minute": arrival,
        "planned_minutes": (arrival - departure) % 1440,
        "distance": _number(row["distance"]),
        "dep_delay": _number(row["dep_delay"]),
        "east": _number(row["airport_lon"]) + 74,
        "north": _number(row["airport_lat"]) - 41,
        "altitude": _number(row["airport_alt"]),
        "dew_spread": _number(row["weather_temp"]) - _number(row["weather_dewp"]),
    }
    for name, value in row.items():
        if name.startswith("weather_") or "departures_" in name or "arrivals_" in name:
            made[name] = _number(value)
    for name in ("carrier", "origin", "dest"):
        made[name] = row[name] or ""
    label = row["arr_delay"]
    made |= {"_entity": row["_entity"], "_event_time": row["_event_time"]}
    return made | {"_label": None if label is None else float(label > 15), "_weight": 1.0}


def run(enriched: list[Path], schema: pa.Schema, target: Path) -> None:
    """Reads the shards, maps every row, writes Parquet."""
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as pipeline:
        _ = (
            pipeline
            | beam.Create([str(path) for path in enriched])
            | beam.Reshuffle()
            | beam.FlatMap(rows_of)
            | beam.Map(features_of)
            | beam.io.WriteToParquet(str(target / "features"), schema, file_name_suffix=".parquet", codec="zstd")
        )
