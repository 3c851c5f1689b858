"""Curves in Vertex AI TensorBoard, under the ids that Vertex Experiments gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from time import time_ns
from typing import Any

from components.adapters.gcp import vertex
from components.adapters.patience import Patience
from components.core.errors import SetupError
from components.core.targets import Vertex

POINTS = 5000
"""What one write takes at most."""
_SCALAR = 1
_LABELS = {"vertex_tensorboard_experiment_source": "vertex_experiment"}


class Board:
    """One TensorBoard, projects/P/locations/R/tensorboards/ID. All ids are the caller's or made of a name."""

    def __init__(self, at: Vertex, name: str, patience: Patience | None = None, credentials: Any = None) -> None:
        self._name = name
        self._calls = vertex.Caller("tensorboard_service", at, patience=patience, credentials=credentials)

    def write(self, experiment: str, run: str, shown: str, curves: Mapping[str, Sequence[float]]) -> str:
        """Writes the run's curves, whose steps count from 0; the run's resource name.

        A step that is written again takes the new value. What is no finite number is left out. Raises as
        `vertex.Caller.call`, and SetupError where there is no such TensorBoard.
        """
        parent = self._experiment(experiment)
        made = self._made(
            "create_tensorboard_run",
            {"parent": parent, "tensorboard_run_id": run, "tensorboard_run": {"display_name": shown[:128]}},
        )
        name = made or f"{parent}/runs/{run}"
        ids = {curve: self._series(name, curve) for curve in curves if any(map(math.isfinite, curves[curve]))}
        seconds, nanos = divmod(time_ns(), 1_000_000_000)
        wall = {"seconds": seconds, "nanos": nanos}
        for chunk in _chunks(curves):
            data = [
                {
                    "tensorboard_time_series_id": ids[curve],
                    "value_type": _SCALAR,
                    "values": [{"scalar": {"value": v}, "step": step, "wall_time": wall} for step, v in points],
                }
                for curve, points in chunk.items()
            ]
            request = {"tensorboard_run": name, "time_series_data": data}
            self._calls.call("write_tensorboard_run_data", about=name, request=request)
        return name

    def _experiment(self, id: str) -> str:
        from google.api_core.exceptions import NotFound

        body = {"display_name": id, "labels": _LABELS}
        request = {"parent": self._name, "tensorboard_experiment_id": id, "tensorboard_experiment": body}
        try:
            made = self._made("create_tensorboard_experiment", request)
        except NotFound as error:
            remedy = (
                "Make one: gcloud ai tensorboards create --display-name=esteira --region=REGION; or leave it empty."
            )
            raise SetupError("tracking.at", "name a TensorBoard that exists", self._name, remedy) from error
        return made or f"{self._name}/experiments/{id}"

    def _series(self, run: str, curve: str) -> str:
        """The id of the curve's time series: a name may hold what an id may not."""
        id = sha256(curve.encode()).hexdigest()[:20]
        body = {"display_name": curve, "value_type": _SCALAR, "plugin_name": "scalars"}
        request = {"parent": run, "tensorboard_time_series_id": id, "tensorboard_time_series": body}
        self._made("create_tensorboard_time_series", request)
        return id

    def _made(self, method: str, request: Mapping[str, Any]) -> str:
        """The name of what is made now; empty where it was there."""
        from google.api_core.exceptions import Conflict

        try:
            return str(self._calls.call(method, about=request["parent"], request=dict(request)).name)
        except Conflict:
            return ""


def _chunks(curves: Mapping[str, Sequence[float]]) -> Iterator[dict[str, list[tuple[int, float]]]]:
    """The finite points with their steps, by curve, as many at once as one write takes."""
    points = [(c, n, float(v)) for c, values in curves.items() for n, v in enumerate(values) if math.isfinite(v)]
    for start in range(0, len(points), POINTS):
        chunk: dict[str, list[tuple[int, float]]] = {}
        for curve, step, value in points[start : start + POINTS]:
            chunk.setdefault(curve, []).append((step, value))
        yield chunk
