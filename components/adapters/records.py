"""Reads run records: the launcher's head where there is one, and what each step wrote of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from components.adapters.ports import Blobs
from components.core.record import RunRecord, StepRecord, launch_path, step_path


def head(record: RunRecord) -> bytes:
    """What the launcher writes of a run beside its steps."""
    body = {
        "job": record.job,
        "pipeline": record.pipeline,
        "case": record.case,
        "route": list(record.route),
        "bundle": record.bundle,
        "started": record.started,
        "ended": record.ended,
        "arguments": dict(record.arguments),
        "process": record.process,
        "cancelled": record.cancelled,
    }
    return json.dumps(body, sort_keys=True).encode()


def jobs(blobs: Blobs) -> list[str]:
    """The runs that have a head, the oldest first."""
    heads = [name for name in blobs.names("runs/") if name.endswith("/run.json")]
    started = {name.split("/")[1]: json.loads(blobs.read(name)[0])["started"] or 0.0 for name in heads}
    return sorted(started, key=lambda job: started[job])


def load_run(blobs: Blobs, job: str) -> RunRecord:
    """The record of a run; without a head (in the cloud) its route is the order in which its steps began.

    In a run that has ended, a step that started and did not end was killed.
    """
    prefix = f"runs/{job}/steps/"
    names = [name.removeprefix(prefix).removesuffix(".json") for name in blobs.names(prefix)]
    steps = {name: StepRecord.from_json(blobs.read(step_path(job, name))[0]) for name in names}
    known: dict[str, Any] = {"pipeline": "", "case": "", "started": None}
    if blobs.exists(launch_path(job)):
        known = json.loads(blobs.read(launch_path(job))[0])
    began = sorted(steps, key=lambda name: steps[name].started or 0.0)
    route = tuple(known.get("route") or began)
    if known.get("ended") is not None:
        steps = {n: replace(s, state="killed") if s.state == "running" else s for n, s in steps.items()}
    return RunRecord(
        job,
        known["pipeline"],
        known["case"],
        route,
        steps,
        known.get("bundle", ""),
        known["started"],
        known.get("ended"),
        known.get("arguments", {}),
        known.get("process", ""),
        known.get("cancelled", False),
    )
