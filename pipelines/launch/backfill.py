"""A range of a case's events, window by window: a run for each calendar period, so many at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.adapters.runs import ENDED, Run, Started
from components.core import periods
from components.core.case import Split
from components.core.errors import CaseError
from components.core.values import iso
from pipelines.launch import window
from pipelines.launch.submit import Launched

MOST = 1000
"""Windows of one backfill."""


@dataclass(frozen=True)
class Window:
    """[start, stop), ISO 8601 in UTC; its key is made of them."""

    start: str
    stop: str

    def key(self, of: str) -> str:
        """The same for the same window, under the key of the whole backfill, if it has one."""
        short = "/".join(re.sub(r"T00:00:00Z|:00Z|Z", "", end) for end in (self.start, self.stop))
        return f"{of}:{short}" if of else short


@dataclass(frozen=True)
class Pace:
    """Of one backfill: the key that its windows' keys begin with, how many runs at once, seconds between two looks."""

    key: str = ""
    parallel: int = 2
    every: float = 10.0
    sleep: Callable[[float], None] = time.sleep


def windows(start: str, stop: str, split: Split) -> list[Window]:
    """The calendar periods of the case's split between two moments; the ends may cut one short.

    Raises
    ------
    CaseError
        An end is missing, or there are too many.
    """
    first, end = window.parse(start, stop)
    if first is None or end is None:
        raise CaseError("--from and --to", "both be given", [start, stop], "A backfill has two ends.")
    moment: np.datetime64 = np.datetime64(first, "us")
    last: np.datetime64 = np.datetime64(end, "us")
    found: list[Window] = []
    while moment < last:
        if len(found) == MOST:
            raise CaseError("--to", f"be at most {MOST} periods after --from", stop, "Backfill it in parts.")
        period = periods.starts(np.array([moment]), split.by)[0]
        following = min(periods.end(period, split.by), last)
        found.append(Window(iso(int(moment.astype("int64"))), iso(int(following.astype("int64")))))
        moment = following
    return found


def backfill(
    launched: Launched, wanted: Sequence[Window], pace: Pace, tell: Callable[[Window, Run], None]
) -> list[Run]:
    """The runs of the windows, in order, each as it ended; after a failure no new one begins.

    Every window has a key of its own, so the same backfill once more finds what it has done.
    """
    waiting, going, ended = list(wanted), dict[Window, Run](), dict[Window, Run]()
    while going or (waiting and all(run.state == "done" for run in ended.values())):
        while waiting and len(going) < pace.parallel and all(run.state == "done" for run in ended.values()):
            one = waiting.pop(0)
            started: Started = launched.start(one.key(pace.key), one.start, one.stop)
            (ended if started.run.state in ENDED else going)[one] = started.run
            tell(one, started.run)
        if going:
            pace.sleep(pace.every)
        for one, run in list(going.items()):
            now = launched.runs.get(run.id)
            if now.state != run.state:
                tell(one, now)
            going[one] = now
            if now.state in ENDED:
                ended[one] = going.pop(one)
    return [ended[one] for one in wanted if one in ended]
