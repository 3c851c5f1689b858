"""`esteira rehearse`: the fast pipeline on replayed events, with producer, stream, server and a caller beside it.

It has a folder of its own under the profile's root, made anew each time: what is live is copied in, and nothing of it
is touched. Everything that it starts has ended when it returns.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.core import case_file, events, periods
from components.core.case import Split
from components.core.case_file import CaseFile
from components.core.declared import seconds
from components.core.errors import CaseError, DataError, SetupError
from components.core.profile import Profile
from components.core.servable import SCORED
from components.streaming.loop import GROUP
from pipelines.launch import cases, producer, run, serve, stream
from pipelines.launch.beside import Beside
from pipelines.launch.caller import Caller
from pipelines.launch.ending import end, ended_by_sigterm
from pipelines.launch.own_folder import own_folder
from pipelines.launch.producer import AT_ONCE, Pace
from pipelines.launch.replay import Faults, Schedule, schedule
from pipelines.launch.run import Finished

_PATIENCE = 20.0
"""Seconds until what was started is ready, or what was asked to end has ended."""


_FAULTS = Faults(late=0.02, duplicates=0.02, bad=0.005)


@dataclass(frozen=True)
class Wishes:
    """`start` is the event time (microseconds) from which events are replayed; None: the newest `split.score` periods.

    First those of as many `fast.split` periods as training needs go out at once; the rest follow at `rate` messages per
    second while the challenger is on trial.
    """

    start: int | None = None
    rate: float = 500.0
    faults: Faults = _FAULTS


@dataclass(frozen=True)
class Rehearsed:
    """What came of it: `stream` is what the stream made of the messages, `calls` the server's answers by status."""

    finished: Finished
    published: int
    stream: dict[str, int]
    calls: dict[str, int]


def rehearse(name: str, profile: Profile, wishes: Wishes, out: Console) -> Rehearsed:
    """Runs the case's fast pipeline over events of its own source, with all that lives beside it.

    Raises
    ------
    CaseError, ConflictError, DataError, SetupError
        Before anything runs (another rehearsal may be under way), or because a part of it did not start.
    RunError
        Producer or caller ended before their time.
    """
    file = case_file.load(cases.find(name))
    if file.model.serve_with != "onnx":
        rule = "be onnx for a rehearsal, whose server has no scikit-learn"
        remedy = f"Choose an estimator that ONNX can follow; {SCORED}."
        raise CaseError("model.serve_with", rule, file.model.serve_with, remedy)
    with ended_by_sigterm(), own_folder(profile, file.name) as own:
        return _rehearsed(name, file, own, wishes, out)


def _rehearsed(name: str, file: CaseFile, own: Profile, wishes: Wishes, out: Console) -> Rehearsed:
    plan = _plan(file, own, wishes, out)
    if Connected(own).endpoints.pointer(file.name).champion is None:
        out.print("There is no champion yet: the batch pipeline makes the first.", highlight=False)
        run.run(name, "batch", profile=own, stop=events.iso(int(plan.first)), out=out)
    with ExitStack() as stack:
        url, token = stack.enter_context(_server(name, own))
        stack.enter_context(_stream(name, own, Log(own.path("events") / file.name)))
        published = stack.enter_context(_published(Connected(own), file.name, plan, wishes.rate, out))
        caller = stack.enter_context(Caller(url, token, Connected(own).tables, file.name))
        out.print(f"server at {url}, stream and producer beside it; logs in {own.root}/logs", highlight=False)
        finished = run.run(name, "fast", profile=own, out=out)
    published.thread.check()
    caller.check()
    note = Log(own.path("events") / file.name).committed(GROUP)[1]
    return Rehearsed(finished, published.sent, note.get("counts", {}), dict(caller.answers))


@dataclass(frozen=True)
class _Plan:
    """What is published: `first` is where it begins, `ready` messages are enough for a run of the pipeline."""

    first: int
    messages: Schedule
    ready: int


