"""What a person sees of a run: a line per step as it ends, and a table of what happened."""

from __future__ import annotations

import json

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.core import shown
from components.core.record import RunRecord, StepRecord, killed
from pipelines.launch import hints

STYLES = {
    "done": ("✓", "green"),
    "reused": ("↺", "cyan"),
    "failed": ("✗", "bold red"),
    "killed": ("✗", "bold red"),
    "running": ("…", "yellow"),
    "not started": ("·", "dim"),
    "cancelled": ("✗", "yellow"),
    "incomplete": ("·", "yellow"),
}


def _plain(text: str) -> str:
    return "" if text == shown.UNKNOWN else text


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"


class Progress:
    """A spinner with the newest line of the running step; a lasting line for each that has ended.

    The console names its file: kfp's own prints go elsewhere while a pipeline runs, and sys.stdout with them.
    """

    def __init__(self, console: Console, route: tuple[str, ...]) -> None:
        self._console, self._route = console, route
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def begins(self, step: str) -> None:
        self.stop()
        self._spinner.update(text=self._place(step))
        self._live = Live(
            self._spinner, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def says(self, step: str, line: str) -> None:
        prefix = f"[{step}] "
        if line.startswith(prefix):
            told = f"{self._place(step)}: {line.removeprefix(prefix)}"
            self._spinner.update(text=Text(told[: self._console.width - 2]))

    def _place(self, step: str) -> Text:
        place = self._route.index(step) + 1 if step in self._route else 0
        return Text(f"[{place}/{len(self._route)}] {step}")

    def ended(self, record: StepRecord) -> None:
        self.stop()
        sign, style = STYLES[record.state]
        words = (
            f"{record.step:<11} {shown.duration(record.seconds):>10}  {record.summary or record.error or record.state}"
        )
        self._console.print(Text(f"{sign} ", style=style) + Text(words), soft_wrap=True, highlight=False)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def table(record: RunRecord) -> Table:
    """Each step's state, time, peak memory, and rows in and out."""
    result = Table(title=f"{record.case}: {record.pipeline}", title_justify="left", box=None, pad_edge=False)
    result.add_column("step")
    result.add_column("state")
    for name in ("time", "peak memory", "rows in", "rows out"):
        result.add_column(name, justify="right")
    for name in record.route:
        step = record.step(name)
        sign, style = STYLES[step.state]
        state = Text(f"{sign} {step.state}", style=style)
        told = (_plain(shown.duration(step.seconds)), _plain(shown.size(step.peak_memory)))
        result.add_row(name, state, *told, _count(step.rows_in), _count(step.rows_out))
    return result


def beside(console: Console, published: int, stream: dict[str, int], calls: dict[str, int]) -> None:
    """What lived beside a rehearsed run: what the stream made of the messages, and what the caller was answered."""
    parts = [
        f"{stream.get(name, 0):,} {name.replace('_', ' ')}" for name in ("good", "dead_letter", "late", "duplicate")
    ]
    told = f"{published:,} messages published; {stream.get('read', 0):,} read = {' + '.join(parts)}"
    console.print(
        f"stream   {told}; {stream.get('labels', 0):,} of the good are labels", highlight=False, soft_wrap=True
    )
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(calls.items()))
    console.print(f"server   {answers or 'nobody called'}", highlight=False, soft_wrap=True)


def closing(console: Console, record: RunRecord, report: str, profile: str) -> None:
    """The table, the version, the verdict with its reasons, and where the report is (empty: there is none).

    `profile` is the name of the one that the command was given, for the commands that may follow.
    """
    console.print()
    console.print(table(record))
    console.print()
    verdict = record.step("evaluate").parameters.get("verdict")
    if verdict:
        gate = json.loads(verdict)
        word = "unchanged" if gate.get("unchanged") else "accepted" if gate["accepted"] else "refused"
        console.print(f"gate     {word}", style="green" if gate["accepted"] else "yellow", highlight=False)
        for reason in gate["reasons"]:
            console.print(f"         {reason}", highlight=False, soft_wrap=True)
    champion = (record.step("canary") if "canary" in record.route else record.step("deploy")).parameters.get("champion")
    if champion:
        console.print(f"champion version {champion}", highlight=False)
    if challenger := record.step("deploy").parameters.get("challenger") if "canary" not in record.route else None:
        promote = hints.esteira(f"models promote {record.case} {challenger}", profile)
        abort = hints.esteira(f"models abort {record.case}", profile)
        console.print(f"on trial version {challenger}: {promote}, or {abort}", soft_wrap=True, highlight=False)
    if told := record.step("canary").summary:
        console.print(f"canary   {told}", highlight=False, soft_wrap=True)
    if predicted := record.step("predict").summary:
        console.print(f"predict  {predicted}", highlight=False, soft_wrap=True)
    for name in record.failed:
        step = record.step(name)
        console.print(
            f"{name} {step.state}: {step.error or killed(name)}", style="bold red", soft_wrap=True, highlight=False
        )
    never = [name for name in record.route if record.step(name).state == "not started"]
    if record.cancelled:
        retry = hints.esteira(f"runs retry {record.job}", profile)
        console.print(f"cancelled: {retry}", style="yellow", soft_wrap=True, highlight=False)
    elif never and not record.failed:
        text = f"not started: {', '.join(never)}. No step says why: see kfp.log beside the artifacts."
        console.print(text, style="bold red", soft_wrap=True, highlight=False)
    if report:
        console.print(f"report   {report}", soft_wrap=True, highlight=False)
