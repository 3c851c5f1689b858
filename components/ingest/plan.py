"""What a run of ingest reads: whose case, which files, and from where on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from components.adapters.local.log import Log
from components.adapters.ports import Bounds, Listed, Ports
from components.core import bundle, periods, watermark
from components.core.addresses import is_stored_table
from components.core.case import Case
from components.core.declared import seconds, section_digest
from components.core.errors import ArtifactError, CaseError, DataError
from components.core.events import instant, iso
from components.ingest import journal
from components.step import Context, fetch_bundle

READS = (
    *("source", "columns", "entity_id", "event_time", "arrival", "require", "label", "references", "split", "fast"),
    "streaming",
)
"""The sections of the case that decide what ingest gives."""
LABEL_LAG = "2d"
"""How long before a window's reach an event can lie whose label lands in it."""

Purpose = Literal["train", "predict", "fast"]


@dataclass(frozen=True)
class Asked:
    """What the caller names; times in microseconds, None for open."""

    purpose: Purpose
    start: int | None = None
    stop: int | None = None

    @classmethod
    def parse(cls, purpose: str, start: str, stop: str) -> Asked:
        """Raises CaseError for another purpose, or a window that is no time or ends before it starts."""
        if purpose not in ("train", "predict", "fast"):
            raise CaseError("purpose", "be 'train', 'predict' or 'fast'", purpose, "Name one of them.")
        asked = cls(cast(Purpose, purpose), _time("start", start), _time("stop", stop))
        if asked.start is not None and asked.stop is not None and asked.start >= asked.stop:
            raise CaseError("stop", f"lie after the start, {start}", stop, "The window is [start, stop).")
        return asked


def _time(name: str, text: str) -> int | None:
    try:
        return instant(text) if text else None
    except ValueError as error:
        raise CaseError(name, "be an ISO 8601 time", text, "Such as 2013-12-01 or 2013-12-01T06:00:00Z.") from error


@dataclass(frozen=True)
class Topic:
    """The log of the case's topic, of which the offsets [first, end) are read; `since` is the journal's first piece."""

    folder: Path
    first: int
    end: int
    since: str = ""


@dataclass(frozen=True)
class Plan:
    """`case` and `bundle` are the champion's where it predicts; `watermark` is up to where it has."""

    asked: Asked
    case: Case
    bundle: str
    listings: Mapping[str, list[Listed]]
    """By source: '' is the events', else a reference's name."""
    watermark: int | None = None
    topic: Topic | None = None
    """For "fast"."""

    def key(self) -> Any:
        """What decides the result beyond the launch's own case, as JSON data."""
        listed = [[name, *_row(one)] for name, found in sorted(self.listings.items()) for one in found]
        back = reach(self.case) if self.asked.purpose == "predict" else None
        return {
            "files": listed,
            "case": section_digest(self.case, READS),
            "watermark": self.watermark,
            "reach": back,
            "log": (self.topic.first, self.topic.end, self.topic.since) if self.topic is not None else None,
        }

    def sources(self) -> list[list[Any]]:
        return [_row(one) for _, found in sorted(self.listings.items()) for one in found]

    @property
    def named(self) -> bool:
        """Whether every file's content is named by its token."""
        return all(one.token for found in self.listings.values() for one in found)


def _row(listed: Listed) -> list[Any]:
    return [listed.path, listed.bytes, listed.token]


def make(context: Context, asked: Asked) -> Plan:
    case, digest = _whose(context, asked.purpose)
    seen = _watermark(context.ports, case.name) if asked.purpose == "predict" and asked.start is None else None
    topic = _topic(context, case.name) if asked.purpose == "fast" else None
    return Plan(asked, case.of(asked.purpose), digest, listings(context.ports, case), seen, topic)


def _topic(context: Context, case: str) -> Topic:
    """The case's topic as it is now. Raises DataError where it is empty."""
    log, since = Log(context.profile.path("events") / case), ""  # a stream keeps it, from whatever broker it reads
    if log.first == log.end and context.profile.events.adapter == "pubsub":
        log, since = journal.gather(context, case)
    if log.first == log.end:
        remedy = "Let a producer publish to it, or `esteira replay`."
        raise DataError("topic", "hold messages", case, remedy, where="ingest")
    return Topic(log.folder, log.first, log.end, since)


def listings(ports: Ports, case: Case) -> dict[str, list[Listed]]:
    """Every file of the case's sources as it is now. Raises DataError where one names none."""
    places = {"": case.source.address} | {name: of.source.address for name, of in case.references.items()}
    return {name: ports.sources.listing(path) for name, path in places.items()}


def _whose(context: Context, purpose: Purpose) -> tuple[Case, str]:
    """The launch's case; to predict, the champion's as it was registered, if there is one."""
    launched = context.launch.bundle
    if purpose == "predict":
        pointer = context.ports.endpoints.pointer(context.case.name)
        if pointer.champion is not None:
            version = context.ports.registry.get(context.case.name, pointer.champion)
            digest = version.tags.get("bundle", "")
            if not digest:
                remedy = "Register the model again."
                raise ArtifactError("bundle", "be among the champion's tags", sorted(version.tags), remedy)
            if digest != launched:
                folder = fetch_bundle(context.ports, digest, context.scratch)
                return bundle.read(folder, digest).case(), digest
    return context.case, launched


