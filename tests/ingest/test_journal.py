"""fast without a stream beside it: the topic is pulled within bounds, kept under Blobs, and acknowledged then."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from components.adapters.connect import Connected
from components.adapters.gcp.pubsub import EMULATOR, PubSubEvents, PubSubSubscription
from components.adapters.local.blobs import FileBlobs
from components.adapters.ports import Blobs, Events, Message, Received
from components.core.errors import RunError
from components.core.profile import Profile
from components.ingest import journal
from components.step import Launch

from .conftest import Desk
from .test_from_log import DAY, HOUR, event, label, publish
from .test_from_log import desk as desk

PUBSUB = os.environ.get("ESTEIRA_PUBSUB", "")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not PUBSUB, reason="ESTEIRA_PUBSUB names no Pub/Sub emulator (host:port)"),
]
SENT = [event(3 * DAY), *(event(n) for n in range(3 * DAY, 4 * DAY, HOUR)), label(4 * DAY - HOUR), event(4 * DAY)]


@pytest.fixture
def topic(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Events:
    """The case's, which begins with what is published from now on."""
    monkeypatch.setenv(EMULATOR, PUBSUB)
    monkeypatch.setattr(journal, "_WAIT", 0.5)
    desk.case["name"] = f"t-{uuid.uuid4().hex[:12]}"
    events = PubSubEvents("esteira")
    events.subscribe(desk.case["name"], journal.GROUP).close()
    return events


def launched(desk: Desk, **pull: int) -> Launch:
    return desk.launch(events={"adapter": "pubsub", "at": "esteira", "pull": pull})


def pieces(launch: Launch) -> list[str]:
    return Connected(Profile.from_json(launch.profile)).blobs.names("events/")


def test_it_gives_what_a_streams_log_gives_and_takes_each_message_once(desk: Desk, topic: Events) -> None:
    topic.publish(desk.case["name"], SENT)
    launch = launched(desk)
    taken = desk.run(launch, purpose="fast").parameters["snapshot"]
    assert desk.counts["duplicate"] == 1
    assert pieces(launch) == [f"events/{desk.case['name']}/00000001.arrow"]
    desk.job = "job-2"
    assert desk.run(launched(desk), purpose="fast").parameters["snapshot"] == taken
    assert len(pieces(launch)) == 1
    desk.case["name"], desk.job = "orders", "job-3"
    publish(desk, *SENT)
    assert desk.run(purpose="fast").parameters["snapshot"] == taken


