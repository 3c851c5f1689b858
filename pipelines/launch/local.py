"""Runs a compiled pipeline here: kfp.local's own orchestrator, with a task handler that uses prebuilt environments.

kfp.local has no plug-in point for a handler, so ours takes the place of `SubprocessTaskHandler` for the length of
one run; kfp is pinned and a test fails when that attribute moves.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import types
from components.core.errors import CaseError
from pipelines.launch import environments, kfp_light

MAX_PARAMETERS = 32 * 1024
"""Bytes. One argument holds the executor's input, and the kernel's limit for one is 128 KiB."""


@dataclass(frozen=True)
class Started:
    """A task that is about to run."""

    job: str
    step: str


Watcher = Callable[[Started, str | None], None]
"""Called with each line that a task prints, and with None when it starts."""


def run(pipeline: str, arguments: dict[str, str], *, root: Path, watch: Watcher) -> None:
    """Runs the compiled pipeline (YAML text). A failed task raises nothing: what happened stands in the run record.

    Parameters
    ----------
    root
        Where artifacts and the tasks' logs go.

    Raises
    ------
    CaseError
        The arguments are too large for one task's input.
    SetupError
        An environment is missing.
    """
    size = sum(len(value.encode()) for value in arguments.values())
    if size > MAX_PARAMETERS:
        raise CaseError("parameters", f"hold at most {MAX_PARAMETERS} bytes", size, "Shorten the profile.")
    kfp_light.load()
    from kfp import components, local

    for image in (types.PIPELINE, types.VALIDATE):
        environments.python(image)
    root.mkdir(parents=True, exist_ok=True)
    with _handler(watch, root), open(root / "kfp.log", "a", encoding="utf-8") as log, redirect_stdout(log):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kfp warns that resources have no effect here, for every task
            components.load_component_from_text(pipeline)(**arguments)


@contextmanager
def _handler(watch: Watcher, root: Path) -> Iterator[None]:
    from kfp.local import status, subprocess_task_handler

    original = subprocess_task_handler.SubprocessTaskHandler

    class EnvironmentTaskHandler(original):  # type: ignore[misc, valid-type]  # kfp is untyped
        """Runs a task's own command in the environment that stands for its image."""

        def validate_image(self, image: str) -> None:
            environments.python(image)

        def run(self) -> Any:
            task = _task(self.full_command)
            watch(task, None)
            code = _follow(self.full_command, environments.variables(self.image) | self.env_vars, task, watch, root)
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    subprocess_task_handler.SubprocessTaskHandler = EnvironmentTaskHandler
    try:
        yield
    finally:
        subprocess_task_handler.SubprocessTaskHandler = original


def _task(command: list[str]) -> Started:
    """The handler is told no task name: it stands in the command."""
    name = command[command.index("--function_to_execute") + 1]
    values = json.loads(command[command.index("--executor_input") + 1])["inputs"]["parameterValues"]
    return Started(str(values["job"]), name)


def _follow(command: list[str], variables: dict[str, str], task: Started, watch: Watcher, root: Path) -> int:
    log = root / task.job / "logs" / f"{task.step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=variables
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            watch(task, line.rstrip("\n"))
        return process.wait()
