"""Windows of a range, and how many run at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.adapters.runs import Run, Started, checked_key
from components.core.case import Split
from components.core.errors import CaseError
from components.core.values import iso
from pipelines.launch import backfill
from pipelines.launch.backfill import Pace, Window

MICROS = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1_000_000)


def test_windows_are_the_splits_periods_and_the_ends_cut_them_short() -> None:
    found = backfill.windows("2013-01-15", "2013-03-02T06:00:00Z", Split(by="month"))
    assert [(w.start[:16], w.stop[:16]) for w in found] == [
        ("2013-01-15T00:00", "2013-02-01T00:00"),
        ("2013-02-01T00:00", "2013-03-01T00:00"),
        ("2013-03-01T00:00", "2013-03-02T06:00"),
    ]
    assert [w.key("") for w in found] == [
        "2013-01-15/2013-02-01",
        "2013-02-01/2013-03-01",
        "2013-03-01/2013-03-02T06:00",
    ]
    assert found[0].key("3f1c2ab") == "3f1c2ab:2013-01-15/2013-02-01"


@given(MICROS, st.integers(1, 40 * 86_400), st.sampled_from(["hour", "day", "week", "month"]))
def test_windows_cover_the_range_once_and_each_has_a_key_of_its_own(start: int, seconds: int, by: Any) -> None:
    stop = start + seconds * 1_000_000
    found = backfill.windows(iso(start), iso(stop), Split(by=by))
    assert (found[0].start, found[-1].stop) == (iso(start), iso(stop))
    assert all(one.stop == other.start for one, other in pairwise(found))
    assert len({checked_key(one.key("a" * 40)) for one in found}) == len(found)


@pytest.mark.parametrize("ends", [("2013-01-01", ""), ("", "2013-01-01")])
def test_a_backfill_has_two_ends(ends: tuple[str, str]) -> None:
    with pytest.raises(CaseError, match="'--from and --to' must both be given"):
        backfill.windows(*ends, Split())


def test_a_backfill_of_too_many_windows_is_refused() -> None:
    with pytest.raises(CaseError, match="must be at most 1000 periods after --from"):
        backfill.windows("2000-01-01", "2013-01-01", Split(by="hour"))


@dataclass
class Cloud:
    """Stands for a Launched and its runs: a run goes on for a drawn number of looks."""

    looks: dict[str, int]
    fails: set[str] = field(default_factory=set)
    going: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    most: int = 0

    @property
    def runs(self) -> Cloud:
        return self

    def start(self, key: str, start: str, stop: str) -> Started:
        self.started.append(key)
        self.going.add(key)
        self.most = max(self.most, len(self.going))
        return Started(Run(key, key, "running"), found=False)

    def get(self, id: str) -> Run:
        self.looks[id] = self.looks.get(id, 1) - 1
        if self.looks[id] > 0:
            return Run(id, id, "running")
        self.going.discard(id)
        return Run(id, id, "failed" if id in self.fails else "done")


def told(*_: Any) -> None:
    pass


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_so_many_run_at_once_and_all_are_done(looks: list[int], parallel: int) -> None:
    windows = [Window(str(np.datetime64("2013-01-01") + i), "x") for i in range(len(looks))]
    cloud = Cloud({w.key(""): n for w, n in zip(windows, looks, strict=True)})
    ended = backfill.backfill(cloud, windows, Pace(parallel=parallel, sleep=lambda _: None), told)  # type: ignore[arg-type]
    assert [run.id for run in ended] == cloud.started == [w.key("") for w in windows]
    assert cloud.most <= parallel
    assert {run.state for run in ended} == {"done"}


def test_after_a_failure_what_runs_is_waited_for_and_nothing_new_begins() -> None:
    windows = [Window(f"2013-01-0{i}", "x") for i in range(1, 7)]
    keys = [w.key("") for w in windows]
    cloud = Cloud({keys[0]: 1, keys[1]: 4}, fails={keys[0]})
    ended = backfill.backfill(cloud, windows, Pace(parallel=2, sleep=lambda _: None), told)  # type: ignore[arg-type]
    assert cloud.started == keys[:2]
    assert [run.state for run in ended] == ["failed", "done"]
