"""canary: what promotes a challenger, what aborts it, and what a person or a kill in between does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.adapters import live_table, release
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.tables import ParquetTables
from components.adapters.ports import Pointer
from components.canary import course, task, watch
from components.core import artifacts
from components.core.profile import Profile
from tests import processes
from tests.canary import killed
from tests.canary.conftest import OPPOSITE, Canary, Traffic
from tests.toy import NAME

Make = Callable[..., Canary]
PROMOTED = {"champion": "2", "state": "promote"}
ABORTED = {"champion": "1", "state": "abort"}


def states(canary: Canary) -> dict[str, str]:
    return {finding["name"]: finding["state"] for finding in canary.found()["findings"]}


def reason(canary: Canary) -> str:
    """The first."""
    told: str = canary.found()["reasons"][0]
    return told


def at(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """A clock that ticks once before each step's doing, and then stands past the deadline."""

    def moments(start: float, interval: float) -> Iterator[float]:
        for second, step in enumerate(steps):
            yield float(second)
            step()
        yield 1e6

    monkeypatch.setattr(task, "_moments", moments)


def test_a_good_challenger_is_promoted_with_its_reasons(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    result = canary.run()
    assert result.parameters == PROMOTED
    assert result.summary == "Version 2 is champion after version 1. It passed 3 rules of the canary."
    assert result.rows_in == 400
    assert states(canary) == {"error rate": "passed", "latency": "passed", "agreement": "passed"}
    now = canary.pointer()
    assert (now.champion, now.previous, now.challenger, now.split) == (2, 1, None, 0)
    assert now.by == "the canary of job-1"
    assert now.why == " ".join(canary.found()["reasons"])
    assert now.why.startswith(
        "0 % of the challenger's requests failed and 0 % of the champion's; the difference is at most 2.63 points "
        "(95 % confidence), within the limit of 5 points. The 95th percentile of the latency is "
    )


def test_one_that_fails_is_aborted(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, failing=0.3))
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith(
        "30.3 % of the challenger's requests failed and 0 % of the champion's; the difference is"
    )
    assert canary.pointer().challenger is None


def test_requests_that_reached_no_model_count_for_nothing(make: Make) -> None:
    canary = make(deadline="1s", latency=None, agreement=None)
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, failing=1.0, status=400))
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith("Insufficient data for error rate: 200 of the champion and 0 of the challenger")


def test_requests_that_name_the_version_are_no_sample(make: Make) -> None:
    canary = make(deadline="1s")
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, named=True))
    assert canary.run().parameters == ABORTED
    assert canary.found()["counts"]["challenger"]["requests"] == 0


def test_what_came_after_the_deadline_does_not_count_whoever_runs_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make(deadline="60s")
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, count=50), Traffic(2, after=61.0))
    at(monkeypatch)
    assert canary.run().parameters == ABORTED
    assert canary.found()["counts"]["challenger"]["requests"] == 50


def test_after_the_deadline_a_backlog_is_read_to_its_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()
    for _ in range(70):
        canary.serve(Traffic(1, count=1), Traffic(2, count=1))
    at(monkeypatch)
    canary.run()
    assert canary.found()["counts"]["challenger"]["requests"] == 70


