"""What a command started ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.launch import local
from pipelines.launch.ending import end, ended_by_sigterm
from pipelines.launch.local import Started

SLOW = """
import pathlib, signal, sys, time
def ended(*_):
    time.sleep(1)
    print("ending " * 30_000, flush=True)  # more than a pipe holds
    pathlib.Path(sys.argv[1]).touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, ended)
print("ready", flush=True)
time.sleep(600)
"""
LEAVING = """
import pathlib, subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(left.pid))
print("ready", flush=True)
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[str]]:
    """A process that SIGTERM does not end."""
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_sigterm_interrupts_and_means_afterwards_what_it_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ended_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_beside_the_main_thread_signals_stay_as_they_are() -> None:
    seen = []

    def look() -> None:
        with ended_by_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_a_task_has_ended_when_its_run_is_interrupted_however_long_it_takes(tmp_path: Path) -> None:
    def interrupted(_: Started, line: str | None) -> None:
        if line == "ready":
            raise KeyboardInterrupt

    command = [sys.executable, "-c", SLOW, str(tmp_path / "ended")]
    with pytest.raises(KeyboardInterrupt):
        local._process(command, dict(os.environ), Started("job", "step"), interrupted, tmp_path)
    assert (tmp_path / "ended").exists()
    assert "ending " * 30_000 in (tmp_path / "job" / "logs" / "step.log").read_text()


def test_a_process_that_a_task_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    def interrupted(_: Started, line: str | None) -> None:
        raise KeyboardInterrupt

    command = [sys.executable, "-c", LEAVING, str(tmp_path / "left")]
    with pytest.raises(KeyboardInterrupt):
        local._process(command, dict(os.environ), Started("job", "step"), interrupted, tmp_path)
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)  # it lives: else ProcessLookupError


def test_what_does_not_end_is_killed(deaf: subprocess.Popen[str]) -> None:
    end(deaf, 0.2)
    assert deaf.returncode == -signal.SIGKILL


def test_what_does_not_end_is_killed_at_once_by_a_second_interrupt(
    deaf: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deaf.wait

    def wait(timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(deaf, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        end(deaf, 600.0)
    assert deaf.returncode == -signal.SIGKILL
