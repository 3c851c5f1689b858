"""A topic elsewhere, mirrored into the local log: nothing is lost, and what is delivered again is a duplicate."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp.pubsub import EMULATOR, PubSubEvents
from components.adapters.local.log import Log
from components.adapters.local.log_events import LogEvents, LogSubscription
from components.adapters.ports import Events, Message, Received, Subscription
from components.core.errors import EsteiraError, RunError
from components.streaming import mirror
from components.streaming.loop import Limits, Loop
from components.streaming.mirror import Mirror

from .conftest import LATENESS, Stream, event, messages

PUBSUB = os.environ.get("ESTEIRA_PUBSUB", "")
PATIENCE = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Waits; a mirror has no other end."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Forgetful:
    """Events whose first acknowledgement is lost: the subscription breaks, and the same messages come again."""

    def __init__(self, inner: Events) -> None:
        self.inner, self.lost = inner, False

    def publish(self, topic: str, sent: Sequence[Message]) -> None:
        self.inner.publish(topic, sent)

    def subscribe(self, topic: str, group: str) -> Subscription:
        return _Forgetful(self.inner.subscribe(topic, group), self)


class _Forgetful:
    def __init__(self, inner: Subscription, of: Forgetful) -> None:
        self._inner, self._of = inner, of

    def pull(self, most: int, wait: float) -> list[Received]:
        return self._inner.pull(most, wait)

    def ack(self, received: Sequence[Received]) -> None:
        if not self._of.lost:
            self._of.lost = True
            raise RunError("ack", "arrive", "nothing", "It is sent again.")
        self._inner.ack(received)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def topic(tmp_path: Path) -> LogEvents:
    return LogEvents(tmp_path / "elsewhere")


def fail(error: EsteiraError) -> None:
    raise error


def mirrored(events: Events, log: Log, name: str, count: int, said: list[str]) -> None:
    """Mirrors until the log holds so many messages."""
    copying = Mirror(events, Log(log.folder), name, "stream", said.append, fail)
    copying.start()
    try:
        until(lambda: log.end >= count)
    finally:
        copying.stop()


def test_every_message_is_copied_in_order_and_acknowledged(stream: Stream, topic: LogEvents) -> None:
    sent = messages(100)
    topic.publish("toy", sent)
    mirrored(topic, stream.log, "toy", len(sent), [])
    assert stream.log.read(0, len(sent) + 1) == sent
    with closing(topic.subscribe("toy", "stream")) as again:
        assert again.pull(1, 0.0) == []


def test_what_is_delivered_again_is_a_duplicate(
    stream: Stream, topic: LogEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_AGAIN", 0.0)
    sent = [event(n, n / 10) for n in range(30)]
    topic.publish("toy", sent)
    said: list[str] = []
    mirrored(Forgetful(topic), stream.log, "toy", 2 * len(sent), said)
    stream.point(stream.register())
    counts = stream.run().counts
    assert (counts.read, counts.good, counts.duplicate) == (60, 30, 30)
    assert said == ["'ack' must arrive. Got 'nothing'. It is sent again. It is tried again."]


class Broken(LogEvents):
    def subscribe(self, topic: str, group: str) -> LogSubscription:
        raise OSError("No space left on device")


def test_a_mirror_that_cannot_go_on_ends_the_stream_with_its_error(stream: Stream, tmp_path: Path) -> None:
    limits = Limits()
    ended = threading.Event()

    def failed(error: EsteiraError) -> None:
        limits.failure = error
        ended.set()

    copying = Mirror(Broken(tmp_path), Log(stream.log.folder), "toy", "stream", lambda _: None, failed)
    copying.start()
    assert ended.wait(PATIENCE)
    with pytest.raises(RunError) as caught:
        Loop(stream.ports, stream.log, stream.case, LATENESS, lambda _: None).run(limits)
    assert str(caught.value) == (
        "stream: 'mirror' must copy the topic. Got 'OSError: No space left on device'. "
        "Mend it, and start the stream again: nothing is lost."
    )
    copying.stop()


def test_it_pulls_no_more_while_the_stream_is_far_behind(
    stream: Stream, topic: LogEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MOST", 10)
    monkeypatch.setattr(mirror, "AHEAD", 20)
    monkeypatch.setattr(mirror, "_FULL", 0.01)
    topic.publish("toy", [event(n, n / 10) for n in range(50)])
    log, looks = Log(stream.log.folder), []
    committed = log.committed

    def counted(group: str) -> tuple[int, dict[str, Any]]:
        looks.append(group)
        return committed(group)

    monkeypatch.setattr(log, "committed", counted)
    copying = Mirror(topic, log, "toy", "stream", lambda _: None, fail)
    copying.start()
    try:
        until(lambda: len(looks) > 8)
        assert stream.log.end == 20
        stream.log.commit("stream", 20)
        until(lambda: stream.log.end == 40)
    finally:
        copying.stop()


@pytest.mark.servers
@pytest.mark.skipif(not PUBSUB, reason="ESTEIRA_PUBSUB names no Pub/Sub emulator (host:port)")
def test_from_pubsub_to_the_tables(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR, PUBSUB)
    name = f"t-{uuid.uuid4().hex[:12]}"
    events = PubSubEvents("esteira")
    events.subscribe(name, "stream").close()  # a topic keeps nothing for those who come later
    sent = [message for message in messages(150) if message.data]
    events.publish(name, [replace(message, attributes={**message.attributes}) for message in sent])
    mirrored(events, stream.log, name, len(sent), [])
    stream.point(stream.register())
    counts = stream.run().counts
    copied, there = stream.tables(), stream.log.read(0, len(sent))
    assert sorted(m.data for m in there) == sorted(m.data for m in sent)
    assert counts.read == len(sent) == counts.good + counts.dead_letter + counts.late + counts.duplicate
    assert copied["live_toy"].num_rows == counts.good - counts.labels


class Ended(threading.Event):
    """Ends whoever waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def test_it_stops_copying_while_as_many_bytes_wait_as_the_profile_allows(
    stream: Stream, topic: LogEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MOST", 10)
    sent = [event(n, float(n)) for n in range(30)]
    topic.publish("toy", sent)
    copying = Mirror(topic, stream.log, "toy", "stream", [].append, fail, ahead=len(sent[0].data) * 15)
    for done, copied in ((0, 20), (10, 30)):
        copying._log.commit("stream", done)
        copying._stopped = Ended()
        copying._copy()
        assert stream.log.end == copied


def test_a_dead_letter_goes_to_its_topic_too_and_a_second_time_has_the_same_id(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    buried: list[Message] = []
    monkeypatch.setattr(LogEvents, "bury", lambda self, letters: buried.extend(letters))
    stream.point(stream.register())
    stream.log.append([event(1, 1.0), Message(b"{"), Message(b"", {"a": "b"}), event(2, 1e4), event(3, 2.0)])
    stream.run()
    table = stream.table("dead_letter_toy").to_pylist()
    assert [(m.attributes["id"], m.attributes["step"]) for m in buried] == [
        (f"toy-{row['_arrival']}", row["step"]) for row in table
    ]
    assert [m.attributes["reason"] for m in buried] == [row["reason"] for row in table]
    assert [m.data for m in buried] == [b"{", b" ", event(3, 2.0).data]
