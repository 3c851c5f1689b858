"""Vertex AI TensorBoard: boards are there or not; experiments, runs, time series and their points are made in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.service import PARENT, Service, moment, page, written

_ID = re.compile(r"[a-z0-9-]{1,128}")
_MOST_POINTS = 5000


@dataclass
class Tensorboards(Service):
    """`points` by time series' name: value by step."""

    boards: set[str] = field(default_factory=set)
    board_experiments: dict[str, Any] = field(default_factory=dict)
    board_runs: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    points: dict[str, dict[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"tensorboardExperimentId", "tensorboardRunId", "tensorboardTimeSeriesId", "timeSeries"}

    def curves(self, run: str) -> dict[str, list[float]]:
        """A run's values in the order of their steps, by the names that are shown."""
        there = {name: found for name, found in self.series.items() if name.startswith(f"{run}/")}
        return {f.display_name: [v for _, v in sorted(self.points.get(n, {}).items())] for n, f in there.items()}

    def _post_tensorboards_experiments(self, request: Request, board: str) -> Any:
        if board not in self.boards:
            raise Refused(404, "NOT_FOUND", f"Tensorboard {board} is not found.")
        found = rules.parsed(aiplatform_v1.TensorboardExperiment, request.json())
        rules.labels(found.labels)
        name = f"{PARENT}/tensorboards/{board}/experiments/{_id(request, 'tensorboardExperimentId')}"
        return self._keep(self.board_experiments, name, found)

    def _post_tensorboards_experiments_runs(self, request: Request, board: str, experiment: str) -> Any:
        parent = f"{PARENT}/tensorboards/{board}/experiments/{experiment}"
        found = rules.parsed(aiplatform_v1.TensorboardRun, request.json())
        self._needed(self.board_experiments, parent)
        self._shown_once(self.board_runs, parent, found)
        return self._keep(self.board_runs, f"{parent}/runs/{_id(request, 'tensorboardRunId')}", found)

    def _get_tensorboards_experiments_runs_one(self, request: Request, board: str, experiment: str, run: str) -> Any:
        return written(
            self._needed(self.board_runs, f"{PARENT}/tensorboards/{board}/experiments/{experiment}/runs/{run}")
        )

    def _get_tensorboards_experiments_runs_timeSeries(
        self, request: Request, board: str, experiment: str, run: str
    ) -> Any:
        parent = f"{PARENT}/tensorboards/{board}/experiments/{experiment}/runs/{run}"
        self._needed(self.board_runs, parent)
        found, token = page([f for n, f in self.series.items() if n.startswith(f"{parent}/")], request)
        return {"tensorboardTimeSeries": [written(one) for one in found], **token}

    def _get_tensorboards_one_batchRead(self, request: Request, board: str) -> Any:
        name = request.query.get("timeSeries", "")
        there = self._needed(self.series, name)
        data = {"tensorboardTimeSeriesId": name.rpartition("/")[2], "valueType": int(there.value_type)}
        values = [
            {"scalar": {"value": value}, "step": str(step), "wallTime": "2026-01-01T00:00:00Z"}
            for step, value in sorted(self.points.get(name, {}).items())
        ]
        return {"timeSeriesData": [{**data, "values": values}]}

    def _post_tensorboards_experiments_runs_timeSeries(
        self, request: Request, board: str, experiment: str, run: str
    ) -> Any:
        parent = f"{PARENT}/tensorboards/{board}/experiments/{experiment}/runs/{run}"
        found = rules.parsed(aiplatform_v1.TensorboardTimeSeries, request.json())
        self._needed(self.board_runs, parent)
        self._shown_once(self.series, parent, found)
        if not found.value_type:
            raise rules.invalid("value_type is required")
        return self._keep(self.series, f"{parent}/timeSeries/{_id(request, 'tensorboardTimeSeriesId')}", found)

    def _post_tensorboards_experiments_runs_one_write(
        self, request: Request, board: str, experiment: str, run: str
    ) -> Any:
        name = f"{PARENT}/tensorboards/{board}/experiments/{experiment}/runs/{run}"
        asked = rules.parsed(aiplatform_v1.WriteTensorboardRunDataRequest, request.json())
        self._needed(self.board_runs, name)
        if sum(len(one.values) for one in asked.time_series_data) > _MOST_POINTS:
            raise rules.invalid(f"More than {_MOST_POINTS} data points in a request.")
        for one in asked.time_series_data:
            there = self._needed(self.series, f"{name}/timeSeries/{one.tensorboard_time_series_id}")
            if one.value_type != there.value_type:
                raise rules.invalid("value_type differs from the time series'")
            for point in one.values:
                if "scalar" not in point or "wall_time" not in point:
                    raise rules.invalid("a point needs its scalar and its wall_time")
                self.points.setdefault(there.name, {})[point.step] = point.scalar.value
        return {}

    def _needed(self, kept: dict[str, Any], name: str) -> Any:
        if name not in kept:
            raise Refused(404, "NOT_FOUND", f"{name} is not found.")
        return kept[name]

    def _shown_once(self, kept: dict[str, Any], parent: str, found: Any) -> None:
        """The reference: a display name is unique under its parent."""
        if not found.display_name:
            raise rules.invalid("display_name is required")
        if any(n.startswith(f"{parent}/") and f.display_name == found.display_name for n, f in kept.items()):
            raise Refused(409, "ALREADY_EXISTS", f"{found.display_name} already exists in {parent}")

    def _keep(self, kept: dict[str, Any], name: str, found: Any) -> Any:
        if name in kept:
            raise Refused(409, "ALREADY_EXISTS", f"{name} already exists.")
        found.name, found.create_time = name, moment(self.clock)
        kept[name] = found
        return written(found)


def _id(request: Request, query: str) -> str:
    id = request.query.get(query, "")
    if not _ID.fullmatch(id):
        raise rules.invalid(f"{query} {id!r} must have 1 to 128 characters of a-z, 0-9 and -")
    return id
