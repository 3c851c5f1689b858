"""Which versions the Beam job scores with: those that are live, once they know all that an event may ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.api_core.exceptions import ServiceUnavailable

from components.adapters.ports import Message
from components.core import artifacts
from components.step import Launch
from components.streaming import served
from components.streaming.beam import chunks, following
from components.streaming.beam.following import Following, Terms
from components.streaming.state import State

from .conftest import LATENESS, NAME, OTHER, SECTIONS, Stream, make_stream, messages


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointer and reference tables are looked at each time."""
    monkeypatch.setattr(following, "FOLLOW", 0.0)
    monkeypatch.setattr(following, "RELOAD", 0.0)


@pytest.fixture
def other(stream: Stream, tmp_path: Path, make_launch: Callable[..., Launch]) -> Stream:
    """The same case with another window, over the same registry."""
    root = tmp_path / "other"
    root.mkdir()
    windows = {**SECTIONS["windows"], "seen": {**SECTIONS["windows"]["seen"], "of": "x"}}
    return make_stream(root, make_launch, windows=windows)


class Worker:
    """One that goes on with what is kept, as the job's transform does."""

    def __init__(self, stream: Stream) -> None:
        self.said: list[str] = []
        self._following = Following(stream.ports, stream.case, LATENESS, self.said.append)
        self.terms, self.state, self.next = Terms(), State.nothing(), 0
        self.live: list[pa.Table] = []

    def take(self, sent: Sequence[Message], every: int = 20) -> None:
        for start in range(0, len(sent), every):
            chosen = self._following.steps(self.terms, self.state.seen.largest)
            assert chosen is not None
            steps, self.terms = chosen
            part = sent[start : start + every]
            self.state, outputs = steps(self.state, part, self.next)
            self.next += len(part)
            self.live.append(outputs.live)

    def after(self, before: Worker) -> Worker:
        """With what another worker kept."""
        self.terms, self.state, self.next = before.terms, before.state, before.next
        return self

    @property
    def versions(self) -> list[int]:
        return [version for live in self.live for version in live.column("_version").to_pylist()]


def test_events_wait_for_the_first_champion(stream: Stream) -> None:
    worker = Worker(stream)
    assert worker._following.steps(Terms(), 0) is None
    assert worker.said == ["toy has no champion yet: events wait for the first one."]
    stream.point(stream.register())
    worker.take(messages(20))
    assert worker.said[1:] == ["Version 1 scores."]


def test_what_is_live_is_used_at_once_where_the_windows_are_the_same(stream: Stream) -> None:
    first, second = stream.register(), stream.register(OTHER)
    worker, sent = Worker(stream), messages(60)
    stream.point(first)
    worker.take(sent[:60])
    before = len(worker.versions)
    stream.point(second, first, 30)
    worker.take(sent[60:])
    assert set(worker.versions[:before]) == {first}
    assert set(worker.versions[before:]) == {first, second}
    assert worker.terms == Terms(second, first, 30, worker.terms.begun)
    assert worker.said == ["Version 1 scores.", "Version 2 scores, version 1 gets 30 %."]


def test_a_version_with_windows_of_its_own_scores_once_they_are_filled_and_then_knows_all(
    stream: Stream, other: Stream
) -> None:
    first, second = stream.register(), other.register(OTHER)
    sent = messages(300, late=0.0, bad=0.0, twice=0.0)
    alone = Worker(stream)
    stream.point(second)
    alone.take(sent)
    worker = Worker(stream)
    stream.point(first)
    worker.take(sent[:40])
    stream.point(second)
    worker.take(sent[40:])
    at = worker.versions.index(second)
    assert worker.versions == [first] * at + [second] * (len(worker.versions) - at)
    assert worker.live[1].num_rows < at < 200
    live, expected = pa.concat_tables(worker.live), pa.concat_tables(alone.live)
    assert live.slice(at).equals(expected.slice(at))
    assert worker.said == [
        "Version 1 scores.",
        "Version 2 scores, once its windows are filled; until then version 1 scores.",
        "Version 2 scores.",
    ]


def test_a_challenger_that_fills_its_windows_does_not_hold_up_a_new_champion(stream: Stream, other: Stream) -> None:
    first, second, challenger = stream.register(), stream.register(OTHER), other.register(((1.0, -1.0), (0.0, 0.0)))
    sent = messages(300)
    worker = Worker(stream)
    stream.point(first)
    worker.take(sent[:40])
    before = len(worker.versions)
    stream.point(second, challenger, 50)
    worker.take(sent[40:80])
    assert set(worker.versions[before:]) == {second}
    worker.take(sent[80:])
    assert set(worker.versions[-40:]) == {second, challenger}


