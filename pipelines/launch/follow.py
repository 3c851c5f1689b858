"""One loop that follows a run on any target: tasks as they change state, the outcome, the failed task's log."""

from __future__ import annotations

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
                _say(out, line(task.name, task.state, _clock(task)))
            told[task.name] = task.state
        if run.state in ENDED:
            outcome(run, out)
            return run
        if run.state != state:
            _say(out, line("run", run.state))
            state = run.state
        sleep(every)


def show(run: Run, out: Console) -> None:
    """A run as it is now."""
    _say(out, f"{run.case} {run.pipeline}" + (f"  key {run.key}" if run.key else ""))
    _say(out, f"console  {run.address}")
    for task in run.tasks:
        _say(out, line(task.name, task.state, _clock(task)))
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
    _say(out, line("run", run.state, run.error))
    for task in run.tasks:
        if task.state == "failed":
            _say(out, Text(f"{task.name}: {task.error or 'failed'}", style="bold red"))
            if task.logs:
                _say(out, f"  log: {task.logs}")


def _say(out: Console, text: str | Text) -> None:
    """As it stands: a width would break addresses, and brackets are no markup."""
    out.print(text, highlight=False, soft_wrap=True, markup=False)
