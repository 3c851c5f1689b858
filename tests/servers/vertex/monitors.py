"""Model Monitoring v2 (v1beta1): monitors of models that are in the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1beta1
from tests.servers.vertex.models import Models
from tests.servers.vertex.service import PARENT, moment, snake, written

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_TYPES = {"float", "integer", "boolean", "string", "categorical"}
_MASK = {"display_name", "training_dataset", "model_monitoring_schema", "tabular_objective", "output_spec"}
_MASK |= {"notification_spec", "explanation_spec", "model_monitoring_target"}


@dataclass
class Monitors(Models):
    monitors: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"modelMonitorId"}

    def _post_modelMonitors(self, request: Request) -> Any:
        self._preview(request)
        id = request.query.get("modelMonitorId", "")
        if not _ID.fullmatch(id):
            raise rules.invalid(f"model_monitor_id {id!r}")
        found = rules.parsed(aiplatform_v1beta1.ModelMonitor, request.json())
        self._check(found)
        if id in self.monitors:
            raise Refused(409, "ALREADY_EXISTS", f"The ModelMonitor {PARENT}/modelMonitors/{id} already exists.")
        found.name, found.create_time = f"{PARENT}/modelMonitors/{id}", moment(self.clock)
        self.monitors[id] = found  # seen at once, as the name is taken
        return self.begin(lambda: found, found.name)

    def _get_modelMonitors_one(self, request: Request, id: str) -> Any:
        self._preview(request)
        return written(self.there(self.monitors, id, "ModelMonitor"))

    def _patch_modelMonitors_one(self, request: Request, id: str) -> Any:
        self._preview(request)
        there = self.there(self.monitors, id, "ModelMonitor")
        mask = [snake(path) for path in request.query.get("updateMask", "").split(",") if path]
        if not mask or not set(mask) <= _MASK:
            raise rules.invalid(f"update_mask {mask}")
        given = rules.parsed(aiplatform_v1beta1.ModelMonitor, request.json())
        self._check(given)

        def work() -> Any:
            for path in mask:
                setattr(there, path, getattr(given, path))
            there.update_time = moment(self.clock)
            return there

        return self.begin(work, there.name)

    def _preview(self, request: Request) -> None:
        if not request.path.startswith("/v1beta1/"):
            raise Refused(404, "NOT_FOUND", "Model Monitoring v2 is in v1beta1")

    def _check(self, found: Any) -> None:
        if not 0 < len(found.display_name) <= 128:
            raise rules.invalid("display_name must have 1 to 128 characters")
        model = found.model_monitoring_target.vertex_model
        self.resolved(f"{model.model}@{model.model_version_id}")
        schema = found.model_monitoring_schema
        fields = [*schema.feature_fields, *schema.prediction_fields, *schema.ground_truth_fields]
        if not schema.feature_fields or any(f.data_type not in _TYPES or not f.name for f in fields):
            raise rules.invalid("model_monitoring_schema: each field needs a name and a data type")
        objective = found.tabular_objective
        features = {f.name for f in schema.feature_fields}
        self._drift(objective.feature_drift_spec, features)
        self._drift(objective.prediction_output_drift_spec, {f.name for f in schema.prediction_fields})
        if not re.fullmatch(r"gs://[a-z0-9._-]+(/.*)?", found.output_spec.gcs_base_directory.output_uri_prefix):
            raise rules.invalid("output_spec.gcs_base_directory")

    def _drift(self, spec: Any, known: set[str]) -> None:
        if not set(spec.features) <= known:
            raise rules.invalid(f"features {sorted(set(spec.features) - known)} are not in the schema")
        if spec.categorical_metric_type not in ("l_infinity", "jensen_shannon_divergence"):
            raise rules.invalid(f"categorical_metric_type {spec.categorical_metric_type!r}")
        if spec.numeric_metric_type != "jensen_shannon_divergence":
            raise rules.invalid(f"numeric_metric_type {spec.numeric_metric_type!r}")
        for condition in (spec.default_categorical_alert_condition, spec.default_numeric_alert_condition):
            if not 0 < condition.threshold <= 1:
                raise rules.invalid("threshold must be above 0 and at most 1")
