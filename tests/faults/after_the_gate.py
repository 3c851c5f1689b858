"""register -> deploy -> predict with a fault at the n-th call of a port, for every n, and then once more without.

A program of its own: the process that forks has imported everything and opened nothing. It prints as JSON the state
that a run without a fault leaves, and for each n how the run ended, what it left, and the state after the next run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import components.adapters.local.endpoints
import components.adapters.local.tables
import components.core.scorer  # noqa: F401  # with the others above: what the steps import when they use it
from components import step
from components.adapters.connect import Connected
from components.adapters.local.registry import MlflowRegistry
from components.core import artifacts, watermark
from components.core.profile import Profile
from components.deploy import task as deploy
from components.predict import task as predict
from components.register import task as register
from components.step import Launch

CASE, TABLE = "toy", "predictions_toy"
MOST = 500


class Fault:
    """What happens at the n-th call: "kill" before it, or its answer is "lost" although it was done."""

    def __init__(self, kind: str, n: int) -> None:
        self.kind, self.left = kind, n

    def ports(self) -> type[Connected]:
        """`Connected` whose every port counts its calls."""
        names = ("blobs", "tables", "registry", "endpoints")
        made = {name: property(self._counted(name)) for name in names}
        return type("Faulty", (Connected,), made)

    def _counted(self, name: str) -> Callable[[Connected], Any]:
        return lambda ports: _Counted(vars(Connected)[name].func(ports), self)

    def call(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.left -= 1
        now = self.left == 0  # a port may call another one
        if now and self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return method(*given, **named)
        finally:
            if now:
                raise TimeoutError("the answer was lost")


class _Counted:
    def __init__(self, port: Any, fault: Fault) -> None:
        self._port, self._fault = port, fault

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        return lambda *given, **named: self._fault.call(method, *given, **named)


def route(launch: Launch, inputs: Path, out: Path) -> None:
    """The three steps, as a pipeline would run them."""
    model, evaluation = str(inputs / "model"), str(inputs / "evaluation")
    version = register.run(launch, model=model, evaluation=evaluation).parameters["version"]
    deploy.run(launch, version=version, evaluation=evaluation)
    predict.run(launch, score=str(inputs / "score"), predictions=str(out), purpose="predict")


def state(launch: Launch) -> dict[str, Any]:
    """All that must not depend on a fault: times and the names of runs are left out."""
    ports = Connected(Profile.from_json(launch.profile))
    tables, mark = ports.tables, watermark.path(CASE)
    untimed = {"at": 0, "by": ""}
    return {
        "pointer": asdict(ports.endpoints.pointer(CASE)) | untimed,
        "history": [asdict(pointer) | untimed for pointer in ports.endpoints.history(CASE)],
        "versions": [
            [v.version, v.identity, sorted(v.aliases), {k: t for k, t in v.tags.items() if k != "run"}]
            for v in ports.registry.versions(CASE)
        ],
        "table": {window: tables.read(TABLE, window=window).to_pylist() for window in tables.windows(TABLE)},
        "watermark": ports.blobs.read(mark)[0].decode() if ports.blobs.exists(mark) else None,
    }


def left(launch: Launch) -> dict[str, Any]:
    """What a reader sees right after the fault: the champion, whole; and the versions in each window."""
    ports = Connected(Profile.from_json(launch.profile))
    champion = ports.endpoints.pointer(CASE).champion
    assert champion is not None
    artifacts.verify(ports.registry.fetch(CASE, champion), "model")
    windows = ports.tables.windows(TABLE)
    versions = {w: sorted(set(ports.tables.read(TABLE, window=w)["version"].to_pylist())) for w in windows}
    return {"champion": champion, "windows": versions, "watermark": state(launch)["watermark"]}


def forked(work: Callable[[], Any], answer: Path) -> int:
    """Runs the work in a fork, which writes what it returns to `answer`; its exit code, negative for a signal."""
    child = os.fork()
    if not child:
        code = 0
        try:
            answer.write_text(json.dumps(work(), default=str))
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def anew(launch: Launch, template: Path, root: Path) -> Launch:
    """The launch over a copy of the template."""
    shutil.copytree(template, root)
    profile = Profile.from_json(launch.profile).model_copy(update={"root": str(root)})
    return replace(launch, profile=profile.to_json())


def faulted(fault: Fault, launch: Launch, inputs: Path, out: Path) -> bool:
    """Whether the route came to the fault, and went on: what follows the pointer may fail."""
    with mock.patch.object(step, "Connected", fault.ports()):
        route(launch, inputs, out)
    return fault.left <= 0


def recovered(launch: Launch, inputs: Path, out: Path) -> dict[str, Any]:
    found = left(launch)
    route(replace(launch, job="job-again"), inputs, out)
    return {"left": found, "state": state(launch)}


def schedule(kind: str, n: int, launch: Launch, inputs: Path, folder: Path) -> dict[str, Any]:
    """One fault, and what came of it."""
    here = anew(launch, inputs / "esteira", folder / str(n))
    answer = folder / f"{n}.json"
    code = forked(lambda: faulted(Fault(kind, n), here, inputs, folder / f"{n}-out"), answer)
    reached = code != 0 or bool(json.loads(answer.read_text()))
    again = forked(lambda: recovered(here, inputs, folder / f"{n}-again"), answer)
    return {
        "n": n,
        "code": code,
        "reached": reached,
        "again": again,
        **(json.loads(answer.read_text()) if not again else {}),
    }


def main(kind: str, inputs: Path, folder: Path) -> dict[str, Any]:
    launch = Launch(**json.loads((inputs / "launch.json").read_text()))
    whole = schedule(kind, MOST, launch, inputs, folder)
    runs: list[dict[str, Any]] = []
    while not runs or runs[-1]["reached"]:
        runs.append(schedule(kind, len(runs) + 1, launch, inputs, folder))
        assert len(runs) < MOST
    return {"whole": whole, "runs": runs}


if __name__ == "__main__":
    saved, sys.stdout = sys.stdout, sys.stderr
    with mock.patch.object(MlflowRegistry, "_project"):  # the view for people; its kills have tests of their own
        print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))), file=saved)
