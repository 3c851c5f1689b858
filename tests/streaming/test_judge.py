"""Late and duplicate, against the definition read message by message."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.streaming.judge import Seen, judge

LATENESS = 5
Sent = list[tuple[str, int]]


def naive(sent: Sent) -> list[str]:
    fates = []
    for place, (name, time) in enumerate(sent):
        before = sent[:place]
        limit = max((t for _, t in before), default=time) - LATENESS
        if time < limit:
            fates.append("late")
        else:
            again = any(n == name and t >= limit for n, t in before)
            fates.append("duplicate" if again else "good")
    return fates


def judged(sent: Sent, cuts: list[int]) -> tuple[list[str], Seen]:
    rows = pa.table(
        {"_key": pa.array([n for n, _ in sent], pa.string()), "_time": pa.array([t for _, t in sent], pa.int64())}
    )
    seen, fates = Seen.nothing(), []
    for start, stop in pairwise([0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]):
        seen, found = judge(seen, rows.slice(start, stop - start), LATENESS)
        assert not (found.late & found.duplicate).any()
        fates += np.where(found.late, "late", np.where(found.duplicate, "duplicate", "good")).tolist()
    return fates, seen


sent = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-20, 20)), max_size=40)
drifting = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-8, 3)), max_size=60).map(
    lambda found: [(name, place + jump) for place, (name, jump) in enumerate(found)]
)


@given(sent=sent | drifting, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_each_message_is_judged_by_those_before_it_whatever_the_chunking(sent: Sent, cuts: list[int]) -> None:
    assert judged(sent, cuts)[0] == naive(sent)


@given(sent=sent | drifting, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_what_is_remembered_can_still_be_repeated_in_time(sent: Sent, cuts: list[int]) -> None:
    seen = judged(sent, cuts)[1]
    largest = max((time for _, time in sent), default=seen.largest)
    assert seen.largest == largest
    assert all(time >= largest - LATENESS for time in seen.ids.column("_time").to_pylist())
