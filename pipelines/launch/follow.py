"""One loop that follows a run on any target: tasks as they change state, the outcome, the failed task's log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from components.adapters.runs import ENDED, Run, Runs, Task
from components.core import shown

EVERY = 10.0
"""Seconds between two looks."""
_SIGNS = {
    "pending": ("·", "dim"),
    "not started": ("·", "dim"),
    "skipped": ("·", "dim"),
    "running": ("…", "yellow"),
    "paused": ("…", "yellow"),
    "cancelling": ("…", "yellow"),
    "done": ("✓", "green"),
    "reused": ("↺", "cyan"),
    "failed": ("✗", "bold red"),
    "cancelled": ("✗", "bold red"),
}
_MEMORY = re.compile(r"out[- ]of[- ]memory|\bOOM|OOMKilled|\b137\b", re.IGNORECASE)


def follow(
    runs: Runs, id: str, out: Console, *, every: float = EVERY, sleep: Callable[[float], None] = time.sleep
) -> Run:
    """The run as it ended. Ctrl-C (KeyboardInterrupt) passes through: the run goes on.

    Raises
    ------
    RunError
        The target does not answer, or tells a state that is not documented.
    """
    told: dict[str, str] = {}
    state = ""
    while True:
        run = runs.get(id)
        for task in run.tasks:
            if told.get(task.name, "pending") != task.state:
                out.print(line(task.name, task.state, _clock(task)), highlight=False, soft_wrap=True)
            told[task.name] = task.state
        if run.state in ENDED:
            outcome(run, out)
            return run
        if run.state != state:
            out.print(line("run", run.state), highlight=False, soft_wrap=True)
            state = run.state
        sleep(every)


def show(run: Run, out: Console) -> None:
    """A run as it is now."""
    out.print(f"{run.case} {run.pipeline}" + (f"  key {run.key}" if run.key else ""), highlight=False)
    out.print(f"console  {run.address}", highlight=False, soft_wrap=True)
    for task in run.tasks:
        out.print(line(task.name, task.state, _clock(task)), highlight=False, soft_wrap=True)
    outcome(run, out)


def line(name: str, state: str, more: str = "") -> Text:
    sign, style = _SIGNS[state]
    return Text(f"{sign} ", style=style) + Text(f"{name:<14} {state}{more and '  ' + more}")


def _clock(task: Task) -> str:
    if task.ended is not None and task.started is not None:
        return shown.duration(task.ended - task.started)
    if task.started is None:
        return ""
    return datetime.fromtimestamp(task.started, UTC).strftime("%H:%M:%S UTC")


def outcome(run: Run, out: Console) -> None:
    """How it ended, and for each failed task why, with its log's address."""
    out.print(line("run", run.state, run.error), highlight=False, soft_wrap=True)
    for task in run.tasks:
        if task.state == "failed":
            out.print(Text(f"{task.name}: {task.error or 'failed'}", style="bold red"), soft_wrap=True)
            if _MEMORY.search(task.error):
                out.print(f"  If memory ran out, raise resources.{task.name}.memory in the case.", highlight=False)
            if task.logs:
                out.print(f"  log: {task.logs}", highlight=False, soft_wrap=True)
