"""Vertex AI Model Monitoring v2: one monitor per case, made of the case. The API is in preview (v1beta1).

The monitor knows the model, the columns and how far each may move; jobs and schedules over it belong to who asks for
them in the console. What decides on retraining stays the step monitor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from components.adapters.gcp import vertex
from components.adapters.patience import Patience
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.drift import ONE_SIGMA
from components.core.errors import CaseError, SetupError
from components.core.operations import Operations
from components.core.targets import Vertex

Done = Literal["made", "changed", "as before"]
_TYPES: Mapping[ColumnType, str] = {
    "number": "float",
    "bool": "boolean",
    "id": "categorical",
    "string": "categorical",
    "timestamp": "string",
}
_MODEL = re.compile(r"(projects/[^/]+/locations/[^/]+/models/[^/@]+)@([0-9]+)")
_METRIC = "jensen_shannon_divergence"


class VertexMonitors:
    """The monitors of a project and region."""

    def __init__(self, at: Vertex, *, patience: Patience | None = None, credentials: Any = None) -> None:
        self._at = at
        self._calls = vertex.Caller(
            "model_monitoring_service", at, patience=patience, credentials=credentials, package=vertex.PREVIEW
        )

    def put(self, case: Case, operations: Operations, model: str) -> tuple[str, Done]:
        """Makes the case's monitor of a version, or brings it to what the case says now; its name.

        The same again changes nothing. Raises as `vertex.Caller.call`, SetupError where `model` is no version of
        Vertex's (projects/…/models/ID@N), and CaseError where the monitor was made for another model.
        """
        from google.api_core.exceptions import Conflict, NotFound

        wanted = self._message(monitor(self._at, case, operations, model))
        id = monitor_id(case.name)
        name = f"{self._at.parent}/modelMonitors/{id}"
        try:
            there = self._calls.call("get_model_monitor", about=name, request={"name": name})
        except NotFound:
            request = {"parent": self._at.parent, "model_monitor_id": id, "model_monitor": wanted}
            try:
                operation = self._calls.call("create_model_monitor", about=name, request=request)
                self._calls.finish(operation, name)
            except NotFound as error:
                remedy = "Register it again, or name another version."
                raise SetupError(model, "be in Vertex Model Registry", vertex.words(error), remedy) from error
            except Conflict:  # made meanwhile, or by a call whose answer was lost
                there = self._calls.call("get_model_monitor", about=name, request={"name": name})
            else:
                return name, "made"
        return name, self._changed(name, there, wanted)

    def _changed(self, name: str, there: Any, wanted: Any) -> Done:
        """Updates what differs. The service returns what it was given, and what it fills in itself is not looked at."""
        kind = type(wanted)
        one, other = kind.pb(there), kind.pb(wanted)
        if there.model_monitoring_target.vertex_model.model != wanted.model_monitoring_target.vertex_model.model:
            remedy = "Delete that monitor in the console: a monitor keeps its model."
            found = there.model_monitoring_target.vertex_model.model
            raise CaseError(name, "be of the case's model", found, remedy)
        names = [field.name for field, _ in other.ListFields() if field.name != "encryption_spec"]
        mask = [n for n in names if getattr(one, n) != getattr(other, n)]
        if not mask:
            return "as before"
        wanted.name = name
        request = {"model_monitor": wanted, "update_mask": {"paths": mask}}
        self._calls.finish(self._calls.call("update_model_monitor", about=name, request=request), name)
        return "changed"

    def _message(self, body: Mapping[str, Any]) -> Any:
        return vertex.load("types.model_monitor", vertex.PREVIEW).ModelMonitor(dict(body))


def monitor(at: Vertex, case: Case, operations: Operations, model: str) -> dict[str, Any]:
    """The case's ModelMonitor: the model's inputs as they come, its score and decision, and the label.

    Vertex compares by the Jensen-Shannon divergence in bits, ours is its root; where the case leaves the threshold to
    calibration, which Vertex has not, it is that of a shift by one standard deviation.
    """
    match = _MODEL.fullmatch(model)
    if match is None:
        remedy = "Set registry.adapter: google in the profile, and register a model."
        raise SetupError("model", "be a version in Vertex Model Registry", model or "none", remedy)
    settings = operations.monitoring
    inputs = case.input_types()
    distance = settings.threshold if settings.threshold is not None else ONE_SIGMA
    comes_again = {name for name, kind in inputs.items() if kind not in ("id", "timestamp")}  # the others always drift
    watched = [name for name in inputs if name in comes_again and name not in settings.ignore]
    body: dict[str, Any] = {
        "display_name": f"esteira {case.name}",
        "model_monitoring_target": {"vertex_model": {"model": match[1], "model_version_id": match[2]}},
        "model_monitoring_schema": {
            "feature_fields": [{"name": name, "data_type": _TYPES[kind]} for name, kind in inputs.items()],
            "prediction_fields": [_field("score", "float"), _field("decision", "categorical")],
            "ground_truth_fields": [_field(case.label.column, _TYPES[case.enriched_types()[case.label.column]])],
        },
        "tabular_objective": {
            "feature_drift_spec": {"features": watched, **_drift(distance)},
            "prediction_output_drift_spec": {"features": ["score", "decision"], **_drift(distance)},
        },
        "output_spec": {"gcs_base_directory": {"output_uri_prefix": f"{at.pipeline_root.rstrip('/')}/monitoring"}},
        "notification_spec": {"enable_cloud_logging": True},
    }
    if operations.notify.email:
        body["notification_spec"]["email_config"] = {"user_emails": list(operations.notify.email)}
    return body | ({"encryption_spec": {"kms_key_name": at.kms_key}} if at.kms_key else {})


def monitor_id(case: str) -> str:
    """Ends in a letter or digit, which a case's name need not."""
    return f"esteira-{case}" if case[-1] != "-" else f"esteira-{case}{sha256(case.encode()).hexdigest()[:8]}"


def _field(name: str, kind: str) -> dict[str, str]:
    return {"name": name, "data_type": kind}


def _drift(distance: float) -> dict[str, Any]:
    limit = {"threshold": round(min(distance, 1.0) ** 2, 6)}
    return {
        "categorical_metric_type": _METRIC,
        "numeric_metric_type": _METRIC,
        "default_categorical_alert_condition": limit,
        "default_numeric_alert_condition": limit,
    }
