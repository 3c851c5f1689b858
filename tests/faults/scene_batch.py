"""The whole batch pipeline through the launcher: kfp.local runs the compiled file, and each task is a fork."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import kfp.dsl.executor_main
from rich.console import Console

import components.train.task  # noqa: F401  # like those above: what train imports when it uses it
from components import ROUTE, types
from components.core.record import RunRecord
from components.step import Launch
from pipelines.launch import compile, environments, kfp_light, local, run
from pipelines.launch.local import Watcher
from tests.faults.world import Launching, World, live_state, tables_state
from tests.ingest.conftest import Desk, csv_of, order

kfp_light.load()
from kfp import local as kfp_local  # noqa: E402  # only now it is light
from kfp.local import status, subprocess_task_handler  # noqa: E402

CASE = "orders"
DONE = ("done", "reused")
FEATURES = """
import numpy as np
def features(columns):
    return {"amount": columns["amount"].astype(np.float32), "city": columns["city"]}
"""
TEXT = compile.text("batch")


class Forks:
    """Implements `local.Runner`: tasks are forks of the launcher, so that the launcher's fault is theirs; validate runs
    in its own environment."""

    def configuration(self) -> Any:
        return kfp_local.SubprocessRunner(use_venv=False)

    def handler(self, watch: Watcher, root: Path) -> AbstractContextManager[None]:
        return _handler(watch, root)


@contextmanager
def _handler(watch: Watcher, root: Path) -> Iterator[None]:
    original = subprocess_task_handler.SubprocessTaskHandler

    class ForkedTaskHandler(original):  # type: ignore[misc, valid-type]  # kfp is untyped
        def validate_image(self, image: str) -> None:
            pass

        def run(self) -> Any:
            task = local.task_of(self.full_command)
            watch(task, None)
            if self.image == types.VALIDATE:
                code = local._process(self.full_command, environments.variables(self.image), task, watch, root)
            else:
                code = _forked(self.full_command)
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    subprocess_task_handler.SubprocessTaskHandler = ForkedTaskHandler
    try:
        yield
    finally:
        subprocess_task_handler.SubprocessTaskHandler = original


def _forked(command: list[str]) -> int:
    """What kfp's command line would do: the function's source stands before its arguments."""
    start = command.index("--executor_input")
    child = os.fork()
    if not child:
        code = 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / "ephemeral_component.py"
                source.write_text(command[start - 1])
                sys.argv = ["executor_main", "--component_module_path", str(source), *command[start:]]
                kfp.dsl.executor_main.executor_main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Batch:
    """Three hundred orders of ten days, from a file to a first champion and what it predicts."""

    def prepare(self, root: Path, launch: Launching) -> Launch:
        """With statistics that validate has made of these orders: TFDV takes seconds to import."""
        desk = Desk(root, launch)  # type: ignore[arg-type]  # it names the profile's keys, as ours does
        desk.case["gate"] = {"resamples": 50, "minimum_rows": 20, "floors": {"rmse": 1.0}}
        rows = [order(48 * n, amount=n % 9, late=n % 9 / 2 + n % 7 / 50) for n in range(300)]
        desk.put("orders.csv", csv_of(rows))
        made = desk.launch(FEATURES, tracking={"adapter": "none"})
        world = World(made, root, root / "out", home=root)
        self.play(world)
        for place in ("registry", "tables", "blobs/pointers", "blobs/runs"):
            shutil.rmtree(root / "esteira" / place)
        for name in world.ports.blobs.names("reuse/"):
            entry = json.loads(world.ports.blobs.read(name)[0])
            if list(entry["outputs"]) != ["statistics"]:
                world.ports.blobs.delete(name)
        return made

    def play(self, world: World) -> None:
        local.Environments = Forks  # type: ignore[misc, assignment]
        given = {name: getattr(world.launch, name) for name in ("bundle", "operations", "profile")}
        arguments = given | {"start": "", "stop": ""}
        head = RunRecord("", "batch", CASE, ROUTE, {}, world.launch.bundle, arguments=arguments)
        record = run.go(head, TEXT, Console(file=io.StringIO())).record
        failed = {name: step.error or step.state for name, step in record.steps.items() if step.state not in DONE}
        if failed or set(record.steps) != set(ROUTE):
            raise SystemExit(f"{failed}, {set(ROUTE) - set(record.steps)} not started")

    def state(self, world: World) -> dict[str, Any]:
        return live_state(world.ports, CASE) | tables_state(world.ports, CASE)

    def seen(self, world: World) -> None:
        pointer = world.ports.endpoints.pointer(CASE)
        assert pointer.champion in (None, 1)
        assert {version.version for version in world.ports.registry.versions(CASE)} <= {1}
