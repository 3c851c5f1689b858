"""Experiment tracking with MLflow: a folder, a SQLite file or a server.

MLflow runs in a process of its own. Importing it and opening its store takes seconds, which pass beside the training
when `prepare` was called; and a server that does not answer is given up on after a deadline, whatever MLflow retries.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.core.errors import SetupError

DEADLINE = 120.0
"""Seconds from handing over a run to its address."""
_RECORDER = Path(__file__).with_name("mlflow_recorder.py")
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a plain folder is one of the three classic set-ups
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class NoTracking:
    """Implements `ports.Tracking` for a profile that switches it off."""

    def prepare(self) -> None:
        pass

    def log(self, *_run: object, **_facts: object) -> str:
        return ""


class MlflowTracking:
    """Implements `ports.Tracking`.

    Parameters
    ----------
    uri
        What MLflow calls the tracking URI: a folder, sqlite:///FILE or http(s)://….
    artifacts
        Where files of runs go if the store is local; a server has a place of its own.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._uri, self._artifacts = uri, artifacts
        self._recorder: subprocess.Popen[str] | None = None

    def prepare(self) -> None:
        if self._recorder is None:
            recorder = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", os.fspath(_RECORDER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **_SETTINGS},
            )
            self._recorder = recorder
            self._end = weakref.finalize(self, _end, recorder)
            assert recorder.stdin is not None, "it is a pipe"
            recorder.stdin.write(json.dumps(self._uri) + "\n")
            recorder.stdin.flush()

    def log(
        self,
        experiment: str,
        run: str,
        *,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> str:
        """Logs one finished run. Raises SetupError where the store refuses it or does not answer in time."""
        self.prepare()
        order = {
            "artifacts": "" if _remote(self._uri) else self._artifacts.absolute().as_uri(),
            "experiment": experiment,
            "run": run,
            "parameters": dict(parameters),
            "metrics": dict(metrics),
            "tags": dict(tags),
            "files": [os.fspath(path) for path in files],
            "curves": {
                name: [[step, float(value)] for step, value in enumerate(values) if math.isfinite(value)]
                for name, values in (curves or {}).items()
            },
        }
        answer = self._ask(json.dumps(order))
        if "error" in answer:
            raise self._refusal(answer["error"])
        return self._address(answer["experiment"], answer["run"])

    def _ask(self, order: str) -> dict[str, str]:
        assert self._recorder is not None, "prepare starts it"
        recorder, self._recorder = self._recorder, None
        try:
            output, errors = recorder.communicate(order, timeout=DEADLINE)
        except subprocess.TimeoutExpired as error:
            raise self._refusal(f"no answer in {DEADLINE:g} s") from error
        finally:
            self._end()
        lines = output.splitlines()
        if recorder.returncode or not lines:
            raise self._refusal((errors.strip().splitlines() or [f"exit code {recorder.returncode}"])[-1])
        answer: dict[str, str] = json.loads(lines[-1])
        return answer

    def _refusal(self, found: str) -> SetupError:
        remedy = "Check tracking.at in the profile and that its server runs, or set tracking.adapter: none."
        return SetupError("tracking", f"take a run at {_public(self._uri)}", _public(found), remedy)

    def _address(self, experiment: str, run: str) -> str:
        place = _public(self._uri).rstrip("/")
        return f"{place}/#/experiments/{experiment}/runs/{run}" if _remote(self._uri) else f"{place}#runs/{run}"


def _end(recorder: subprocess.Popen[str]) -> None:
    recorder.kill()
    recorder.communicate()


def _remote(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _public(text: str) -> str:
    """The text without what stands before @ in an address: it may be a password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
