"""`esteira replay`: a case's own source, published as it would have happened."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from components.adapters.ports import Events, Ports
from components.adapters.reading.block import Bad
from components.adapters.reading.intake import Intake
from components.core import events
from components.core.case import Case
from components.core.case_file import CaseFile
from components.core.declared import seconds
from components.core.errors import CaseError, DataError
from pipelines.launch.replay import NO_FAULTS, Faults, Schedule, schedule, summary

TICK = 0.05
"""Seconds between two publishes, so that a rate is smooth."""
_MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class Pace:
    """Messages per second, or so many times real time; neither: as fast as possible."""

    rate: float = 0.0
    speed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rate", "speed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise CaseError(f"--{name}", "be a number from 0", getattr(self, name), "0 is as fast as possible.")
        if self.rate and self.speed:
            raise CaseError("--speed", "stand alone", self.speed, "Leave --rate or --speed out.")

    def due(self, plan: Schedule, elapsed: float) -> int:
        """How many messages are to be out after so many seconds."""
        if self.rate:
            return min(len(plan), int(elapsed * self.rate) + 1)
        if self.speed and len(plan):
            moment = int(plan.releases[0]) + int(elapsed * self.speed * 1e6)
            return int(np.searchsorted(plan.releases, moment, side="right"))
        return len(plan)


AT_ONCE = Pace()


@dataclass(frozen=True)
class Asked:
    """What is replayed: the window of event times (microseconds), how, and how much at most."""

    window: tuple[int | None, int | None] = (None, None)
    faults: Faults = NO_FAULTS
    pace: Pace = AT_ONCE
    most: int | None = None


def read(case: Case, ports: Ports, start: int | None = None, stop: int | None = None) -> pa.Table:
    """The case's events in [start, stop), microseconds, as ingest reads them; of one entity the first by arrival.

    Raises
    ------
    DataError
        The source cannot be read, or there is no event in the window.
    """
    listing = ports.sources.listing(case.source.address)
    intake = Intake(case.source, case.columns, listing, _Nowhere(), lambda _: None)
    tables = [events.schema(case).empty_table()]
    newest: int | None = None
    with tempfile.TemporaryDirectory() as scratch:
        for rows in intake.rows(ports.sources, Path(scratch)):
            valid = [rows.table.column(name).is_valid() for name in case.require]
            there = np.logical_and.reduce([np.ones(rows.table.num_rows, dtype=bool), *map(np.asarray, valid)])
            table = events.derive(rows.filter(there).table, case)[0]
            if table.num_rows:
                last = pc.max(table.column(events.EVENT_TIME)).cast(pa.int64()).as_py()
                newest = last if newest is None else max(newest, last)
            tables.append(_within(table, start, stop))
    found = _unique(pa.concat_tables(tables))
    if not found.num_rows:
        ends = [events.iso(moment) if moment is not None else "open" for moment in (start, stop)]
        rule = f"have an event from {ends[0]} to {ends[1]}"
        got = "none" if newest is None else f"the newest at {events.iso(newest)}"
        raise DataError("source", rule, got, "Name another window by --from and --to.", where=case.source.path)
    return found


class _Nowhere:
    """What is no event has no message; ingest tells of it."""

    def add(self, source: str, records: Iterable[Bad]) -> None:
        pass


def _within(table: pa.Table, start: int | None, stop: int | None) -> pa.Table:
    times = np.asarray(table.column(events.EVENT_TIME).cast(pa.int64()))
    keep = np.ones(len(times), dtype=bool)
    if start is not None:
        keep &= times >= start
    if stop is not None:
        keep &= times < stop
    return table if keep.all() else table.filter(pa.array(keep))


def _unique(table: pa.Table) -> pa.Table:
    names = [events.ARRIVAL, events.EVENT_TIME]
    order = np.asarray(pc.sort_indices(table, [(name, "ascending") for name in names]))
    codes = np.asarray(table.column(events.ENTITY).combine_chunks().dictionary_encode().indices)
    _, first = np.unique(codes[order], return_index=True)
    return table if len(first) == table.num_rows else table.take(pa.array(np.sort(order[first])))


def publish(
    to: Events, topic: str, plan: Schedule, pace: Pace, stop: threading.Event, said: Callable[[int], None]
) -> int:
    """Sends at the pace until all is sent or `stop` is set; how many were. `said` gets that number as it grows."""
    messages, sent, began = iter(plan), 0, time.monotonic()
    while sent < len(plan) and not stop.is_set():
        due = pace.due(plan, time.monotonic() - began)
        batch = list(islice(messages, min(due - sent, _MOST_AT_ONCE)))
        if batch:
            to.publish(topic, batch)
            sent += len(batch)
            said(sent)
        if sent == due < len(plan):
            stop.wait(TICK)
    return sent


def replay(
    case: CaseFile, ports: Ports, asked: Asked, out: Console, stop: threading.Event | None = None
) -> dict[str, Any]:
    """Publishes to the case's topic, with a bar on `out`; what was sent, also where `stop` or a signal ended it.

    Raises
    ------
    CaseError, DataError, RunError, SetupError
    """
    stop = stop or threading.Event()
    with _ended_by_signals(stop):
        began = time.monotonic()
        with out.status(f"reading {case.source.path}"):
            table = read(case.case(), ports, *asked.window)
            lateness = seconds(case.streaming.lateness) * 1_000_000
            plan = schedule(table, case.case(), lateness, asked.faults, asked.most)
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=out, transient=True) as bar:
            task = bar.add_task("", total=len(plan))

            def said(sent: int) -> None:
                bar.update(task, completed=sent, description=events.iso(int(plan.releases[sent - 1]))[:19])

            sent = publish(ports.events, case.name, plan, asked.pace, stop, said)
    took = time.monotonic() - began
    return {"topic": case.name, **summary(plan, sent), "interrupted": sent < len(plan), "seconds": round(took, 3)}


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end it between two publishes, so that what it says was sent is what was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
