"""monitor's first step: the servers' log comes into the live table where no canary is, and goes some time after."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.adapters import live_table
from components.adapters.live_table import Intake
from components.monitor import log
from components.step import Launch, Result
from tests.monitor.test_task import World
from tests.toy import columns, toy

PREFIX, TABLE, DAY = "inference/toy/", "live_toy", 86_400.0


class Served(World):
    """A champion that servers answer for, and nobody's canary."""

    def log(self, number: int, *ids: str, torn: bytes = b"") -> None:
        """A segment of these requests."""
        lines: list[dict[str, Any]] = [
            {"id": i, "at": 100.0, "version": 1, "role": "champion", "status": 200, "ms": 1.0}
            | {"inputs": [{"x": 0.5, "z": 0.5, "kind": "p"}], "score": [0.9], "decision": ["1"]}
            for i in ids
        ]
        data = b"".join(json.dumps(line).encode() + b"\n" for line in (*lines, {"dropped": 0}))
        self.toy.ports.blobs.write(f"{PREFIX}a/{number:08d}.jsonl", data + torn, generation=0)

    def logged(self) -> list[str]:
        return [name.removeprefix(PREFIX) for name in self.toy.ports.blobs.names(PREFIX)]

    def ids(self) -> list[str]:
        return sorted(self.toy.ports.tables.read(TABLE)["_id"].to_pylist())

    def waiting(self) -> int:
        intake = Intake(self.toy.ports.blobs, self.toy.ports.tables, "toy", {})
        intake.collect(most=0)
        return intake.collected.waiting


@pytest.fixture
def served(tmp_path: Path, make_launch: Callable[..., Launch]) -> Served:
    here = Served(toy(tmp_path, make_launch, deploy="champion", gate={"resamples": 50}))
    here.toy.promote(here.toy.model("champion"))
    return here


def monitored(served: Served) -> Result:
    return served.again() if served.runs else served.watch(columns(300, seed=2))


def test_the_log_is_in_the_table_once_however_often_monitor_runs(served: Served) -> None:
    backlog = live_table.MOST + 6
    for number in range(1, backlog + 1):
        served.log(number, f"request-{number:03d}")
    assert monitored(served).aside == ""
    ids = [f"request-{number:03d}" for number in range(1, backlog + 1)]
    assert (served.ids(), served.waiting()) == (ids, 0)
    rows = served.toy.ports.tables.read(TABLE)
    assert set(rows["x"].to_pylist()) == {0.5}
    served.log(backlog + 1, "the next")
    monitored(served)
    assert (served.ids(), served.waiting()) == ([*ids, "the next"], 0)


def test_segments_are_deleted_by_a_later_run(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 1e9

        def time(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(live_table, "time", clock)
    seen = []
    for number in range(1, 4):
        served.log(number, f"request-{number}")
        monitored(served)
        seen.append(served.logged())
        clock.now += DAY
    assert seen == [[f"a/{number:08d}.jsonl", "a/taken.json"] for number in range(1, 4)]
    assert served.ids() == ["request-1", "request-2", "request-3"]


def test_a_run_ends_in_time_and_the_next_goes_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "WITHIN", 0.0)
    for number in range(1, live_table.MOST + 3):
        served.log(number, f"request-{number}")
    result = monitored(served)
    assert result.aside == "2 segments of the servers' log wait for the next run"
    assert served.waiting() == 2
    assert monitored(served).aside == ""
    assert len(served.ids()) == live_table.MOST + 2


def test_a_mark_that_somebody_altered_is_told_and_monitoring_goes_on(served: Served) -> None:
    wanted = served.watch(columns(1500, seed=2))
    served.log(1, "request-1")
    served.toy.ports.blobs.write(f"{PREFIX}a/taken.json", b"{}")
    result = monitored(served)
    assert (result.parameters, result.summary) == (wanted.parameters, wanted.summary)
    assert result.aside == (
        f"the servers' log was not taken in: {PREFIX}a/taken.json: 'mark' must be as it was written. Got b'{{}}'. "
        "Delete it: what it names is taken in again, and counts once."
    )
    [record] = (r for r in served.toy.ports.blobs.names("runs/") if r.endswith("steps/monitor.json"))
    assert json.loads(served.toy.ports.blobs.read(record)[0])["summary"] == f"{result.summary}; {result.aside}"


def test_lines_that_are_none_are_told(served: Served) -> None:
    served.log(1, "request-1", torn=b'{"id": "half')
    assert monitored(served).aside == "1 lines of the servers' log are unreadable"


def test_where_no_server_logs_no_table_is_made_and_no_model_fetched(served: Served) -> None:
    assert monitored(served).aside == ""
    assert served.toy.ports.tables.windows(TABLE) == []


def test_a_log_that_the_system_does_not_give_is_told_and_monitoring_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied", "a")

    served.log(1, "request-1")
    monkeypatch.setattr(Intake, "work_off", denied)
    assert monitored(served).aside == "the servers' log was not taken in: [Errno 13] denied: 'a'"
