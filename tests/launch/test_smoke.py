"""The commands that prove what is taken for granted: each line of docs/unproven.md has one, or says that it is by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.core import profile as profiles
from components.core.errors import CaseError, RunError
from pipelines.launch import smoke
from pipelines.launch.smoke import Step
from tests.conftest import FLIGHTS
from tests.servers import released
from tests.servers.frames import Frame
from tests.servers.vertex.server import PROJECT, REGION, vertex

STEPS = smoke.steps(smoke.PAGE.read_text())
GIVEN = {"PROJECT": "my-project", "REGION": "europe-west1", "BUCKET": "my-bucket", "KEY": "smoke-1"}
PAGE = """
## Getting ready

| taken for granted | shown by |
|---|---|
| one | `echo "a\\|b"`: "a|b" |

## Things

| taken for granted | shown by |
|---|---|
| two | By hand: look |
| three | `! false` |

## Cleaning up

| taken for granted | shown by |
|---|---|
| four | `touch clean` |
"""


def test_every_row_of_the_page_has_a_command_or_says_by_hand() -> None:
    rows = [line for line in smoke.PAGE.read_text().splitlines() if line.startswith("| ")]
    heads = [line for line in rows if line == "| taken for granted | shown by |"]
    assert len(STEPS) == len(rows) - len(heads)
    assert [step.line for step in STEPS if not step.command and not step.shown.startswith(smoke.BY_HAND)] == []
    assert {smoke.FIRST, smoke.LAST} < {step.section for step in STEPS}


@pytest.mark.parametrize("step", [step for step in STEPS if step.command], ids=lambda step: f"line {step.line}")
def test_each_command_is_one_that_bash_reads(step: Step) -> None:
    done = subprocess.run(["bash", "-n", "-c", smoke.PREAMBLE + step.command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_prints_each_command_and_runs_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    assert smoke.main(["--dry-run"], GIVEN | {"KUBEFLOW_HOST": "https://kfp"}) == 0
    told = capsys.readouterr().out
    assert [step.claim for step in STEPS if f"# {step.section}: {step.claim}\n" not in told] == []
    assert [step.line for step in STEPS if (step.command or step.shown) not in told] == []


def test_sections_are_chosen_by_their_words_and_kubeflows_by_its_host() -> None:
    titles = {step.section for step in smoke.chosen(STEPS, "", GIVEN)}
    assert "Kubeflow Pipelines" not in titles
    assert {s.section for s in smoke.chosen(STEPS, "schedules", GIVEN)} == {
        smoke.FIRST,
        "Schedules on Vertex AI",
        smoke.LAST,
    }
    with_it = smoke.chosen(STEPS, "kubeflow", GIVEN | {"KUBEFLOW_HOST": "https://kfp"})
    assert "Kubeflow Pipelines" in {step.section for step in with_it}


@pytest.mark.parametrize("name", smoke.NEEDED)
def test_a_variable_that_is_missing_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main([], {k: v for k, v in GIVEN.items() if k != name}) == CaseError.exit_code
    assert f"smoke: '{name}' must be set in the environment. Got ''." in capsys.readouterr().err


def told(page: str, folder: Path) -> list[str]:
    lines: list[str] = []
    smoke.run(smoke.steps(page), folder, {}, lines.append)
    return lines


def test_what_was_proved_is_said_and_then_cleaned_up(tmp_path: Path) -> None:
    lines = told(PAGE, tmp_path)
    assert lines == ["… one", "a|b", "✓ one", "- two\n  By hand: look", "… three", "", "✓ three", "✓ cleaned up: four"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('echo "a\\|b"', "exit 3", "one: 'command' must succeed. Got 'exit code 3'. It was: exit 3"),
        (': "a|b"', ': "c"', "one: 'output' must hold 'c'. Got 'a|b\\n'. It was: echo"),
    ],
)
def test_the_first_failure_ends_it_and_cleans_up(tmp_path: Path, old: str, new: str, text: str) -> None:
    with pytest.raises(RunError) as caught:
        told(PAGE.replace(old, new), tmp_path)
    assert str(caught.value).startswith(text)
    assert (tmp_path / "clean").exists()


def test_what_it_prepares_is_a_case_with_a_schedule_and_a_profile_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.core import case_file

    monkeypatch.chdir(tmp_path)
    smoke.prepare(tmp_path, smoke.variables(GIVEN | {"KUBEFLOW_HOST": "https://kfp.example.com"}))
    assert list(case_file.load(tmp_path / "cases" / "flights").schedules) == ["yearly"]
    found = profiles.load("cloud")
    assert (found.blobs.at, found.tables.at) == ("gs://my-bucket/smoke-1/blobs", "my-project.smoke_1")
    assert found.sources == "gs://my-bucket/smoke-1"


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.skipif("ESTEIRA_GCS" not in os.environ, reason="no fake-gcs-server: make servers")
def test_what_needs_no_cloud_holds_against_the_contract_server(tmp_path: Path) -> None:
    """The runs and schedules of the page, as they stand there, given to the server that keeps Vertex's API."""
    key = f"smoke-{tmp_path.name}-{os.getpid()}"
    with vertex() as (server, service):
        service.course = lambda id: [Frame("RUNNING")] * 9 if len(service.jobs) > 1 else [Frame("SUCCEEDED")]
        shutil.copytree(FLIGHTS, tmp_path / "cases" / "flights")
        with open(tmp_path / "cases" / "flights" / "case.yaml", "a", encoding="utf-8") as case:
            case.write('\nschedules: {yearly: {cron: "0 4 1 1 *"}}\n')
        released.make(tmp_path / "release", FLIGHTS, profiles.Profile(root=str(tmp_path / "esteira")))
        at = {"project": PROJECT, "region": REGION, "pipeline_root": f"gs://esteira/{key}", "endpoint": server.address}
        profile = {"vertex": at, "blobs": {"adapter": "google", "at": f"gs://esteira/{key}"}}
        profile |= {"registry": {"adapter": "google"}, "tables": {"adapter": "google", "at": f"{PROJECT}.smoke"}}
        profile |= {"endpoints": {"image": released.IMAGES["esteira-pipeline"]}, "sources": f"gs://esteira/{key}"}
        profile["emulators"] = {"storage": f"http://{os.environ['ESTEIRA_GCS']}"}
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "cloud.yaml").write_text(yaml.safe_dump(profile))
        given = GIVEN | {"PROJECT": PROJECT, "REGION": REGION, "BUCKET": "esteira", "KEY": key}
        line = [sys.executable, "-m", "pipelines.launch.smoke", "--folder", str(tmp_path), "--only", "on Vertex AI"]
        done = subprocess.run(line, env=os.environ | given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    proved = [step.claim for step in STEPS if step.command and "on Vertex AI" in step.section]
    assert [claim for claim in proved if f"✓ {claim}" not in done.stdout] == []
    assert sorted(job.state.name for job in service.jobs.values()) == [
        "PIPELINE_STATE_CANCELLED",
        "PIPELINE_STATE_SUCCEEDED",
    ]
    assert service.schedules == {}
