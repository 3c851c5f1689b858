"""The Beam job: what it numbers and scores is what our loop makes of the same messages in the order of the numbers."""

from __future__ import annotations

import random
import shutil
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.adapters.local.log import Log
from components.adapters.ports import Message, Ports
from components.step import Launch
from components.streaming.loop import Limits, Loop
from components.streaming.state import State
from components.streaming.steps import Outputs
from pipelines.launch.replay import Faults, schedule
from tests import prism

from .conftest import CLOCK, NAME, OTHER, START, Stream, messages
from .conftest import LATENESS as TOY_LATENESS
from .test_flights import LATENESS, Flights

with warnings.catch_warnings():
    # Beam's own imports warn (grpcio-status, deprecated modules); what it does afterwards may not.
    warnings.simplefilter("ignore")
    import apache_beam as beam
    from apache_beam.io.gcp.pubsub import PubsubMessage
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineState

    from components.streaming.beam import chunks, commits, job
    from components.streaming.beam.source import FromLog

pytestmark = pytest.mark.slow
CHUNK = 20
"""Messages that are sent together."""


def run(spec: job.Spec, source: beam.PTransform, runner: str, options: dict[str, Any]) -> dict[str, int]:
    """The job to its end; what it counted."""
    pipeline = beam.Pipeline(runner=runner, options=PipelineOptions.from_dictionary({"job_name": "stream", **options}))
    job.build(spec, source)(pipeline)
    result = pipeline.run()
    assert result.wait_until_finish() == PipelineState.DONE
    counters = result.metrics().query()["counters"]
    return {c.key.metric.name: c.committed for c in counters if c.key.metric.namespace == "esteira"}


def chunked(sent: Sequence[Message]) -> list[list[Message]]:
    return [list(sent[start : start + CHUNK]) for start in range(0, len(sent), CHUNK)]


def tables(ports: Ports, case: str) -> dict[str, pa.Table]:
    """All rows of each table by their numbers, without the clock's columns."""
    found = {}
    for name in Outputs.names(case):
        rows = ports.tables.read(name)
        found[name] = rows.drop_columns([n for n in CLOCK if n in rows.column_names]).sort_by("_arrival")
    return found


def in_order(sent: Sequence[Message], written: dict[str, pa.Table], case: str) -> list[Message]:
    """The messages in the order in which the job numbered them, from 0: a chunk's are consecutive.

    A message whose bytes were sent once has a row, which tells where its chunk begins.
    """
    live, labels, letters = (written[name] for name in Outputs.names(case))
    numbers: dict[object, int] = {}
    for kind, rows, name in (("event", live, "_id"), ("label", labels, "_id"), ("", letters, "raw")):
        pairs = zip(rows.column(name).to_pylist(), rows.column("_arrival").to_pylist(), strict=True)
        numbers |= {(kind, key): number for key, number in pairs}
    often = Counter(message.data for message in sent)
    begins: dict[int, list[Message]] = {}
    for chunk in chunked(sent):
        told = [
            numbers[key] - at
            for at, message in enumerate(chunk)
            for key in ((message.attributes["kind"], message.attributes["id"]), ("", message.data))
            if often[message.data] == 1 and key in numbers
        ]
        begins[Counter(told).most_common(1)[0][0]] = chunk
    ordered = [begins[begin] for begin in sorted(begins)]
    assert sorted(begins) == [sum(map(len, ordered[:i])) for i in range(len(ordered))]
    return [message for chunk in ordered for message in chunk]


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with prism.workers(tmp_path / "empty") as options:
        yield options


