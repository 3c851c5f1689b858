"""The command line in a user's folder, and the main job's first run there, which tests share."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.launch import environments

ESTEIRA = environments.folder() / "launcher" / "bin" / "esteira"


@dataclass(frozen=True)
class Ran:
    code: int
    record: dict[str, Any]
    errors: str

    def states(self) -> dict[str, str]:
        return {name: step["state"] for name, step in self.record["steps"].items()}


def esteira(folder: Path, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [str(ESTEIRA), *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def run(folder: Path, case: object = "flights", pipeline: str = "batch", *words: str) -> Ran:
    done = esteira(folder, "run", case, pipeline, "--json", *words, check=False)
    assert done.stdout, done.stderr
    return Ran(done.returncode, json.loads(done.stdout), done.stderr)


@pytest.fixture(scope="session")
def home(flights_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with data, in which these tests run one after the other."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(flights_sample / "data", folder / "data")
    return folder


@pytest.fixture(scope="session")
def first(home: Path) -> Ran:
    """The first run of batch."""
    return run(home)
