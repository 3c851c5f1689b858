"""The job: messages in chunks, one stateful transform that numbers and scores them, and one that writes.

No DoFn holds the user's function: a worker gets the bundle's digest and the profile, and fetches, verifies and loads
the rest itself. A message of a log is numbered by its offset, in whatever order chunks come; any other one by the
stateful transform, which gives it the next number. It stands in each row as `_arrival`, as for our own loop. What is
written has passed a durable stage first, so a bundle that is tried again brings the same batches, and a row that is
appended again is read once.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow

from components.adapters import bundles
from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core import bundle
from components.core.profile import Profile
from components.streaming.beam import chunks, commits
from components.streaming.beam.cells import Cells, Place
from components.streaming.beam.following import FOLLOW, Following
from components.streaming.sink import BUCKET, write

MOST = 500
"""Messages of one batch, or somewhat more: chunks stay whole."""
PACE = 0.25
"""Seconds that a message waits for others at most."""
Batch = tuple[int, int, bytes]
"""The first arrival number, the one behind the last, and rows by table."""
_KEY = b""
"""The only one: windows of any key, and deduplication, need one order of arrival."""
_LOADING = threading.Lock()
"""Threads of one process share its modules."""


@dataclass(frozen=True)
class Spec:
    """What the workers get."""

    profile: str
    bundle: str
    """Its digest: the case by which messages are decoded."""
    lateness: int
    """Seconds."""
    first: int = field(default_factory=lambda: round(time.time() * 1e6))
    """The first arrival number. Numbers of a job that starts later are greater: the clock's microseconds, as no job
    takes a million messages a second. From a log: the offset from which it reads."""
    log: str = ""
    """The log's folder, where the messages come from one: what is written is committed there."""
    committed: int = 0
    """Messages with smaller numbers were written before a restart: they are remembered, and give no row."""


def build(spec: Spec, source: beam.PTransform) -> Callable[[beam.Pipeline], None]:
    """What adds the job's transforms to a pipeline; `source` gives chunks of messages, as `from_pubsub` does."""

    def add(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "messages" >> source
            | "one key" >> beam.Map(lambda chunk: (_KEY, chunk)).with_output_types(tuple[bytes, bytes])
            | "score" >> beam.ParDo(_Score(spec)).with_output_types(Batch)
            | "durable" >> beam.Reshuffle()
            | "write" >> beam.ParDo(_Write(spec))
        )

    return add


@beam.ptransform_fn  # type: ignore[untyped-decorator]  # Beam has no types here
def from_pubsub(pipeline: beam.Pipeline, subscription: str) -> beam.PCollection:
    """Chunks of the messages of "projects/PROJECT/subscriptions/NAME".

    Without `id_label`: what comes twice is counted as a duplicate, and a label has the id of its event.
    """
    from apache_beam.io.gcp.pubsub import ReadFromPubSub

    read = ReadFromPubSub(subscription=subscription, with_attributes=True)
    return pipeline | "read" >> read | "take" >> beam.Map(taken) | in_chunks()


def taken(message: Any) -> Message:
    """Pub/Sub's message as ours. It arrived when Pub/Sub took it."""
    at = message.publish_time
    return Message(message.data, message.attributes, None if at is None else round(at.timestamp() * 1e6))


@beam.ptransform_fn  # type: ignore[untyped-decorator]  # Beam has no types here
def in_chunks(messages: beam.PCollection) -> beam.PCollection:
    """Chunks of messages that came together."""
    return (
        messages
        | "together" >> beam.BatchElements(min_batch_size=1, max_batch_size=MOST)
        | "chunk" >> beam.Map(chunks.of_messages).with_output_types(bytes)
    )


