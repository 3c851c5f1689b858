"""A compiled pipeline over the images gives what it gives over the prebuilt environments."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.containers, pytest.mark.slow]

PROFILE = """
containers:
  network: host
  user: "10001:10001"
  ulimits: {nofile: [1024, 4096], nproc: [1024, 4096]}
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ran(flights_sample: Path, references: dict[str, str]) -> Run:
    """Runs batch of the flights case on the sample; the record, as JSON."""
    (flights_sample / "profiles").mkdir(exist_ok=True)
    (flights_sample / "profiles" / "contained.yaml").write_text(PROFILE)
    subprocess.run(["chmod", "-R", "a+rX", flights_sample, *flights_sample.parents[:2]], check=True)

    def run(root: str, *more: str) -> dict[str, Any]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("ESTEIRA_", "PYTHON"))}
        variables = {**own, "ESTEIRA_ROOT": str(flights_sample / root), "PYTHONPATH": str(REPOSITORY)}
        line = [sys.executable, "-m", "pipelines.cli", "run", "flights", "batch", "--json", *more]
        # What the launcher makes, the containers' user must be able to write into.
        done = subprocess.run(line, cwd=flights_sample, env=variables, capture_output=True, text=True, umask=0)
        assert done.returncode == 0, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def identities(root: Path) -> dict[str, str]:
    """Of each artifact by step and name its digest; of the model its identity: skops' bytes hold times."""
    found = {}
    for path in sorted(root.glob("artifacts/*/*/*/_manifest.json")):
        name = f"{path.parents[1].name}/{path.parent.name}"
        described = path.with_name("model.json")
        data = json.loads(described.read_text()) if described.exists() else json.loads(path.read_text())
        found[name] = str(data["identity"] if described.exists() else data["digest"])
    return found


def test_batch_over_images_is_batch_over_environments(ran: Run, flights_sample: Path) -> None:
    images = ("--runner", "docker", "--images", str(REPOSITORY / "build/digests.json"), "--profile", "contained")
    with ThreadPoolExecutor(2) as pool:
        contained, plain = pool.map(lambda asked: ran(*asked), [("contained", *images), ("plain",)])
    assert {name: step["state"] for name, step in contained["steps"].items()} == dict.fromkeys(
        contained["route"], "done"
    )
    assert contained["bundle"] == plain["bundle"]
    first, second = identities(flights_sample / "contained"), identities(flights_sample / "plain")
    assert first.keys() == second.keys()
    assert len(first) >= 8
    # Statistics are equal by value; their bytes are where both environments have one release of TFDV.
    assert {name for name in first if first[name] != second[name]} <= {"validate/statistics"}
    for step in ("train", "evaluate", "deploy"):
        assert contained["steps"][step]["parameters"] == plain["steps"][step]["parameters"]
    owners = {path.stat().st_uid for path in (flights_sample / "contained" / "artifacts").rglob("_manifest.json")}
    assert owners == {10001}
