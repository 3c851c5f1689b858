"""Versions, comparisons and runs as tables for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.adapters.ports import Pointer
from components.adapters.release import Change
from components.adapters.runs import Run, Scheduled
from components.core import shown
from components.core.record import RunRecord
from pipelines.launch import hints
from pipelines.launch.console import STYLES
from pipelines.launch.models import Comparison, Row

_SHOWN_WHY = 60
"""Characters; --json has them all."""
_SHOWN_METRICS = ("roc_auc", "f1", "accuracy", "log_loss", "rmse", "mae", "r2", "macro_f1")


def _table(*columns: str) -> Table:
    result = Table(box=None, pad_edge=False)
    for column in columns:
        result.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return result


def _out() -> Console:
    """A pipe has no width: whole rows there, for grep."""
    return Console() if sys.stdout.isatty() else Console(width=200)


def _when(seconds: float | None) -> str:
    return shown.moment(seconds)[:16]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _nothing(text: str, words: str, profile: str) -> None:
    """That a table would be empty, and the command that puts a row in it."""
    _out().print(f"{text}: {hints.esteira(words, profile)}", soft_wrap=True)


def models(case: str, rows: Sequence[Row], endpoint: str, profile: str) -> None:
    """The versions of a case, oldest first, and the endpoint that serves them; "" for none."""
    if not rows:
        _nothing(f"{case} has no version yet", f"run {case} batch", profile)
        return
    told = [name for name in _SHOWN_METRICS if any(name in row.metrics for row in rows)][:3]
    result = _table(">version", "live", ">traffic", "registered (UTC)", "trained to", *(f">{name}" for name in told))
    for row in rows:
        values = [_number(row.metrics.get(name)) for name in told]
        created, until = _when(row.created), row.trained_to[:10]
        result.add_row(str(row.version), row.live, _percent(row.traffic), created, until, *values)
    _out().print(result)
    for row in rows:
        if row.harm:
            _out().print(Text(f"version {row.version}: {row.harm}", style="bold red"), soft_wrap=True)
    _out().print("metrics: on the validation periods", style="dim")
    if endpoint:
        _out().print(f"endpoint: {endpoint}", style="dim", soft_wrap=True, highlight=False)


def _percent(share: int) -> str:
    return f"{share} %" if share else ""


def _version(version: int | None) -> str:
    return "" if version is None else str(version)


def history(case: str, states: Sequence[Pointer], profile: str) -> None:
    """Every state of the pointer, oldest first."""
    if not states:
        _nothing(f"nothing of {case} is live yet", f"run {case} batch", profile)
        return
    result = _table(">state", "since (UTC)", ">champion", ">previous", ">challenger", ">its traffic", "by")
    result.add_column("why")
    for state in states:
        versions = [_version(v) for v in (state.champion, state.previous, state.challenger)]
        why = state.why if len(state.why) <= _SHOWN_WHY else f"{state.why[: _SHOWN_WHY - 1]}…"
        told = (Text(state.by), Text(why))
        result.add_row(str(state.generation), _when(state.at), *versions, _percent(state.split), *told)
    _out().print(result)


def change(done: Change, undo: str, *, dry_run: bool) -> None:
    """What moved or would move, what is live before and after it, and how it is undone."""
    out = _out()
    moves = done.after != done.before
    out.print(f"Nothing has moved. It would be so: {done.done}" if dry_run and moves else done.done, soft_wrap=True)
    result = _table("", ">champion", ">previous", ">challenger", ">its traffic")
    shown_states = [("before", done.before), ("after", done.after)] if moves else [("live", done.after)]
    for name, state in shown_states:
        versions = [_version(v) for v in (state.champion, state.previous, state.challenger)]
        result.add_row(name, *versions, _percent(state.split))
    out.print(result)
    if undo:
        out.print(f"undo: {undo}", soft_wrap=True, highlight=False)


def behind(why: str) -> None:
    """The pointer has moved, and the endpoint or the registry could not follow."""
    text = Text(f"traffic and aliases follow with the next command: {why}", style="yellow")
    _out().print(text, soft_wrap=True)


def waiting(text: str) -> AbstractContextManager[object]:
    """A spinner where somebody looks."""
    return Console(stderr=True).status(text)


def comparison(compared: Comparison, first: int, second: int) -> None:
    """Metrics, settings and code of two versions."""
    out = _out()
    result = _table("metric", f">version {first}", f">version {second}", ">difference")
    for name, one, two in compared.metrics:
        difference = f"{two - one:+.4g}" if one is not None and two is not None else ""
        result.add_row(name, _number(one), _number(two), difference)
    out.print(result)
    out.print("metrics: each version's on its own validation periods; the gate compares on the same rows", style="dim")
    if compared.settings:
        settings = _table("setting", f"version {first}", f"version {second}")
        for key, old, new in compared.settings:
            settings.add_row(key, old, new)
        out.print(settings)
    for line in compared.code:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        out.print(Text(line, style=style))


def runs(found: Sequence[RunRecord], profile: str) -> None:
    """One row per run."""
    if not found:
        _nothing("nothing has run here yet", "run flights batch", profile)
        return
    result = _table("run", "case", ">time", "state")
    for record in found:
        state = record.state
        sign, style = STYLES[state]
        seconds = record.ended - record.started if record.ended and record.started else None
        word = f"{sign} {state}" + (f": {', '.join(record.failed)}" if state == "failed" else "")
        cells = (record.job, record.case, shown.duration(seconds))
        result.add_row(*cells, Text(word, style=style))
    _out().print(result)


def cloud_runs(found: Sequence[Run], on: str, profile: str) -> None:
    """One row per run of a cloud."""
    if not found:
        _nothing(f"nothing of ours has run on {on} yet", f"submit CASE batch --to {on}", profile)
        return
    result = _table("run", "case", "pipeline", "key", "begun (UTC)", ">time", "state")
    for run in found:
        seconds = run.ended - run.created if run.ended and run.created else None
        result.add_row(run.id, run.case, run.pipeline, run.key, _when(run.created), shown.duration(seconds), run.state)
    _out().print(result)


def schedules(case: str, found: Sequence[Scheduled], on: str, profile: str) -> None:
    """One row per schedule of a cloud."""
    if not found:
        _no_schedule(case, on, profile)
        return
    result = _table("schedule", "pipeline", "cron", "time zone", "next (UTC)", "state", "id")
    for one in found:
        state = "paused" if one.paused else "active"
        result.add_row(one.name, one.pipeline, one.cron, one.time_zone, _when(one.next), state, one.id)
    _out().print(result)


def _no_schedule(case: str, on: str, profile: str) -> None:
    _nothing(f"{case} has no schedule on {on}", f"schedule apply {case} --to {on}", profile)


def schedules_whole(case: str, found: Sequence[Scheduled], on: str, profile: str) -> None:
    """Each schedule of a cloud, a line per fact; what it hands to a run is in --json."""
    if not found:
        _no_schedule(case, on, profile)
    for one in found:
        facts = {
            "pipeline": one.pipeline,
            "cron": one.cron,
            "time zone": one.time_zone,
            "concurrency": str(one.concurrency),
            "state": "paused" if one.paused else "active",
            "next (UTC)": _when(one.next),
            "made (UTC)": _when(one.created),
            "id": one.id,
            "console": one.address,
            "bundle": one.about.get("bundle", ""),
        }
        lines = [one.name, *(f"  {name:<12} {value}" for name, value in facts.items() if value)]
        _out().print(Text("\n".join(lines)), soft_wrap=True)


def replayed(sent: Mapping[str, Any]) -> None:
    """What a replay sent."""
    end = ", interrupted" if sent["interrupted"] else ""
    told = [f"{sent['sent']:,} messages to {sent['topic']} in {shown.duration(sent['seconds'])}{end}"]
    told += [f"{sent[name]:,} {name}" for name in ("events", "labels", "duplicates", "bad", "late") if sent[name]]
    _out().print(": ".join([told[0], ", ".join(told[1:])]), highlight=False)
