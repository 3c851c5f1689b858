"""Google's published schemas of evaluation metrics (gs://google-cloud-aiplatform/schema/modelevaluation/), strictly.

Fields and types are those of GoogleCloudAiplatformV1SchemaModelevaluationMetrics… in the API's discovery document.
"""

from __future__ import annotations

from typing import Any

from tests.servers.vertex.rules import invalid

_AT = "gs://google-cloud-aiplatform/schema/modelevaluation/{}_metrics_1.0.0.yaml"
CLASSIFICATION, REGRESSION = _AT.format("classification"), _AT.format("regression")
_SHARES = {
    *("precision", "recall", "f1Score", "falsePositiveRate", "confidenceThreshold", "f1ScoreMacro", "f1ScoreMicro"),
    *("precisionAt1", "recallAt1", "f1ScoreAt1", "falsePositiveRateAt1"),
}
_COUNTS = {"truePositiveCount", "falsePositiveCount", "falseNegativeCount", "trueNegativeCount"}
_REGRESSION = {
    "rootMeanSquaredError",
    "meanAbsoluteError",
    "meanAbsolutePercentageError",
    "rSquared",
    "rootMeanSquaredLogError",
}


def check(uri: str, data: Any) -> None:
    """Raises Refused where the metrics are not of the schema that `uri` names."""
    if not isinstance(data, dict) or not data:
        raise invalid("metrics must be an object with a field of its schema")
    if uri == REGRESSION:
        for name, value in data.items():
            _number(name, value, name in _REGRESSION, low=0 if name != "rSquared" else None)
    elif uri == CLASSIFICATION:
        _classification(data)
    else:
        raise invalid(f"metrics_schema_uri {uri!r} is not one of the published")


def _classification(data: dict[str, Any]) -> None:
    for name, value in data.items():
        if name == "confidenceMetrics":
            for entry in value:
                _confidence(entry)
        elif name == "confusionMatrix":
            _confusion(value)
        else:
            _number(name, value, name in ("auRoc", "auPrc", "logLoss"), low=0, high=None if name == "logLoss" else 1)


def _confidence(entry: dict[str, Any]) -> None:
    for name, value in entry.items():
        if name in _COUNTS:
            if not (isinstance(value, str) and value.isdigit()):
                raise invalid(f"{name} must be an int64, which JSON carries as a string")
        else:
            _number(name, value, name in _SHARES, low=0, high=1)


def _confusion(value: dict[str, Any]) -> None:
    specs = value.get("annotationSpecs", [])
    if set(value) != {"annotationSpecs", "rows"} or any(set(s) - {"id", "displayName"} for s in specs):
        raise invalid("confusionMatrix has annotationSpecs (id, displayName) and rows")
    if len(value["rows"]) != len(specs) or any(len(row) != len(specs) for row in value["rows"]):
        raise invalid("confusionMatrix.rows must be as many, and as long, as annotationSpecs")


def _number(name: str, value: Any, known: bool, *, low: float | None = None, high: float | None = None) -> None:
    if not known:
        raise invalid(f"metrics: unknown field {name}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"metrics: {name} must be a number, not {value!r}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise invalid(f"metrics: {name} is out of its range: {value}")
