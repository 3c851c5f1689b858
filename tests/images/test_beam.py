"""Beam's boot in the image, as Dataflow starts it: it finds Beam without pip, and its worker runs our code."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.images.conftest import LOCKED, free, until_listening

pytestmark = [pytest.mark.containers, pytest.mark.slow]

# In a process of its own: Beam leaves threads and channels behind.
JOB = """
import sys
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

def tell(element):
    import os, pathlib, sys
    from components.core import errors
    pathlib.Path("/told/worker").write_text(f"{element} {os.getuid()} {errors.__file__} {sys.prefix}")

options = PipelineOptions(
    [
        "--runner=PortableRunner",
        f"--job_endpoint=127.0.0.1:{sys.argv[1]}",
        "--environment_type=EXTERNAL",
        f"--environment_config=127.0.0.1:{sys.argv[2]}",
        "--sdk_location=container",
    ]
)
with beam.Pipeline(options=options) as p:
    p | beam.Create(["hello"]) | beam.Map(tell)
"""


@pytest.fixture
def job_service() -> Iterator[int]:
    """Prism's port."""
    port = free()
    line = [REPOSITORY / ".tools" / "prism", "--job_port", str(port), "--web_port", "0", "--serve_http=false"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_listening(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def test_a_worker_starts_in_the_image_and_runs_our_code(
    references: dict[str, str], job_service: int, tmp_path: Path
) -> None:
    told, name, pool = tmp_path / "told", f"esteira-test-{uuid.uuid4().hex[:8]}", 50_000
    told.mkdir(mode=0o777)
    told.chmod(0o777)
    line = ["podman", "run", "--detach", "--name", name, "--network=host", *LOCKED, "--volume", f"{told}:/told"]
    try:
        subprocess.run([*line, references["esteira-pipeline"], "--worker_pool"], check=True, capture_output=True)
        until_listening(pool)
        job = [sys.executable, "-c", JOB, str(job_service), str(pool)]
        done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        said = subprocess.run(["podman", "logs", name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:] + said.stdout + said.stderr
        assert (told / "worker").read_text() == "hello 10001 /opt/esteira/components/core/errors.py /opt/venv"
    finally:
        subprocess.run(["podman", "rm", "--force", name], check=True, capture_output=True)
