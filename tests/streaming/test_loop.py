"""The loop over a log: durable tables, exact counts, restarts, and versions that come and go while it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.adapters import live
from components.adapters.ports import Registry
from components.core import artifacts, events
from components.core.errors import SetupError
from components.step import Launch, fetch_bundle
from components.streaming import loop, sink
from components.streaming.loop import Limits, Loop, Status
from pipelines.launch.replay import Faults, schedule
from tests import processes
from tests.streaming import killed

from .conftest import LATENESS, NAME, OTHER, SECTIONS, Stream, event, make_stream, messages, offsets


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches; pointer and reference tables are looked at before each."""
    monkeypatch.setattr(loop, "MOST", 40)
    monkeypatch.setattr(loop, "PACE", 0.0)
    monkeypatch.setattr(loop, "FOLLOW", 0.0)
    monkeypatch.setattr(loop, "RELOAD", 0.0)


def forget(stream: Stream) -> None:
    """As if nothing had been read."""
    shutil.rmtree(stream.profile.path("tables"), ignore_errors=True)
    shutil.rmtree(stream.log.folder / "groups", ignore_errors=True)


def during(stream: Stream, at: int, act: Callable[[], None], said: list[str] | None = None) -> int:
    """Reads all of the log, and does `act` once behind offset `at`; the offset at which it did."""
    done: list[int] = []

    def report(status: Status) -> None:
        if status.offset >= at and not done:
            done.append(status.offset)
            act()

    say = said.append if said is not None else lambda _: None
    Loop(stream.ports, stream.log, stream.case, LATENESS, say, report).run(Limits(idle=0.0))
    return done[0]


def test_messages_become_rows_and_every_one_is_counted_once(stream: Stream) -> None:
    stream.point(stream.register())
    sent = messages(300)
    stream.log.append(sent)
    status = stream.run()
    counts = status.counts
    assert counts.read == status.read == len(sent) == counts.good + counts.dead_letter + counts.late + counts.duplicate
    assert min(counts.good, counts.dead_letter, counts.late, counts.duplicate, counts.labels) > 0
    tables = stream.tables()
    assert tables["live_toy"].num_rows == counts.good - counts.labels == sum(status.by_version.values())
    assert tables["labels_toy"].num_rows == counts.labels
    steps = tables["dead_letter_toy"].column("step").to_pylist()
    assert (steps.count("decode"), steps.count("late")) == (counts.dead_letter, counts.late)


