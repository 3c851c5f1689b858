"""The same job on Dataflow's contract server: its task may be stopped, killed and tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp import dataflow as adapter
from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.clients import STORAGE_EMULATOR
from components.adapters.local.jobs import BeamJobs
from components.core import artifacts
from components.core.sections import Jobs
from components.preprocess import job, plan
from components.step import Launch
from tests.conftest import REPOSITORY
from tests.servers import http
from tests.servers.dataflow import PROJECT, REGION, Dataflow, Frame, serving
from tests.servers.dataflow_workers import working

from .conftest import Bench, parcels
from .test_period import spec_of

GCS = os.environ.get("ESTEIRA_GCS", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)"),
]
_TASK = """
import json, sys
from components.preprocess import task
from components.step import Launch
asked = json.loads(sys.argv[1])
task.run(Launch(**asked["launch"]), **asked["paths"])
"""


@dataclass
class Cloud:
    """A bench whose jobs go to the contract server, which does them as workers would."""

    bench: Bench
    server: http.Server
    service: Dataflow
    work: Callable[[Any], list[Frame]]

    def paths(self) -> dict[str, str]:
        return {**self.bench.paths(), "gcp_resources": str(self.resources)}

    @property
    def resources(self) -> Path:
        return self.bench.path("gcp_resources")

    def launch(self) -> Launch:
        return self.bench.launch()

    def run(self) -> None:
        from components.preprocess import task

        task.run(self.launch(), **self.paths())

    def process(self) -> subprocess.Popen[str]:
        """The task as a process, once its job is running; that one never ends by itself."""
        self.service.course = lambda _: [Frame("PENDING")] + [Frame("RUNNING")] * 1000
        asked = json.dumps({"launch": asdict(self.launch()), "paths": self.paths()})
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-c", _TASK, asked]
        task = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while "RUNNING" not in self.states() or not self.resources.is_file():
            assert task.poll() is None, task.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.service.course = self.work
        return task

    def states(self) -> list[str]:
        return [self.service.state(id) for id in list(self.service.jobs)]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(adapter, "PACE", 0.0)
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
    bench = Bench(tmp_path / "cloud")
    bench.root.mkdir()
    with serving() as (server, service):
        place = f"gs://esteira/{uuid.uuid4().hex}"
        at = {"project": PROJECT, "region": REGION, "image": f"e@sha256:{'a' * 64}", "endpoint": server.address}
        bench.jobs = {"runner": "DataflowRunner", "dataflow": at}
        bench.blobs = {"adapter": "google", "at": place}
        service.course = working(lambda url: CloudBlobs(place).read(url.removeprefix(f"{place}/"))[0])
        bench.give(parcels())
        yield Cloud(bench, server, service, service.course)


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, str]:
    """What the embedded runner publishes."""
    bench = Bench(tmp_path)
    bench.give(parcels())
    bench.run()
    return bench.digests()


def test_it_publishes_what_the_embedded_runner_does_and_names_the_job(cloud: Cloud, expected: dict[str, str]) -> None:
    cloud.run()
    assert cloud.bench.digests() == expected
    (id,) = cloud.service.jobs
    (named,) = json.loads(cloud.resources.read_text())["resources"]
    assert named["resourceUri"].endswith(f"/projects/{PROJECT}/locations/{REGION}/jobs/{id}")


def test_the_case_says_which_workers_and_how_many(cloud: Cloud) -> None:
    """Before the profile, which says what the case leaves out."""
    cloud.bench.jobs["dataflow"] |= {"machine_type": "n1-standard-1", "max_workers": 5}
    wanted = {"machine_type": "n2-standard-8", "workers": 2}
    cloud.bench.case["resources"] = {"preprocess": {"workers": wanted}}
    cloud.run()
    (job,) = cloud.service.jobs.values()
    (pool,) = job.environment.worker_pools
    assert (pool.machine_type, pool.num_workers, pool.autoscaling_settings.max_num_workers) == ("n2-standard-8", 2, 5)


def test_sigterm_cancels_the_job_and_another_attempt_starts_anew(cloud: Cloud, expected: dict[str, str]) -> None:
    task = cloud.process()
    task.send_signal(signal.SIGTERM)
    assert "KeyboardInterrupt: signal 15" in task.communicate()[1]
    assert task.returncode == 1
    assert cloud.states() == ["CANCELLING"]
    assert cloud.bench.published() == []
    cloud.run()
    assert cloud.states() == ["CANCELLED", "DONE"]
    assert cloud.bench.digests() == expected


def test_a_task_that_is_tried_again_goes_on_with_the_job_it_started(cloud: Cloud, expected: dict[str, str]) -> None:
    """It was killed before it could write down which one that is."""
    task = cloud.process()
    task.kill()
    task.communicate()
    (id,) = cloud.service.jobs
    cloud.resources.unlink()
    cloud.service.frames[id] = cloud.work(cloud.service.jobs[id])  # meanwhile the workers go on
    cloud.run()
    assert cloud.states() == ["DONE"]
    assert cloud.bench.digests() == expected
    assert id in cloud.resources.read_text()


def test_a_task_that_failed_after_its_job_reads_the_same_job_again(cloud: Cloud) -> None:
    cloud.bench.give(parcels(hours=None))
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            cloud.run()
        assert caught.value.code == 3
    assert cloud.states() == ["DONE"]


def test_workers_without_a_mount_fetch_and_bring_what_a_period_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
    bench, far = Bench(tmp_path), f"esteira/{uuid.uuid4().hex}"
    manifest = bench.give(parcels(), shard_rows=20)
    launch, blobs = bench.launch(), CloudBlobs(f"gs://{far}")
    for name in ("events", "references"):
        for path in (path for path in bench.path(name).rglob("*") if path.is_file()):
            blobs.write(f"{name}/{path.relative_to(bench.path(name))}", path.read_bytes())
    here = spec_of(bench, launch, "out")
    Path(here.job).mkdir(parents=True)
    names = ("events", "references", "features", "holdout", "score", "job")
    paths: dict[str, Any] = {name: f"/gcs/{far}/{name}" for name in names}
    there = replace(here, **paths)
    elements = plan.elements(bench.parsed(), bench.path("events"), manifest, "train")
    for spec in (here, there):
        BeamJobs(Jobs()).run(job.build(spec, elements), name="preprocess")
    assert json.loads(blobs.read("job/outcomes.json")[0]) == json.loads((Path(here.job) / "outcomes.json").read_text())
    for outcome in job.outcomes(here, elements):
        name = plan.PUBLISHED[outcome.use]
        for shard in outcome.partition.shards:
            assert artifacts.sha256(blobs.read(f"{name}/{shard.path}")[0]) == shard.sha256
