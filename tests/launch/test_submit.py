"""`esteira submit` and `esteira runs` as a person gives them, against servers that keep the clouds' APIs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from components.adapters.gcp import vertex as gcp
from components.adapters.kubeflow import caller
from components.adapters.local.blobs import FileBlobs
from components.adapters.runs import Asked
from components.core import profile as profiles
from components.core.errors import CaseError, ConflictError, RunError, SetupError
from components.core.record import StepRecord, step_path
from pipelines import cli
from pipelines.launch import submit
from tests.conftest import FLIGHTS, REPOSITORY
from tests.servers import released
from tests.servers.frames import Frame
from tests.servers.http import Fault, Server
from tests.servers.kubeflow.server import kubeflow
from tests.servers.vertex.server import PROJECT, REGION, vertex

pytestmark = pytest.mark.slow
SECRET = "planted-4f1d2c9b8a7e6d5c"


@dataclass
class Desk:
    """A folder with a case, its release and a profile for a target, and the commands given in it."""

    folder: Path
    target: str
    server: Server
    service: Any
    create: str

    def give(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    def submit(self, *more: str) -> Result:
        fixed = ("submit", "cases/flights", "batch", "--to", self.target, "--profile", "cloud", "--every", "0")
        return self.give(*fixed, "--allow-local-blobs", *more)

    def profile(self, **change: Any) -> None:
        path = self.folder / "profiles" / "cloud.yaml"
        data = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(data | change))

    def made(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service.jobs if self.target == "vertex" else self.service.runs
        return found

    def course(self, *frames: Frame) -> None:
        self.service.course = lambda id: list(frames)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights' release, made once."""
    folder = tmp_path_factory.mktemp("released")
    return released.make(folder / "release", FLIGHTS, profiles.Profile(root=str(folder / "esteira")))


@pytest.fixture
def desk(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Server, Any], Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESTEIRA_ROOT", raising=False)
    monkeypatch.setenv("ESTEIRA_KUBEFLOW_TOKEN", SECRET)
    monkeypatch.setenv("ESTEIRA_TOKEN", SECRET)
    monkeypatch.setattr(gcp, "_PATIENCE", released.IMPATIENT)
    monkeypatch.setattr(caller, "_PATIENCE", released.IMPATIENT)
    shutil.copytree(FLIGHTS, tmp_path / "cases" / "flights")
    shutil.copytree(release, tmp_path / "release")
    (tmp_path / "profiles").mkdir()

    def make(target: str, server: Server, service: Any) -> Desk:
        at = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira-test/runs"}
        sections = {"vertex": {**at, "endpoint": server.address}, "kubeflow": {"host": server.address}}
        (tmp_path / "profiles" / "cloud.yaml").write_text(yaml.safe_dump({target: sections[target]}))
        create = r"POST .*/pipelineJobs$" if target == "vertex" else r"POST .*/runs$"
        return Desk(tmp_path, target, server, service, create)

    return make


@pytest.fixture
def on_vertex(desk: Callable[..., Desk]) -> Iterator[Desk]:
    with vertex() as (server, service):
        yield desk("vertex", server, service)


@pytest.fixture
def on_kubeflow(desk: Callable[..., Desk]) -> Iterator[Desk]:
    with kubeflow() as (server, service):
        service.token = SECRET
        yield desk("kubeflow", server, service)


@pytest.fixture(params=["on_vertex", "on_kubeflow"])
def both(request: pytest.FixtureRequest) -> Desk:
    found: Desk = request.getfixturevalue(request.param)
    return found


def test_a_run_is_started_with_the_stored_case_and_shown(both: Desk) -> None:
    result = both.submit("--key", "3f1c2ab")
    assert result.exit_code == 0, result.output
    (run,) = both.made().values()
    assert "key      3f1c2ab\n" in result.output
    assert re.search(r"console  http\S+", result.output)
    config = run.runtime_config.parameter_values if both.target == "vertex" else run["runtime_config"]["parameters"]
    bundle = dict(config)["bundle"]
    assert (both.folder / ".esteira" / "blobs" / "bundles" / bundle).is_dir()


def test_the_key_is_printed_and_the_same_one_finds_the_run(both: Desk) -> None:
    first = both.submit()
    key = re.search(r"key      (\w+)", first.output)
    assert key
    again = both.submit("--key", key[1])
    assert "(found: the key has it already)" in again.output
    assert len(both.made()) == 1
    assert both.submit().exit_code == 0
    assert len(both.made()) == 2


