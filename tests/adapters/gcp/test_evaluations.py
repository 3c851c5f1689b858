"""An evaluation in Google's schema: what the curve says is what the rows say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.adapters.gcp import evaluations
from components.core import curves
from components.core.evaluated import Confusion, Curve, Evaluation, Slice
from components.core.metrics import compute
from tests.servers.vertex import metrics

_SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
_ROWS = st.lists(st.tuples(st.booleans(), _SCORES, st.floats(0.1, 3.0)), min_size=2, max_size=40)


@given(_ROWS)
def test_precision_by_threshold_is_that_of_the_weighted_rows(rows: list[tuple[bool, float, float]]) -> None:
    labels = np.array([float(label) for label, _, _ in rows])
    scores, weights = np.array([s for _, s, _ in rows]), np.array([w for _, _, w in rows])
    found = compute("binary", labels, scores, np.where(scores >= 0.5, "1", "0"), weights)
    known = {name: value for name, value in found.items() if np.isfinite(value)}
    roc = curves.roc(labels, scores, weights)
    curve = Curve(roc.fpr, roc.tpr, roc.thresholds) if roc is not None else None
    evaluation = Evaluation("e" * 64, "binary", known, roc=curve)
    made = evaluations.whole(evaluation)
    metrics.check(evaluations.schema("binary"), made)
    points = made.get("confidenceMetrics", [])
    for point in points if len(points) > 1 else []:
        chosen = scores >= point["confidenceThreshold"]
        hit = (weights * chosen * labels).sum()
        assert point["precision"] == pytest.approx(hit / (weights * chosen).sum(), abs=1e-9)
        assert point["recall"] == pytest.approx(hit / (weights * labels).sum(), abs=1e-9)
    assert [p["confidenceThreshold"] for p in points if "confidenceThreshold" in p] == sorted(
        p["confidenceThreshold"] for p in points if "confidenceThreshold" in p
    )


@pytest.mark.parametrize(
    ("task", "given", "wanted"),
    [
        ("binary", {"roc_auc": 0.9, "brier": 0.1}, {"auRoc": 0.9}),
        ("binary", {"precision": 0.5, "recall": 0.4}, {"confidenceMetrics": [{"precision": 0.5, "recall": 0.4}]}),
        (
            "multiclass",
            {"log_loss": 0.7, "accuracy": 0.6, "macro_f1": 0.5, "balanced_accuracy": 0.4},
            {"logLoss": 0.7, "confidenceMetrics": [{"recallAt1": 0.6, "f1ScoreMacro": 0.5}]},
        ),
        (
            "regression",
            {"rmse": 2.0, "mae": 1.0, "r2": -0.5, "median_absolute_error": 0.5},
            {"rootMeanSquaredError": 2.0, "meanAbsoluteError": 1.0, "rSquared": -0.5},
        ),
    ],
)
def test_a_metric_stands_under_googles_name_and_one_without_is_left_out(task, given, wanted):
    assert evaluations.whole(Evaluation("e" * 64, task, given)) == wanted
    assert evaluations.part(Slice("origin", "JFK", 10, given), task) == wanted
    metrics.check(evaluations.schema(task), wanted)


def test_a_confusion_matrix_names_its_classes():
    evaluation = Evaluation("e" * 64, "multiclass", {}, confusion=Confusion(["a", "b"], [[3, 1], [0, 2]]))
    specs = [{"id": "a", "displayName": "a"}, {"id": "b", "displayName": "b"}]
    assert evaluations.whole(evaluation) == {"confusionMatrix": {"annotationSpecs": specs, "rows": [[3, 1], [0, 2]]}}