@pytest.mark.parametrize(("pull", "read"), [({"messages": 5}, 5), ({"bytes": 1}, 10), ({"seconds": 1}, None)])
def test_a_run_takes_no_more_than_its_bounds(
    desk: Desk, topic: Events, monkeypatch: pytest.MonkeyPatch, pull: dict[str, int], read: int | None
) -> None:
    monkeypatch.setattr(journal, "_AT_ONCE", 10)
    if read is None:
        moments = iter([0.0, 0.0, 2.0])  # then the clock stands still
        monkeypatch.setattr(journal, "monotonic", lambda: next(moments, 0.0))
        read = 10
    topic.publish(desk.case["name"], SENT)
    launch = launched(desk, **pull)
    desk.run(launch, purpose="fast")
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    (piece,) = pieces(launch)
    assert len(journal._messages(blobs.read(piece)[0])) == read
    desk.job = "job-2"
    desk.run(launched(desk), purpose="fast")
    assert len(pieces(launch)) == 1 + -(-(len(SENT) - read) // 10)
    assert desk.counts["labels"] == 1


def test_what_is_there_is_listed_as_often_however_many_pieces_come(
    desk: Desk, topic: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    names = FileBlobs.names
    monkeypatch.setattr(FileBlobs, "names", lambda self, prefix: listed.append(prefix) or names(self, prefix))
    monkeypatch.setattr(journal, "_AT_ONCE", 5)
    topic.publish(desk.case["name"], SENT)
    launch = launched(desk)
    desk.run(launch, purpose="fast")
    assert listed.count(f"events/{desk.case['name']}/") == 3
    assert pieces(launch) == [f"events/{desk.case['name']}/{n:08d}.arrow" for n in range(1, 1 + -(-len(SENT) // 5))]


def test_what_was_stored_and_not_acknowledged_is_a_duplicate(
    desk: Desk, topic: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: PubSubSubscription, received: Sequence[Received]) -> None:
        raise RunError("ack", "arrive", "nothing", "It is sent again.")

    topic.publish(desk.case["name"], SENT)
    with monkeypatch.context() as patched:
        patched.setattr(PubSubSubscription, "ack", lost)
        with pytest.raises(SystemExit):
            desk.run(launched(desk), purpose="fast")
    desk.job = "job-2"
    launch = launched(desk)
    desk.run(launch, purpose="fast")
    assert len(pieces(launch)) == 2
    assert desk.counts["late"] + desk.counts["duplicate"] == 1 + len(SENT)
    assert desk.counts["good"] == DAY // HOUR * 3


def old(messages: Sequence[Message], days: int) -> list[Message]:
    """As taken so many days ago."""
    return [replace(m, arrived=time.time_ns() // 1000 - days * 86_400_000_000) for m in messages]


@pytest.fixture
def kept(desk: Desk, topic: Events) -> Blobs:
    """Two pieces that are old and one that is not stand there; the topic has more."""
    desk.case["streaming"] = {"lateness": "1h", "retention": "30d"}
    blobs = Connected(Profile.from_json(launched(desk).profile)).blobs
    for days, piece in ((32, SENT[:9]), (31, SENT[9:18]), (29, SENT[18:])):
        journal._store(blobs, f"events/{desk.case['name']}/", old(piece, days))
    return blobs


def numbers(blobs: Blobs) -> list[int]:
    return [int(name.rpartition("/")[2].removesuffix(".arrow")) for name in blobs.names("events/")]


def test_what_is_older_than_the_retention_goes_and_numbers_go_on(desk: Desk, topic: Events, kept: Blobs) -> None:
    topic.publish(desk.case["name"], [event(5 * DAY)])
    desk.run(launched(desk), purpose="fast")
    assert numbers(kept) == [3, 4]


def test_a_backlog_beyond_the_retention_is_used_by_the_run_that_takes_it(
    desk: Desk, topic: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service dates what it takes, so the run is in the future."""
    desk.case["streaming"] = {"lateness": "1h", "retention": "30d"}
    later = time.time_ns() + 40 * 86_400_000_000_000
    monkeypatch.setattr(journal, "time_ns", lambda: later)
    monkeypatch.setattr(journal, "_AT_ONCE", 10)
    topic.publish(desk.case["name"], SENT)
    launch = launched(desk)
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    journal._store(blobs, f"events/{desk.case['name']}/", old([event(2 * DAY)], 1))
    desk.run(launch, purpose="fast")
    assert numbers(blobs) == [2, 3, 4]
    assert desk.counts["duplicate"] == 1
    desk.job = "job-2"
    desk.run(launched(desk), purpose="fast")
    assert numbers(blobs) == [4]


def test_the_newest_piece_stays_however_old(desk: Desk, topic: Events) -> None:
    desk.case["streaming"] = {"lateness": "1h", "retention": "30d"}
    launch = launched(desk)
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    for piece in (SENT[:9], SENT[9:]):
        journal._store(blobs, f"events/{desk.case['name']}/", old(piece, 40))
    desk.run(launch, purpose="fast")
    assert numbers(blobs) == [2]


def test_without_a_retention_nothing_goes(desk: Desk, topic: Events, kept: Blobs) -> None:
    desk.case["streaming"] = {"lateness": "1h"}
    desk.run(launched(desk), purpose="fast")
    assert numbers(kept) == [1, 2, 3]


def test_a_run_that_ended_between_two_deletions_is_gone_on_with(
    desk: Desk, kept: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = FileBlobs.delete

    def once(self: FileBlobs, name: str) -> None:
        delete(self, name)
        raise RunError("blobs", "answer", name, "Run it again.")

    with monkeypatch.context() as patched:
        patched.setattr(FileBlobs, "delete", once)
        with pytest.raises(SystemExit):
            desk.run(launched(desk), purpose="fast")
    assert numbers(kept) == [2, 3]
    desk.job = "job-2"
    desk.run(launched(desk), purpose="fast")
    assert numbers(kept) == [3]


def test_as_many_new_messages_as_went_are_no_equal_run(desk: Desk, topic: Events) -> None:
    """The offsets are the same, and the messages are not."""
    desk.case["streaming"] = {"lateness": "1h", "retention": "30d"}
    blobs, prefix = Connected(Profile.from_json(launched(desk).profile)).blobs, f"events/{desk.case['name']}/"
    journal._store(blobs, prefix, old(SENT, 29))
    journal._store(blobs, prefix, old(SENT, 28))
    desk.run(launched(desk), purpose="fast")
    journal._store(blobs, prefix, old(SENT, 27))
    blobs.delete(f"{prefix}00000001.arrow")
    desk.job = "job-2"
    assert not desk.run(launched(desk), purpose="fast").reused


def test_a_piece_that_another_run_deletes_meanwhile_is_none(
    desk: Desk, kept: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FileBlobs.read

    def gone(self: FileBlobs, name: str) -> tuple[bytes, int]:
        if name.endswith("00000001.arrow"):
            self.delete(name)
        return read(self, name)

    monkeypatch.setattr(FileBlobs, "read", gone)
    desk.run(launched(desk), purpose="fast")
    assert numbers(kept) == [3]
