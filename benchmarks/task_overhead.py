"""What a local task costs by itself: three tasks that do nothing, over prebuilt environments and with kfp's own runner.

    python benchmarks/task_overhead.py [--without-stock]

kfp's own runner installs kfp into a new environment for each task, so it needs the network.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from common import report
from kfp import compiler, components, dsl, local

from components import types
from pipelines.launch import local as ours

TASKS = 3


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def prebuilt(job: str) -> str:
    return job


@dsl.component(base_image="python:3.11")
def stock(job: str) -> str:
    return job


def _silent(task: ours.Started, line: str | None) -> None:
    del task, line


def compiled(step: Any, folder: Path) -> str:
    @dsl.pipeline(name="nothing")
    def nothing() -> None:
        word = "x"
        for _ in range(TASKS):
            word = step(job=word).output

    compiler.Compiler().compile(nothing, str(folder / "nothing.yaml"))
    return (folder / "nothing.yaml").read_text()


def seconds_per_task(step: Any) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = compiled(step, folder)
        started = time.perf_counter()
        if step is prebuilt:
            ours.run(text, {}, root=folder, watch=_silent)
        else:
            local.init(local.SubprocessRunner(use_venv=True), pipeline_root=str(folder))
            components.load_component_from_text(text)()
        return (time.perf_counter() - started) / TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-stock", action="store_true")
    wishes = parser.parse_args()
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    seconds_per_task(prebuilt)  # bytecode and file caches
    prebuilt_seconds = seconds_per_task(prebuilt)
    rows = [["prebuilt environment", prebuilt_seconds]]
    more = {}
    if not wishes.without_stock:
        stock_seconds = seconds_per_task(stock)
        rows.append(["kfp.local SubprocessRunner, use_venv=True", stock_seconds])
        more["ratio"] = stock_seconds / prebuilt_seconds
    report("task-overhead", ["runner", "seconds per task"], rows, more)


if __name__ == "__main__":
    main()
