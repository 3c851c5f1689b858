"""The scorer beside scikit-learn, on the model and the holdout of the newest batch run of flights: `make run` first.

    python benchmarks/scorer.py

Both sides take the model's inputs and compute the features. scikit-learn then gets a one-row frame, polars' or
Arrow's, whichever it answers faster; the scorer is what batch, stream and server call. The two take turns, so that
what else the machine does meets both. Target: one row at least 40 times as fast.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from common import report
from flights_quality import newest
from threadpoolctl import threadpool_limits

from components.adapters.connect import Connected
from components.core import artifacts, profile, shards, skops_file
from components.core.arrow import columns_of
from components.core.columns import Columns, ColumnType
from components.core.scorer import Scorer
from components.core.scorer import frame as arrow

BATCH = 10_000
ROUNDS = 30


def turns(calls: dict[str, Callable[[], object]], repeats: dict[str, int]) -> dict[str, float]:
    """The median over rounds of the seconds of each call, all of them in every round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(ROUNDS + 2):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            if round_ >= 2:
                times[name].append((time.perf_counter() - started) / repeats[name])
    return {name: statistics.median(found) for name, found in times.items()}


def holdout(run: Path, scorer: Scorer) -> Columns:
    """The first 10,000 rows of the holdout, as the model's inputs."""
    folder = run / "preprocess" / "holdout"
    table = next(iter(shards.read_tables(folder, artifacts.read_manifest(folder, "enriched"))))
    types = {name: cast(ColumnType, kind) for name, kind in scorer.model.inputs}
    return columns_of(table.slice(0, BATCH), types)


def sides(scorer: Scorer, pipeline: Any, columns: Columns) -> dict[str, Callable[[], object]]:
    import polars

    features = scorer.features(columns)
    names = scorer.model.features
    given: dict[str, Callable[[Columns], Any]] = {
        "arrow": lambda made: arrow(made, names),
        "polars": lambda made: polars.DataFrame(made, strict=False),
    }
    fastest = min(
        given, key=lambda kind: turns({kind: lambda: pipeline.predict_proba(given[kind](features))}, {kind: 3})[kind]
    )
    return {
        "scorer": lambda: scorer.predict(columns),
        "scorer, features given": lambda: scorer.predict_features(features),
        "features alone": lambda: scorer.features(columns),
        f"scikit-learn, {fastest} frame": lambda: pipeline.predict_proba(given[fastest](scorer.features(columns))),
    }


def main() -> None:
    chosen = profile.load("local")
    run = newest(Connected(chosen), Path(chosen.root)) / "train" / "model"
    manifest = artifacts.read_manifest(run, "model")
    described = json.loads(artifacts.read_named(run, manifest, "model.json"))
    scorer = Scorer.open(run, described["bundle"])
    pipeline = skops_file.loads(artifacts.read_named(run, manifest, "model.skops"))
    many = holdout(run.parents[1], scorer)
    one = {name: values[:1] for name, values in many.items()}
    rows, ratios = [], {}
    with threadpool_limits(1):
        for label, columns, fast, slow in (("one row", one, 200, 5), (f"{BATCH:,} rows", many, 1, 1)):
            calls = sides(scorer, pipeline, columns)
            found = turns(calls, {name: slow if "scikit" in name else fast for name in calls})
            sklearn = next(seconds for name, seconds in found.items() if "scikit" in name)
            ratios[label] = sklearn / found["scorer"]
            for name, seconds in found.items():
                rows.append([f"{label}: {name}", seconds * 1e6, sklearn / seconds])
    expected = pipeline.predict_proba(arrow(scorer.features(many), scorer.model.features))[:, 1]
    largest = float(np.abs(scorer.predict(many).score - expected).max())
    more = {"ratio, one row": ratios["one row"], "target": 40, "largest difference": largest}
    report("scorer", ["what", "microseconds", "times as fast as scikit-learn"], rows, more)


if __name__ == "__main__":
    main()
