"""The commands that prove what is taken for granted: each line of docs/unproven.md has one."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from components.adapters.connect import Connected
from components.core import case_file
from components.core import profile as profiles
from components.core.errors import CaseError, RunError
from pipelines import cli
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


def test_every_row_of_the_page_has_a_command() -> None:
    rows = [line for line in smoke.PAGE.read_text().splitlines() if line.startswith("| ")]
    heads = [line for line in rows if line == "| taken for granted | shown by |"]
    assert len(STEPS) == len(rows) - len(heads)
    assert [step.line for step in STEPS if not step.command] == []
    assert [step.line for step in STEPS if step.by_hand != step.shown.startswith(smoke.BY_HAND)] == []
    assert {smoke.FIRST, smoke.LAST} < {step.section for step in STEPS}


def shell(command: str, folder: Path, given: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = ["bash", "-uc", smoke.PREAMBLE + command]
    variables = {**os.environ, **smoke.variables(GIVEN), **(given or {}), "PATH": path}
    return subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"line {step.line}")
def test_each_command_is_one_that_bash_reads(step: Step) -> None:
    done = subprocess.run(["bash", "-n", "-c", smoke.PREAMBLE + step.command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def stand_in(folder: Path, name: str, line: str = "") -> None:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(f"#!/bin/bash\n{line}\n")
    (folder / "bin" / name).chmod(0o755)


def test_each_command_of_esteiras_is_one_that_its_command_line_reads(tmp_path: Path) -> None:
    """Bash gives every row's commands to a program that only writes down what it was asked."""
    stand_in(tmp_path, "esteira", 'echo "$ROW $(printf "%q " "$@")" >>calls')
    for name in ("docker", "kubectl", "make", "gzip"):
        stand_in(tmp_path, name)
    others = ("gcloud", "bq", "curl", "sleep", "python3", "sed", "xargs", "change", "google", "place", "row", "kill")
    quiet = " ".join(f"{name}() {{ :; }};" for name in others)
    rows = "".join(f"export ROW={step.line}; ( {step.command}\n)\n" for step in STEPS)
    shell(f"set +u; {quiet} newest() {{ echo RUN; }}; {rows}", tmp_path, {"ESTEIRA": str(tmp_path)})
    calls = [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert {int(line) for line, *_ in calls} >= {step.line for step in STEPS if re.search(r"\besteira ", step.command)}
    root = typer.main.get_command(cli.app)
    asleep(root)
    for line, *words in calls:
        try:
            root.main(words, standalone_mode=False)
        except Exception as error:
            pytest.fail(f"line {line}: esteira {shlex.join(words)}: {error}")


def asleep(command: Any) -> None:
    """Lets a command read its arguments, and do nothing."""
    for one in getattr(command, "commands", {}).values():
        asleep(one)
    if not hasattr(command, "commands"):
        command.callback = lambda **_: None


def test_a_key_is_laid_over_a_file_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smoke.prepare(tmp_path, smoke.variables(GIVEN))
    home = tmp_path / "cases" / "flights"
    before = case_file.load(home)
    over = "{model: {seed: 8}, resources: {train: {memory: 1G}}}"
    assert shell(f"change cases/flights/case.yaml '{over}'", tmp_path).stderr == ""
    after = case_file.load(home)
    assert (after.model.seed, after.resources["train"].memory) == (8, "1G")
    shell("change cases/flights/case.yaml '{model: {seed: 7}, resources: null}'", tmp_path)
    assert case_file.load(home) == before
    assert list(case_file.load(home).columns) == list(before.columns)


def test_what_stands_for_the_case_is_called_as_the_adapters_call_it(tmp_path: Path) -> None:
    smoke.prepare(tmp_path, smoke.variables(GIVEN))
    ports = Connected(profiles.load("cloud", tmp_path / "profiles"))
    name = shell("place", tmp_path).stdout
    assert ports.endpoints.resource("flights").endswith(f"/endpoints/{name}")
    assert ports.registry.resource("flights", 1).endswith(f"/models/{name}@1")


def test_a_request_of_one_row_has_the_cases_inputs(tmp_path: Path) -> None:
    smoke.prepare(tmp_path, smoke.variables(GIVEN))
    [instance] = json.loads(shell("row", tmp_path).stdout)["instances"]
    assert tuple(instance) == case_file.load(FLIGHTS).inputs


def test_a_folder_is_made_for_the_commands_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "by hand"
    assert smoke.main(["--prepare", str(place)], GIVEN) == 0
    told = capsys.readouterr().out.strip()
    done = subprocess.run(["bash", "-c", f"{told}; echo $KEY $BUCKET; type -t newest"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["smoke-1 my-bucket", "function"], done.stderr
    assert smoke.main(["--prepare", str(place)], GIVEN) == CaseError.exit_code
    assert f"smoke: '--prepare' must be a new folder. Got {str(place)!r}." in capsys.readouterr().err


def test_a_dry_run_prints_each_command_and_runs_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    assert smoke.main(["--dry-run"], GIVEN | {"KUBEFLOW_HOST": "https://kfp"}) == 0
    told = capsys.readouterr().out
    assert [step.claim for step in STEPS if f"# {step.section}: {step.claim}\n" not in told] == []
    assert [step.line for step in STEPS if (step.shown if step.by_hand else step.command) not in told] == []


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
        profile: dict[str, Any] = {"vertex": at, "blobs": {"adapter": "google", "at": f"gs://esteira/{key}"}}
        profile |= {
            "tracking": {"adapter": "google"},
            "registry": {"adapter": "google"},
            "tables": {"adapter": "google", "at": f"{PROJECT}.smoke"},
        }
        profile |= {"endpoints": {"image": released.IMAGES["esteira-pipeline"]}, "sources": f"gs://esteira/{key}"}
        profile["emulators"] = {"storage": f"http://{os.environ['ESTEIRA_GCS']}"}
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "cloud.yaml").write_text(yaml.safe_dump(profile))
        given = GIVEN | {"PROJECT": PROJECT, "REGION": REGION, "BUCKET": "esteira", "KEY": key}
        line = [sys.executable, "-m", "pipelines.launch.smoke", "--folder", str(tmp_path), "--only", "on Vertex AI"]
        done = subprocess.run(line, env=os.environ | given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    proved = [step.claim for step in STEPS if not step.by_hand and "on Vertex AI" in step.section]
    assert [claim for claim in proved if f"✓ {claim}" not in done.stdout] == []
    assert sorted(job.state.name for job in service.jobs.values()) == [
        "PIPELINE_STATE_CANCELLED",
        "PIPELINE_STATE_SUCCEEDED",
    ]
    assert service.schedules == {}
