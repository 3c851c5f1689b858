"""Runs on this machine: what their records say, cancelled, repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.adapters import records
from components.adapters.connect import Connected
from components.adapters.local import processes
from components.adapters.local.runs import LocalRuns
from components.adapters.runs import Asked
from components.core.errors import CaseError, SetupError
from components.core.profile import Profile
from components.core.record import RunRecord, StepRecord, launch_path, step_path
from pipelines.launch.local_runs import local_runs

HEAD = RunRecord("job-1", "batch", "flights", ("ingest", "validate", "notify"), {}, started=1.0)


class Bench:
    def __init__(self, root: Path) -> None:
        self.profile = Profile(root=str(root))
        self.ports = Connected(self.profile)
        self.repeated: list[RunRecord] = []
        self.runs = LocalRuns(self.ports.blobs, self.profile.path("artifacts"), self._again)

    def _again(self, record: RunRecord) -> str:
        self.repeated.append(record)
        self.write(replace(HEAD, job="job-2", ended=2.0), **dict.fromkeys(HEAD.route, "done"))
        return "job-2"

    def write(self, head: RunRecord, **states: str) -> None:
        self.ports.blobs.write(launch_path(head.job), records.head(head))
        for name, state in states.items():
            step = StepRecord(name, state, 1.0)  # type: ignore[arg-type]
            self.ports.blobs.write(step_path(head.job, name), step.to_json())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("head", "steps", "state"),
    [
        ({"ended": 2.0}, {"ingest": "done", "validate": "reused", "notify": "done"}, "done"),
        ({"ended": 2.0}, {"ingest": "failed", "notify": "done"}, "failed"),
        ({"ended": 2.0}, {"ingest": "running"}, "failed"),
        ({"ended": 2.0, "cancelled": True}, {"ingest": "failed"}, "cancelled"),
        ({"process": processes.mark()}, {"ingest": "running"}, "running"),
        ({"process": processes.mark().rpartition(":")[0] + ":1"}, {"ingest": "running"}, "failed"),
        ({"process": "another-machine:1:1"}, {"ingest": "running"}, "running"),
        ({}, {"ingest": "running"}, "running"),
    ],
)
def test_a_runs_state_is_what_its_records_and_its_process_say(
    bench: Bench, head: dict[str, object], steps: dict[str, str], state: str
) -> None:
    bench.write(replace(HEAD, **head), **steps)  # type: ignore[arg-type]
    assert bench.runs.get("job-1").state == state


def test_tasks_tell_their_errors_and_logs(bench: Bench) -> None:
    bench.write(replace(HEAD, ended=2.0), ingest="done", validate="running")
    log = bench.profile.path("artifacts") / "job-1" / "logs" / "validate.log"
    log.parent.mkdir(parents=True)
    log.write_text("")
    ingest, validate = bench.runs.get("job-1").tasks
    assert (ingest.state, ingest.logs) == ("done", "")
    assert (validate.state, validate.logs) == ("failed", str(log))
    assert "raise resources.validate.memory in the case" in validate.error


def test_runs_are_listed_the_newest_first(bench: Bench) -> None:
    for i in range(3):
        bench.write(replace(HEAD, job=f"job-{i}", case="taxi" if i == 1 else "flights", started=float(i)))
    assert [run.id for run in bench.runs.list()] == ["job-2", "job-1", "job-0"]
    assert [run.id for run in bench.runs.list("flights", most=1)] == ["job-2"]


def test_a_cancel_ends_the_runs_own_process(bench: Bench, sleeper: subprocess.Popen[bytes]) -> None:
    bench.write(replace(HEAD, process=processes.mark(sleeper.pid)), ingest="running")
    bench.runs.cancel("job-1")
    assert sleeper.wait(timeout=60) == -signal.SIGTERM


def test_a_number_that_is_another_process_by_now_is_left_alone(
    bench: Bench, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, number, _ = processes.mark(sleeper.pid).rsplit(":", 2)
    bench.write(replace(HEAD, process=f"{host}:{number}:1"), ingest="running")
    bench.runs.cancel("job-1")  # it has failed: its launcher is gone
    time.sleep(0.1)
    assert sleeper.poll() is None
    monkeypatch.setattr(processes, "elsewhere", lambda marked: True)
    with pytest.raises(SetupError, match="must run in a process of this machine"):
        bench.runs.cancel("job-1")


def test_a_run_that_has_ended_stays_as_it_is(bench: Bench) -> None:
    bench.write(replace(HEAD, ended=2.0, process=processes.mark()), ingest="failed")
    bench.runs.cancel("job-1")
    assert bench.runs.get("job-1").state == "failed"


def test_a_retry_runs_the_same_arguments_again(bench: Bench) -> None:
    head = replace(HEAD, ended=2.0, arguments={"bundle": "b", "start": "2013-01-01"})
    bench.write(head, ingest="failed")
    assert bench.runs.retry("job-1", "k").run.id == "job-2"
    assert dict(bench.repeated[0].arguments) == {"bundle": "b", "start": "2013-01-01"}
    with pytest.raises(CaseError, match="must have failed or been cancelled. Got 'done'"):
        bench.runs.retry("job-2", "k")


def test_what_is_not_there_or_not_for_here_is_told(bench: Bench) -> None:
    with pytest.raises(CaseError, match="'RUN' must be one on this machine. Got 'none'"):
        bench.runs.get("none")
    with pytest.raises(CaseError, match="Give: esteira run flights batch"):
        bench.runs.start(Asked("batch", "flights", "k", {}, {}))


def test_the_runs_that_are_there_are_shown_over_the_same_profile(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="See `esteira runs list --profile dev`"):
        local_runs(Profile(name="dev", root=str(tmp_path))).get("none")


def test_a_process_is_marked_by_machine_number_and_start() -> None:
    marked = processes.mark()
    assert processes.alive(marked) == os.getpid()
    assert processes.alive("") is None
    assert processes.alive(marked + "1") is None
    assert not processes.elsewhere(marked)