@prism.needed
def test_on_prism_real_flights_become_the_rows_that_the_loop_makes_of_them(
    make_launch: Callable[..., Launch], flights_data: Path, tmp_path: Path, workers: dict[str, Any]
) -> None:
    flights = Flights(make_launch(), tmp_path)
    flights.promote()
    faults = Faults(late=0.2, duplicates=0.1, bad=0.01, seed=5)
    sent = list(schedule(flights.rows, flights.case, LATENESS * 1_000_000, faults))
    given = chunked(sent)
    for at in range(0, len(given) - 1, 7):
        given[at], given[at + 1] = given[at + 1], given[at]
    spec = job.Spec(flights.profile.to_json(), flights.bundle, LATENESS, first=0)
    source = beam.Create([chunks.of_messages(chunk) for chunk in given])
    counts = run(spec, source, "PortableRunner", workers)
    made = tables(flights.ports, "flights")

    shutil.rmtree(flights.profile.path("tables"))
    log = Log(flights.profile.path("events") / "flights")
    log.append(in_order(sent, made, "flights"))
    status = Loop(flights.ports, log, flights.case, LATENESS, lambda _: None).run(Limits(idle=0.0))
    assert counts == asdict(status.counts)
    assert counts["read"] == len(sent) == sum(counts[n] for n in ("good", "dead_letter", "late", "duplicate"))
    assert min(counts.values()) > 50
    expected = tables(flights.ports, "flights")
    assert made["live_flights"].num_rows > 3_000
    for name, rows in expected.items():
        assert made[name].equals(rows), name


@prism.needed
def test_on_prism_a_version_promoted_during_the_run_scores_what_comes_after(
    stream: Stream, workers: dict[str, Any]
) -> None:
    first, second = stream.register(), stream.register(OTHER)
    stream.point(first)
    sent = messages(400)
    given = chunked(sent)
    counts: dict[str, int] = {}
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS, first=0)
    source = FromLog(stream.log.folder, 0, len(sent))
    options = {**workers, "streaming": True}
    running = threading.Thread(target=lambda: counts.update(run(spec, source, "PortableRunner", options)), daemon=True)
    running.start()

    def give(until: int) -> None:
        """A chunk at a time, each once there are rows of the one before, until this version has scored."""
        while given and until not in versions(stream):
            stream.log.append(given.pop(0))
            before, deadline = len(versions(stream)), time.monotonic() + 10
            while len(versions(stream)) == before and time.monotonic() < deadline:
                time.sleep(0.05)

    give(first)
    stream.point(second)
    give(second)
    assert given
    for chunk in given:
        stream.log.append(chunk)
    running.join()
    assert counts["read"] == len(sent) == sum(counts[n] for n in ("good", "dead_letter", "late", "duplicate"))

    made = tables(stream.ports, NAME)
    numbers = made["live_toy"].column("_arrival").to_pylist()
    scored = made["live_toy"].column("_version").to_pylist()
    at = next(number for number, version in zip(numbers, scored, strict=True) if version == second)
    assert scored == [first if number < at else second for number in numbers]
    stream.point(first)
    before, state = stream.steps()(State.nothing(), sent[:at], 0)[::-1]
    stream.point(second)
    after, _ = stream.steps()(state, sent[at:], at)[::-1]
    whole = {n: pa.concat_tables([getattr(o, n) for o in (before, after)]) for n in ("live", "labels", "letters")}
    for name, rows in zip(made, whole.values(), strict=True):
        assert made[name].equals(rows.drop_columns([n for n in CLOCK if n in rows.column_names])), name


def versions(stream: Stream) -> list[int]:
    """By which versions the rows so far were scored."""
    if not stream.ports.tables.windows("live_toy"):
        return []
    found: list[int] = stream.ports.tables.read("live_toy", columns=["_version"]).column("_version").to_pylist()
    return found


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam's embedded runner does not wait for a timer of the clock: no message waits."""
    monkeypatch.setattr(job, "PACE", 0.0)


@pytest.mark.parametrize("again", [0, 2])
def test_bundles_that_are_tried_again_double_nothing(stream: Stream, embedded: None, again: int) -> None:
    """The embedded runner puts the state back and does each bundle anew, its writes to the tables among it."""
    stream.point(stream.register(), stream.register(OTHER), 30)
    sent = messages(300)
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS, first=0)
    source = beam.Create([chunks.of_messages(chunk) for chunk in chunked(sent)])
    run(spec, source, "FnApiRunner", {"direct_runner_bundle_repeat": again})
    made = tables(stream.ports, NAME)
    shutil.rmtree(stream.profile.path("tables"))
    stream.log.append(sent)
    stream.run()
    for name, rows in tables(stream.ports, NAME).items():
        assert made[name].equals(rows), name


