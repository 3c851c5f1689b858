"""A step that writes an artifact of several files and a table, for `processes.dies_at`."""

from __future__ import annotations

import pyarrow as pa

from components import step
from components.core import artifacts, shards
from components.step import Context, Launch, Result

SCHEMA = pa.schema([("x", pa.float64())])


def perform(launch: Launch, out: str) -> Result:
    """What every task does around its work: record, output, what may be reused."""
    return step.perform("train", launch, work, outputs={"made": out}, reads=("model",))


def work(context: Context) -> Result:
    root = context.outputs["made"]
    writer = shards.PartitionWriter(root, "all", SCHEMA, shard_rows=2)
    writer.write(pa.table({"x": [1.0, 2.0, 3.0]}, schema=SCHEMA))
    files = [artifacts.write_file(root, name, name.encode() * 100) for name in ("model.json", "bundle/features.py")]
    artifacts.publish(root, "thing", schema=SCHEMA, partitions=[writer.close()], files=files)
    return Result(rows_out=3, summary="made")
