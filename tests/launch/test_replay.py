"""The messages that a replay sends: what they say, their order, and the faults, counted exactly."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core import artifacts, case_file, events, shards
from components.core.case import Case
from components.core.errors import CaseError, DataError
from components.core.profile import Profile
from components.ingest import task as ingest
from components.streaming.decode import Decoder
from pipelines import cli
from pipelines.launch import producer
from pipelines.launch.producer import Pace
from pipelines.launch.replay import Faults, Schedule, schedule
from tests.conftest import FLIGHTS, REPOSITORY

SECOND = 1_000_000
DAY = (events.instant("2013-06-01"), events.instant("2013-06-02"))
ORDERS = Case.model_validate(
    {
        "name": "orders",
        "source": {"path": "orders.jsonl"},
        "columns": {
            "id": {"type": "id", "missing": False},
            "took": {"type": "number", "known": "label"},
            "at": {"type": "timestamp", "missing": False},
            "amount": {"type": "number"},
            "city": {"type": "string"},
            "vip": {"type": "bool"},
            "late": {"type": "number", "known": "label"},
        },
        "entity_id": ["id"],
        "event_time": {"column": "at"},
        "require": ["amount"],
        "label": {"column": "late", "matures": {"column": "at", "plus": {"took": "seconds"}}},
        "split": {"by": "day"},
        "model": {"task": "regression", "estimator": "sklearn.linear_model.LinearRegression"},
    }
)


def orders(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as events: `at` and `took` in seconds; without `late` the label is not known yet."""
    kinds = events.schema(ORDERS)
    columns = {
        "id": [str(i) for i in range(len(rows))],
        "at": [row["at"] * SECOND for row in rows],
        **{name: [row.get(name) for row in rows] for name in ("took", "amount", "city", "vip", "late")},
    }
    table = pa.table({name: pa.array(columns[name], kinds.field(name).type) for name in ORDERS.columns})
    return events.derive(table, ORDERS)[0]


def parsed(plan: Schedule) -> list[tuple[str, dict[str, Any]]]:
    return [(message.attributes["kind"], json.loads(message.data)) for message in plan]


def test_an_event_says_what_is_known_with_it_and_a_label_is_the_whole_row_when_it_lands():
    first = {"at": 0, "took": 3.5, "amount": 2.25, "city": "Faro|é", "vip": True, "late": 1.0}
    plan = schedule(orders([first, {"at": 2, "amount": 7.0, "took": 1.0}]), ORDERS, SECOND)
    event = {"id": "0", "at": "1970-01-01T00:00:00Z", "amount": 2.25, "city": "Faro|é", "vip": True}
    assert parsed(plan) == [
        ("event", event),
        ("event", {"id": "1", "at": "1970-01-01T00:00:02Z", "amount": 7.0}),
        ("label", {**event, "took": 3.5, "late": 1}),
    ]
    assert plan.releases.tolist() == [0, 2 * SECOND, 3_500_000]
    assert [message.attributes["id"] for message in plan] == ["0", "1", "0"]


def test_times_keep_their_fraction_and_numbers_all_whole_have_no_point():
    rows = [{"at": 1.25, "amount": 3.0}, {"at": 1, "amount": 2.0**60}, {"at": 2, "amount": -0.0}]
    texts = [message.data.decode() for message in schedule(orders(rows), ORDERS, 0)]
    assert texts == [
        '{"id":"1","at":"1970-01-01T00:00:01Z","amount":1152921504606846976}',
        '{"id":"0","at":"1970-01-01T00:00:01.250000Z","amount":3}',
        '{"id":"2","at":"1970-01-01T00:00:02Z","amount":0}',
    ]


def test_a_label_that_landed_before_its_event_comes_right_after_it():
    plan = schedule(orders([{"at": 5, "took": -3.0, "amount": 1.0, "late": 0.0}, {"at": 4, "amount": 1.0}]), ORDERS, 0)
    assert [(message.attributes["id"], message.attributes["kind"]) for message in plan] == [
        ("1", "event"),
        ("0", "event"),
        ("0", "label"),
    ]


