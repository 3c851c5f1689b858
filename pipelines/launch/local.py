"""Runs a compiled pipeline here: kfp.local's own orchestrator, with a task handler that uses prebuilt environments.

kfp.local has no plug-in point for a handler, so ours takes the place of `SubprocessTaskHandler` for the length of
one run; kfp is pinned and a test fails when that attribute moves.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from components import timelimit, types
from components.core.errors import CaseError
from pipelines.launch import environments, kfp_light
from pipelines.launch.ending import end

MAX_PARAMETERS = 32 * 1024
"""Bytes. One argument holds the executor's input, and the kernel's limit for one is 128 KiB."""


@dataclass(frozen=True)
class Started:
    """A task that is about to run."""

    job: str
    step: str


Watcher = Callable[[Started, str | None], None]
"""Called with each line that a task prints, and with None when it starts."""
Process = Callable[[list[str], dict[str, str]], int]
"""Runs a command with its variables; its exit code."""


class Runner(Protocol):
    """Where the tasks of a run here find what their images hold."""

    def configuration(self) -> Any:
        """kfp.local's runner."""

    def handler(self, watch: Watcher, root: Path) -> AbstractContextManager[None]:
        """Our task handler in the place of that runner's. Raises SetupError where something is missing."""


def run(pipeline: str, arguments: dict[str, str], *, root: Path, watch: Watcher, runner: Runner | None = None) -> None:
    """Runs the compiled pipeline (YAML text). A failed task raises nothing: what happened stands in the run record.

    Parameters
    ----------
    root
        Where artifacts and the tasks' logs go.
    runner
        None: prebuilt environments.

    Raises
    ------
    CaseError
        The arguments are too large for one task's input.
    SetupError
        An environment or an image is missing.
    """
    chosen = runner or Environments()
    size = sum(len(value.encode()) for value in arguments.values())
    if size > MAX_PARAMETERS:
        raise CaseError("parameters", f"hold at most {MAX_PARAMETERS} bytes", size, "Shorten the profile.")
    kfp_light.load()
    from kfp import components, local

    root.mkdir(parents=True, exist_ok=True)
    with chosen.handler(watch, root), open(root / "kfp.log", "a", encoding="utf-8") as log, redirect_stdout(log):
        local.init(chosen.configuration(), pipeline_root=str(root), raise_on_error=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kfp warns that resources have no effect here, for every task
            components.load_component_from_text(pipeline)(**arguments)


class Environments:
    """Tasks run in the prebuilt environments."""

    def configuration(self) -> Any:
        from kfp import local

        return local.SubprocessRunner(use_venv=False)

    def handler(self, watch: Watcher, root: Path) -> AbstractContextManager[None]:
        for image in (types.PIPELINE, types.VALIDATE):
            self.require(image)
        return _handler(self, watch, root)

    def require(self, image: str) -> None:
        """Raises SetupError where no environment stands for it."""
        environments.python(image)

    def execute(self, command: list[str], image: str, given: dict[str, str], begin: Process) -> int:
        """The exit code of a task; `begin` runs a command with its variables as a process that is followed."""
        return begin(command, environments.variables(image) | given)


@contextmanager
def _handler(runner: Environments, watch: Watcher, root: Path) -> Iterator[None]:
    from kfp.local import status, subprocess_task_handler

    original = subprocess_task_handler.SubprocessTaskHandler

    class EnvironmentTaskHandler(original):  # type: ignore[misc, valid-type]  # kfp is untyped
        """Runs a task's own command in the environment that stands for its image."""

        def validate_image(self, image: str) -> None:
            runner.require(image)

        def run(self) -> Any:
            task = task_of(self.full_command)
            watch(task, None)
            begin = partial(_process, task=task, watch=watch, root=root)
            code = runner.execute(self.full_command, self.image, self.env_vars, begin)
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    subprocess_task_handler.SubprocessTaskHandler = EnvironmentTaskHandler
    try:
        yield
    finally:
        subprocess_task_handler.SubprocessTaskHandler = original


def task_of(command: list[str]) -> Started:
    """The handler is told no task name: it stands in the command."""
    name = command[command.index("--function_to_execute") + 1]
    values = json.loads(command[command.index("--executor_input") + 1])["inputs"]["parameterValues"]
    return Started(str(values["job"]), name)


def _process(command: list[str], variables: dict[str, str], task: Started, watch: Watcher, root: Path) -> int:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=variables
    ) as process:
        assert process.stdout is not None
        try:
            follow((line.rstrip("\n") for line in process.stdout), task, watch, root)
        except BaseException:  # a terminal's Ctrl-C reaches it too; a cancel from elsewhere does not
            # Or a full pipe would keep it from ending. Of its own: a process that the task left may hold that one open.
            rest = threading.Thread(target=_keep, args=(os.dup(process.stdout.fileno()), _log(root, task)), daemon=True)
            rest.start()
            end(process, timelimit.GRACE)  # Popen would leave it alive after a quarter of a second
            rest.join(1.0)
            raise
        return process.wait()


def follow(lines: Iterable[str], task: Started, watch: Watcher, root: Path) -> None:
    """Each line as it comes goes to the watcher and into the task's log."""
    with open(_log(root, task), "w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")
            watch(task, line)


def _keep(pipe: int, log: Path) -> None:
    """What a task says while it ends."""
    with open(pipe, "rb", buffering=0) as said, open(log, "ab", buffering=0) as file:
        while data := said.read(1 << 16):
            file.write(data)


def _log(root: Path, task: Started) -> Path:
    log = root / task.job / "logs" / f"{task.step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log
