"""A window to BigQuery and back, and a table as ingest reads it: against pandas with Google's client, same emulator.

    ESTEIRA_BIGQUERY=127.0.0.1:9050,127.0.0.1:9060 python benchmarks/tables.py [--rows 1000000] [--runs 1]

`make servers` starts the emulator. pandas does less: it knows no window, commit or token. It loads Parquet from a file
object, as the emulator refuses its multipart upload, and reads over REST. Times are the emulator's as much as ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import median_seconds, report

from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, bigquery_client
from components.adapters.gcp.sources import BigQuerySources
from components.adapters.gcp.tables import CloudTables
from components.core.addresses import TABLE
from components.core.columns import ColumnType

REPOSITORY = Path(__file__).resolve().parents[1]
RIVAL = REPOSITORY / "benchmarks" / "rivals" / "bigquery_in_pandas.py"
PYTHON = REPOSITORY / ".venvs" / "bench-pandas"
COLUMNS: dict[str, ColumnType] = {
    "_event_time": "timestamp",
    "_id": "id",
    "carrier": "string",
    "distance": "number",
    "delay": "number",
    "score": "number",
    "late": "bool",
}


def flights(count: int) -> pa.Table:
    """Rows such as those of predictions: times, ids, categories and numbers, some missing."""
    draw = np.random.default_rng(7)
    micros = np.datetime64("2013-01-01", "us") + draw.integers(0, 365 * 86_400 * 10**6, count)
    delay = draw.normal(12, 40, count)
    return pa.table(
        {
            "_event_time": pa.array(micros, pa.timestamp("us", "UTC")),
            "_id": pa.array([f"flight-{i:08d}" for i in range(count)]),
            "carrier": pa.array(draw.choice(["UA", "B6", "EV", "DL", "AA"], count)),
            "distance": pa.array(draw.integers(80, 5000, count), pa.int64()),
            "delay": pa.array(delay, pa.float64(), mask=delay > 100),
            "score": pa.array(draw.random(count)),
            "late": pa.array(delay > 15),
        }
    )


def ours(dataset: str, rows: pa.Table, runs: int) -> tuple[float, float]:
    tables = CloudTables(dataset)
    loaded = median_seconds(lambda: tables.replace("flights", "bench", rows), runs=runs)
    read = median_seconds(lambda: tables.read("flights", window="bench"), runs=runs)
    assert tables.read("flights", window="bench") == rows, "what is read is what was written"
    return loaded, read


def ingested(dataset: str, rows: pa.Table, runs: int) -> float:
    """The table that pandas made, as ingest reads it."""
    sources, (listed,) = BigQuerySources("esteira"), BigQuerySources("esteira").listing(f"{TABLE}{dataset}.frame")

    def read() -> pa.Table:
        return pa.Table.from_batches(list(sources.scan(listed, COLUMNS).batches))

    seconds = median_seconds(read, runs=runs)
    assert read().num_rows == rows.num_rows
    return seconds


def pandas(dataset: str, rows: pa.Table, runs: int) -> tuple[float, float]:
    """In an environment of its own."""
    subprocess.run(["make", "-s", "-C", str(REPOSITORY), f".venvs/{PYTHON.name}/.stamp"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(rows, path)
        command = [str(PYTHON / "bin" / "python"), str(RIVAL), dataset, str(path), str(runs)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(answer.splitlines()[-1])
    assert found["rows"] == rows.num_rows
    return found["load"], found["read"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    asked = parser.parse_args()
    rest, _, reading = os.environ.get("ESTEIRA_BIGQUERY", "").partition(",")
    if not reading:
        print("tables: ESTEIRA_BIGQUERY names no emulator (REST, Storage Read); `make servers` starts one")
        sys.exit(0)
    os.environ[BIGQUERY_EMULATOR], os.environ[READ_EMULATOR] = f"http://{rest}", reading
    dataset = f"esteira.bench_{uuid.uuid4().hex[:8]}"
    client, rows = bigquery_client("esteira"), flights(asked.rows)
    client.create_dataset(dataset)
    try:
        load, read = pandas(dataset, rows, asked.runs)
        we, they = (*ours(dataset, rows, asked.runs), ingested(dataset, rows, asked.runs)), (load, read, read)
    finally:
        client.delete_dataset(dataset, delete_contents=True)
    names = ("load", "read to Arrow", "ingest to Arrow")
    table = [(name, a, b, b / a) for name, a, b in zip(names, we, they, strict=True)]
    report("tables", ("seconds", "esteira", "pandas", "ratio"), table, {"count": asked.rows, "runs": asked.runs})


if __name__ == "__main__":
    main()