row = st.fixed_dictionaries(
    {"at": st.integers(0, 60), "amount": st.floats(-1e6, 1e6), "took": st.integers(0, 90)},
    optional={"late": st.just(1.0), "city": st.text(max_size=5), "vip": st.booleans()},
)
share = st.floats(0, 1)
faults = st.builds(Faults, late=share, duplicates=share, bad=share, seed=st.integers(0, 5))


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(row, max_size=30), asked=faults, lateness=st.integers(0, 20), most=st.none() | st.integers(1, 40))
def test_every_message_is_counted_as_what_it_is(rows, asked, lateness, most):
    plan = schedule(orders(rows), ORDERS, lateness * SECOND, asked, most)
    sent = list(plan)
    whole = len(rows) + sum("late" in row for row in rows)
    expected = whole + round(asked.duplicates * whole) + round(asked.bad * whole)
    assert len(sent) == len(plan) == min(expected, most or expected)
    counts, verdicts = plan.counts(), plan.verdicts()
    assert len(plan) == sum(counts.values()) - counts["late"] == sum(verdicts.values())
    assert counts["bad"] == verdicts["dead_letter"] == sum(broken(message) for message in sent)
    seen = Counter((message.attributes["kind"], message.attributes["id"]) for message in sent if not broken(message))
    assert counts["duplicates"] == sum(n - 1 for n in seen.values())
    assert counts["events"] == sum(kind == "event" for kind, _ in seen)
    assert verdicts == judged(sent, lateness * SECOND)
    if most is None:
        assert counts["late"] == round(asked.late * whole)
        assert (counts["events"], counts["labels"]) == (len(rows), whole - len(rows))
    for n in range(0, len(sent), 7):
        assert plan.verdicts(n) == judged(sent[:n], lateness * SECOND)


def broken(message: Message) -> bool:
    try:
        json.loads(message.data)
    except ValueError:
        return True
    return False


def judged(sent: Sequence[Message], lateness: int) -> dict[str, int]:
    """The order of judgement, one message after the other."""
    verdicts = dict.fromkeys(("dead_letter", "late", "duplicate", "good"), 0)
    newest, seen = -math.inf, set()
    for message in sent:
        if broken(message):
            verdicts["dead_letter"] += 1
            continue
        row, key = json.loads(message.data), (message.attributes["kind"], message.attributes["id"])
        moment = events.instant(row["at"])
        if key[0] == "label":
            moment += row["took"] * SECOND
        if moment < newest - lateness:
            verdicts["late"] += 1
        elif key in seen:
            verdicts["duplicate"] += 1
        else:
            verdicts["good"] += 1
            seen.add(key)
        newest = max(newest, moment)
    return verdicts


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(row, max_size=30), asked=faults)
def test_the_messages_follow_from_the_seed(rows, asked):
    table = orders(rows)
    assert list(schedule(table, ORDERS, 9 * SECOND, asked)) == list(schedule(table, ORDERS, 9 * SECOND, asked))


def test_faults_asked_for_come_within_and_beyond_the_lateness():
    table = orders([{"at": i, "amount": 1.0} for i in range(5000)])
    plan = schedule(table, ORDERS, 600 * SECOND, Faults(late=0.05, duplicates=0.1, bad=0.01, seed=3))
    assert plan.counts() == {"events": 5000, "labels": 0, "duplicates": 500, "bad": 50, "late": 250}
    verdicts = plan.verdicts()
    assert 0 < verdicts["late"] < 250
    assert 450 < verdicts["duplicate"] <= 500
    assert list(plan) != list(schedule(table, ORDERS, 600 * SECOND, Faults(0.05, 0.1, 0.01, seed=4)))


