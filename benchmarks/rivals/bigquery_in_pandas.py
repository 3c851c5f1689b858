"""Load and read of one table with pandas and Google's client; prints the medians of seconds as JSON.

python bigquery_in_pandas.py PROJECT.DATASET ROWS.parquet RUNS
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery


def main(dataset: str, path: str, runs: int) -> None:
    client = bigquery.Client(project=dataset.split(".")[0], credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    frame, table = pd.read_parquet(path), f"{dataset}.frame"
    kinds = {"O": "STRING", "i": "INT64", "f": "FLOAT64", "b": "BOOL", "M": "TIMESTAMP"}
    schema = [bigquery.SchemaField(name, kinds.get(kind.kind, "STRING")) for name, kind in frame.dtypes.items()]
    client.create_table(bigquery.Table(table, schema=schema))  # the emulator replaces no table that is not there
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE", schema=schema)

    def load() -> None:
        data = io.BytesIO()
        frame.to_parquet(data)
        data.seek(0)
        client.load_table_from_file(data, table, job_config=config).result()

    def read() -> pa.Table:
        found = client.query_and_wait(f"SELECT * FROM `{table}`").to_dataframe(create_bqstorage_client=False)
        return pa.Table.from_pandas(found, preserve_index=False)

    seconds = {"load": _median(load, runs), "read": _median(read, runs)}
    print(json.dumps({**seconds, "rows": read().num_rows}))


def _median(call: Callable[[], Any], runs: int) -> float:
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
