"""preprocess on flights, rows x1 and x10: against its features row by row in Beam, and against one process of polars.

    python benchmarks/preprocess.py [--times 1 10] [--runs 3]

Everything runs from the same ingested Parquet to written Parquet, warm (imports done), in a process of its own.
preprocess does more than the others: laws, digests, verified reads, a dead letter. The row-by-row pipeline does less:
its rows come enriched. The three results are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import report
from pipeline import REPOSITORY, widen
from rivals import flights_by_row, flights_in_polars

from components import step
from components.adapters.connect import Connected
from components.core import artifacts, bundle, case_file, shards
from components.core.enrich import Enrichment
from components.core.profile import Profile
from components.ingest import task as ingest
from components.preprocess import task

FLIGHTS = REPOSITORY / "pipelines" / "cases" / "flights"


def launch(folder: Path) -> step.Launch:
    profile = Profile.model_validate({"root": str(folder / "esteira"), "sources": str(folder)})
    ports, built = Connected(profile), bundle.build(FLIGHTS)
    step.store_bundle(ports, built)
    return step.Launch(
        "bench", built.digest, step.store_operations(ports, case_file.load(FLIGHTS).operations()), profile.to_json()
    )


def prepare(folder: Path, times: int) -> None:
    """Ingests the flights, and enriches them for the pipeline that cannot."""
    widen(folder, times)
    paths = {name: str(folder / name) for name in ("events", "references", "dead_letter")}
    ingest.run(launch(folder), **paths)
    events, flights = artifacts.read_manifest(folder / "events"), case_file.load(FLIGHTS).case()
    kept = artifacts.read_manifest(folder / "references")
    tables = {f.path.removesuffix(".parquet"): shards.read_shard(folder / "references", f) for f in kept.files}
    enrichment = Enrichment(flights, tables)
    state = enrichment.empty()
    for shard in (shard for partition in events.partitions for shard in partition.shards):
        state, rows = enrichment(state, shards.read_shard(folder / "events", shard))
        artifacts.write_file(folder / "enriched", shard.path, shards.parquet_bytes(rows))


def ours(folder: Path, target: Path) -> None:
    outputs = {name: target / name for name in ("features", "holdout", "score", "dead_letter")}
    for path in outputs.values():
        path.mkdir()
    inputs = {name: folder / name for name in ("events", "references")}
    with tempfile.TemporaryDirectory() as scratch:
        task.work(step.Context("preprocess", launch(folder), inputs, outputs, Path(scratch)), "train", None)


def by_row(folder: Path, target: Path) -> None:
    manifest = artifacts.read_manifest(folder / "ours" / "features")
    kinds = {"float": pa.float32(), "double": pa.float64(), "string": pa.string()}
    schema = pa.schema([(n, kinds.get(kind, pa.timestamp("us", tz="UTC"))) for n, kind in manifest.schema])
    flights_by_row.run(sorted((folder / "enriched").glob("*/*.parquet")), schema, target)


def in_polars(folder: Path, target: Path) -> None:
    flights_in_polars.run(folder / "events", folder / "references", target, "2013-10", "2013-12")


CONTENDERS: dict[str, Callable[[Path, Path], None]] = {"preprocess": ours, "by row": by_row, "polars": in_polars}


def contend(name: str, folder: Path, runs: int) -> None:
    """Runs one contender `runs` times, after a warm-up if more than once; prints seconds and peak memory."""
    seconds = []
    for _ in range(runs + (runs > 1)):
        target = folder / name.replace("preprocess", "ours")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        started = time.perf_counter()
        CONTENDERS[name](folder, target)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds[-runs:], "peak": step.peak_memory()}))


def check_equal(folder: Path) -> None:
    """The three give the same features; windows' means to the last bits of a float32."""
    manifest = artifacts.read_manifest(folder / "ours" / "features")
    mine = shards.read_all(folder / "ours" / "features", manifest)
    for other in (pq.read_table(folder / "polars" / "features.parquet"), pq.read_table(folder / "by row")):
        place = {entity: at for at, entity in enumerate(other.column("_entity").to_pylist())}
        found = other.take(pa.array([place[entity] for entity in mine.column("_entity").to_pylist()]))
        for name in mine.column_names[:-4]:
            a, b = (np.asarray(t.column(name)) for t in (mine, found))
            same = np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True) if a.dtype != object else (a == b).all()
            if not same:
                sys.exit(f"the contenders differ in {name}")


def measure(times: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, times)
        rows = artifacts.read_manifest(folder / "events").rows
        found: dict[str, dict[str, Any]] = {}
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--contender", name, "--folder", str(folder), "--runs", str(runs)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
            found[name] = json.loads(done.stdout.splitlines()[-1])
        check_equal(folder)
    medians = {name: statistics.median(each["seconds"]) for name, each in found.items()}
    table = [
        [name, seconds, rows / seconds, found[name]["peak"] / 2**20, seconds / medians["preprocess"]]
        for name, seconds in medians.items()
    ]
    more = {
        "count": rows,
        "times_the_rows_per_second_of_by_row": medians["by row"] / medians["preprocess"],
        "times_the_seconds_of_polars": medians["preprocess"] / medians["polars"],
        "seconds": {name: each["seconds"] for name, each in found.items()},
    }
    report(f"preprocess-x{times}", ["", "seconds", "rows/s", "peak MiB", "of preprocess's time"], table, more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        contend(arguments.contender, arguments.folder, arguments.runs)
        return
    for times in arguments.times:
        measure(times, arguments.runs)


if __name__ == "__main__":
    main()
