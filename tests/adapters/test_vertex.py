"""How Google's generated clients are loaded."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from components.adapters.gcp import vertex
from components.core.errors import SetupError
from tests.conftest import REPOSITORY

_LIGHT = """
import sys
from components.adapters.gcp import vertex
runs = vertex.load("services.pipeline_service").PipelineServiceClient
schedules = vertex.load("services.schedule_service").ScheduleServiceClient
services = {name.split(".")[4] for name in sys.modules if name.startswith("google.cloud.aiplatform_v1.services.")}
assert services == {"pipeline_service", "schedule_service"}, services
vertex.load("services.model_monitoring_service", vertex.PREVIEW)
previews = {name.split(".")[4] for name in sys.modules if name.startswith("google.cloud.aiplatform_v1beta1.services.")}
assert previews == {"model_monitoring_service"}, previews
assert "google.cloud.aiplatform" not in sys.modules
from google.cloud import aiplatform_v1
assert aiplatform_v1.PipelineServiceClient is runs
assert aiplatform_v1.ScheduleServiceClient is schedules
"""


@pytest.mark.slow
def test_two_services_are_imported_of_forty_and_the_whole_package_still_can_be() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _LIGHT]
    subprocess.run(command, check=True, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)})


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str, *_: Any) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.delitem(sys.modules, vertex.PACKAGE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", none)
    with pytest.raises(SetupError, match="'google-cloud-aiplatform' must be installed. Got 'no such module'"):
        vertex.load("services.pipeline_service")


def test_what_was_asked_for_again_until_a_deadline_is_told_as_the_service_said_it() -> None:
    from google.api_core.exceptions import RetryError, ServiceUnavailable

    assert vertex.words(RetryError("Timeout of 10.0s exceeded", ServiceUnavailable("busy"))) == "503 busy"
