"""Draws the run's page and tells whom it concerns, whatever became of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from components import step
from components.adapters import records
from components.core import report
from components.core.errors import EsteiraError
from components.core.operations import Notify
from components.core.record import RunRecord, report_path
from components.notify.message import events, message

T = TypeVar("T")


def run(launch: step.Launch, *, pipeline: str, state: str) -> step.Result:
    """Tells of the run that the other steps' records describe.

    Parameters
    ----------
    state
        How the platform says that the route ended: SUCCEEDED, or FAILED, CANCELLED.
    """
    return step.perform("notify", launch, lambda context: work(context, pipeline, state))


def work(context: step.Context, pipeline: str, state: str) -> step.Result:
    """Never fails because somebody could not be told: the summary says who."""
    record = _record(context, pipeline)
    failed = _publish(context, record)
    wanted = _or(Notify(), lambda: context.operations.notify)
    happened = events(record, state)
    told = [event for event in happened if event in wanted.when]
    if told:
        address = context.ports.blobs.link(report_path(record.job))
        failed += context.ports.alerts.send(message(record, state, address), email=wanted.email)
    return step.Result(summary=_summary(told, happened, failed), parameters={"told": ", ".join(told)})


def _record(context: step.Context, pipeline: str) -> RunRecord:
    """The run as it ended: every other step has, so one that says "running" was killed."""
    found = records.load_run(context.ports.blobs, context.launch.job)
    steps = {
        name: replace(s, state="killed") if s.state == "running" and name != context.name else s
        for name, s in found.steps.items()
    }
    case = found.case or _or("", lambda: context.case.name)
    bundle = found.bundle or context.launch.bundle
    return replace(found, steps=steps, case=case, pipeline=found.pipeline or pipeline, bundle=bundle)


def _publish(context: step.Context, record: RunRecord) -> list[str]:
    """A line for what went wrong: an alert without a page is better than none."""
    try:
        context.ports.blobs.write(report_path(record.job), report.render(record).encode())
    except (EsteiraError, OSError) as error:
        return [f"report: {error}"]
    return []


def _or(default: T, read: Callable[[], T]) -> T:
    """What is read; the default where what is to be read is itself what broke the run."""
    try:
        return read()
    except EsteiraError:
        return default


def _summary(told: Sequence[str], happened: Sequence[str], failed: Sequence[str]) -> str:
    what = f"Told of {' and '.join(told)}" if told else f"Nobody is to be told of: {', '.join(happened)}"
    return "; ".join([what, *failed])
