"""predict's route in one process beside the pipeline: the same table, and a run record that is found."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components import once, types
from components.adapters.connect import Connected
from components.core import profile as profiles
from components.core.errors import RunError
from components.core.profile import Profile
from components.core.sections import Jobs
from pipelines.launch import environments
from tests.e2e.conftest import Ran, esteira, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("flights")]
JOB = "esteira-predict-flights-x7k2p"


def trained(home: Path, folder: Path) -> Path:
    """A copy of the folder in which batch has run."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("artifacts", "cases", "predictions_*", "watermarks"))
    return folder


def profile_of(folder: Path, **change: Any) -> Profile:
    root = {"root": str(folder / ".esteira"), "sources": str(folder)}
    return profiles.load("local").model_copy(update={**root, **change})


def one_process(first: Ran, profile: Profile, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = first.record["arguments"]
    command = [str(environments.python(types.PIPELINE)), "-m", "components.once", "--profile", profile.to_json()]
    command += ["--bundle", arguments["bundle"], "--operations", arguments["operations"], *more]
    variables = environments.variables(types.PIPELINE) | {once.EXECUTION: JOB}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def table(profile: Profile) -> pa.Table:
    tables = Connected(profile).tables
    written = sorted(tables.written("predictions_flights"))
    assert written
    return pa.concat_tables([tables.read("predictions_flights", window=key) for key in written])


def test_the_table_is_the_pipelines_and_the_run_is_found_under_the_executions_name(
    home: Path, first: Ran, tmp_path: Path
) -> None:
    there, here = trained(home, tmp_path / "pipeline"), trained(home, tmp_path / "once")
    assert run(there, "flights", "predict", "--from", "2013-11-20", "--to", "2013-12-20").code == 0
    done = one_process(first, profile_of(here), "--start", "2013-11-20", "--stop", "2013-12-20")
    assert done.returncode == 0, done.stderr
    rows = table(profile_of(here))
    assert rows.num_rows > 0
    assert rows.equals(table(profile_of(there)))
    told = [line.split()[:2] for line in done.stdout.splitlines()]
    assert [words[0] for words in told if words[1:] in (["done"], ["reused"])] == list(once.ROUTE)
    shown = json.loads(esteira(here, "runs", "show", JOB, "--json").stdout)
    assert (shown["pipeline"], shown["case"], tuple(shown["route"])) == ("predict", "flights", once.ROUTE)
    assert {step["state"] for step in shown["steps"].values()} <= {"done", "reused"}


def test_another_attempt_changes_nothing_and_beam_needs_no_workers(home: Path, first: Ran, tmp_path: Path) -> None:
    nobody = Jobs(runner="PortableRunner", options={"job_endpoint": "127.0.0.1:1"})
    profile = profile_of(trained(home, tmp_path / "once"), jobs=nobody)
    window = ("--start", "2013-12-01", "--stop", "2013-12-10")
    assert one_process(first, profile, *window).returncode == 0
    rows = table(profile)
    assert one_process(first, profile, *window).returncode == 0
    assert rows.equals(table(profile))


def test_a_step_that_fails_ends_the_route_and_notify_still_tells(home: Path, first: Ran, tmp_path: Path) -> None:
    here = trained(home, tmp_path / "once")
    profile = profile_of(here, sources=str(tmp_path / "nowhere"))
    done = one_process(first, profile)
    assert done.returncode == RunError.exit_code
    shown = json.loads(esteira(here, "runs", "show", JOB, "--json").stdout)
    assert {name: step["state"] for name, step in shown["steps"].items()} == {"ingest": "failed", "notify": "done"}
    assert "[error] flights predict: failed at ingest" in done.stdout


def test_a_case_that_is_not_stored_begins_nothing(first: Ran, tmp_path: Path) -> None:
    done = one_process(first, profile_of(tmp_path))
    assert done.returncode == 4
    assert done.stderr.startswith("once: ")
    assert not (tmp_path / ".esteira" / "blobs" / "runs").exists()
