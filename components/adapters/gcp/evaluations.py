"""An evaluation as Vertex's console shows it: Google's published metrics schemas.

References
----------
google-cloud-aiplatform/schema/modelevaluation/{classification,regression}_metrics_1.0.0.yaml; the fields are those of
GoogleCloudAiplatformV1SchemaModelevaluationMetrics… in the API's discovery document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.core.evaluated import Evaluation, Slice

if TYPE_CHECKING:
    from components.core.metrics import Task

_AT = "gs://google-cloud-aiplatform/schema/modelevaluation/{}_metrics_1.0.0.yaml"
_NAMES = {
    "binary": {"roc_auc": "auRoc", "average_precision": "auPrc", "log_loss": "logLoss"},
    "multiclass": {"log_loss": "logLoss"},
    "regression": {"rmse": "rootMeanSquaredError", "mae": "meanAbsoluteError", "r2": "rSquared"},
}
_DECIDED = {
    "binary": {"precision": "precision", "recall": "recall", "f1": "f1Score"},
    "multiclass": {"accuracy": "recallAt1", "macro_f1": "f1ScoreMacro"},
    "regression": {},
}
"""Metrics of the decisions, of which the schema has a list by threshold."""
_UNBOUNDED = {"log_loss", "rmse", "mae", "r2"}


def schema(task: Task) -> str:
    """The address of the task's schema."""
    return _AT.format("regression" if task == "regression" else "classification")


def whole(found: Evaluation) -> dict[str, Any]:
    """The metrics of the whole holdout, with curve and confusion matrix."""
    made = _metrics(found.task, found.metrics)
    if curve := _curve(found):
        made["confidenceMetrics"] = curve
    if found.confusion is not None:
        specs = [{"id": label, "displayName": label} for label in found.confusion.labels]
        made["confusionMatrix"] = {"annotationSpecs": specs, "rows": [list(row) for row in found.confusion.matrix]}
    return made


def part(found: Slice, task: Task) -> dict[str, Any]:
    """The metrics of a slice; empty where the schema has none of them."""
    return _metrics(task, found.metrics)


def _metrics(task: Task, metrics: Mapping[str, float]) -> dict[str, Any]:
    def named(names: Mapping[str, str]) -> dict[str, Any]:
        return {theirs: _share(ours, metrics[ours]) for ours, theirs in names.items() if ours in metrics}

    made, decided = named(_NAMES[task]), named(_DECIDED[task])
    return made | ({"confidenceMetrics": [decided]} if decided else {})


def _share(name: str, value: float) -> float:
    """Rounding may leave a share a little outside of [0, 1]."""
    return value if name in _UNBOUNDED else min(1.0, max(0.0, value))


def _curve(found: Evaluation) -> list[dict[str, float]]:
    """Precision, recall and false positive rate by threshold, rising; empty where they cannot be known.

    The curve has no precision. It follows from the ratio of negatives to positives, N / P, which the metrics at the
    decision give: precision = recall P / (recall P + fpr N), and fpr = 1 + recall - 2 balanced accuracy.
    """
    metrics, roc = found.metrics, found.roc
    if roc is None or not {"precision", "recall", "balanced_accuracy"} <= set(metrics):
        return []
    precision, recall = metrics["precision"], metrics["recall"]
    fpr = 1 + recall - 2 * metrics["balanced_accuracy"]
    if precision <= 0 or fpr <= 0:
        return []
    ratio = recall * (1 - precision) / (precision * fpr)
    points = []
    for false, true, threshold in zip(roc.fpr, roc.tpr, roc.thresholds, strict=True):
        if true > 0:
            exact = true / (true + false * ratio)
            points.append(
                {
                    "confidenceThreshold": min(1.0, max(0.0, threshold)),
                    "recall": true,
                    "precision": exact,
                    "f1Score": 2 * exact * true / (exact + true),
                    "falsePositiveRate": false,
                }
            )
    return points[::-1]
