"""Calendar periods, and what each is used for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import periods
from components.core.case import Split
from components.core.errors import DataError

BYS: tuple[periods.By, ...] = ("hour", "day", "week", "month")
micros = st.integers(-2_208_988_800_000_000, 7_258_118_400_000_000)  # 1900 to 2200


@pytest.mark.parametrize(
    ("by", "start", "key"),
    [
        ("hour", "2013-03-06T05:00", "2013-03-06T05"),
        ("day", "2013-03-06", "2013-03-06"),
        ("week", "2013-03-04", "2013-03-04"),
        ("month", "2013-03-01", "2013-03"),
    ],
)
def test_a_period_starts_on_the_calendar_and_its_key_says_when(by: periods.By, start: str, key: str) -> None:
    found = periods.starts(np.array(["2013-03-06T05:06:07"], "datetime64[us]"), by)[0]
    assert found == np.datetime64(start, "us")
    assert periods.key(found, by) == key


@given(micros, st.sampled_from(BYS))
def test_every_moment_lies_in_exactly_one_period(moment: int, by: periods.By) -> None:
    time = np.datetime64(moment, "us")
    start = periods.starts(np.array([time]), by)[0]
    assert start <= time < periods.end(start, by)
    assert periods.starts(np.array([start]), by)[0] == start


@given(st.lists(micros, min_size=2, max_size=2), st.sampled_from(BYS))
def test_keys_sort_as_their_times(moments: list[int], by: periods.By) -> None:
    starts = np.sort(periods.starts(np.array(moments, "datetime64[us]"), by))
    assert periods.key(starts[0], by) <= periods.key(starts[1], by)


@pytest.mark.parametrize(
    ("newest", "end"),
    [("2013-12-31T22:00", "2014-01-01"), ("2014-01-01T04:30", "2014-01-01"), ("2013-12-15", "2013-12-01")],
)
def test_a_period_is_complete_once_its_events_reach_its_last_tenth(newest: str, end: str) -> None:
    assert periods.newest_complete_end(np.datetime64(newest, "us"), "month") == np.datetime64(end, "us")


def test_periods_are_counted_back_from_the_newest() -> None:
    keys = [f"2013-{month:02d}" for month in range(1, 13)]
    found = periods.uses(keys, Split(validation=1, holdout=2, score=1))
    assert [key for key, use in found.items() if use == "train"] == keys[:8]
    assert {key: use for key, use in found.items() if use != "train"} == {
        "2013-09": "validation",
        "2013-10": "holdout",
        "2013-11": "holdout",
        "2013-12": "score",
    }


def test_no_score_period_and_a_limited_training() -> None:
    found = periods.uses(["1", "2", "3", "4"], Split(train=1, score=0))
    assert found == {"2": "train", "3": "validation", "4": "holdout"}


def test_too_little_history_is_refused_with_what_is_there() -> None:
    with pytest.raises(
        DataError, match="'events' must reach over at least 4 complete periods of one month. Got '1: 2013-01'"
    ):
        periods.uses(["2013-01"], Split())
