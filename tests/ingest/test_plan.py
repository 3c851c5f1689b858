"""Which window a run is about, and whose case it reads with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.adapters.ports import Pointer
from components.core import artifacts
from components.core.profile import Profile
from components.step import Launch
from tests.ingest.conftest import Desk, csv_of, order


@pytest.fixture
def days(desk: Desk) -> Desk:
    """Hourly orders of 1 to 4 January, and of 5 January up to 06:00; windows of three hours."""
    desk.put("orders.csv", csv_of([order(n) for n in range(0, 4 * 1440 + 420, 60)]))
    desk.case["windows"] = {"orders": {"by": ["city"], "over": ["3h"]}}
    desk.case["split"] = {"by": "day", "score": 2}
    return desk


def watermark(desk: Desk, data: Any) -> None:
    blobs = Connected(Profile.from_json(desk.launch().profile)).blobs
    blobs.write("watermarks/orders.json", json.dumps(data).encode())


def window(desk: Desk, **parameters: str) -> tuple[str, str, str, int]:
    result = desk.run(purpose="predict", **parameters)
    info = desk.manifest().info
    assert info["window"] == [result.parameters["window_start"], result.parameters["window_end"]]
    assert info["purpose"] == "predict"
    return *info["window"], info["warmup_from"], desk.counts["good"]


def test_first_predict_scores_the_score_periods_and_what_came_since(days: Desk):
    first = ("2024-01-03T00:00:00Z", "2024-01-05T06:00:00.000001Z", "2023-12-31T21:00:00Z")
    assert window(days) == (*first, 4 * 24 + 7)


def test_predict_goes_on_from_the_watermark_with_a_warm_up(days: Desk):
    watermark(days, {"to": "2024-01-05T03:00:00.000001Z"})
    assert window(days) == (
        "2024-01-05T03:00:00.000001Z",
        "2024-01-05T06:00:00.000001Z",
        "2024-01-03T00:00:00.000001Z",
        23 + 24 + 7,
    )
    assert days.counts["outside"] == 2 * 24 + 1
    assert days.counts["incomplete"] == 0


def test_without_windows_there_is_no_warm_up(days: Desk):
    del days.case["windows"]
    watermark(days, {"to": "2024-01-05T03:00:00.000001Z"})
    assert window(days)[2:] == ("2024-01-05T03:00:00.000001Z", 3)


def test_no_new_rows_is_a_success_that_says_so(days: Desk):
    watermark(days, {"to": "2024-01-05T06:00:00.000001Z"})
    launch = days.launch()
    result = days.run(launch, purpose="predict")
    assert result.summary == "No new rows since 2024-01-05T06:00:00.000001Z."
    assert result.parameters["window_start"] == result.parameters["window_end"]
    assert all(time.isoformat() < "2024-01-05T06:00:00.000001" for time in days.column("_event_time"))
    assert days.record(launch).state == "done"


def test_a_named_window_ignores_the_watermark(days: Desk):
    watermark(days, {"to": "2024-01-05T06:00:00.000001Z"})
    found = window(days, start="2024-01-02", stop="2024-01-03")
    assert found == ("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "2023-12-30T21:00:00Z", 48)


def test_a_moved_watermark_misses(days: Desk):
    days.run(purpose="predict")
    days.job = "job-2"
    assert days.run(purpose="predict").reused
    watermark(days, {"to": "2024-01-05T03:00:00Z"})
    days.job = "job-3"
    assert not days.run(purpose="predict").reused


def test_a_broken_watermark_is_refused(days: Desk):
    watermark(days, {"to": "soon"})
    assert days.fail(purpose="predict") == (
        4,
        '\'watermark\' must be {"to": an ISO 8601 time}. Got \'{"to": "soon"}\'. Delete it; the score periods are then '
        "predicted again.",
    )


def champion(launch: Launch, tags: dict[str, str], root: Path) -> None:
    ports = Connected(Profile.from_json(launch.profile))
    model = root / "model"
    artifacts.publish(model, "model", files=[artifacts.write_file(model, "model.json", b"{}")])
    version = ports.registry.register("orders", model, "0" * 64, tags)
    ports.endpoints.change(Pointer("orders", champion=version.version))


@pytest.mark.slow
def test_predict_reads_with_the_champions_case(days: Desk):
    trained = days.launch()
    days.run(trained)
    champion(trained, {"bundle": trained.bundle}, days.root)
    days.case["columns"]["city"] = {"type": "string", "missing": False}
    del days.case["columns"]["vip"]
    launch = days.launch()
    days.job = "job-2"
    assert days.run(launch, purpose="predict").parameters["bundle"] == trained.bundle
    assert "vip" in dict(days.manifest().schema)
    days.job = "job-3"
    assert days.run(launch).parameters["bundle"] == launch.bundle
    assert "vip" not in dict(days.manifest().schema)


@pytest.mark.slow
def test_a_champion_without_a_bundle_is_refused(days: Desk):
    launch = days.launch()
    champion(launch, {"run": "job-0"}, days.root)
    assert days.fail(launch, purpose="predict") == (
        4,
        "'bundle' must be among the champion's tags. Got ['run']. Register the model again.",
    )