def _watermark(ports: Ports, case: str) -> int | None:
    name = watermark.path(case)
    return watermark.moment(ports.blobs.read(name)[0]) if ports.blobs.exists(name) else None


@dataclass(frozen=True)
class Window:
    """[start, stop) is what the run is about; rows from `warmup` on are kept. Microseconds."""

    start: int
    stop: int
    warmup: int

    def texts(self) -> list[str]:
        return [iso(self.start), iso(self.stop)]


def bounds(plan: Plan) -> Bounds | None:
    """The rows that the run can need, for a source that filters them itself; None where only reading them tells."""
    asked, moment = plan.asked, plan.case.event_time
    start = asked.start if asked.start is not None else plan.watermark
    if asked.purpose == "fast" or moment.plus or start is None:
        return None
    if asked.purpose == "predict":
        start -= reach(plan.case)
    later = seconds(moment.offset) * 1_000_000 if moment.offset is not None else 0
    return Bounds(moment.column, start - later, asked.stop - later if asked.stop is not None else None)


def window(
    plan: Plan, starts: list[np.datetime64], newest: np.datetime64 | None, *, joint: int | None = None
) -> Window:
    """The window of a plan over events in periods that start at `starts` (sorted), the newest event at `newest`.

    Without an event (a source that filters had none to predict) the window is empty, or the one that is named.

    train: from the oldest period's start to the end of the newest complete one, unless named.
    fast: the same, from the case's `fast.history` before `joint` on, where the topic takes over from the sources.
    predict: from the watermark, or the score periods' start, through the newest event, unless named; and a warm-up.
    An event dated after now moves neither: one wrong date would end all predictions.
    """
    asked, case = plan.asked, plan.case
    if newest is None:
        start = asked.start if asked.start is not None else plan.watermark
        assert start is not None, "only a window whose start is known is filtered"
        return Window(start, asked.stop if asked.stop is not None else start, start - reach(case))
    newest = min(newest, np.datetime64(time.time_ns() // 1000, "us"))
    complete = periods.newest_complete_end(newest, case.split.by)
    if asked.purpose != "predict":
        oldest = _micros(starts[0]) if joint is None else joint - seconds(case.fast.history) * 1_000_000
        first = asked.start if asked.start is not None else oldest
        stop = asked.stop if asked.stop is not None else _micros(complete)
        return Window(first, max(first, stop), first)
    start = asked.start if asked.start is not None else plan.watermark
    if start is None:
        whole = [s for s in starts if s < complete] or starts
        start = _micros(whole[-max(case.split.score, 1) :][0])
    stop = asked.stop if asked.stop is not None else max(start, _micros(newest) + 1)
    return Window(start, max(start, stop), start - reach(case))


def none_there(plan: Plan) -> DataError:
    """What is wrong where the source has no row for the window that is named."""
    ends = [iso(time) if time is not None else "open" for time in (plan.asked.start, plan.asked.stop)]
    rule, remedy = f"have a row from {ends[0]} to {ends[1]}", "Name another window (--from, --to)."
    return DataError("events", rule, "none", remedy, where=plan.case.source.shown)


def none_left(plan: Plan, newest: np.datetime64) -> DataError:
    """What is wrong where no event lies in the window."""
    case, start = plan.case, plan.asked.start
    if start is not None and np.datetime64(start, "us") > newest:
        rule = f"reach into the window, which begins at {iso(start)}"
        remedy = "Name an earlier start (--from), or give newer events."
    else:
        rule = f"fill at least one {case.split.by}, or the window that is named"
        remedy = "Give more history, or a smaller period in 'split'."
    return DataError("events", rule, f"the newest at {newest}", remedy, where=case.source.shown)


def reach(case: Case) -> int:
    """How far before a window its rows' own windows can see, in microseconds."""
    lengths = [seconds(length) for window in case.windows.values() for length in window.over]
    return (max(lengths) + seconds(LABEL_LAG)) * 1_000_000 if lengths else 0


def check_unchanged(ports: Ports, plan: Plan) -> None:
    """Raises DataError where a file changed since the plan was made: what was read may be half old, half new.

    A stored table was read as it was at one moment: it may change while it is read.
    """
    now = listings(ports, plan.case)
    for name, before in plan.listings.items():
        if now[name] != before and not is_stored_table(before[0].path):
            changed = sorted(set(map(str, map(_row, now[name]))) ^ set(map(str, map(_row, before))))
            remedy = "Run again when nobody writes to it."
            raise DataError("source", "stay as it is while it is read", changed[0], remedy, where=before[0].path)


def _micros(time: np.datetime64) -> int:
    return int(time.astype("datetime64[us]").astype(np.int64))