def test_chunks_of_a_log_are_scored_in_its_order_and_committed_however_they_come(
    stream: Stream, embedded: None
) -> None:
    stream.point(stream.register())
    sent = messages(300)
    stream.log.append(sent)
    given = [chunks.of_messages(chunk, number * CHUNK) for number, chunk in enumerate(chunked(sent))]
    random.Random(3).shuffle(given)
    assert commits.begin(stream.log) == (len(sent), len(sent))  # a first job begins at the end
    stream.log.commit(commits.GROUP, 0, {"origin": 0, "written": []})
    assert commits.begin(stream.log) == (0, 0)
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS, 0, str(stream.log.folder))
    source = beam.Create([*given, given[0]], reshuffle=False)
    counts = run(spec, source, "FnApiRunner", {})
    assert stream.log.committed(commits.GROUP) == (len(sent), {"origin": 0, "written": []})
    made = tables(stream.ports, NAME)
    shutil.rmtree(stream.profile.path("tables"))
    assert counts == {name: count for name, count in asdict(stream.run().counts).items() if count}
    for name, rows in tables(stream.ports, NAME).items():
        assert made[name].equals(rows), name


def test_a_job_that_takes_anothers_place_remembers_and_writes_only_what_was_not(stream: Stream, embedded: None) -> None:
    stream.point(stream.register())
    sent, half = messages(300), 190
    source = beam.Create([chunks.of_messages(chunk, at * CHUNK) for at, chunk in enumerate(chunked(sent))])
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS, 0, committed=half)
    counts = run(spec, source, "FnApiRunner", {})
    steps = stream.steps()
    expected = steps(steps.remember(State.nothing(), sent[:half], 0), sent[half:], half)[1]
    assert counts == {name: count for name, count in asdict(expected.counts).items() if count}
    rows = dict(zip(Outputs.names(NAME), (expected.live, expected.labels, expected.letters), strict=True))
    for name, made in tables(stream.ports, NAME).items():
        assert made.equals(rows[name].drop_columns([n for n in CLOCK if n in rows[name].column_names])), name


def test_what_is_written_out_of_order_is_committed_once_what_lies_before_it_is(stream: Stream) -> None:
    log = stream.log
    log.append(messages(20))
    log.commit(commits.GROUP, 2, {"origin": 1, "written": []})
    seen = []
    for first, end in ((6, 9), (9, 12), (2, 4), (6, 9), (4, 6), (2, 4)):
        commits.written(log, first, end)
        seen.append(log.committed(commits.GROUP)[0])
    assert seen == [2, 2, 4, 4, 12, 12]
    commits.written(log, 15, 18)
    assert commits.begin(log) == (1, 12)
    assert log.committed(commits.GROUP) == (12, {"origin": 1, "written": []})


def test_messages_of_pubsub_are_taken_as_ours_and_judged_by_when_it_took_them(stream: Stream, embedded: None) -> None:
    stream.point(stream.register())
    took = datetime.fromtimestamp(START - 2_800, UTC)  # an hour before the events of minute 13
    sent = [replace(message, arrived=round(took.timestamp() * 1e6)) for message in messages(100)]
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS, first=0)
    theirs = [PubsubMessage(m.data, dict(m.attributes), publish_time=took) for m in sent]
    source = beam.Create(theirs, reshuffle=False) | beam.Map(job.taken) | job.in_chunks()
    counts = run(spec, source, "FnApiRunner", {})
    made = tables(stream.ports, NAME)
    assert any(
        "an hour after the message arrived" in reason for reason in made[f"dead_letter_{NAME}"]["reason"].to_pylist()
    )
    shutil.rmtree(stream.profile.path("tables"))
    stream.log.append(sent)
    assert counts == {name: count for name, count in asdict(stream.run().counts).items() if count}
    for name, rows in tables(stream.ports, NAME).items():
        assert made[name].equals(rows), name


def test_the_job_that_dataflow_gets_reads_a_subscription_and_holds_no_code_of_the_case(stream: Stream) -> None:
    spec = job.Spec(stream.toy.launch.profile, stream.toy.launch.bundle, TOY_LATENESS)
    pipeline = beam.Pipeline(options=PipelineOptions.from_dictionary({"streaming": True}))
    job.build(spec, job.from_pubsub("projects/demo-project/subscriptions/toy"))(pipeline)
    content = pipeline.to_runner_api().SerializeToString()
    assert content.count(b"projects/demo-project/subscriptions/toy") > 0
    assert b"features" not in content
    assert b"esteira_case" not in content
