"""monitor's first step: what the servers have logged comes into the live table, with a canary or without one."""

from __future__ import annotations

from components.adapters import live, live_table
from components.adapters.live_table import Collected, Intake
from components.core import inference
from components.core.errors import EsteiraError
from components.step import Context

WITHIN = 60.0
"""Seconds for which a backlog is worked off; the next run goes on."""


def take_in(context: Context) -> str:
    """Brings the log in; what is to be told of it, which is no reason not to monitor."""
    case, blobs = context.case, context.ports.blobs
    try:
        if not blobs.names(inference.log_prefix(case.name)):
            return ""
        now = context.ports.endpoints.pointer(case.name)
        # The one before too: in batch, a deploy has just come, and the log is mostly that one's.
        named = [version for version in (now.previous, now.champion, now.challenger) if version is not None]
        models = [live.model_of(context.ports.registry, case.name, version) for version in named]
        intake = Intake(blobs, context.ports.tables, case.name, live_table.types(case, models))
        intake.work_off(WITHIN, clears=True)
    except (EsteiraError, OSError) as error:
        return f"the servers' log was not taken in: {error}"
    found = intake.collected
    context.say(f"{found.requests:,} requests of the servers' log taken in, of {found.segments:,} segments")
    return _told(found)


def _told(found: Collected) -> str:
    """What of the log is not in the table."""
    counts = {
        "segments of the servers' log wait for the next run": found.waiting,
        "lines of the servers' log are unreadable": found.bad,
        "requests of the servers' log are among the dead letters": found.refused,
        "requests were not logged by the servers": sum(found.dropped.values()),
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
