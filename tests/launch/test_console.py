"""What a person sees while a pipeline runs."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout

import pytest
from rich.console import Console

from components.core.record import RunRecord, StepRecord
from pipelines.launch.console import Progress, closing


@pytest.mark.parametrize("terminal", [False, True])
def test_each_ended_step_is_seen_though_stdout_goes_to_kfps_log(terminal: bool) -> None:
    seen, log = io.StringIO(), io.StringIO()
    before = sys.stdout
    progress = Progress(Console(file=seen, force_terminal=terminal, width=80), ("ingest", "train"))
    with redirect_stdout(log):
        progress.begins("ingest")
        print("from kfp")
        progress.says("ingest", "[ingest] reading " + "x" * 200)
        progress.ended(StepRecord("ingest", "done", summary="3 events kept of 3"))
        progress.begins("train")
    progress.ended(StepRecord("train", "failed", error="no rows"))
    assert sys.stdout is before
    assert log.getvalue() == "from kfp\n"
    assert "3 events kept of 3" in seen.getvalue()
    assert "no rows" in seen.getvalue()
    assert "from kfp" not in seen.getvalue()


@pytest.mark.parametrize(("profile", "more"), [("local", ""), ("dev", " --profile dev"), ("a b", " --profile 'a b'")])
def test_the_next_commands_name_the_profile_that_the_run_had(profile: str, more: str) -> None:
    deploy = StepRecord("deploy", "done", parameters={"champion": "1", "challenger": "2"})
    record = RunRecord("job-1", "batch", "flights", ("deploy", "notify"), {"deploy": deploy}, cancelled=True)
    seen = io.StringIO()
    closing(Console(file=seen, width=80), record, "", profile)
    told = f"on trial version 2: esteira models promote flights 2{more}, or esteira models abort flights{more}\n"
    assert told in seen.getvalue()
    assert f"cancelled: esteira runs retry job-1{more}\n" in seen.getvalue()
