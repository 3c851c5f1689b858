"""What every implementation of Events keeps."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.adapters.gcp.pubsub import EMULATOR, PubSubEvents
from components.adapters.local.log_events import LogEvents
from components.adapters.messages import MOST_BYTES
from components.adapters.ports import Events, Message, Received, Subscription
from components.core.errors import CaseError, DataError
from tests import processes

PUBSUB = os.environ.get("ESTEIRA_PUBSUB", "")
Make = Callable[[Path], Events]


def pubsub(root: Path) -> Events:
    """Of the emulator; in other processes as well, which do not see the fixture's environment."""
    os.environ[EMULATOR] = PUBSUB
    return PubSubEvents("esteira")


MAKERS = [
    pytest.param(LogEvents, id="log"),
    pytest.param(
        pubsub,
        id="pubsub",
        marks=[
            pytest.mark.servers,
            pytest.mark.skipif(not PUBSUB, reason="ESTEIRA_PUBSUB names no Pub/Sub emulator (host:port)"),
        ],
    ),
]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv(EMULATOR, PUBSUB)  # taken back after the test, whoever set it
    made: Make = request.param
    return made


@pytest.fixture
def events(make: Make, tmp_path: Path) -> Events:
    return make(tmp_path)


@pytest.fixture
def topic() -> str:
    """One of its own: a server keeps the others'."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def reader(events: Events, topic: str) -> Iterator[Subscription]:
    subscription = events.subscribe(topic, "stream")
    yield subscription
    subscription.close()


def numbered(start: int, stop: int) -> list[Message]:
    return [Message(b'{"n": %d}' % i, {"id": str(i), "kind": "event"}) for i in range(start, stop)]


def take(subscription: Subscription, count: int) -> list[Received]:
    """Pulls and acknowledges until so many messages came."""
    found: list[Received] = []
    until = time.monotonic() + 60
    while len(found) < count and time.monotonic() < until:
        pulled = subscription.pull(count - len(found), 1.0)
        subscription.ack(pulled)
        found += pulled
    return found


def messages(received: list[Received]) -> list[Message]:
    return [one.message for one in received]


def test_what_was_published_is_pulled_in_order_with_its_attributes(events, topic, reader):
    events.publish(topic, numbered(0, 5))
    events.publish(topic, numbered(5, 300))
    assert messages(take(reader, 300)) == numbered(0, 300)


def test_any_bytes_and_any_text_come_back(events, topic, reader):
    odd = [Message(bytes(range(256)), {"Ünï|\\ \U0001f6eb": "\n'\"\0"}), Message(b"", {"id": ""}), Message(b"\xff{")]
    events.publish(topic, odd)
    assert messages(take(reader, 3)) == odd


def test_a_pull_gives_no_more_than_asked_for(events, topic, reader):
    events.publish(topic, numbered(0, 10))
    first = reader.pull(4, 5.0)
    assert messages(first) == numbered(0, len(first))
    assert 1 <= len(first) <= 4


def test_an_empty_pull_waits_and_gives_nothing(reader):
    assert reader.pull(10, 0.3) == []
    assert reader.pull(10, 0.0) == []


def test_what_was_acknowledged_never_comes_again(events, topic, reader):
    events.publish(topic, numbered(0, 10))
    take(reader, 6)
    reader.close()
    again = events.subscribe(topic, "stream")
    assert messages(take(again, 4)) == numbered(6, 10)
    assert again.pull(10, 0.3) == []
    again.close()


def test_what_was_pulled_and_not_acknowledged_comes_again_after_close(events, topic, reader):
    events.publish(topic, numbered(0, 6))
    assert reader.pull(6, 5.0) != []
    reader.close()
    again = events.subscribe(topic, "stream")
    assert messages(take(again, 6)) == numbered(0, 6)
    again.close()


def test_an_acknowledged_message_behind_an_open_one_does_not_stand_for_it(events, topic, reader):
    events.publish(topic, numbered(0, 3))
    pulled = reader.pull(3, 5.0)
    reader.ack(pulled[1:])
    reader.close()
    again = events.subscribe(topic, "stream")
    assert messages(take(again, 3)) == numbered(0, 3)
    again.close()


def test_acknowledgements_in_any_order_are_all_counted(events, topic, reader):
    events.publish(topic, numbered(0, 5))
    for one in reversed(reader.pull(4, 5.0)):
        reader.ack([one])
    reader.close()
    again = events.subscribe(topic, "stream")
    assert messages(take(again, 1)) == numbered(4, 5)
    again.close()


def test_two_groups_each_see_everything(events, topic, reader):
    other = events.subscribe(topic, "monitor")
    events.publish(topic, numbered(0, 20))
    assert messages(take(reader, 20)) == numbered(0, 20)
    assert messages(take(other, 20)) == numbered(0, 20)
    other.close()


def test_topics_are_apart(events, topic, reader):
    events.publish(f"{topic}-b", numbered(0, 3))
    assert reader.pull(3, 0.3) == []


def publish(make: Make, root: Path, topic: str, publisher: int, count: int) -> None:
    events = make(root)
    for start in range(0, count, 10):
        events.publish(topic, [Message(b"x", {"id": f"{publisher}-{i}"}) for i in range(start, start + 10)])


@pytest.mark.slow
def test_of_publishers_in_4_processes_nothing_is_lost_and_each_keeps_its_order(make, tmp_path, topic):
    subscription = make(tmp_path).subscribe(topic, "stream")
    results = processes.at_once([(publish, (make, tmp_path, topic, i, 50)) for i in range(4)])
    assert results == [None] * 4
    found = [m.attributes["id"] for m in messages(take(subscription, 200))]
    subscription.close()
    for publisher in range(4):
        assert [i for i in found if i.startswith(f"{publisher}-")] == [f"{publisher}-{i}" for i in range(50)]


@pytest.mark.slow
def test_a_publisher_killed_at_any_point_leaves_whole_messages(make, tmp_path, topic):
    subscription = make(tmp_path).subscribe(topic, "stream")
    expected = [f"0-{i}" for i in range(20)]
    for n in range(1, 40):
        killed = processes.dies_at(n, publish, make, tmp_path, topic, 0, 20)
        found = []
        while pulled := subscription.pull(100, 0.3):
            subscription.ack(pulled)
            found += [m.attributes["id"] for m in messages(pulled)]
        assert found == expected[: len(found)]
        assert killed or len(found) == 20
        if not killed:
            break
    assert not killed
    subscription.close()


@pytest.mark.parametrize(
    ("message", "name", "rule"),
    [
        (Message(b""), "message", "hold data or an attribute"),
        (Message(b"x" * MOST_BYTES, {"id": "1"}), "message", "hold at most 10,000,000 bytes"),
        (Message(b"x", {str(i): "" for i in range(101)}), "attributes", "be at most 100"),
        (Message(b"x", {"id": "é" * 600}), "id", "hold at most 1,024 bytes"),
        (Message(b"x", {"a" * 257: ""}), "attribute", "hold at most 256 bytes"),
        (Message(b"x", {"": "a"}), "attribute", "have a name that does not begin with 'goog'"),
        (Message(b"x", {"googclient": "a"}), "attribute", "have a name that does not begin with 'goog'"),
        (Message(b"x", {"id": "\ud800"}), "id", "be text that UTF-8 can hold"),
    ],
)
def test_a_message_that_could_not_be_published_everywhere_is_refused_with_all_beside_it(
    events, topic, reader, message, name, rule
):
    with pytest.raises(DataError) as caught:
        events.publish(topic, [*numbered(0, 2), message])
    assert (caught.value.name, caught.value.rule) == (name, rule)
    assert str(caught.value).endswith("Mend what makes the messages; none of this call was published.")
    assert reader.pull(10, 0.0) == []


def test_the_largest_message_comes_back(events, topic, reader):
    large = Message(b"x" * (MOST_BYTES - 3), {"id": "1"})
    events.publish(topic, [large])
    assert messages(take(reader, 1)) == [large]


@pytest.mark.parametrize("bad", ["../x", "a/b", "", "A", "a\0", "é", "a" * 41, ".", "goog%2e"])
def test_a_name_that_could_leave_its_place_is_refused(events, topic, bad):
    for kind, call in (
        ("topic", lambda: events.publish(bad, numbered(0, 1))),
        ("topic", lambda: events.subscribe(bad, "stream")),
        ("group", lambda: events.subscribe(topic, bad)),
    ):
        with pytest.raises(CaseError) as caught:
            call()
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        assert (caught.value.name, caught.value.rule, caught.value.value) == (kind, rule, bad)
