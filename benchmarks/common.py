"""What the benchmarks share: medians of repeated runs, a table, and JSON in benchmarks/out/."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"


def median_seconds(call: Callable[[], object], *, runs: int = 5, warmup: int = 1) -> float:
    """The median wall time of `runs` calls after `warmup` uncounted ones."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def report(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], more: Mapping[str, Any]) -> None:
    """Prints the table and writes it with the machine's facts to benchmarks/out/NAME.json."""
    texts = [list(columns), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]
    print(f"\n{name}")
    for first, *others in texts:
        print("  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]))
    for key, value in more.items():
        print(f"{key}: {_shown(value)}")
    OUT.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
    body = {"benchmark": name, "columns": list(columns), "rows": [list(row) for row in rows], **more}
    (OUT / f"{name}.json").write_text(json.dumps({**body, "machine": machine}, indent=1, default=str))


def _shown(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.3g}" if abs(cell) < 1000 else f"{cell:,.0f}"
