"""A loop in a process of its own, so that a test can kill it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

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


def run_until(append: int, *arguments: Any) -> None:
    """The same, with the tables that the profile names, until SIGKILL behind the n-th append to them."""
    tables: Any = Connected(Profile.from_json(arguments[0])).tables
    kind, left = type(tables), append

    def counted(self: Any, *args: Any, **named: Any) -> None:
        nonlocal left
        done(self, *args, **named)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    done, kind.append = kind.append, counted
    run(*arguments)
