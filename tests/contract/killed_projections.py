"""Projects copies of a registry to MLflow, the n-th one killed before MLflow's n-th commit; prints how many died.

A program of its own, so that MLflow is imported once and the forks have opened nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # what a client imports when it is first used
from sqlalchemy import event
from sqlalchemy.engine import Engine

from components.adapters.local.registry import MlflowRegistry


def project(n: int, root: Path) -> None:
    left = n

    def count(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", count)
    MlflowRegistry(root).project("flights", {"champion": 2, "previous": 1})


def main(template: Path, target: Path) -> int:
    """How many were killed; the copy after them was not."""
    for n in range(1, 100):
        shutil.copytree(template, target / str(n))
        child = os.fork()
        if not child:
            try:
                project(n, target / str(n))
            finally:
                os._exit(0 if sys.exception() is None else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return n - 1
        assert code == -signal.SIGKILL, code
    raise AssertionError("the projection never ends")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