def test_a_message_from_the_future_makes_none_after_it_late(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append([event(1, 1.0), event(2, 5e9), event(3, 2.0)])
    counts = stream.run().counts
    assert (counts.good, counts.dead_letter, counts.late) == (2, 1, 0)
    assert "an hour after the message arrived" in stream.table("dead_letter_toy").column("reason")[0].as_py()


def test_the_clocks_columns_are_filled(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append([event(1, 1.0), event(2, 2.0, label=1.0)])
    stream.run()
    row = stream.ports.tables.read("live_toy").to_pylist()[0]
    assert row["_at"] is not None
    assert row["_latency_ms"] > 0
    assert (row["_id"], row["_source"], row["_status"], row["_role"]) == ("c1", "stream", 200, "champion")
    label = stream.table("labels_toy").to_pylist()[0]
    assert (label["_id"], label["_label"], label["_arrival"]) == ("c2", 1.0, 1)


def test_without_a_champion_it_waits_and_reads_nothing(stream: Stream) -> None:
    stream.log.append(messages(10))
    said: list[str] = []
    status = stream.run(said=said)
    assert (status.read, status.offset, status.behind) == (0, 0, stream.log.end)
    assert said == ["toy has no champion yet: events wait for the first one."]
    stream.point(stream.register())
    assert stream.run().read == stream.log.end


def test_it_ends_after_so_many_messages_and_goes_on_from_there(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append(messages(60))
    first = stream.run(idle=None, most=25)
    assert (first.read, first.offset) == (25, 25)
    second = stream.run()
    assert (second.read, second.offset) == (stream.log.end - 25, stream.log.end)
    assert second.counts.read == stream.log.end


def test_windows_of_the_tables_hold_so_many_offsets_each(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(sink, "BUCKET", 64)
    monkeypatch.setattr(loop, "BUCKET", 64)
    stream.point(stream.register())
    stream.log.append(messages(150))
    stream.run()
    windows = stream.ports.tables.windows("live_toy")
    assert windows == [f"stream-{i:08d}" for i in range(max(offsets(stream.table("live_toy"))) // 64 + 1)]
    for place, window in enumerate(windows):
        found = offsets(stream.ports.tables.read("live_toy", window=window))
        assert found == sorted(found)
        assert all(place * 64 <= offset < (place + 1) * 64 for offset in found)


@pytest.mark.parametrize("every", [7, 40])
def test_restarts_leave_no_trace(stream: Stream, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    stream.point(stream.register(), stream.register(OTHER), 30)
    stream.log.append(messages(150))
    undisturbed, counts = stream.run().counts, stream.tables()
    forget(stream)
    while stream.run(most=every).behind:
        pass
    assert stream.run().counts == undisturbed
    assert stream.tables() == counts


@pytest.mark.slow
def test_killed_at_any_side_effect_it_loses_and_doubles_nothing(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stream.point(stream.register())
    monkeypatch.setattr(loop, "MOST", 13)
    stream.log.append(messages(25))
    expected, tables = stream.run().counts, stream.tables()
    folder = fetch_bundle(stream.ports, stream.toy.launch.bundle, tmp_path / "bundles")
    arguments = (stream.toy.launch.profile, folder, stream.toy.launch.bundle, 22, LATENESS)
    deaths = 0
    while True:
        forget(stream)
        if not processes.dies_at(deaths + 1, killed.run, *arguments):
            break
        deaths += 1
        assert stream.run().counts == expected, deaths
        assert stream.tables() == tables, deaths
    assert deaths > 20
    assert stream.tables() == tables


def test_rows_that_were_written_and_not_committed_are_taken_out_first(stream: Stream) -> None:
    """Killed between the tables and the commit; and before it came so far again, the version has changed."""
    first = stream.register()
    stream.point(first)
    stream.log.append([event(n, float(n), **({"x": 666} if n == 8 else {})) for n in range(12)])
    stream.run(most=4)
    note = (stream.log.folder / "groups" / "stream.json").read_bytes()
    stream.run()
    artifacts.atomic_write(stream.log.folder / "groups" / "stream.json", note)
    assert stream.run(most=1).offset == 5
    assert offsets(stream.table("live_toy")) == list(range(5))
    assert stream.table("dead_letter_toy").num_rows == 0
    assert stream.run().counts.read == 12
    assert offsets(stream.table("live_toy")) == list(range(12))


def test_a_log_that_was_lost_takes_no_predictions_with_it(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append(messages(20))
    stream.run()
    before = stream.tables()
    shutil.rmtree(stream.log.folder)
    stream.log.append(messages(20))
    with pytest.raises(SetupError) as caught:
        stream.run()
    assert str(caught.value) == (
        f"{stream.log.folder}: 'log' must be the log that live_toy was written from: its reader has committed nothing. "
        "Got '1 windows up to stream-00000000'. Restore the log with its groups, or move "
        "live_toy, labels_toy, dead_letter_toy away to begin anew."
    )
    assert stream.tables() == before


def test_a_version_promoted_during_the_run_scores_what_comes_after(stream: Stream, quick: None) -> None:
    first, second = stream.register(), stream.register(OTHER)
    stream.point(first)
    stream.log.append(messages(150))
    stream.run()
    before = stream.tables()
    forget(stream)
    said: list[str] = []
    at = during(stream, 100, lambda: stream.point(second), said)
    live = stream.table("live_toy")
    assert live.column("_version").to_pylist() == [first if offset < at else second for offset in offsets(live)]
    unscored = [name for name in live.schema.names if name not in ("_version", "_score", "_decision")]
    assert live.select(unscored) == before["live_toy"].select(unscored)
    assert stream.table("labels_toy") == before["labels_toy"]
    assert said == ["Version 1 scores, from offset 0 on.", f"Version 2 scores, from offset {at} on."]


def test_a_version_that_does_not_load_leaves_the_old_one_and_is_told_once(stream: Stream, quick: None) -> None:
    first, second = stream.register(), stream.register(OTHER)
    model = stream.ports.registry.fetch(NAME, second)
    (model / "model.onnx").write_bytes(b"altered")
    stream.point(first)
    stream.log.append(messages(100))
    said: list[str] = []
    during(stream, 80, lambda: stream.point(second, first, 10), said)
    assert set(stream.table("live_toy").column("_version").to_pylist()) == {first}
    assert len(said) == 2
    assert said[1].endswith("Until then: version 1 scores.")
    assert stream.log.committed("stream")[0] == stream.log.end


def test_a_version_whose_code_fails_as_it_loads_leaves_the_old_one(
    stream: Stream, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stream.register(), stream.register(OTHER)
    stream.point(first)
    stream.log.append(messages(100))
    loaded = live.load

    def load(registry: Registry, case: str, number: int) -> live.Live:
        if number == second:
            raise ZeroDivisionError("in its code")
        return loaded(registry, case, number)

    monkeypatch.setattr(live, "load", load)
    said: list[str] = []
    during(stream, 80, lambda: stream.point(first, second, 50), said)
    assert set(stream.table("live_toy").column("_version").to_pylist()) == {first}
    assert said[1:] == [
        "toy: 'version 2' must load. Got 'ZeroDivisionError: in its code'. "
        "Look at its files and its features.py, or take another. Until then: version 1 scores."
    ]
    assert stream.log.committed("stream")[0] == stream.log.end


def test_a_pointer_that_cannot_be_opened_leaves_the_versions_as_they_are(
    stream: Stream, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.point(stream.register())
    stream.log.append(messages(100))

    def unreadable(self: object, case: str) -> None:
        raise OSError("Input/output error")

    said: list[str] = []
    during(stream, 80, lambda: monkeypatch.setattr(type(stream.ports.endpoints), "pointer", unreadable), said)
    assert stream.log.committed("stream")[0] == stream.log.end
    assert said[1:] == ["Input/output error. Until then: version 1 scores."]


def test_a_pointer_that_cannot_be_read_leaves_the_versions_as_they_are(stream: Stream, quick: None) -> None:
    stream.point(stream.register())
    stream.log.append(messages(100))
    said: list[str] = []
    during(
        stream, 80, lambda: artifacts.atomic_write(stream.profile.path("blobs") / "pointers" / "toy.json", b"{"), said
    )
    assert stream.log.committed("stream")[0] == stream.log.end
    assert len(said) == 2
    assert "'pointer' must be a pointer's record" in said[1]


def test_a_challenger_that_does_not_load_does_not_hold_up_a_new_champion(stream: Stream, quick: None) -> None:
    first, second, third = stream.register(), stream.register(OTHER), stream.register(((1.0, -1.0), (0.0, 0.0)))
    (stream.ports.registry.fetch(NAME, third) / "model.onnx").write_bytes(b"altered")
    stream.point(first)
    stream.log.append(messages(100))
    at = during(stream, 80, lambda: stream.point(second, third, 50))
    live = stream.table("live_toy")
    assert live.column("_version").to_pylist() == [first if offset < at else second for offset in offsets(live)]


@pytest.fixture
def other(tmp_path: Path, make_launch: Callable[..., Launch]) -> Callable[..., Stream]:
    """The same case with other sections, over the same registry."""

    def make(**sections: object) -> Stream:
        root = tmp_path / "other"
        root.mkdir()
        return make_stream(root, make_launch, **sections)

    return make


def test_a_version_with_windows_of_its_own_knows_them_from_its_first_row_on(
    stream: Stream, other: Callable[..., Stream], quick: None
) -> None:
    windows = {**SECTIONS["windows"], "seen": {**SECTIONS["windows"]["seen"], "of": "x"}}
    changed = other(windows=windows)
    first, second = stream.register(), changed.register(OTHER)
    stream.log.append(messages(150))
    stream.point(second)
    stream.run()
    alone = stream.table("live_toy")
    forget(stream)
    stream.point(first)
    at = during(stream, 100, lambda: stream.point(first, second, 99))
    live = stream.table("live_toy")
    mine = pc.equal(live.column("_version"), second)
    same = [name for name in live.schema.names if name != "_role"]
    assert pc.sum(mine).as_py() > 50
    assert min(offsets(live.filter(mine))) >= at
    assert live.filter(mine).select(same) == alone.filter(mine).select(same)
    assert live.column("seen_sum_10min") != alone.column("seen_sum_10min")


def test_a_version_that_needs_what_the_streams_case_lacks_is_told(stream: Stream, other: Callable[..., Stream]) -> None:
    columns = {**SECTIONS["columns"], "z": {"type": "string"}}
    plain = {"seen": {"by": ["kind"], "over": ["10min"]}}
    smaller = other(columns=columns, windows=plain, inputs=["x", "kind"])
    stream.point(stream.register())
    said: list[str] = []
    Loop(stream.ports, stream.log, smaller.case, LATENESS, said.append).run(Limits(idle=0.0))
    assert said == [
        "toy: 'z' must be a column of type number in the stream's case: version 1 needs it. Got 'string'. "
        "Start the stream with a case that declares it so. Until then: events wait."
    ]


def test_a_reference_table_that_changes_is_read_again(stream: Stream, quick: None) -> None:
    stream.point(stream.register())
    stream.log.append(messages(150))
    shops = stream.toy.root / "shops.csv"
    at = during(stream, 100, lambda: artifacts.atomic_write(shops, b"kind,level\np,7\n"))
    live = stream.table("live_toy")
    now = pc.greater_equal(live.column("_arrival"), at)
    levels = {
        when: set(
            map(tuple, zip(*(live.filter(mask).column(n).to_pylist() for n in ("kind", "shop_level")), strict=True))
        )
        for when, mask in (("before", pc.invert(now)), ("after", now))
    }
    assert levels == {
        "before": {("p", 0.25), ("q", -0.25), (None, None)},
        "after": {("p", 7.0), ("q", None), (None, None)},
    }


def test_a_reference_table_that_cannot_be_read_leaves_the_old_one_and_is_told(stream: Stream, quick: None) -> None:
    stream.point(stream.register())
    stream.log.append(messages(100))
    shops = stream.toy.root / "shops.csv"
    said: list[str] = []
    during(stream, 80, lambda: artifacts.atomic_write(shops, b"sort,level\np,7\n"), said)
    assert set(stream.table("live_toy").column("shop_level").to_pylist()) == {0.25, -0.25, None}
    assert len(said) == 2
    assert "'kind' must be a column of the source" in said[1]


@pytest.mark.slow
def test_of_a_hundred_thousand_messages_each_has_the_fate_that_its_producer_foresaw(stream: Stream) -> None:
    rows = [json.loads(event(n, n * 0.5, label=float(n % 300)).data) for n in range(50_000)]
    columns = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
    columns["at"] = columns["at"].cast(pa.timestamp("us", "UTC"))
    happened, _ = events.derive(pa.table(columns).select(list(stream.case.columns)), stream.case)
    plan = schedule(happened, stream.case, LATENESS * 1_000_000, Faults(late=0.05, duplicates=0.1, bad=0.01, seed=3))
    stream.point(stream.register())
    sent = list(plan)
    for start in range(0, len(sent), 10_000):
        stream.log.append(sent[start : start + 10_000])
    counts = stream.run().counts
    foreseen = plan.verdicts()
    assert counts.read == len(sent) == sum(foreseen.values()) > 100_000
    assert {name: getattr(counts, name) for name in foreseen} == foreseen
    assert min(foreseen.values()) > 500
    places = [offset for table in stream.tables().values() for offset in offsets(table)]
    assert len(set(places)) == len(places) == counts.read - counts.duplicate
