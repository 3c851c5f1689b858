"""The chain from messages to rows: the same whatever the chunking, and every message has one fate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters.ports import Message
from components.streaming.state import State
from components.streaming.steps import Counts, Outputs, Steps

from .conftest import OTHER, Stream, messages


def fold(steps: Steps, sent: Sequence[Message], cuts: Sequence[int], *, shipped: bool = False) -> tuple[Outputs, State]:
    """The outputs of all chunks as one; with `shipped`, the state goes through its bytes between two."""
    state, made, counts = State.nothing(), [], Counts()
    for start, stop in pairwise([0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]):
        if shipped:
            state = State.from_bytes(state.to_bytes())
        state, outputs = steps(state, sent[start:stop], start)
        counts += outputs.counts
        made.append(outputs)
    tables = [pa.concat_tables([getattr(o, name) for o in made]) for name in ("live", "labels", "letters")]
    return Outputs(*tables, counts), state


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
