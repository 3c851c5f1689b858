"""The chain from messages to rows: the same whatever the chunking, and every message has one fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters.ports import Message
from components.core.traffic import challenged
from components.streaming.state import State
from components.streaming.steps import Counts, Outputs, Steps

from .conftest import OTHER, Stream, event, messages, offsets


def fold(steps: Steps, sent: Sequence[Message], cuts: Sequence[int], *, shipped: bool = False) -> tuple[Outputs, State]:
    """The outputs of all chunks as one; with `shipped`, the state goes through its bytes between two."""
    state, made, counts = State.nothing(), [], Counts()
    for start, stop in pairwise([0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]):
        if shipped:
            state = State.from_bytes(state.to_bytes())
        state, outputs = steps(state, sent[start:stop], start)
        counts += outputs.counts
        made.append(outputs)
    live, labels, letters = (pa.concat_tables([getattr(o, n) for o in made]) for n in ("live", "labels", "letters"))
    return Outputs(live, labels, letters, counts), state


def same(left: Outputs, right: Outputs) -> bool:
    names = ("live", "labels", "letters", "counts")
    return all(getattr(left, name) == getattr(right, name) for name in names)


def test_any_chunking_of_the_same_messages_gives_the_same_rows_and_counts(stream: Stream) -> None:
    stream.point(stream.register(), stream.register(OTHER), 30)
    steps, sent = stream.steps(), messages(150)
    whole, end = fold(steps, sent, [])

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts=st.lists(st.integers(0, len(sent)), max_size=8), shipped=st.booleans())
    def check(cuts: list[int], shipped: bool) -> None:
        made, state = fold(steps, sent, cuts, shipped=shipped)
        assert same(made, whole)
        assert state.seen.ids.sort_by("_key") == end.seen.ids.sort_by("_key")

    check()
    one_by_one, _ = fold(steps, sent, range(len(sent)))
    assert same(one_by_one, whole)


def test_every_message_has_one_fate(stream: Stream) -> None:
    stream.point(stream.register())
    sent = messages(200)
    outputs, _ = fold(stream.steps(), sent, [77, 300])
    counts = outputs.counts
    assert counts.read == len(sent) == counts.good + counts.dead_letter + counts.late + counts.duplicate
    steps = outputs.letters.column("step").to_pylist()
    places = offsets(outputs.live) + offsets(outputs.labels) + offsets(outputs.letters)
    assert len(places) == len(set(places)) == len(sent) - counts.duplicate
    assert (steps.count("late"), steps.count("decode")) == (counts.late, counts.dead_letter)
    assert outputs.letters.column("raw").to_pylist() == [sent[i].data for i in offsets(outputs.letters)]


def test_a_late_message_is_kept_aside_with_its_bytes_and_enters_no_window(stream: Stream) -> None:
    stream.point(stream.register())
    sent = [event(0, 0.0), event(3, 300.0), event(6, 239.9), event(9, 240.0), event(12, 301.0)]
    outputs, _ = fold(stream.steps(), sent, [])
    letter = outputs.letters.to_pylist()[0]
    assert (letter["_arrival"], letter["raw"], letter["step"]) == (2, sent[2].data, "late")
    assert letter["reason"] == (
        "'time' must be at least 2020-09-13T12:30:40Z, the newest before it less the lateness. "
        "Got 2020-09-13T12:30:39.900000Z."
    )
    assert outputs.live.column("seen_count_10min").to_pylist() == [0.0, 1.0, 1.0, 3.0]


def test_a_window_never_sees_what_arrived_after_the_event(stream: Stream) -> None:
    """The event at 30 s came after the one at 60 s, so that one did not count it; nor a label that had not come."""
    stream.point(stream.register())
    early = event(3, 5.0, label=10.0)
    sent = [event(0, 60.0), event(3, 30.0), event(6, 61.0), early, event(9, 62.0)]
    outputs, _ = fold(stream.steps(), sent, [])
    assert outputs.live.column("seen_count_2min").to_pylist() == [0.0, 0.0, 2.0, 3.0]
    assert outputs.live.column("landed_mean_10min").to_pylist() == [None, None, None, 1.5]


def test_rows_that_the_transform_refuses_are_letters_and_failed_predictions(stream: Stream) -> None:
    version = stream.register()
    stream.point(version)
    sent = [event(n, n * 1.0, **({"x": 666} if n in (2, 5) else {})) for n in range(8)]
    outputs, _ = fold(stream.steps(), sent, [])
    reason = (
        f"version {version}: features.py: 'features' must give columns without an error. "
        "Got 'ValueError: x is 666'. Mend it, or the row."
    )
    assert outputs.letters.column("reason").to_pylist() == [reason, reason]
    assert outputs.letters.column("raw").to_pylist() == [sent[2].data, sent[5].data]
    assert outputs.letters.column("step").to_pylist() == ["features"] * 2
    assert (outputs.counts.good, outputs.counts.dead_letter) == (6, 2)
    assert outputs.live.column("_status").to_pylist() == [200, 200, 500, 200, 200, 500, 200, 200]
    assert outputs.live.column("_score").is_null().to_pylist() == [n in (2, 5) for n in range(8)]
    # As in batch, they are events all the same: later ones count them.
    assert outputs.live.column("seen_count_10min").to_pylist()[6] == 2.0


def test_rows_that_the_runtime_cannot_score_are_letters_and_take_no_others_with_them(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = stream.register()
    stream.point(version)
    steps = stream.steps()
    scorer = steps.served.champion.live.scorer
    raw = scorer._raw

    def failing(features: Mapping[str, Any]) -> Any:
        if (features["z"] == 2).any():
            raise RuntimeError("no memory for z")
        return raw(features)

    monkeypatch.setattr(scorer, "_raw", failing)
    outputs, _ = fold(steps, [event(n, n * 1.0, kind=None) for n in range(7)], [])
    reason = (
        f"version {version}: 'model' must score the row. Got 'RuntimeError: no memory for z'. "
        "Mend the model, or the row."
    )
    assert outputs.letters.column("reason").to_pylist() == [reason]
    assert outputs.live.column("_status").to_pylist() == [200, 200, 200, 200, 500, 200, 200]
    assert (outputs.counts.good, outputs.counts.dead_letter) == (6, 1)


def test_the_challenger_gets_its_share_by_entity_and_every_row_names_its_version(stream: Stream) -> None:
    champion, challenger = stream.register(), stream.register(OTHER)
    stream.point(champion)
    sent = [event(n, float(n)) for n in range(200)]
    alone, _ = fold(stream.steps(), sent, [])
    stream.point(champion, challenger, 30)
    outputs, _ = fold(stream.steps(), sent, [60])
    mine = [challenged(f"c{n}", challenger, 30) for n in range(200)]
    assert 0 < sum(mine) < 200
    assert outputs.live.column("_version").to_pylist() == [challenger if own else champion for own in mine]
    roles = ["challenger" if own else "champion" for own in mine]
    assert outputs.live.column("_role").to_pylist() == roles
    theirs = pa.array([not own for own in mine])
    assert outputs.live.filter(theirs) == alone.live.filter(theirs)
    names = outputs.live.schema.names[11:]
    assert outputs.live.select(names) == alone.live.select(names)
    assert outputs.live.column("_score") != alone.live.column("_score")


def test_no_version_waits_for_another_in_its_latency(stream: Stream) -> None:
    champion, challenger = stream.register(), stream.register(OTHER)
    stream.point(champion, challenger, 30)
    _, outputs = stream.steps()(State.nothing(), [event(n, float(n)) for n in range(50)], 0)
    assert set(outputs.spent) == {champion, challenger}
    assert min(outputs.spent.values()) > 0
    told = replace(outputs, spent={champion: 0.010, challenger: 0.030}).stamped("toy", 0.0, 100.0)["live_toy"]
    latencies = set(zip(told.column("_version").to_pylist(), told.column("_latency_ms").to_pylist(), strict=True))
    assert latencies == {(champion, 70.0), (challenger, 90.0)}


def test_what_a_state_remembers_is_bounded_by_windows_and_lateness(stream: Stream) -> None:
    stream.point(stream.register())
    sent = messages(400, bad=0.0)
    _, state = fold(stream.steps(), sent, range(0, 900, 50))
    window = next(iter(state.windows.values()))
    assert 0 < window.num_rows < 2 * (600 + 60 + 400) / 5
    assert 0 < state.seen.ids.num_rows < 2 * 60
