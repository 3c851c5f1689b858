"""A loop in a process of its own, so that a test can kill it."""

from __future__ import annotations

from pathlib import Path

from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.core import bundle
from components.core.profile import Profile
from components.streaming import loop


def run(profile: str, folder: Path, digest: str, most: int, lateness: int) -> None:
    """Reads all of the log in batches of `most` messages; the bundle lies in `folder`."""
    loop.MOST = most
    found = Profile.from_json(profile)
    case = bundle.read(folder, digest).case()
    log = Log(found.path("events") / case.name)
    loop.Loop(Connected(found), log, case, lateness, lambda _: None).run(loop.Limits(idle=0.0))
