"""What Beam leaves in the temporary directory is gone with the job."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp import dataflow_graph
from components.adapters.gcp.dataflow_graph import Wanted
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.jobs import BeamJobs
from components.core.profile import Profile
from components.core.sections import Jobs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's own imports warn
    import apache_beam as beam
    from apache_beam.runners.dataflow import dataflow_runner  # noqa: F401  # here, where its warnings are not heard

pytestmark = pytest.mark.slow
DATAFLOW = {"project": "esteira-test", "region": "europe-west1", "image": f"e@sha256:{'a' * 64}"}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def numbers(pipeline: Any) -> None:
    _ = pipeline | beam.Create([1, 2, 3]) | beam.Map(print)


def test_a_job_that_ran_here_leaves_nothing(temporary: Path) -> None:
    BeamJobs(Jobs()).run(numbers, name="numbers")
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)


def test_one_whose_pipeline_cannot_be_built_leaves_nothing(temporary: Path) -> None:
    def broken(pipeline: Any) -> None:
        assert list(temporary.glob("*/beam-pipeline-temp*")), "Beam makes it no more: no test of its removal"
        raise ValueError("no pipeline")

    with pytest.raises(ValueError, match="no pipeline"):
        BeamJobs(Jobs()).run(broken, name="broken")
    assert list(temporary.iterdir()) == []


def test_a_graph_for_dataflow_leaves_nothing(temporary: Path, tmp_path: Path) -> None:
    profile = Profile.model_validate(
        {
            "root": str(tmp_path),
            "blobs": {"adapter": "google", "at": "gs://bucket/esteira"},
            "jobs": {"dataflow": DATAFLOW},
        }
    )
    dataflow_graph.job(numbers, Wanted("numbers", "k", request="r"), profile, FileBlobs(tmp_path / "blobs"))
    assert list(temporary.iterdir()) == []