def test_it_looks_no_more_often_than_the_tables_want(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 100.0

        def time(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    monkeypatch.setattr(task, "time", Clock())
    moments = task._moments(90.0, 10.0)
    assert [next(moments) for _ in range(3)] == [10.0, 20.0, 30.0]


def test_the_wait_between_two_looks_is_the_tables(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def moments(start: float, interval: float) -> Iterator[float]:
        asked.append(interval)
        yield 1e6

    monkeypatch.setattr(task, "_moments", moments)
    monkeypatch.setattr(ParquetTables, "pause", 7.0)
    canary = make()
    canary.begin()
    canary.run()
    assert asked == [7.0]


def test_a_backlog_that_takes_too_long_is_left_and_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "_BACKLOG", 0.0)
    canary = make()
    canary.begin()
    for _ in range(70):
        canary.serve(Traffic(1, count=1), Traffic(2, count=1))
    at(monkeypatch)
    assert canary.run().parameters == ABORTED
    assert canary.found()["counts"]["challenger"]["requests"] == live_table.MOST
    assert canary.found()["log"]["waiting"] == 70 - live_table.MOST


def test_a_slow_one_is_aborted(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, ms=12.0))
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith("The 95th percentile of the latency is ")
    assert reason(canary).endswith("beyond the limit of 1.5.")


def test_one_that_decides_otherwise_is_aborted(make: Make) -> None:
    canary = make()
    canary.begin(OPPOSITE)
    canary.serve(Traffic(1), Traffic(2, opposite=True))
    result = canary.run()
    assert result.parameters == ABORTED
    assert reason(canary).startswith(
        "The champion decides alike on 0 % of the challenger's requests; the share is at most "
    )
    assert result.summary.startswith(
        "Version 2 is challenger no more; version 1 has all of the traffic. The champion dec"
    )


def test_one_that_is_worse_on_matured_labels_is_aborted(make: Make) -> None:
    canary = make(quality={"accuracy": 0.2})
    canary.begin()
    canary.serve(Traffic(1, right=0.9), Traffic(2, right=0.3))
    canary.land()
    assert canary.run().parameters == ABORTED
    assert states(canary)["accuracy"] == "failed"
    assert reason(canary).startswith("On matured labels accuracy is 0.3")


def test_no_traffic_is_no_promotion(make: Make) -> None:
    canary = make(deadline="1s")
    canary.begin()
    assert canary.run().parameters == ABORTED
    assert reason(canary) == (
        "Insufficient data for error rate: 0 of the champion and 0 of the challenger by the deadline, "
        "and 100 samples are asked for."
    )


def test_rules_that_pass_wait_for_labels_and_never_stand_in_for_them(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make(quality={"accuracy": 0.2})
    canary.begin()
    canary.serve(Traffic(1, right=0.9), Traffic(2))
    at(monkeypatch, lambda: None)
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith("Insufficient data for accuracy: 0 of the champion and 0 of the challenger")
    looks = canary.found()["looks"]
    assert [[f["state"] for f in look["findings"]] for look in looks] == [
        ["passed", "passed", "passed", "waiting"],
        ["passed", "passed", "passed", "failed"],
    ]


def test_labels_that_land_meanwhile_decide(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make(quality={"accuracy": 0.2})
    canary.begin()
    at(
        monkeypatch,
        lambda: canary.serve(Traffic(1, count=60, right=0.9), Traffic(2, count=60, right=0.9)),
        lambda: canary.land(),
        lambda: canary.serve(Traffic(1, right=0.9), Traffic(2, right=0.9)),
        lambda: canary.land(),
    )
    assert canary.run().parameters == PROMOTED
    labelled = [look["findings"][3]["samples"]["challenger"] for look in canary.found()["looks"]]
    assert labelled == [0, 0, 60, 60, 260]


def test_labels_of_before_a_restart_count_however_many_segments_wait(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make(quality={"accuracy": 0.3}, requests=135)
    canary.begin()
    for _ in range(70):
        canary.serve(Traffic(1, count=2, right=0.9), Traffic(2, count=2, right=0.9))
    canary.land()
    at(monkeypatch, lambda: None, lambda: None)
    canary.run()
    assert canary.found()["counts"]["challenger"]["labelled"] == 140


def test_an_entity_that_is_predicted_twice_has_one_label(make: Make) -> None:
    canary = make(quality={"accuracy": 0.2}, deadline="1s")
    canary.begin()
    canary.serve(Traffic(1, count=70, right=0.9), Traffic(2, count=70, right=0.9))
    canary.served = 0
    canary.serve(Traffic(1, count=70), Traffic(2, count=70), server="b")
    canary.land()
    canary.run()
    assert canary.found()["counts"]["challenger"] == {
        "requests": 140, "failed": 0, "timed": 140, "compared": 140, "labelled": 70
    }  # fmt: skip


def test_what_was_before_the_canary_does_not_count(make: Make) -> None:
    canary = make(deadline="1s")
    canary.begin()
    canary.since -= 3600
    canary.serve(Traffic(1), Traffic(2))
    assert canary.run().parameters == ABORTED
    assert canary.found()["counts"]["champion"]["requests"] == 0


def test_the_streams_windows_count_once_however_often_they_are_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make()
    canary.begin()
    at(
        monkeypatch,
        lambda: canary.stream(Traffic(1, count=40), Traffic(2, count=40)),
        lambda: canary.stream(Traffic(1, count=90), Traffic(2, count=90)),
        lambda: canary.stream(Traffic(1, count=150), Traffic(2, count=150)),
    )
    assert canary.run().parameters == PROMOTED
    counted = [look["findings"][0]["samples"]["challenger"] for look in canary.found()["looks"]]
    assert counted == [0, 40, 90, 150]


def test_many_segments_of_several_servers_count_as_one_would(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_table, "SPAN", 1)
    monkeypatch.setattr(watch, "_MANY", 1)
    canary = make(quality={"accuracy": 0.3}, requests=90)
    canary.begin()
    steps = [
        lambda server=server: canary.serve(
            Traffic(1, count=20, right=0.9), Traffic(2, count=20, right=0.9), server=server
        )
        for server in "abcab"
    ]
    at(monkeypatch, *steps, canary.land)
    assert canary.run().parameters == PROMOTED
    assert canary.found()["counts"]["challenger"] == {
        "requests": 100, "failed": 0, "timed": 100, "compared": 100, "labelled": 100
    }  # fmt: skip


@pytest.mark.parametrize("together", [1, 100])
def test_segments_that_are_taken_in_again_count_once(
    make: Make, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(live_table, "SPAN", 1)
    monkeypatch.setattr(watch, "_MANY", together)
    canary = make()
    canary.begin()

    def again() -> None:
        canary.toy.ports.blobs.delete("inference/toy/a/taken.json")
        serve()

    def serve() -> None:
        canary.serve(Traffic(1, count=10), Traffic(2, count=10))

    at(monkeypatch, serve, serve, serve, again, serve)
    assert canary.run().parameters == ABORTED
    assert canary.found()["counts"]["challenger"]["requests"] == 50
    assert canary.found()["log"]["segments"] == 5 + 3


def test_latencies_of_the_stream_and_of_servers_do_not_mix(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    canary.stream(Traffic(1, count=90, ms=900.0), Traffic(2, count=90, ms=900.0))
    canary.run()
    assert canary.found()["counts"]["challenger"] == {
        "requests": 290, "failed": 0, "timed": 200, "compared": 290, "labelled": 0
    }  # fmt: skip
    assert "The 95th percentile of the latency is 6.07 ms for the challenger" in canary.found()["reasons"][1]


@pytest.mark.parametrize("apart", [False, True])
def test_a_request_of_several_rows_is_one_request_and_agrees_by_its_rows(
    make: Make, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    read = ParquetTables.read

    def mixed(*asked: Any, **options: Any) -> pa.Table:
        """A store may give the rows of a request apart from each other."""
        rows = read(*asked, **options)
        return rows.take([*range(0, len(rows), 2), *range(1, len(rows), 2)]) if apart else rows

    monkeypatch.setattr(ParquetTables, "read", mixed)
    canary = make(agreement=0.4)
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, rows=2))
    lines = canary.lines(Traffic(2, count=120, rows=2), seed=9)
    for line in lines:
        line["decision"] = [line["decision"][0], str(1 - int(line["decision"][1]))]
    data = b"\n".join(json.dumps(line).encode() for line in lines)
    canary.toy.ports.blobs.write("inference/toy/z/00000001.jsonl", data)
    assert canary.run().parameters == PROMOTED
    (agreement,) = [f for f in canary.found()["findings"] if f["name"] == "agreement"]
    assert agreement["samples"]["challenger"] == 320
    assert canary.found()["counts"]["challenger"]["requests"] == 320


def test_torn_lines_and_what_servers_dropped_are_told(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2), dropped=4, also=[b'{"id": "torn'])
    canary.run()
    counts = {"bad": 1, "dropped": {"a": 4}, "refused": 0, "requests": 400, "segments": 1, "waiting": 0}
    assert canary.found()["log"] == counts


def test_a_champion_whose_input_the_log_lacks_is_not_asked_and_the_page_says_which(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make(deadline="1s")
    canary.begin()
    lines = canary.lines(Traffic(1)) + canary.lines(Traffic(2))
    for line in lines:
        line["inputs"] = [{"x": row["x"]} for row in line["inputs"]]
    data = b"\n".join(json.dumps(line).encode() for line in lines)
    canary.toy.ports.blobs.write("inference/toy/a/00000001.jsonl", data)
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith("Insufficient data for agreement: 0 of the challenger")
    assert canary.found()["lacking"] == ["z (double)", "kind (string)"]
    assert "z (double), kind (string)" in (canary.out() / "index.html").read_text()


def test_regression_has_no_agreement(make: Make) -> None:
    canary = make("regression", agreement=0.99)
    canary.begin(((1.1,), (0.0,)))
    canary.serve(Traffic(1), Traffic(2))
    assert canary.run().parameters == PROMOTED
    assert states(canary) == {"error rate": "passed", "latency": "passed"}


@pytest.mark.parametrize("act", ["rollback", "abort", "promote another"])
def test_a_person_in_the_middle_wins(make: Make, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    canary = make()
    canary.begin()
    ports = canary.toy.ports

    def person() -> None:
        if act == "abort":
            release.abort(ports, NAME, by="ana", why="looks odd")
        elif act == "rollback":
            release.rollback(ports, NAME, to=2, by="ana", why="looks odd")
        else:
            third = canary.toy.register(canary.toy.model("third", OPPOSITE))
            release.promote(ports, NAME, third, by="ana", why="looks odd")
        canary.serve(Traffic(1), Traffic(2))

    at(monkeypatch, person)
    result = canary.run()
    after = canary.pointer()
    assert (after.by, after.why) == ("ana", "looks odd")
    assert result.parameters == {"champion": str(after.champion), "state": "overtaken"}
    assert result.summary == "The canary stops: ana changed what is live meanwhile: looks odd"


def test_another_split_is_the_same_canary(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()
    began, ports = canary.pointer(), canary.toy.ports

    def more() -> None:
        release.begin_canary(ports, NAME, 2, 90, by="ana", why="faster")
        canary.serve(Traffic(1), Traffic(2))

    at(monkeypatch, more, lambda: None)
    assert canary.run().parameters == PROMOTED
    assert canary.found()["started"] == began.at
    assert canary.pointer().previous == 1


def test_a_canary_that_runs_again_begins_where_its_challenger_did(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.since = canary.pointer().at
    canary.serve(Traffic(1), Traffic(2))
    time.sleep(0.3)  # all of the traffic is before the second change
    release.begin_canary(canary.toy.ports, NAME, 2, 90, by="ana", why="faster")
    assert canary.run().parameters == PROMOTED
    assert canary.found()["counts"]["challenger"]["requests"] == 200


def test_a_split_that_moves_as_the_verdict_falls_does_not_stop_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    change, moved = PointerEndpoints.change, []

    def late(self: PointerEndpoints, pointer: Pointer) -> Pointer:
        if not moved:
            moved.append(change(self, replace(self.pointer(NAME), split=90, by="ana", why="faster")))
        return change(self, pointer)

    monkeypatch.setattr(PointerEndpoints, "change", late)
    assert canary.run().parameters == PROMOTED
    assert [p.split for p in canary.toy.ports.endpoints.history(NAME)] == [0, 50, 90, 0]


def test_the_same_challenger_that_was_aborted_and_began_anew_is_another_canary(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make()
    canary.begin()
    ports = canary.toy.ports

    def anew() -> None:
        release.abort(ports, NAME, by="ana", why="stop")
        release.begin_canary(ports, NAME, 2, 50, by="ana", why="once more")

    at(monkeypatch, anew)
    assert canary.run().parameters == {"champion": "1", "state": "overtaken"}


def test_a_person_who_is_faster_by_a_moment_wins(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    change = PointerEndpoints.change

    def late(self: PointerEndpoints, pointer: Pointer) -> Pointer:
        now = self.pointer(NAME)
        change(self, replace(now, challenger=None, split=0, by="ana", why="stop"))
        return change(self, pointer)

    monkeypatch.setattr(PointerEndpoints, "change", late)
    assert canary.run().parameters == {"champion": "1", "state": "overtaken"}
    assert canary.pointer().by == "ana"


def test_sigterm_leaves_the_challenger_and_the_next_run_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()
    before, handler = canary.pointer(), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        at(patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit):
            canary.run()
    signal.signal(signal.SIGTERM, handler)
    assert canary.pointer() == before
    canary.serve(Traffic(1), Traffic(2))
    assert canary.run().parameters == PROMOTED


def test_the_deadline_is_counted_from_the_pointers_change_whoever_runs_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = make(deadline="60s")
    canary.begin()
    now = time.time()
    monkeypatch.setattr(task.time, "time", lambda: now + 61)
    assert canary.run().parameters == ABORTED
    assert canary.found()["seconds"] > 60


@pytest.mark.slow
def test_a_kill_at_every_fifth_side_effect_and_another_run_end_as_one_without(make: Make, tmp_path: Path) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    template, n, deaths = canary.toy.ports.profile.path(""), 0, 0
    while True:
        n += 5
        root = tmp_path / f"kill-{n}"
        shutil.copytree(template, root)
        profile = Profile.from_json(canary.toy.launch.profile).model_copy(update={"root": str(root)})
        launch = replace(canary.toy.launch, profile=profile.to_json())
        out = tmp_path / f"out-{n}"
        died = processes.dies_at(n, killed.judge, launch, str(out))
        deaths += died
        there = Canary(replace(canary.toy, launch=launch))
        result = task.run(launch, version="2", canary=str(out))
        assert result.parameters == PROMOTED
        assert artifacts.verify(out, "canary").info == {"state": "promote"}
        assert [p.champion for p in there.toy.ports.endpoints.history(NAME)] == [1, 1, 2]
        assert there.toy.ports.tables.windows("live_toy") == ["server-a-00000001+16"]
        if not died:
            break
    assert deaths > 5


@pytest.mark.parametrize(
    ("version", "summary"),
    [
        ("", "Nothing to observe: there is no new version"),
        ("1", "Nothing to observe: version 1 is champion already"),
        ("3", "Nothing to observe: version 3 is not the challenger (test: try it)"),
    ],
)
def test_with_nothing_to_do_it_says_why(make: Make, version: str, summary: str) -> None:
    canary = make()
    canary.begin()
    before = canary.pointer()
    result = canary.run(version)
    assert result.parameters == {"champion": "1", "state": "nothing"}
    assert result.summary == summary
    assert canary.pointer() == before
    assert summary in (canary.out() / "index.html").read_text()


def test_without_any_pointer_there_is_no_champion(make: Make) -> None:
    canary = make()
    assert canary.run("").parameters == {"champion": "", "state": "nothing"}


@pytest.mark.parametrize("version", ["0", "-1", "two", "1.0", "٢", "2\n"])
def test_a_version_is_a_number(make: Make, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    canary = make()
    canary.begin()
    with pytest.raises(SystemExit) as caught:
        canary.run(version)
    assert caught.value.code == 2
    told = capsys.readouterr().err.strip()
    assert told == (
        f"[canary] 'version' must be a registered version's number. Got {version!r}. Hand over register's output."
    )


def test_a_challenger_that_is_altered_meanwhile_is_aborted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = make()
    canary.begin()

    def harm() -> None:
        (canary.toy.ports.registry.fetch(NAME, 2) / "model.onnx").write_bytes(b"other")
        canary.serve(Traffic(1), Traffic(2))

    at(monkeypatch, harm)
    assert canary.run().parameters == ABORTED
    assert reason(canary).startswith("Version 2 cannot be promoted. ")


def test_a_run_that_was_killed_after_its_decision_repeats_it(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2, failing=0.5))
    first = canary.run()
    before = canary.pointer()
    again = canary.run()
    assert (first.parameters, again.parameters) == (ABORTED, ABORTED)
    assert canary.pointer() == before
    assert again.summary == before.why
    assert canary.run(job="job-2").parameters == {"champion": "1", "state": "nothing"}


def test_progress_is_said_at_each_look(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    canary.run()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[canary] version 2 has 50 % of the traffic, version 1 the rest"
    assert second.endswith("s: error rate passed, latency passed, agreement passed")


@pytest.mark.parametrize("challenger", [Traffic(2), Traffic(2, failing=1.0), Traffic(2, count=5), Traffic(2, count=0)])
def test_every_page_is_drawn_whole(make: Make, challenger: Traffic) -> None:
    canary = make(deadline="1s", quality={"roc_auc": 0.5})
    canary.begin()
    canary.serve(Traffic(1, right=0.9), replace(challenger, right=0.9))
    canary.land()
    canary.run()
    page = (canary.out() / "index.html").read_text()
    assert "Not shown" not in page
    assert ">Accepted<" not in page
    assert ">Refused<" not in page
    state = json.loads((canary.out() / "canary.json").read_text())["state"]
    assert {"promote": ">Promoted<", "abort": ">Aborted<"}.get(state, "Nothing was decided") in page
    assert "NaN" not in (canary.out() / "canary.json").read_text()
