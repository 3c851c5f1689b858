"""The whole batch pipeline through the launcher: kfp.local runs the compiled file, and each task is a fork."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from components import ROUTE, types
from components.core.record import RunRecord
from components.step import Launch
from pipelines.launch import compile, kfp_light, local, run
from pipelines.launch.local import Process
from tests.faults.attempts import ended
from tests.faults.world import Launching, World, live_state, tables_state
from tests.ingest.conftest import Desk, csv_of, order

kfp_light.load()
for _used in ("kfp.local.subprocess_task_handler", "kfp.dsl.executor_main", "components.train.task"):
    import_module(_used)  # so that no fork does

CASE = "orders"
DONE = ("done", "reused")
FEATURES = """
import numpy as np
def features(columns):
    return {"amount": columns["amount"].astype(np.float32), "city": columns["city"]}
"""
TEXT = compile.text("batch")


class Forks(local.Environments):
    """Tasks are forks of the launcher, so that the launcher's fault is theirs; validate runs in its own environment."""

    def require(self, image: str) -> None:
        """Nothing: of the environments, only validate's is used."""

    def execute(self, command: list[str], image: str, given: dict[str, str], begin: Process) -> int:
        return super().execute(command, image, given, begin) if image == types.VALIDATE else _forked(command)


def _forked(command: list[str]) -> int:
    """What kfp's command line would do: the function's source stands before its arguments."""
    start = command.index("--executor_input")

    def work() -> None:
        from kfp.dsl import executor_main

        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "ephemeral_component.py"
            source.write_text(command[start - 1])
            sys.argv = ["executor_main", "--component_module_path", str(source), *command[start:]]
            executor_main.executor_main()

    child = os.fork()
    if not child:
        ended(work)
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
        local.Environments = Forks  # type: ignore[misc]  # the launcher's default runner
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
