"""`python -m components.streaming`: the stream as a process, ended by a signal or a limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY

from .conftest import LATENESS, Stream, event, messages

pytestmark = pytest.mark.slow

PATIENCE = 60.0


def start(stream: Stream, *more: str) -> subprocess.Popen[str]:
    launch = stream.toy.launch
    arguments = ["--bundle", launch.bundle, "--profile", launch.profile, "--lateness", str(LATENESS), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "components.streaming", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


def reads_all(stream: Stream) -> None:
    deadline = time.monotonic() + PATIENCE
    while stream.log.committed("stream")[0] < stream.log.end:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_batch_with_a_summary(stream: Stream, number: signal.Signals) -> None:
    stream.point(stream.register())
    stream.log.append(messages(100))
    process = start(stream, "--json")
    reads_all(stream)
    stream.log.append([event(1000, 500.0)])
    reads_all(stream)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    told = json.loads(out)
    assert (process.returncode, told["read"], told["offset"], told["behind"]) == (0, *[stream.log.end] * 2, 0)
    counts = told["counts"]
    assert counts["read"] == sum(counts[name] for name in ("good", "dead_letter", "late", "duplicate"))
    assert "[stream] Version 1 scores, from offset 0 on.\n" in err
    assert "events/s" in err


def test_it_ends_when_nothing_comes_and_tells_a_person(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append([event(n, float(n)) for n in range(3)])
    out, _ = start(stream, "--until-idle", "0.2").communicate(timeout=PATIENCE)
    assert out.startswith("3 messages in ")
    assert out.endswith(
        " s, up to offset 3; predictions: 3 by version 1. In all: 3 good (0 labels), 0 late, 0 duplicate, 0 dead.\n"
    )


def test_a_case_is_streamed_by_one_at_a_time(stream: Stream) -> None:
    first = start(stream)
    deadline = time.monotonic() + PATIENCE
    while not (stream.log.folder / "groups" / ".stream.lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = start(stream, "--until-idle", "0")
    _, err = second.communicate(timeout=PATIENCE)
    first.terminate()
    first.communicate(timeout=PATIENCE)
    assert second.returncode == 6
    case = stream.log.folder.name
    assert f"'case' must be streamed by one process at a time. Got '{case}'. " in err
    assert err.endswith(f"Another `esteira stream {case}` is running; end it first.\n")
