"""What an alert says of a run: what happened first, then why, then where to look."""

from __future__ import annotations

import json
from typing import Literal

from components.adapters.ports import Alert
from components.core.record import RunRecord, StepRecord, more_memory

Event = Literal["failure", "refused", "aborted", "drift", "success"]
_SEVERITY: dict[Event, Literal["info", "warning", "error"]] = {
    "failure": "error",
    "refused": "warning",
    "aborted": "warning",
    "drift": "warning",
    "success": "info",
}
_KILLED = "It began and left no word of its end, most often for want of memory."
_SILENT = "No step says why: see the log of the first one that did not start."


def events(record: RunRecord, state: str) -> list[Event]:
    """What happened, the gravest first. A run that ended well is a success, refused and drifting or not."""
    if record.failed or state != "SUCCEEDED":
        return ["failure"]
    found: list[Event] = []
    if _gate(record)[0] is False:
        found.append("refused")
    if record.step("canary").parameters.get("state") == "abort":
        found.append("aborted")
    if record.step("monitor").parameters.get("drift") == "drift":
        found.append("drift")
    found.append("success")
    return found


def message(record: RunRecord, state: str, report: str) -> Alert:
    """The one alert of a run; `report` is the address of its page."""
    happened = events(record, state)
    titles = {
        "failure": _failure(record, state),
        "refused": "model refused",
        "aborted": "canary aborted",
        "drift": "drift",
        "success": "finished",
    }
    grave: list[Event] = [event for event in happened if event != "success"] or ["success"]
    name = " ".join(part for part in (record.case, record.pipeline) if part)
    parts = _failures(record) if "failure" in happened else _findings(record)
    facts = {"job": record.job, "version": _version(record), "report": report}
    return Alert(
        f"{name}: {' and '.join(titles[event] for event in grave)}",
        "\n\n".join(parts),
        _SEVERITY[happened[0]],
        {key: value for key, value in facts.items() if value},
    )


def _failure(record: RunRecord, state: str) -> str:
    names = ", ".join(record.failed)
    return f"failed at {names}" if names else "cancelled" if state == "CANCELLED" else "failed"


def _failures(record: RunRecord) -> list[str]:
    told = [_told(record.step(name)) for name in record.failed] or [_SILENT]
    never = [name for name in record.route if record.step(name).state == "not started"]
    return told + ([f"Not started: {', '.join(never)}"] if never else [])


def _told(step: StepRecord) -> str:
    if step.state == "killed":
        return f"{step.step} was killed. {step.error or f'{_KILLED} {more_memory(step.step)}'}"
    return f"{step.step} failed:\n{step.error}"


def _findings(record: RunRecord) -> list[str]:
    """The gate's reasons and the monitor's finding; what else was done, where there is neither."""
    accepted, reasons = _gate(record)
    parts = []
    if accepted is not None:
        parts.append("\n".join([f"The gate {'accepted' if accepted else 'refused'} the model:", *reasons]))
    told = {name: record.step(name).summary for name in ("canary", "monitor")}
    parts += [f"{name}: {summary}" for name, summary in told.items() if summary]
    return parts or [f"{s.step}: {s.summary}" for s in map(record.step, record.route) if s.summary]


def _gate(record: RunRecord) -> tuple[bool | None, list[str]]:
    """Whether the model was accepted, None where none was evaluated; and the gate's reasons."""
    text = record.step("evaluate").parameters.get("verdict")
    if not text:
        return None, []
    verdict = json.loads(text)
    return verdict["accepted"] is True, [str(reason) for reason in verdict["reasons"]]


def _version(record: RunRecord) -> str:
    """What the run registered, or what it predicted with."""
    registered = record.step("register").parameters.get("version")
    return registered or record.step("predict").parameters.get("version", "")
