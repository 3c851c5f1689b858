"""After the gate: whatever ends a run between two calls of a port, the next run reaches the same final state."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer
from components.core import watermark
from components.predict import task as predict
from components.step import Launch
from tests.toy import NAME, Toy, columns, toy, write_rows

KILLED = -signal.SIGKILL
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def inputs(tmp_path: Path, make_launch: Callable[..., Launch]) -> Path:
    """A case whose version 1 is champion and has predicted January, and what the gate has let through to replace it."""
    here: Toy = toy(tmp_path, make_launch)
    here.promote(here.model("first"))
    with mock.patch.object(MlflowRegistry, "_project"):
        here.ports.registry.project(NAME, {"champion": 1})
    january = write_rows(tmp_path / "january", columns(60, start="2021-01-28T00"))
    predict.run(here.launch, score=str(january), predictions=str(tmp_path / "out"), purpose="predict")
    model = here.model("model", ((-2.0, 2.0), (0.5, -0.5)))
    here.evaluation("evaluation", model, champion=1)
    write_rows(tmp_path / "score", columns(140, seed=1, start="2021-01-28T00"))
    (tmp_path / "launch.json").write_text(json.dumps(asdict(replace(here.launch, job="job-fault"))))
    return tmp_path


def played(kind: str, inputs: Path) -> dict[str, Any]:
    """Every schedule of this kind of fault."""
    command = [sys.executable, "-m", "tests.faults.after_the_gate", kind, str(inputs), str(inputs / "schedules")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "codes"), [("kill", {KILLED}), ("lost", {0, 1})])
def test_a_fault_at_any_call_of_a_port_changes_nothing_in_the_end(inputs: Path, kind: str, codes: set[int]) -> None:
    found = played(kind, inputs)
    whole, runs = found["whole"], found["runs"]
    check_whole(whole)
    assert {run["code"] for run in runs[:-1]} == codes
    assert [run["n"] for run in runs if run["again"] or run["state"] != whole["state"]] == []
    assert len(runs) > 40
    # In between a reader sees the old state or the new.
    assert {run["left"]["champion"] for run in runs} == {1, 2}
    for run in runs:
        windows, moved = run["left"]["windows"], run["left"]["watermark"] == whole["state"]["watermark"]
        assert all(len(versions) == 1 for versions in windows.values())
        assert not moved or windows == {"2021-01": [2], "2021-02": [2]}


def check_whole(run: dict[str, Any]) -> None:
    """The state without a fault is what the three steps are for."""
    assert run["code"] == run["again"] == 0
    pointer = Pointer(**run["state"]["pointer"])
    assert (pointer.champion, pointer.previous, pointer.generation) == (2, 1, 2)
    assert [version[2] for version in run["state"]["versions"]] == [["previous"], ["champion"]]
    assert {window: len(rows) for window, rows in run["state"]["table"].items()} == {"2021-01": 96, "2021-02": 44}
    assert run["state"]["watermark"] == watermark.content("2021-03-01T00:00:00Z").decode()
