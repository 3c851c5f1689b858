"""A reader that begins at a checkpoint knows what one that read all of the log knows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.streaming.checkpoints import Checkpoints
from components.streaming.judge import NEVER

KEEP, LATENESS = 30, 5


def followed(times: list[int]) -> list[tuple[int, int, Checkpoints]]:
    """(offset, largest time before it, checkpoints) after each message, as the loop keeps them."""
    found, largest, checkpoints = [], NEVER, Checkpoints.of([], 0)
    for offset, time in enumerate(times):
        checkpoints = checkpoints.passed(offset, largest, KEEP, LATENESS)
        largest = max(largest, time)
        found.append((offset + 1, largest, checkpoints))
    return found


times = st.lists(st.integers(-9, 6), max_size=150).map(lambda jumps: [i + jump for i, jump in enumerate(jumps)])


@given(times)
def test_every_message_that_counts_lies_behind_the_place_and_so_does_all_that_it_may_repeat(times: list[int]) -> None:
    for end, largest, checkpoints in followed(times):
        begin = checkpoints.begin(largest, KEEP, LATENESS)
        assert begin is not None
        offset, before = begin
        assert before == max(times[:offset], default=NEVER)
        largest_at = [max(times[:i], default=NEVER) for i in range(end)]
        in_time = [i for i in range(end) if times[i] >= largest_at[i] - LATENESS]
        needed = [i for i in in_time if times[i] >= largest - KEEP]
        assert all(i >= offset for i in needed)
        repeated = [j for i in needed for j in range(i) if times[j] >= largest_at[i] - LATENESS]
        assert all(j >= offset for j in repeated)


@given(times)
def test_they_stay_few_and_survive_their_note(times: list[int]) -> None:
    for _, largest, checkpoints in followed(times):
        assert len(checkpoints.places) <= 2 * 16 + 8
        stored = [list(place) for place in checkpoints.places]
        assert Checkpoints.of(stored, 7) == checkpoints
        del largest


def test_more_than_what_was_kept_is_the_logs_start() -> None:
    checkpoints = followed(list(range(200)))[-1][2]
    assert checkpoints.places[0][1] != NEVER
    assert checkpoints.begin(199, 10 * KEEP, LATENESS) is None