def test_a_submit_that_timed_out_after_the_server_accepted_it_finds_its_run(both: Desk) -> None:
    both.server.faults.append(Fault(both.create))
    result = both.submit("--key", "k")
    assert result.exit_code == 0, result.output
    assert len(both.made()) == 1


def test_waiting_tells_each_change_and_ends_with_the_run(both: Desk) -> None:
    both.course(
        Frame("RUNNING", {"ingest": "RUNNING"}),
        Frame("RUNNING", {"ingest": "SUCCEEDED", "validate": "RUNNING"}),
        Frame("RUNNING", {"ingest": "SUCCEEDED", "validate": "RUNNING"}),
        Frame("SUCCEEDED", {"ingest": "SUCCEEDED", "validate": "SUCCEEDED"}),
    )
    result = both.submit("--wait")
    assert result.exit_code == 0, result.output
    told = [" ".join(line.split()[:3]) for line in result.output.splitlines() if line[:1] in "…✓✗"]
    assert told == [
        "… ingest running",
        "… run running",
        "✓ ingest done",
        "… validate running",
        "✓ validate done",
        "✓ run done",
    ]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (StepRecord("train", "failed", 1.0, 2.0, error="'rows' must be more."), "train: 'rows' must be more.\n"),
        (
            StepRecord("train", "running", 1.0),
            "Killed before it ended. If memory ran out, raise resources.train.memory",
        ),
    ],
)
def test_a_failed_run_ends_with_what_its_step_wrote_the_log_and_exit_code_8(
    both: Desk, record: StepRecord, text: str
) -> None:
    name = Asked("batch", "flights", "k", {}, {}).id
    FileBlobs(both.folder / ".esteira" / "blobs").write(step_path(name, "train"), record.to_json())
    both.course(Frame("RUNNING"), Frame("FAILED", {"train": "FAILED"}))
    result = both.submit("--key", "k", "--wait")
    assert result.exit_code == RunError.exit_code
    assert "✗ run            failed" in result.output
    assert text in result.output
    assert re.search(r"log: http\S+", result.output)


def test_memory_that_ran_out_in_vertexs_words_names_the_key(on_vertex: Desk) -> None:
    words = "The replica workerpool0-0 ran out-of-memory and exited with a non-zero status of 137."
    on_vertex.course(Frame("RUNNING"), Frame("FAILED", {"train": "FAILED"}, words))
    output = on_vertex.submit("--wait").output
    assert f"train: {words} If memory ran out, raise resources.train.memory in the case.\n" in output


def test_a_run_that_somebody_cancels_ends_the_waiting(both: Desk) -> None:
    both.course(Frame("RUNNING"), Frame("CANCELLING"), Frame("CANCELLED"))
    result = both.submit("--wait")
    assert result.exit_code == RunError.exit_code
    assert "✗ run            cancelled" in result.output


