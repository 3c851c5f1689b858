"""What `esteira run` makes of a run that did not end well."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from components import ROUTE
from components.adapters import records
from components.adapters.connect import Connected
from components.core.errors import CaseError, RunError
from components.core.profile import Profile
from components.core.record import RunRecord, StepRecord
from pipelines import cli
from pipelines.launch import local, run

JOB = "esteira-batch-1"


def record(steps: dict[str, StepRecord]) -> RunRecord:
    return RunRecord(JOB, "batch", "flights", ROUTE, steps, started=1.0, ended=2.0)


def test_a_task_that_ends_before_its_record_has_failed_and_the_next_one_can_read_it(tmp_path: Path) -> None:
    ports = Connected(Profile(root=str(tmp_path)))
    head = RunRecord("", "batch", "flights", ROUTE, {})
    watcher = run._Watcher(ports, head, Console(file=io.StringIO()))
    watcher(local.Started(JOB, "train"), None)
    watcher(local.Started(JOB, "notify"), None)
    found = records.load_run(ports.blobs, JOB)
    assert found.failed == ("train",)
    assert found.step("train").error == "It ended before it wrote its record: see its log."


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (dict.fromkeys(ROUTE, "done") | {"ingest": "reused"}, 0),
        (dict.fromkeys(ROUTE, "done") | {"monitor": "failed"}, RunError.exit_code),
        (dict.fromkeys(ROUTE[:5], "done") | {"notify": "done"}, RunError.exit_code),
    ],
    ids=["whole", "failed", "stopped"],
)
def test_only_a_run_whose_every_step_ended_well_is_a_success(
    monkeypatch: pytest.MonkeyPatch, states: dict[str, str], code: int
) -> None:
    steps = {name: StepRecord(name, state) for name, state in states.items()}  # type: ignore[arg-type]
    finished = run.Finished(record(steps), Path("report.html"))
    monkeypatch.setattr(run, "run", lambda *arguments, **more: finished)
    result = CliRunner().invoke(cli.app, ["run", "flights"])
    assert result.exit_code == code
    assert ("not started: register, deploy, predict, monitor." in result.output) == (len(states) < len(ROUTE))


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (["--from", "yesterday"], "'--from' must be an ISO 8601 time. Got 'yesterday'."),
        (["--from", "2013-02-01", "--to", "2013-01-01"], "'--to' must lie after --from, 2013-02-01. Got '2013-01-01'."),
    ],
)
def test_a_wrong_window_is_refused_by_its_option_before_anything_runs(window: list[str], text: str) -> None:
    result = CliRunner().invoke(cli.app, ["run", "flights", "predict", *window])
    assert isinstance(result.exception, CaseError)
    assert text in str(result.exception)