@pytest.mark.parametrize("name", ["late", "duplicates", "bad"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_0_and_1_is_refused(name, value):
    with pytest.raises(CaseError) as caught:
        Faults(**{name: value})
    assert str(caught.value) == f"'--{name}' must be a share from 0 to 1. Got {value}. Such as 0.05."


@pytest.mark.parametrize(
    ("pace", "text"),
    [
        ({"rate": -1.0}, "'--rate' must be a number from 0. Got -1.0. 0 is as fast as possible."),
        ({"speed": float("inf")}, "'--speed' must be a number from 0. Got inf. 0 is as fast as possible."),
        ({"rate": 1.0, "speed": 2.0}, "'--speed' must stand alone. Got 2.0. Leave --rate or --speed out."),
    ],
)
def test_a_pace_that_is_none_is_refused(pace, text):
    with pytest.raises(CaseError) as caught:
        Pace(**pace)
    assert str(caught.value) == text


def test_a_pace_says_how_many_are_due():
    plan = schedule(orders([{"at": 10 * i, "amount": 1.0} for i in range(100)]), ORDERS, 0)
    assert Pace().due(plan, 0) == 100
    assert [Pace(rate=20).due(plan, elapsed) for elapsed in (0, 0.049, 0.05, 1, 60)] == [1, 1, 2, 21, 100]
    assert [Pace(speed=50).due(plan, elapsed) for elapsed in (0, 0.19, 0.2, 1, 60)] == [1, 1, 2, 6, 100]


class Topic:
    """Remembers what was published and when."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[Message]]] = []

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self.calls.append((time.monotonic(), list(messages)))

    def subscribe(self, topic: str, group: str) -> Any:
        raise NotImplementedError


def test_a_rate_is_kept_from_above_and_everything_is_sent():
    plan = schedule(orders([{"at": i, "amount": 1.0} for i in range(200)]), ORDERS, 0)
    topic, began, told = Topic(), time.monotonic(), []
    assert producer.publish(topic, "orders", plan, Pace(rate=400), threading.Event(), told.append) == 200
    assert [message for _, messages in topic.calls for message in messages] == list(plan)
    assert told == list(np.cumsum([len(messages) for _, messages in topic.calls]))
    assert all(count <= (at - began) * 400 + 1 for count, (at, _) in zip(told, topic.calls, strict=True))


def test_it_stops_between_two_publishes():
    plan, stop = schedule(orders([{"at": i, "amount": 1.0} for i in range(5000)]), ORDERS, 0), threading.Event()
    topic = Topic()

    def said(sent: int) -> None:
        if sent >= 2000:
            stop.set()

    assert producer.publish(topic, "orders", plan, Pace(), stop, said) == 2000
    assert sum(len(messages) for _, messages in topic.calls) == 2000


def ports(root: Path, sources: Path = REPOSITORY) -> Connected:
    return Connected(Profile(root=str(root), sources=str(sources)))


def test_rows_that_are_no_events_are_left_out_and_of_one_entity_the_first_by_arrival_stays(tmp_path):
    at = "2024-01-01T00:00:0"
    rows = [
        {"id": "a", "at": at + "2Z", "amount": 1},
        {"id": "b", "at": at + "1Z", "amount": 2, "took": 1, "late": 0},
        {"id": "a", "at": at + "1Z", "amount": 3, "vip": True, "city": "Faro"},
        {"id": "c", "at": at + "3Z"},
        {"id": "d", "at": "soon", "amount": 4},
        {"id": "e", "at": at + "9Z", "amount": 5},
    ]
    (tmp_path / "orders.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{\n")
    found = producer.read(ORDERS, ports(tmp_path, tmp_path), None, events.instant(at + "9Z"))
    assert [(row["id"], row["amount"]) for row in found.to_pylist()] == [("b", 2.0), ("a", 3.0)]


def test_a_window_without_events_is_refused(tmp_path):
    (tmp_path / "orders.jsonl").write_text(
        '{"id": "a", "at": "2024-01-01", "amount": 1, "took": 1, "vip": true, "city": "", "late": 1}\n'
    )
    with pytest.raises(DataError) as caught:
        producer.read(ORDERS, ports(tmp_path, tmp_path), events.instant("2024-01-02"), None)
    assert str(caught.value) == (
        "orders.jsonl: 'source' must have an event from 2024-01-02T00:00:00Z to open. "
        "Got 'the newest at 2024-01-01T00:00:00Z'. "
        "Name another window by --from and --to."
    )


@pytest.mark.slow
def test_a_day_of_real_flights_decodes_into_the_events_that_ingest_publishes(tmp_path, make_launch, flights_data):
    places = {name: str(tmp_path / name) for name in ("events", "references", "dead_letter")}
    ingest.run(make_launch(), **places, start="2013-06-01", stop="2013-06-02")
    published = shards.read_all(tmp_path / "events", artifacts.verify(tmp_path / "events", "events"))
    assert (published.num_rows, published.column("arr_delay").null_count) == (812, 6)

    case = case_file.load(FLIGHTS).case()
    plan = schedule(producer.read(case, ports(tmp_path), *DAY), case, 600 * SECOND)
    decoded = Decoder(case)(list(plan), 0)
    assert decoded.letters == ()
    rows = decoded.rows.select(published.column_names)
    is_label = np.asarray(rows.column("_arrival").is_null())
    of_the_label = ["air_time", "arr_delay", "_arrival", "_label_time", "_label_arrival"]
    happened = rows.filter(pa.array(~is_label)).drop(of_the_label)
    assert in_order(happened).equals(in_order(published.drop(of_the_label)))
    of_the_log = ["_arrival", "_label_arrival"]
    landed = published.filter(published.column("_label_time").is_valid())
    assert in_order(rows.filter(pa.array(is_label)).drop(of_the_log)).equals(in_order(landed.drop(of_the_log)))


def in_order(table: pa.Table) -> pa.Table:
    return table.sort_by("_entity").combine_chunks()


@pytest.mark.slow
def test_the_command_sends_what_it_says(tmp_path, monkeypatch, flights_data):
    monkeypatch.setenv("ESTEIRA_ROOT", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    window = ["--from", "2013-06-01", "--to", "2013-06-02"]
    options = ["--late", "0.05", "--duplicates", "0.1", "--bad", "0.01", "--seed", "7", "--json"]
    result = CliRunner().invoke(cli.app, ["replay", "flights", *window, *options])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {name: told[name] for name in ("topic", "events", "labels", "duplicates", "bad", "late")} == {
        **{"topic": "flights", "events": 812, "labels": 806},
        **{"duplicates": 162, "bad": 16, "late": 81},
    }
    log = Log(tmp_path / "events" / "flights")
    assert log.end == told["sent"] == 812 + 806 + 162 + 16
    assert sum(told["expected"].values()) == told["sent"]
    assert sum(broken(message) for message in log.read(0, 10_000)) == 16
    again = CliRunner().invoke(cli.app, ["replay", "flights", *window, "--most", "100"])
    assert "100 messages to flights in" in again.stdout
    assert ": 100 events" in again.stdout or "labels" in again.stdout
    assert log.end == told["sent"] + 100


@pytest.mark.slow
def test_an_interrupt_ends_it_with_what_was_sent(tmp_path, flights_data):
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "replay",
        "flights",
        "--from",
        "2013-06-01",
        "--rate",
        "50",
        "--json",
    ]
    running = subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, "ESTEIRA_ROOT": str(tmp_path)}, stdout=subprocess.PIPE
    )
    log = Log(tmp_path / "events" / "flights")
    until = time.monotonic() + 60
    while not log.end and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    told = json.loads(running.communicate(timeout=60)[0])
    assert running.returncode == 0
    assert told["interrupted"] is True
    assert told["sent"] == log.end > 0