def test_ctrl_c_stops_following_and_not_the_run(both: Desk) -> None:
    both.course(*[Frame("RUNNING")] * 1000)
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.cli", "submit", "cases/flights", "batch", "--wait"]
    command += ["--to", both.target, "--profile", "cloud", "--allow-local-blobs", "--every", "0.05"]
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables, cwd=both.folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("… run"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    ((id, run),) = both.made().items()
    on = f"--on {both.target} --profile cloud --wait"
    assert f"not followed any more; it goes on: esteira runs show {id} {on}" in rest
    assert both.server.called("terminate|cancel") == 0
    assert (run["state"] if both.target == "kubeflow" else run.state.name).endswith("RUNNING")


def test_runs_are_listed_shown_cancelled_and_retried(both: Desk) -> None:
    both.course(*[Frame("RUNNING", {"ingest": "RUNNING"})] * 2)
    both.submit("--key", "one")
    (id,) = both.made()
    on = ("--on", both.target, "--profile", "cloud")
    listed = both.give("runs", "list", *on)
    assert id in listed.output
    assert "one" in listed.output
    assert "ingest" in both.give("runs", "show", id, *on).output
    assert json.loads(both.give("runs", "show", *on, "--json").output)["id"] == id
    assert "cancelling" in both.give("runs", "cancel", id, *on).output
    shown = both.give("runs", "show", id, *on, "--wait", "--every", "0")
    assert (shown.exit_code, "cancelled" in shown.output) == (RunError.exit_code, True)
    both.service.course = None
    retried = both.give("runs", "retry", id, *on, "--wait", "--every", "0")
    assert retried.exit_code == 0, retried.output
    assert len(both.made()) == (2 if both.target == "vertex" else 1)


def test_the_same_key_for_a_changed_case_is_a_conflict_that_makes_nothing(both: Desk) -> None:
    both.submit("--key", "k")
    both.profile(sources="elsewhere")
    result = both.submit("--key", "k")
    assert isinstance(result.exception, ConflictError)
    assert "Got 'other parameters: profile'" in str(result.exception)
    assert len(both.made()) == 1


def test_no_secret_goes_anywhere(both: Desk) -> None:
    result = both.submit("--wait")
    assert result.exit_code == 0, result.output
    written = [path.read_bytes() for path in both.folder.rglob("*") if path.is_file()]
    assert SECRET not in both.server.everything() + result.output + repr(both.made())
    assert not any(SECRET.encode() in data for data in written)


@pytest.mark.parametrize(
    "change",
    [
        {"tracking": {"at": f"http://u:{SECRET}@mlflow"}},
        {"tracking": {"at": f"http://mlflow?token={SECRET}"}},
        {"kubeflow": {"host": f"https://u:{SECRET}@kfp"}},
        {"kubeflow": {"host": f"https://kfp?access_token={SECRET}"}},
    ],
)
def test_a_token_in_the_profiles_address_is_refused_without_being_told(on_kubeflow: Desk, change: Any) -> None:
    on_kubeflow.profile(**change)
    result = on_kubeflow.submit()
    assert isinstance(result.exception, CaseError)
    assert "hold no credentials in" in str(result.exception)
    assert SECRET not in str(result.exception) + result.output
    assert on_kubeflow.server.seen == []


# Refused before anything is made


def nothing_made(desk: Desk) -> bool:
    changes = [r for r in desk.server.seen if r.method != "GET"]
    return not changes and not (desk.folder / ".esteira").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--to", "mars"], "'--to' must be one of vertex, kubeflow. Got 'mars'."),
        ([], "'--to' must name vertex or kubeflow once"),
        (["--to", "vertex", "--key", "a b"], "'--key' must be 1 to 80 letters, digits or . _ : / + -"),
        (["--to", "vertex", "--release", "none"], "'--release' must be a release with a manifest.json. Got 'none'."),
        (["--to", "vertex", "--release", "none"], "--images build/digests.json --out none --profile cloud"),
        (["--to", "vertex", "--release", "a b"], "--images build/digests.json --out 'a b' --profile cloud"),
        (["--to", "vertex", "--from", "2013-01-01"], "'--from and --to' must both be given"),
        (["--to", "kubeflow"], "profile: 'kubeflow' must be a section with a host."),
        (["--to", "vertex"], "'profile.blobs' must be reachable from vertex."),
    ],
)
def test_what_is_asked_wrongly_is_refused(on_vertex: Desk, arguments: list[str], text: str) -> None:
    result = on_vertex.give("submit", "cases/flights", "batch", "--profile", "cloud", *arguments)
    assert isinstance(result.exception, CaseError | SetupError), result.output
    assert text in str(result.exception)
    assert nothing_made(on_vertex)


@pytest.mark.parametrize("missing", ["project", "region", "pipeline_root"])
def test_a_profile_without_project_region_or_root_is_refused_by_its_key(on_vertex: Desk, missing: str) -> None:
    whole = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira-test/runs"}
    del whole[missing]
    on_vertex.profile(vertex=whole)
    result = on_vertex.submit()
    assert isinstance(result.exception, CaseError)
    assert f"cloud.yaml: 'vertex.{missing}' must be given" in str(result.exception)
    assert nothing_made(on_vertex)


@pytest.mark.parametrize("command", [("submit", "cases/flights", "batch"), ("schedule", "apply", "cases/flights")])
def test_resources_that_the_target_cannot_give_are_refused_by_key(both: Desk, command: tuple[str, ...]) -> None:
    path = both.folder / "cases" / "flights" / "case.yaml"
    case = yaml.safe_load(path.read_text())
    more = {"resources": {"train": {"disk": "500G"}}, "schedules": {"nightly": {"cron": "0 4 * * *"}}}
    path.write_text(yaml.safe_dump(case | more, sort_keys=False))
    released.make(both.folder / "release", path.parent, profiles.Profile(root=str(both.folder.parent / "elsewhere")))
    result = both.give(*command, "--to", both.target, "--profile", "cloud", "--allow-local-blobs")
    assert isinstance(result.exception, CaseError), result.output
    assert "'resources.train.disk' must" in str(result.exception)
    assert nothing_made(both)


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_a_release_of_no_case_gives_the_steps_what_the_case_says(target: str, tmp_path: Path) -> None:
    shutil.copytree(FLIGHTS, tmp_path / "flights")
    with (tmp_path / "flights" / "case.yaml").open("a") as file:
        file.write("\nresources: {train: {memory: 16G, accelerator: {type: NVIDIA_L4}, time_limit: 2h}}\n")
    folder = released.make(tmp_path / "release", None, profiles.Profile())
    found = submit.ready(str(tmp_path / "flights"), "batch", folder, target, profiles.Profile()).spec
    container = found["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"]["memoryLimit"] == 16.0
    assert container["resources"]["accelerator"]["type"] == ("NVIDIA_L4" if target == "vertex" else "nvidia.com/gpu")
    assert container["env"] == [{"name": "ESTEIRA_TIME_LIMIT", "value": "7200"}]


