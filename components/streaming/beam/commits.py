"""How far a job over a log has written: its group's commit there, from which a job that takes its place goes on.

Batches are written by several workers, in any order: what is written beyond the commit is noted until those before it
are. A job keeps no state for the next one, which reads again from where the first one began.
"""

from __future__ import annotations

import fcntl

from components.adapters.local.log import Log

GROUP = "beam"
"""In Pub/Sub the subscription is CASE.beam."""


def begin(log: Log) -> tuple[int, int]:
    """The offset from which a job reads, and the one from which it gives rows; a first job begins at the log's end."""
    offset, note = log.committed(GROUP)
    if not note:
        offset = origin = log.end
    else:
        offset, origin = max(offset, log.first), max(int(note["origin"]), log.first)
    log.commit(
        GROUP, offset, {"origin": origin, "written": []}
    )  # what was written beyond it is taken out, and comes again
    return origin, offset


def written(log: Log, first: int, end: int) -> None:
    """The rows of the offsets [first, end) are durable."""
    with open(log.folder / "groups" / f".{GROUP}.commit.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        offset, note = log.committed(GROUP)
        beyond = sorted({*map(tuple, note["written"]), (first, end)})
        while beyond and beyond[0][0] <= offset:
            offset = max(offset, beyond.pop(0)[1])
        log.commit(GROUP, offset, {**note, "written": beyond})
