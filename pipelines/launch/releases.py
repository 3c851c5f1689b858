"""`esteira models promote|canary|abort|rollback`: who asks, how it is undone, and MLflow's view after it."""

from __future__ import annotations

import getpass
import importlib.util
import os
import subprocess

from components import types
from components.adapters.ports import Pointer
from components.adapters.release import Change
from components.core.errors import SetupError
from components.core.profile import Profile
from pipelines.launch import environments, hints

_FOLLOW = """
import sys
from components.adapters import release
from components.adapters.connect import Connected
from components.core.profile import Profile
ports = Connected(Profile.from_json(sys.argv[1]))
release.reconcile(ports, ports.endpoints.pointer(sys.argv[2]))
"""
_PATIENCE = 120.0
"""Seconds."""


def who() -> str:
    """The user's name, or number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def undo(case: str, change: Change, profile: str) -> str:
    """The command that brings back what was live before, as far as there is one; empty where nothing moves."""
    before, after = change.before, change.after
    if _live(before) == _live(after):
        return ""
    if after.champion != before.champion:
        return hints.esteira(f"models rollback {case}", profile) if before.champion else ""
    if before.challenger is None:
        return hints.esteira(f"models abort {case}", profile)
    return hints.esteira(f"models canary {case} {before.challenger} --percent {before.split}", profile)


def _live(pointer: Pointer) -> tuple[int | None, int | None, int]:
    return pointer.champion, pointer.challenger, pointer.split


def follow(profile: Profile, case: str) -> str:
    """Brings MLflow's view for people to the pointer, with the steps' environment where this one has no MLflow.

    Why it could not, or empty. The next step that has MLflow does it too.
    """
    if profile.registry.adapter != "local" or importlib.util.find_spec("mlflow") is not None:
        return ""  # the change itself has done it
    try:
        command = [str(environments.python(types.PIPELINE)), "-W", "ignore", "-c", _FOLLOW, profile.to_json(), case]
        variables = environments.variables(types.PIPELINE)
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=_PATIENCE, check=False)
    except (SetupError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
