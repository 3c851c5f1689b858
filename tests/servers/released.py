"""A release as `esteira compile --images` leaves it: every image by digest."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import yaml

from components.adapters.connect import Connected
from components.adapters.patience import Patience
from components.core.profile import Profile
from pipelines.launch import cases, compile, release

IMPATIENT = Patience(first=0.001, longest=0.002, deadline=5.0)
"""For tests: many attempts in no time."""


IMAGES = {f"esteira-{name}": f"europe-docker.pkg.dev/p/e/{name}@sha256:{'a' * 64}" for name in ("pipeline", "validate")}


@functools.cache
def pinned(pipeline: str) -> str:
    """The compiled pipeline with images of a registry's, by digest."""
    return compile.text(pipeline, images=IMAGES)


def spec(pipeline: str = "batch") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(pinned(pipeline))
    return found


def make(folder: Path, case: Path | None, profile: Profile) -> Path:
    """A release of a case, or of none, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = folder.parent / "digests.json"
    digests.write_text(json.dumps(IMAGES))
    taken = None if case is None else cases.snapshot(case, Connected(profile))
    release.write(folder, taken, profile, images=digests)
    return folder