def _plan(file: CaseFile, own: Profile, wishes: Wishes, out: Console) -> _Plan:
    case, split = file.case(), file.fast.split
    with out.status(f"reading {case.source.path}"):
        table = producer.read(case, Connected(own))
    times = np.asarray(table.column(events.EVENT_TIME).cast(pa.int64()))
    first = wishes.start if wishes.start is not None else _score_start(times, case.split)
    kept = times >= first
    if not kept.any():
        rule, remedy = f"have events from {events.iso(first)} on", "Name an earlier --from."
        raise DataError("source", rule, "none", remedy, where=case.source.path)
    until: Any = np.datetime64(int(times[kept].min()), "us")
    for _ in range(split.score + split.holdout + split.validation + (split.train or 1)):
        until = periods.end(periods.starts(np.array([until]), split.by)[0], split.by)
    lateness = seconds(file.streaming.lateness) * 1_000_000
    messages = schedule(table.filter(pa.array(kept)), case, lateness, wishes.faults)
    ready = int(np.searchsorted(messages.releases, until.astype(np.int64)))
    return _Plan(first, messages, ready)


def _score_start(times: Any, split: Split) -> int:
    """Where the newest `split.score` complete periods begin, as predict takes them."""
    newest = periods.newest_complete_end(times.max().astype("datetime64[us]"), split.by)
    starts = np.unique(periods.starts(times.astype("datetime64[us]"), split.by))
    whole = [start for start in starts if start < newest] or list(starts)
    return int(whole[-max(split.score, 1) :][0].astype(np.int64))


@dataclass
class _Published:
    thread: Beside
    sent: int = 0


@contextmanager
def _published(ports: Connected, topic: str, plan: _Plan, rate: float, out: Console) -> Iterator[_Published]:
    """The first part is out when this yields; the rest follows in a thread once there is a challenger."""
    stop = threading.Event()

    def said(sent: int) -> None:
        done.sent = sent

    def said_more(sent: int) -> None:
        done.sent = plan.ready + sent

    def rest() -> None:
        own = Connected(ports.profile)
        while own.endpoints.pointer(topic).challenger is None:
            if stop.wait(0.2):
                return
        producer.publish(own.events, topic, plan.messages.part(plan.ready), Pace(rate), stop, said_more)

    done = _Published(Beside("producer", rest))
    producer.publish(ports.events, topic, plan.messages.part(0, plan.ready), AT_ONCE, stop, said)
    out.print(f"{plan.ready:,} messages published from {events.iso(plan.first)} on", highlight=False)
    done.thread.start()
    try:
        yield done
    finally:
        stop.set()
        done.thread.join()


@contextmanager
def _stream(name: str, own: Profile, log: Log) -> Iterator[None]:
    """It ends once it has taken all that was published."""
    prepared = stream.prepare(name, own, Connected(own), stream.Wishes())
    with _running("stream", [str(prepared.python), *prepared.arguments], prepared.variables, own) as process:
        yield
        deadline = time.monotonic() + _PATIENCE
        while log.committed(GROUP)[0] < log.end and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def _server(name: str, own: Profile) -> Iterator[tuple[str, str]]:
    """The server's address and token, once it is ready."""
    port = _free_port()
    prepared = serve.prepare(name, own, serve.Wishes(port=port))
    command = [str(prepared.python), "-m", "components.serving"]
    with _running("server", command, prepared.variables, own) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _PATIENCE
        while not _ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                remedy = f"See {own.root}/logs/server.log."
                raise SetupError("server", f"be ready within {_PATIENCE:.0f} s", process.poll(), remedy)
            time.sleep(0.1)
        yield url, prepared.variables["ESTEIRA_TOKEN"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=1) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _running(
    name: str, command: list[str], variables: dict[str, str], own: Profile
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended when this is left; what it prints goes to its log."""
    with open(Path(own.root) / "logs" / f"{name}.log", "wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            end(process, _PATIENCE)
