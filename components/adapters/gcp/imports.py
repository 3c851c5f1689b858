"""Evaluations imported into Vertex Model Registry, where the console shows them beside the version."""

from __future__ import annotations

from typing import Any

from components.adapters.gcp import evaluations
from components.adapters.gcp.vertex import Caller
from components.core.evaluated import Evaluation

_BATCH = 50
"""Slices that one request may bring."""
_SHOWN = 128


class Imports:
    """Of one version, projects/…/models/ID@N. An import has no id of ours: its display name is the evaluation's."""

    def __init__(self, calls: Caller, version: str) -> None:
        self._calls, self._version = calls, version

    def find(self, evaluation: Evaluation) -> str | None:
        """The name of the evaluation with all of its slices; None where one is missing."""

        def attempt() -> str | None:
            found = self._imported(evaluation)
            return found if found is not None and not self._missing(found, evaluation) else None

        return self._calls.again(attempt, self._version)

    def make(self, evaluation: Evaluation) -> str:
        """Imports what is missing of it; its name."""

        def attempt() -> str:
            name = self._imported(evaluation) or self._import(evaluation)
            missing = self._missing(name, evaluation)
            for start in range(0, len(missing), _BATCH):
                request = {"parent": name, "model_evaluation_slices": missing[start : start + _BATCH]}
                self._calls.once("batch_import_model_evaluation_slices", request=request)
            return name

        return self._calls.again(attempt, self._version)  # what an attempt brought, the next one finds

    def _import(self, evaluation: Evaluation) -> str:
        made = {
            "display_name": _display(evaluation),
            "metrics_schema_uri": evaluations.schema(evaluation.task),
            "metrics": evaluations.whole(evaluation),
        }
        request = {"parent": self._version, "model_evaluation": made}
        return str(self._calls.once("import_model_evaluation", request=request).name)

    def _imported(self, evaluation: Evaluation) -> str | None:
        every = self._calls.once("list_model_evaluations", request={"parent": self._version, "page_size": 100})
        return next((str(one.name) for one in every if one.display_name == _display(evaluation)), None)

    def _missing(self, name: str, evaluation: Evaluation) -> list[dict[str, Any]]:
        """The slices that are not there yet, as aiplatform_v1's ModelEvaluationSlice."""
        request = {"parent": name, "page_size": 100}
        there = {one.slice_.value for one in self._calls.once("list_model_evaluation_slices", request=request)}
        missing = []
        for part in evaluation.slices:
            metrics, value = evaluations.part(part, evaluation.task), f"{part.column}={part.value}"[:_SHOWN]
            if metrics and value not in there:
                there.add(value)
                configs = {part.column: {"value": {"string_value": part.value}}}
                spec = {"dimension": "slice", "value": value, "slice_spec": {"configs": configs}}
                uri = evaluations.schema(evaluation.task)
                missing.append({"slice_": spec, "metrics_schema_uri": uri, "metrics": metrics})
        return missing


def _display(evaluation: Evaluation) -> str:
    return f"esteira holdout {evaluation.id[:32]}"
