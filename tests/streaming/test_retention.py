"""What the case keeps no longer goes from the log, and a restart finds all that it needs."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from components.adapters.local.log import Log
from components.streaming import loop, retention
from components.streaming.retention import Retention

from .conftest import Stream, messages

DAY = 86_400


@pytest.fixture
def old(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Read to its end; all but the newest segments were written long ago."""
    monkeypatch.setattr(retention, "EVERY", 1)
    monkeypatch.setattr(loop, "MOST", 40)
    monkeypatch.setattr(loop, "PACE", 0.0)
    stream.point(stream.register())
    log = Log(stream.log.folder, segment_bytes=5_000)
    for message in messages(400):
        log.append([message])
    for path in sorted(log.folder.glob("*.log"))[:-3]:
        os.utime(path, (0, 0))
    return stream


def test_a_restart_after_a_trim_gives_the_rows_that_it_gave_without(old: Stream) -> None:
    old.run()
    expected = old.tables()
    shutil.rmtree(old.profile.path("tables"))
    shutil.rmtree(old.log.folder / "groups")
    status = old.run(most=700)
    assert 0 < status.needed < status.offset
    said: list[str] = []
    Retention(old.log, DAY, said.append).report(status)
    first = old.log.first
    assert 0 < first <= status.needed
    assert said == [f"Offsets 0 to {first - 1:,} are trimmed: older than the case keeps them."]
    old.run()
    assert old.tables() == expected


def test_what_is_young_or_needed_stays(old: Stream) -> None:
    status = old.run()
    for keep, needed in [(None, status.needed), (10**10, status.needed), (DAY, 0)]:
        Retention(old.log, keep, lambda _: None).report(replace(status, needed=needed))
        assert old.log.first == 0


def test_nothing_goes_while_no_version_says_how_far_its_windows_reach(old: Stream) -> None:
    old.run()
    old.point(None)
    status = old.run()
    assert status.versions == "no champion yet"
    Retention(old.log, DAY, lambda _: None).report(status)
    assert old.log.first == 0


def test_it_looks_now_and_then(old: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY", 3)
    status = old.run()
    keeping, firsts = Retention(old.log, DAY, lambda _: None), []
    for _ in range(3):
        keeping.report(status)
        firsts.append(old.log.first)
    assert firsts[:2] == [0, 0]
    assert firsts[2] > 0
