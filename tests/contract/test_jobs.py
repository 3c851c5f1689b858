"""What holds of every `ports.Jobs`: in this process, on Beam's portable job service, and on Dataflow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp.dataflow import DataflowJobs
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.jobs import BeamJobs
from components.adapters.ports import Jobs
from components.core.errors import RunError
from components.core.profile import Profile
from components.core.sections import Jobs as Settings
from tests import prism
from tests.servers.dataflow import PROJECT, REGION, serving
from tests.servers.dataflow_workers import working

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's own imports warn
    import apache_beam as beam
    from apache_beam.runners.dataflow import dataflow_runner  # noqa: F401

pytestmark = pytest.mark.slow
PORTABLE = [
    pytest.mark.servers,
    pytest.mark.skipif(not prism.PRISM, reason="ESTEIRA_PRISM names no job service (host:port of Prism)"),
]


@dataclass(frozen=True)
class Runner:
    name: str
    jobs: Jobs


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with prism.workers(tmp_path_factory.mktemp("pool") / "empty") as options:
        yield options


@pytest.fixture(params=["FnApiRunner", pytest.param("PortableRunner", marks=PORTABLE), "DataflowRunner"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    name: str = request.param
    if name == "FnApiRunner":
        yield Runner(name, BeamJobs(Settings()))
    elif name == "PortableRunner":
        options = request.getfixturevalue("pool")
        yield Runner(name, BeamJobs(Settings(runner="PortableRunner", options=options)))
    else:
        with serving() as (server, service):
            blobs, place = FileBlobs(tmp_path / "blobs"), "gs://bucket/esteira"
            service.course = working(lambda url: blobs.read(url.removeprefix(f"{place}/"))[0])
            at = {"project": PROJECT, "region": REGION, "image": f"e@sha256:{'a' * 64}", "endpoint": server.address}
            settings = {"runner": name, "dataflow": at}
            profile = Profile.model_validate({"blobs": {"adapter": "google", "at": place}, "jobs": settings})
            yield Runner(name, DataflowJobs(profile, blobs, pace=0.0))


def _write(place: Path) -> Callable[[Any], None]:
    def build(pipeline: Any) -> None:
        squares = pipeline | beam.Create([1, 2, 3]) | beam.Map(lambda n: n * n)
        _ = squares | beam.combiners.ToList() | beam.Map(lambda found: place.write_text(str(sorted(found))))

    return build


def test_run_returns_when_the_job_has_succeeded(runner: Runner, tmp_path: Path) -> None:
    runner.jobs.run(_write(tmp_path / "squares"), name="squares")
    assert (tmp_path / "squares").read_text() == "[1, 4, 9]"


def test_what_a_worker_raises_is_a_run_error_that_names_job_and_runner(runner: Runner) -> None:
    def build(pipeline: Any) -> None:
        _ = pipeline | beam.Create([1]) | "divide" >> beam.Map(lambda n: n / 0)

    with pytest.raises(RunError) as caught:
        runner.jobs.run(build, name="quotients")
    message = str(caught.value)
    assert f"'quotients' must succeed on {runner.name}. Got \"" in message
    assert "ZeroDivisionError: division by zero [while running 'divide" in message
    assert "See the log above" in message
    assert message.endswith("the runner and its options stand in the profile's 'jobs'.")


def test_jobs_of_one_name_with_other_keys_are_others(runner: Runner, tmp_path: Path) -> None:
    for key in ("one", "two"):
        runner.jobs.run(_write(tmp_path / key), name="squares", key=key)
    assert [(tmp_path / key).read_text() for key in ("one", "two")] == ["[1, 4, 9]"] * 2


def test_the_runner_is_named_so_that_beam_downloads_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named: list[Any] = []
    plain = beam.Pipeline.__init__

    def init(self: Any, runner: Any = None, options: Any = None) -> None:
        named.append(runner)
        plain(self, runner=runner, options=options)

    monkeypatch.setattr(beam.Pipeline, "__init__", init)
    BeamJobs(Settings()).run(_write(tmp_path / "squares"), name="squares")
    assert named == ["FnApiRunner"]
