"""Each step's own script in a clean checkout: what a commit, a pull request and a release tag do, here.

What main's own continuous integration gives itself, in a clean checkout too, is asked for and not run: check, test, and
the images, which need an engine and a registry. Environments are taken as made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.infra import build_files
from tests.servers import released
from tests.servers.frames import Frame
from tests.servers.vertex.server import PROJECT, REGION, vertex

ELSEWHERE = {"check", "test", "images", "push", ".tools/image/boot", ".tools/prism"}
LEFT_OUT = (".venvs", ".tools", "data", "build", "release", ".esteira", ".git", ".*_cache", "__pycache__", "profiles")
MADE = (".venvs/launcher/.stamp", ".venvs/dev/.stamp", ".tools/uv/bin/uv")
COMMIT = "3f1c2ab9" * 5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif("ESTEIRA_GCS" not in os.environ, reason="no fake-gcs-server: make servers"),
]


@dataclass
class Builds:
    """A checkout, and what all of a project's builds share: the store, and the cache of one machine after another."""

    checkout: Path
    shared: Path
    ran: list[str] = field(default_factory=list)

    def run(self, file: str) -> None:
        """Every step of a build, in its order, by its own script."""
        build = build_files.parse(REPOSITORY / file)
        given: dict[str, Any] = {**dict.fromkeys(build_files.GIVEN, "x"), "COMMIT_SHA": COMMIT}
        given |= build["substitutions"] | {"_STORE": str(self.shared / "store")}
        for step in build["steps"]:
            wanted = {word for call in re.findall(r"make (.+)$", step["script"], re.M) for word in call.split()}
            skip = {"MAKEFLAGS": "n"} if wanted & ELSEWHERE else {}
            line = ["bash", "-c", step["script"]]
            whole = {**os.environ, **given, **self._own(), **skip}
            done = subprocess.run(line, cwd=self.checkout, env=whole, capture_output=True, text=True)
            assert done.returncode == 0, f"{file}, {step['id']}: {done.stdout}{done.stderr}"
            self.ran.append(step["id"])

    def _own(self) -> dict[str, str]:
        """Our code is the checkout's; make takes environments as made, and Debian's packages as there."""
        tools = self.shared / "bin"
        if not tools.exists():
            tools.mkdir(parents=True)
            old = " ".join(f"-o {name}" for name in MADE)
            (tools / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} {old} "$@"\n')
            (tools / "dpkg").write_text("#!/bin/sh\nexit 0\n")
            for tool in tools.iterdir():
                tool.chmod(0o755)
        cache = self.shared / "cache"
        cache.mkdir(exist_ok=True)
        return {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),
            "UV_CACHE_DIR": str(cache),
            "STORAGE_EMULATOR_HOST": f"http://{os.environ['ESTEIRA_GCS']}",
        }


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    checkout = tmp_path / "checkout"
    shutil.copytree(REPOSITORY, checkout, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    for made in (".venvs", ".tools"):
        (checkout / made).symlink_to(REPOSITORY / made)
    return Builds(checkout, tmp_path / "shared")


@pytest.fixture
def targets(builds: Builds) -> Iterator[Any]:
    """Vertex, and the profiles that a user's own repository has for it."""
    with vertex() as (server, service):
        service.course = lambda id: [Frame("SUCCEEDED")]
        at = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/builds", "endpoint": server.address}
        profile = {
            "vertex": at,
            "blobs": {"adapter": "google", "at": f"gs://esteira/builds-{os.getpid()}"},
            "tracking": {"adapter": "none"},
            "tables": {"adapter": "google", "at": "esteira.esteira"},
            "registry": {"adapter": "google"},
            "sources": "gs://esteira/builds",
        }
        (builds.checkout / "profiles").mkdir()
        for name in ("dev", "prod"):
            (builds.checkout / "profiles" / f"{name}.yaml").write_text(yaml.safe_dump(profile))
        yield service


def test_a_pull_request_compiles_and_compares_and_keeps_nothing(builds: Builds) -> None:
    builds.run("infra/cloudbuild/pull-request.yaml")
    assert builds.ran == ["cache-load", "borrowed", "check", "test", "compile", "golden"]
    assert not (builds.shared / "store").exists()


def test_a_commit_is_released_and_run_once_and_a_tag_runs_the_same_release(builds: Builds, targets: Any) -> None:
    (builds.checkout / "build").mkdir()
    pushed = released.IMAGES | {"esteira-server": f"europe-docker.pkg.dev/p/e/server@sha256:{'b' * 64}"}
    (builds.checkout / "build" / "digests.json").write_text(json.dumps(pushed))
    (builds.shared / "cache").mkdir(parents=True)
    (builds.shared / "cache" / "wheel").write_text("kept")
    builds.run("cloudbuild.yaml")
    (first,) = targets.jobs.values()
    assert first.display_name == f"flights batch [{COMMIT}]"
    kept = (builds.checkout / "release" / "manifest.json").read_bytes()
    shutil.rmtree(builds.checkout / "release")
    shutil.rmtree(builds.checkout / "build")
    targets.jobs.clear()  # another project's
    builds.run("infra/cloudbuild/release.yaml")
    assert (builds.checkout / "release" / "manifest.json").read_bytes() == kept
    (second,) = targets.jobs.values()
    assert (second.display_name, second.pipeline_spec) == (first.display_name, first.pipeline_spec)
    shutil.rmtree(builds.shared / "cache")
    builds.run("infra/cloudbuild/pull-request.yaml")
    assert (builds.shared / "cache" / "wheel").read_text() == "kept"
