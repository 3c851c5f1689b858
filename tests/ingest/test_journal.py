"""fast without a stream beside it: the topic is pulled within bounds, kept under Blobs, and acknowledged then."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence

import pytest

from components.adapters.connect import Connected
from components.adapters.gcp.pubsub import EMULATOR, PubSubEvents, PubSubSubscription
from components.adapters.ports import Events, Received
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
