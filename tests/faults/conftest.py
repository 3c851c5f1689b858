"""A driver of fault schedules for all tests of one worker: it imports for seconds, and prepares each scene once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Driver:
    """A process that plays what it is asked for."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process, self._errors = process, errors
        self._owed = 0
        """Answers that are still to come: a test that was ended while it waited has left its own."""

    def play(self, **order: Any) -> list[dict[str, Any]]:
        """The outcomes of the schedules; see `tests.faults.schedules`. Fails where a scene fails without a fault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._owed += 1
        while self._owed:
            line = self._process.stdout.readline()
            assert line, self._errors.read_text(encoding="utf-8")[-3000:]
            self._owed -= 1
        found: list[dict[str, Any]] | str = json.loads(line)
        if isinstance(found, str):
            raise AssertionError(found)
        return found


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    errors = tmp_path_factory.mktemp("driver") / "errors.log"
    with (
        open(errors, "w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.schedules", "--serve"],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Driver(process, errors)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0, errors.read_text(encoding="utf-8")[-3000:]
