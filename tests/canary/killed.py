"""A canary in a process of its own, which imports it by name."""

from __future__ import annotations

from unittest import mock

from components.adapters.local.registry import MlflowRegistry
from components.canary import task
from components.step import Launch


def judge(launch: Launch, out: str) -> None:
    """Without MLflow's view, whose kills have tests of their own."""
    with mock.patch.object(MlflowRegistry, "_project"):
        task.run(launch, version="2", canary=out)