def test_another_worker_goes_on_with_what_scored_before_until_the_windows_are_filled(
    stream: Stream, other: Stream
) -> None:
    first, second = stream.register(), other.register(OTHER)
    sent = messages(300)
    before = Worker(stream)
    stream.point(first)
    before.take(sent[:200])
    stream.point(second)
    before.take(sent[200:220])
    after = Worker(stream).after(before)
    after.take(sent[220:240])
    assert set(after.versions) == {first}
    assert after.terms.begun.keys() == after.state.windows.keys()
    assert len(after.state.windows) == 2


def test_a_rollback_finds_its_windows_filled(stream: Stream, other: Stream) -> None:
    first, second = stream.register(), other.register(OTHER)
    sent = messages(300)
    worker = Worker(stream)
    stream.point(first)
    worker.take(sent[:40])
    pointer = replace(stream.ports.endpoints.pointer(NAME), champion=second, previous=first)
    stream.ports.endpoints.change(pointer)
    worker.take(sent[40:500])
    assert worker.versions[-1] == second
    stream.point(first)
    worker.take(sent[500:520])
    assert set(worker.live[-1].column("_version").to_pylist()) == {first}


def test_what_does_not_load_or_cannot_be_read_leaves_what_scored(stream: Stream) -> None:
    first, second = stream.register(), stream.register(OTHER)
    (stream.ports.registry.fetch(NAME, second) / "model.onnx").write_bytes(b"altered")
    worker, sent = Worker(stream), messages(60)
    stream.point(first)
    worker.take(sent[:20])
    stream.point(second)
    worker.take(sent[20:40])
    artifacts.atomic_write(stream.toy.root / "shops.csv", b"sort,level\np,7\n")
    worker.take(sent[40:60])
    artifacts.atomic_write(stream.profile.path("blobs") / "pointers" / "toy.json", b"{")
    worker.take(sent[60:])
    assert set(worker.versions) == {first}
    assert worker.said[0] == "Version 1 scores."
    assert all(text.endswith("Until then: version 1 scores.") for text in worker.said[1:])
    told = "\n".join(worker.said)
    assert "model.onnx" in told
    assert "'kind' must be a column of the source" in told
    assert "'pointer' must be a pointer's record" in told


@pytest.mark.parametrize("error", [ConnectionResetError("reset by peer"), ServiceUnavailable("try again")])  # type: ignore[no-untyped-call]
def test_what_a_client_lets_through_ends_no_bundle(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> Any:
        raise error

    worker, sent = Worker(stream), messages(60)
    stream.point(stream.register())
    worker.take(sent[:20])
    for at, (port, method) in enumerate([("endpoints", "pointer"), ("sources", "listing")], 1):
        with monkeypatch.context() as broken:
            broken.setattr(getattr(worker._following._ports, port), method, fails)
            worker.take(sent[20 * at : 20 * at + 20])
    assert set(worker.versions) == {1}
    told = f"must be readable. Got '{type(error).__name__}: {error}'. It is looked at again soon. Until then: version 1"
    assert worker.said[1:] == [f"'pointer' {told} scores.", f"'references' {told} scores."]


def test_a_worker_that_cannot_load_what_scored_before_lets_events_wait(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.point(stream.register())
    before = Worker(stream)
    before.take(messages(20))
    after = Worker(stream).after(before)

    def fails(*_: object) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr(after._following._ports.endpoints, "pointer", fails)
    monkeypatch.setattr(served, "follow", fails)
    assert after._following.steps(after.terms, after.state.seen.largest) is None
    assert all("no route to host" in text for text in after.said)
    assert after.said[-1].endswith("Until then: events wait.")


def test_messages_and_tables_come_back_from_their_bytes() -> None:
    sent = [*messages(20), Message(b"\xff\x00", {}, 5), Message(b"", {"id": "ß", "kind": "label"})]
    came = chunks.messages(chunks.of_messages(sent))
    assert came == sent
    assert [message.arrived for message in came] == [message.arrived for message in sent]
    assert came[-2].arrived == 5
    assert chunks.count(chunks.of_messages(sent)) == len(sent)
    tables = {"one": pa.table({"a": pa.chunked_array([[1], [None, 3]])}), "two": pa.table({"b": ["x"]})}
    assert chunks.tables(chunks.of_tables(tables)) == tables
