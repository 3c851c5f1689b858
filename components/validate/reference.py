"""The statistics that drift is measured against: those of the last training on other events.

`statistics/CASE/latest.json` names the events of the last training and, by content, its statistics and those before
it. Validated again, the same events meet the same reference: a run that repeats another decides what that one did.
"""

from __future__ import annotations

import json
from typing import Any

from components.adapters.ports import Blobs
from components.core.artifacts import sha256
from components.core.errors import ArtifactError


def latest_path(case: str) -> str:
    return f"statistics/{case}/latest.json"


def name(blobs: Blobs, case: str, events: str | None) -> str | None:
    """The blob with the statistics of the last training, other than on the events with this digest; None: none yet."""
    latest = _latest(blobs, case)
    return latest.get("previous") if latest.get("events") == events else latest.get("statistics")


def read(blobs: Blobs, found: str) -> bytes:
    """The verified bytes of a reference. Raises ArtifactError where it is gone or altered."""
    data = blobs.read(found)[0]
    if f"{sha256(data)}.pb" != found.rpartition("/")[2]:
        remedy = "Delete it and its latest.json; the next training writes them anew."
        raise ArtifactError(found, "have the sha256 in its name", "other bytes", remedy)
    return data


def keep(blobs: Blobs, case: str, events: str, statistics: bytes) -> None:
    """Makes these statistics the reference of the next training; their blob is there before anything names it."""
    latest = _latest(blobs, case)
    stored = f"statistics/{case}/{sha256(statistics)}.pb"
    blobs.write(stored, statistics)
    previous = name(blobs, case, events)
    if latest.get("events") != events or latest.get("statistics") != stored:
        entry = {"events": events, "statistics": stored, "previous": previous}
        blobs.write(latest_path(case), json.dumps(entry, sort_keys=True).encode())


def _latest(blobs: Blobs, case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(blobs.read(latest_path(case))[0]) if blobs.exists(latest_path(case)) else {}
    return found
