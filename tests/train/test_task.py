"""From features to a model that a scorer opens, twice the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.core import artifacts, drift
from components.core.scorer import Scorer
from components.train import task
from tests.train.conftest import Make

ROW = {
    "distance": np.array([1089.0]),
    "hour": np.array([5.0]),
    "dep_delay": np.array([120.0]),
    "carrier": np.array(["AA"], dtype=object),
    "origin": np.array(["JFK"], dtype=object),
    "dest": np.array(["never seen"], dtype=object),
}


@pytest.mark.slow
def test_a_published_model_is_whole_and_scores(make_case: Make, flights_features: Path, tmp_path: Path) -> None:
    launch, root = make_case(), tmp_path / "model"
    result = task.run(launch, features=str(flights_features), model=str(root))
    names = {file.path for file in artifacts.verify(root, "model").files}
    assert names == {"model.onnx", "model.skops", "model.json", "baseline.json"} | {
        f"bundle/{name}" for name in ("bundle.json", "case.json", "features.py")
    }
    scorer = Scorer.open(root, launch.bundle)
    late = scorer.predict(ROW)
    assert late.score[0] > 0.8
    assert late.decision[0] == "1"
    described = scorer.model
    assert (described.rows, described.trained_from, described.trained_to) == (
        7499,
        "2013-01-01T00:00:00Z",
        "2013-11-30T00:00:00Z",
    )
    assert described.data == artifacts.read_manifest(flights_features).digest
    assert described.identity == result.parameters["identity"]
    assert result.metrics["roc_auc"] > 0.85
    assert {"distance", "carrier", drift.SCORE} <= set(drift.parse(json.loads((root / "baseline.json").read_bytes())))
