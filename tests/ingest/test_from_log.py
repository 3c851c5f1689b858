"""The purpose "fast": the newest events come from the topic's log, those before them from the source."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core.events import HISTORY
from components.core.profile import Profile
from components.ingest import from_log
from components.ingest.spill import Spill
from tests.ingest.conftest import Desk, csv_of, order

DAY = 1440
HOUR = 60


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Three days of an order an hour in the source; labels land two hours after their event."""
    desk.case["label"] = {"column": "late", "matures": {"column": "at", "offset": "2h"}}
    desk.case["fast"] = {"history": "2d", "split": {"by": "day", "score": 0}}
    desk.case["streaming"] = {"lateness": "1h"}
    desk.put("orders.csv", csv_of([order(n) for n in range(0, 3 * DAY, HOUR)]))
    return desk


def event(number: int, **changes: Any) -> Message:
    row = order(number, **changes)
    return Message(json.dumps({n: v for n, v in row.items() if n != "late"}).encode(), {"kind": "event"})


def label(number: int, late: float = 7.0) -> Message:
    return Message(json.dumps(order(number, late=late)).encode(), {"kind": "label"})


def publish(desk: Desk, *messages: Message) -> None:
    profile = Profile.from_json(desk.launch().profile)
    Log(profile.path("events") / "orders").append(messages)


def at(number: int) -> datetime:
    return datetime.fromisoformat(order(number)["at"])


def test_the_log_takes_over_from_the_source_at_its_first_event(desk: Desk) -> None:
    publish(desk, *(event(n) for n in range(3 * DAY, 4 * DAY, HOUR)), event(4 * DAY))
    desk.run(purpose="fast")
    rows = {int(row["id"]): row for row in desk.rows()}
    assert sorted(rows) == list(range(DAY, 4 * DAY, HOUR)), "two days of history and the log's complete day"
    assert desk.counts["incomplete"] == 1
    assert desk.counts["outside"] == 24
    assert rows[3 * DAY + HOUR]["_arrival"] == 1
    past = rows[2 * DAY]
    assert past["_arrival"] == HISTORY + round(past["_event_time"].timestamp() * 1e6)
    assert past["_label_arrival"] == HISTORY + round((at(2 * DAY) + timedelta(hours=2)).timestamp() * 1e6)


def test_an_event_has_the_first_label_that_followed_it_and_no_other(desk: Desk) -> None:
    first, second = 3 * DAY, 4 * DAY - 1
    publish(desk, event(first), event(first + 30), label(first), label(first, 8.0), event(second), label(first, 9.0))
    desk.run(purpose="fast")
    rows = {int(row["id"]): row for row in desk.rows()}
    assert (rows[first]["late"], rows[first]["_label_arrival"]) == (7.0, 2)
    assert rows[first]["_label_time"] == at(first) + timedelta(hours=2)
    assert rows[first + 30]["late"] is rows[first + 30]["_label_time"] is rows[first + 30]["_label_arrival"] is None
    assert desk.counts["labels"] == 1
    assert desk.counts["duplicate"] == 1
    assert desk.counts["late"] == 1, "the last copy's landing lies far behind the newest event"


@pytest.mark.parametrize("together", [1, 2])
def test_it_holds_some_events_at_once_and_all_labels_find_theirs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(from_log, "BATCH", 4)
    monkeypatch.setattr(from_log, "TOGETHER", together)
    most: list[int] = []
    add = Spill.add

    def counted(self: Spill, table: pa.Table) -> None:
        if (pc.min(table.column("_arrival")).as_py() or 0) >= 0:
            most.append(table.num_rows)
        add(self, table)

    monkeypatch.setattr(Spill, "add", counted)
    hours = list(range(3 * DAY, 4 * DAY, HOUR))
    publish(desk, *(event(n) for n in hours[:12]), *(event(n) for n in hours[12:]), label(hours[22]), event(4 * DAY))
    desk.run(purpose="fast")
    rows = {int(row["id"]): row for row in desk.rows()}
    assert sorted(n for n in rows if n >= 3 * DAY) == hours
    assert {n: rows[n]["late"] for n in hours if rows[n]["late"] is not None} == {hours[22]: 7.0}
    assert max(most) == 4 * together


def test_every_record_of_source_and_log_is_accounted_for(desk: Desk) -> None:
    start = 3 * DAY
    broken = Message(b'{"id": ', {})
    publish(
        desk,
        event(start),
        broken,
        event(start),
        label(start),
        event(start + 200),
        event(start + 30),
        event(4 * DAY - 1),
    )
    desk.run(purpose="fast")
    counts = desk.counts
    assert counts.pop("read") == 72 + 7
    assert sum(counts.values()) == 72 + 7
    assert (counts["dead_letter"], counts["duplicate"], counts["late"], counts["labels"]) == (1, 1, 1, 1)
    assert [(position, raw) for position, raw, _ in desk.reasons()] == [(1, b'{"id": ')]


def test_a_message_from_the_future_is_a_dead_letter_and_makes_none_after_it_late(desk: Desk) -> None:
    publish(desk, event(3 * DAY), event(3 * DAY + 30, at="2190-01-01T00:00:00Z"), event(4 * DAY - 1))
    desk.run(purpose="fast")
    assert (desk.counts["dead_letter"], desk.counts.get("late", 0)) == (1, 0)
    assert sorted(int(row["id"]) for row in desk.rows())[-2:] == [3 * DAY, 4 * DAY - 1]


def test_an_empty_topic_is_told_with_the_remedy(desk: Desk) -> None:
    code, text = desk.fail(purpose="fast")
    assert code == 3
    assert text == (
        "ingest: 'topic' must hold messages. Got 'orders'. Let a producer publish to it, or `esteira replay`."
    )


def test_labels_alone_make_no_window(desk: Desk) -> None:
    publish(desk, label(3 * DAY))
    code, text = desk.fail(purpose="fast")
    assert code == 3
    assert (
        text == "ingest: 'topic' must hold at least one event. Got '1 messages'. Wait until the producer has sent some."
    )


def test_an_equal_log_is_reused_and_a_grown_one_is_not(desk: Desk) -> None:
    publish(desk, event(3 * DAY), event(4 * DAY - 1))
    assert not desk.run(purpose="fast").reused
    desk.job = "job-2"
    assert desk.run(purpose="fast").reused
    publish(desk, event(4 * DAY))
    desk.job = "job-3"
    assert not desk.run(purpose="fast").reused
