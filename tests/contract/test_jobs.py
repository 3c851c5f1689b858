"""What holds of every `ports.Jobs`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.adapters.local.jobs import BeamJobs
from components.adapters.ports import Jobs
from components.core.errors import RunError
from components.core.profile import Jobs as Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's own imports warn
    import apache_beam as beam

pytestmark = pytest.mark.slow


@pytest.fixture(params=[BeamJobs(Settings())], ids=["FnApiRunner"])
def jobs(request: pytest.FixtureRequest) -> Jobs:
    found: Jobs = request.param
    return found


def _write(place: Path) -> Callable[[Any], None]:
    def build(pipeline: Any) -> None:
        squares = pipeline | beam.Create([1, 2, 3]) | beam.Map(lambda n: n * n)
        _ = squares | beam.combiners.ToList() | beam.Map(lambda found: place.write_text(str(sorted(found))))

    return build


def test_run_returns_when_the_job_has_succeeded(jobs: Jobs, tmp_path: Path) -> None:
    jobs.run(_write(tmp_path / "squares"), name="squares")
    assert (tmp_path / "squares").read_text() == "[1, 4, 9]"


def test_what_a_worker_raises_is_a_run_error_that_names_job_and_runner(jobs: Jobs) -> None:
    def build(pipeline: Any) -> None:
        _ = pipeline | beam.Create([1]) | "divide" >> beam.Map(lambda n: n / 0)

    with pytest.raises(RunError) as caught:
        jobs.run(build, name="quotients")
    message = str(caught.value)
    assert message.startswith("'quotients' must succeed on FnApiRunner. Got \"")
    assert "ZeroDivisionError: division by zero [while running 'divide" in message
    assert message.endswith("See the log above; the runner and its options stand in the profile's 'jobs'.")


def test_the_runner_is_named_so_that_beam_downloads_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named: list[Any] = []
    plain = beam.Pipeline.__init__

    def init(self: Any, runner: Any = None, options: Any = None) -> None:
        named.append(runner)
        plain(self, runner=runner, options=options)

    monkeypatch.setattr(beam.Pipeline, "__init__", init)
    BeamJobs(Settings()).run(_write(tmp_path / "squares"), name="squares")
    assert named == ["FnApiRunner"]
