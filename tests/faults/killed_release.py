"""A change of what is live in a process of its own, for `processes.dies_at` and `processes.at_once`."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

from components.adapters import release
from components.adapters.connect import Connected
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer, Ports
from components.adapters.release import Change
from components.core.profile import Profile
from components.deploy import task as deploy
from components.step import Launch
from tests.toy import NAME

CHANGES: dict[str, Callable[[Ports, Pointer | None], Change]] = {
    "promote": lambda ports, seen: release.promote(ports, NAME, 3, by="ana", why="", seen=seen),
    "begin_canary": lambda ports, seen: release.begin_canary(ports, NAME, 3, 20, by="ana", why="", seen=seen),
    "abort": lambda ports, seen: release.abort(ports, NAME, by="ana", why="", seen=seen),
    "rollback": lambda ports, seen: release.rollback(ports, NAME, by="ana", why="", seen=seen),
}


def change(profile: str, name: str, seen: Pointer | None = None) -> Change:
    """One change; without MLflow's view, whose kills have tests of their own."""
    with mock.patch.object(MlflowRegistry, "_project"):
        return CHANGES[name](Connected(Profile.from_json(profile)), seen)


def deployed(launch: Launch, version: str, evaluation: str, mode: str) -> str | int | None:
    """What a deploy says, or its exit code."""
    with mock.patch.object(MlflowRegistry, "_project"):
        try:
            return deploy.run(launch, version=version, evaluation=evaluation, mode=mode).summary
        except SystemExit as error:
            return error.code