# The clock's, and the one of the watermark's end: then the job is drained, and nobody waits for others any more.
_PACE_TIMER, _END_TIMER = TimerSpec("pace", TimeDomain.REAL_TIME), TimerSpec("end", TimeDomain.WATERMARK)
_PACE, _END = beam.DoFn.TimerParam(_PACE_TIMER), beam.DoFn.TimerParam(_END_TIMER)
_PLACE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("place", BytesCoder()))
_STATE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("state", BytesCoder()))
_WAITING = beam.DoFn.StateParam(BagStateSpec("waiting", BytesCoder()))


class _Score(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def setup(self) -> None:
        spec, ports = self._spec, Connected(Profile.from_json(self._spec.profile))
        with _LOADING, tempfile.TemporaryDirectory(prefix="esteira-stream-") as scratch:
            self._case = bundle.read(bundles.fetch(ports, spec.bundle, Path(scratch)), spec.bundle).case()
        self._following = Following(ports, self._case, spec.lateness, _say)

    def process(
        self,
        element: tuple[bytes, bytes],
        place: Any = _PLACE,
        state: Any = _STATE,
        waiting: Any = _WAITING,
        pace: Any = _PACE,
        end: Any = _END,
    ) -> list[Batch]:
        cells, now = Cells(self._spec.first, place, state, waiting, pace), time.time()
        at = cells.place()
        waiting.add(element[1])
        first = not at.waiting
        at = replace(at, waiting=at.waiting + chunks.count(element[1]), since=now if first else at.since)
        if at.waiting >= MOST or now >= at.since + PACE:
            return self._batch(cells, at)
        if first:
            end.set(GlobalWindow().max_timestamp())
        cells.wait(at, at.since + PACE)
        return []

    @on_timer(_PACE_TIMER)  # type: ignore[untyped-decorator]  # Beam has no types here
    def on_pace(
        self, place: Any = _PLACE, state: Any = _STATE, waiting: Any = _WAITING, pace: Any = _PACE
    ) -> list[Batch]:
        cells = Cells(self._spec.first, place, state, waiting, pace)
        return self._batch(cells, cells.place())

    @on_timer(_END_TIMER)  # type: ignore[untyped-decorator]  # Beam has no types here
    def on_end(
        self, place: Any = _PLACE, state: Any = _STATE, waiting: Any = _WAITING, pace: Any = _PACE
    ) -> list[Batch]:
        return self.on_pace(place, state, waiting, pace)  # type: ignore[no-any-return]  # Beam has no types here

    def _batch(self, cells: Cells, at: Place) -> list[Batch]:
        """What all that waits gives; nothing while there is no champion."""
        if not at.waiting:
            return []
        state = cells.state()
        with _LOADING:
            found = self._following.steps(at.terms, state.seen.largest)
        if found is None:
            cells.wait(at, time.time() + FOLLOW)
            return []
        steps, terms = found
        messages, later = cells.waiting(at.next)
        known = min(len(messages), max(0, self._spec.committed - at.next))
        first, end = at.next + known, at.next + len(messages)
        if known:
            state = steps.remember(state, messages[:known], at.next)
        state, outputs = steps(state, messages[known:], first)
        now = time.time()
        cells.took(Place(end, sum(map(chunks.count, later)), at.since, terms), state, later)
        if first == end:
            return []
        for name, count in asdict(outputs.counts).items():
            Metrics.counter("esteira", name).inc(count)
        rows = outputs.stamped(self._case.name, now, (now - at.since) * 1000)
        return [(first, end, chunks.of_tables({name: made for name, made in rows.items() if made.num_rows}))]


class _Write(beam.DoFn):  # type: ignore[misc]  # Beam has no types here
    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def setup(self) -> None:
        self._ports = Connected(Profile.from_json(self._spec.profile))

    def process(self, element: Batch) -> None:
        first, end, data = element
        write(self._ports, window(first), chunks.tables(data))
        if self._spec.log:
            commits.written(Log(Path(self._spec.log)), first, end)


def window(first: int) -> str:
    """The name of the window that holds the rows of the batch that begins with this number."""
    return f"beam-{first // BUCKET:012d}"


def _say(text: str) -> None:
    print(f"[stream] {text}", flush=True)
