"""The batch pipeline on flights, rows x1 and x10: time and peak memory per step, and what lies outside the steps.

    python benchmarks/pipeline.py [--times 1 10]

Rows x10 are the year's flights ten times over, in ten years (2004 to 2013), weather alike.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from common import report

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY / "data" / "nycflights13"
COMMAND = [str(Path(sys.executable).parent / "esteira"), "run", "flights", "batch", "--json"]


def widen(target: Path, times: int) -> None:
    """`times` years of flights under `target`/data, the last one the real one."""
    folder = target / "data" / "nycflights13"
    folder.mkdir(parents=True)
    shutil.copy(DATA / "airports.csv", folder)
    for name in ("flights.csv", "weather.csv"):
        head, *lines = (DATA / name).read_text().splitlines(keepends=True)
        with (folder / name).open("w") as file:
            file.write(head)
            for back in range(times - 1, -1, -1):
                file.writelines(re.sub(r"\b201[34]\b", partial(_earlier, back), line) for line in lines)


def _earlier(years: int, year: re.Match[str]) -> str:
    return str(int(year[0]) - years)


def run_batch(folder: Path) -> tuple[float, dict[str, Any]]:
    """Runs the pipeline in a process of its own: the whole's seconds, and each step's record."""
    started = time.perf_counter()
    done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stderr[-3000:]}")
    return seconds, json.loads(done.stdout)["steps"]


def measure(times: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        widen(Path(temporary), times)
        whole, records = run_batch(Path(temporary))
        again, _ = run_batch(Path(temporary))
    order = sorted(records.values(), key=lambda step: step["started"])
    rows = []
    for step in order:
        counts = [f"{step[key]:,}" if step[key] is not None else "" for key in ("rows_in", "rows_out")]
        rows.append([step["step"], step["ended"] - step["started"], step["peak_memory"] / 2**20, *counts])
    more = {
        "whole_seconds": whole,
        "outside_the_steps_seconds": whole - sum(row[1] for row in rows),
        "second_run_seconds": again,
    }
    report(f"pipeline-x{times}", ["step", "seconds", "peak MiB", "rows in", "rows out"], rows, more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, nargs="*", default=[1, 10])
    for times in parser.parse_args().times:
        measure(times)


if __name__ == "__main__":
    main()
