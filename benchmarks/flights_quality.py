"""The flights model beside its baselines, on the holdout of the newest batch run: `make run` first.

    python benchmarks/flights_quality.py

majority: nobody is late. rule: late if it left more than 15 minutes late. logistic: a logistic regression on the same
features, scaled and one-hot encoded, its threshold chosen on validation like the model's. leak: the best AUC that a
single feature reaches alone, on training rows; a feature that knows the label would come near 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from common import report
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.adapters import records
from components.adapters.connect import Connected
from components.core import artifacts, metrics, profile, shards
from components.core.arrow import columns_of
from components.core.columns import ColumnType
from components.core.scorer import Scorer


def newest(ports: Connected, root: Path) -> Path:
    """The artifacts of the newest batch run of flights whose model was evaluated."""
    for job in reversed(records.jobs(ports.blobs)):
        record = records.load_run(ports.blobs, job)
        if (record.case, record.pipeline) == ("flights", "batch") and not record.failed:
            return root / "artifacts" / job
    raise SystemExit("no batch run of flights here: make run")


def split(run: Path, use: str) -> pa.Table:
    folder = run / "preprocess" / "features"
    manifest = artifacts.read_manifest(folder, "features")
    keys = [key for key, found in manifest.info["uses"].items() if found == use]
    return shards.read_all(folder, manifest, partitions=keys)


def frame(columns: dict[str, Any]) -> Any:
    import polars

    return polars.DataFrame(columns, strict=False)


def main() -> None:
    chosen = profile.load("local")
    ports = Connected(chosen)
    run = newest(ports, Path(chosen.root))
    manifest = artifacts.read_manifest(run / "train" / "model", "model")
    described = json.loads(artifacts.read_named(run / "train" / "model", manifest, "model.json"))
    scorer = Scorer.open(run / "train" / "model", described["bundle"])
    names = [name for name, _ in scorer.model.features]
    train, validation = split(run, "train"), split(run, "validation")
    folder = run / "preprocess" / "holdout"
    holdout = shards.read_all(folder, artifacts.read_manifest(folder, "enriched"))
    labels = np.asarray(holdout.column("_label"))
    inputs = columns_of(holdout, {name: cast(ColumnType, kind) for name, kind in scorer.model.inputs})
    features = scorer.features(inputs)

    rows: list[list[object]] = []

    def row(name: str, scores: Any, decisions: Any) -> None:
        found = metrics.compute("binary", labels, scores, decisions)
        rows.append([name, *(found[m] for m in ("roc_auc", "f1", "accuracy", "log_loss"))])

    share = float(np.mean(np.asarray(train.column("_label"))))
    row("majority", np.full(len(labels), share), np.full(len(labels), "0", object))
    late = inputs["dep_delay"] > 15
    row("rule dep_delay > 15", np.where(late, 0.99, 0.01), np.where(late, "1", "0").astype(object))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    kinds = dict(scorer.model.features)
    encode = make_column_transformer(
        (numbers, [n for n in names if kinds[n] == "float32"]), (words, [n for n in names if kinds[n] != "float32"])
    )
    logistic = make_pipeline(encode, LogisticRegression(max_iter=300))
    tables = [frame({n: np.asarray(t.column(n)) for n in names}) for t in (train, validation)]
    logistic.fit(tables[0], np.asarray(train.column("_label")))
    chosen_on = logistic.predict_proba(tables[1])[:, 1]
    actual = np.asarray(validation.column("_label"))
    cuts = np.quantile(chosen_on, np.linspace(0.01, 0.99, 99))
    threshold = max(cuts, key=lambda cut: f1_score(actual, chosen_on >= cut))
    scores = logistic.predict_proba(frame(features))[:, 1]
    row("logistic regression", scores, np.where(scores >= threshold, "1", "0").astype(object))
    predicted = scorer.predict_features(features)
    row("the model", predicted.score, predicted.decision)

    label = np.asarray(train.column("_label"))
    alone = {}
    for name in names:
        if kinds[name] == "float32":
            values = np.nan_to_num(np.asarray(train.column(name)), nan=-1e9)
            auc = roc_auc_score(label, values)
            alone[name] = max(auc, 1 - auc)
    best = max(alone, key=lambda name: alone[name])
    more = {
        "holdout_rows": len(labels),
        "late": float(labels.mean()),
        "leak_best_feature": best,
        "leak_auc": alone[best],
    }
    report("flights-quality", ["on the holdout", "roc_auc", "f1", "accuracy", "log_loss"], rows, more)


if __name__ == "__main__":
    main()