def test_an_image_without_a_digest_is_refused(on_vertex: Desk) -> None:
    path = on_vertex.folder / "release" / "batch.yaml"
    path.write_text(path.read_text().replace(f"@sha256:{'a' * 64}", ":latest"))
    result = on_vertex.submit()
    assert isinstance(result.exception, CaseError)
    assert nothing_made(on_vertex)


def test_a_release_of_another_state_of_the_case_is_refused(on_vertex: Desk) -> None:
    case = on_vertex.folder / "cases" / "flights" / "case.yaml"
    case.write_text(case.read_text().replace("seed: 7", "seed: 8"))
    result = on_vertex.submit()
    assert isinstance(result.exception, CaseError)
    assert "'bundle' must be the case's own" in str(result.exception)
    assert nothing_made(on_vertex)


def test_a_release_of_another_case_is_refused(on_vertex: Desk) -> None:
    path = on_vertex.folder / "release" / "manifest.json"
    path.write_text(path.read_text().replace('"case": "flights"', '"case": "houses"'))
    result = on_vertex.submit()
    assert isinstance(result.exception, CaseError)
    remedy = "Make one of flights: esteira compile flights --images build/digests.json --out release --profile cloud"
    assert str(result.exception) == f"release: 'case' must be flights. Got 'houses'. {remedy}"
    assert nothing_made(on_vertex)


def test_a_region_without_the_service_is_refused(on_vertex: Desk) -> None:
    at = {
        "project": PROJECT,
        "region": "mars-north1",
        "pipeline_root": "gs://b-b/r",
        "endpoint": on_vertex.server.address,
    }
    on_vertex.profile(vertex=at)
    result = on_vertex.submit()
    assert isinstance(result.exception, SetupError)
    assert "'vertex.region' must have the service" in str(result.exception)
    assert nothing_made(on_vertex)


def test_a_wrong_token_for_kubeflow_is_refused(on_kubeflow: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTEIRA_KUBEFLOW_TOKEN", "another-" + SECRET)
    result = on_kubeflow.submit()
    assert isinstance(result.exception, SetupError)
    assert "must be open to this caller" in str(result.exception)
    assert SECRET not in str(result.exception)
    assert nothing_made(on_kubeflow)


def test_a_kubeflow_that_does_not_listen_is_told(on_kubeflow: Desk) -> None:
    on_kubeflow.profile(kubeflow={"host": "http://127.0.0.1:9"})
    result = on_kubeflow.submit()
    assert isinstance(result.exception, SetupError)
    assert "'kubeflow.host' must answer. Got 'http://127.0.0.1:9'." in str(result.exception)


# Backfill


def test_a_range_is_backfilled_window_by_window_with_a_key_each(both: Desk) -> None:
    both.course(Frame("RUNNING"), Frame("SUCCEEDED"))
    window = ("--from", "2013-01-15", "--to", "2013-04-01")
    result = both.submit(*window, "--parallel", "2")
    assert result.exit_code == 0, result.output
    windows = [parameters(run) for run in both.made().values()]
    assert [(w["start"], w["stop"]) for w in windows] == [
        ("2013-01-15T00:00:00Z", "2013-02-01T00:00:00Z"),
        ("2013-02-01T00:00:00Z", "2013-03-01T00:00:00Z"),
        ("2013-03-01T00:00:00Z", "2013-04-01T00:00:00Z"),
    ]
    assert both.submit(*window).exit_code == 0
    assert len(both.made()) == 3


def parameters(run: Any) -> dict[str, Any]:
    return dict(run["runtime_config"]["parameters"] if isinstance(run, dict) else run.runtime_config.parameter_values)


def test_after_a_failed_window_no_other_begins(both: Desk) -> None:
    both.course(Frame("FAILED"))
    result = both.submit("--from", "2013-01-01", "--to", "2013-05-01", "--parallel", "1")
    assert isinstance(result.exception, RunError)
    assert "Got '4 of 4 are not'" in str(result.exception)
    assert f"`esteira runs retry RUN --on {both.target} --profile cloud`" in str(result.exception)
    assert len(both.made()) == 1
