"""`esteira schedule`: what a case says of when its pipelines run, made so on a target, the difference told first."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.adapters.runs import Asked, Plan, Scheduled, Schedules, display_name
from components.core.case_file import CaseFile
from components.core.errors import CaseError
from components.core.operations import Schedule
from pipelines.launch.run import ROUTES


@dataclass(frozen=True)
class Step:
    """One change: create, update, pause, resume or delete; `why` says what differs, for a person."""

    verb: str
    name: str
    why: str
    do: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.verb:<7} {self.name}" + (f": {self.why}" if self.why else "")


def declared(file: CaseFile, name: str) -> Schedule:
    """The case's schedule of this name. Raises CaseError."""
    if name not in file.schedules:
        known = ", ".join(file.schedules) or "none"
        raise CaseError("SCHEDULE", f"be one of the case's schedules: {known}", name, "Add it to case.yaml.")
    if file.schedules[name].pipeline not in ROUTES:
        where, pipeline = f"schedules.{name}.pipeline", file.schedules[name].pipeline
        raise CaseError(where, f"be one of {', '.join(ROUTES)}", pipeline, "Choose one of them.")
    return file.schedules[name]


def plan(file: CaseFile, name: str, asked: Asked) -> Plan:
    """The case's schedule with the run that it starts."""
    one = declared(file, name)
    return Plan(name, one.cron, one.time_zone, one.concurrency, one.paused, asked)


def difference(schedules: Schedules, case: str, plans: Sequence[Plan]) -> list[Step]:
    """What makes the schedules on the target equal to the plans, which are all of the case's."""
    there = schedules.list(case)
    steps: list[Step] = []
    for one in plans:
        schedules.check(one)
        steps += _of(schedules, one, [s for s in there if s.display_name == one.display_name])
    wanted = {one.display_name for one in plans}
    for existing in there:
        if existing.display_name not in wanted:
            steps.append(_delete(schedules, existing, "the case has none of this name"))
    return steps


def _of(schedules: Schedules, wanted: Plan, there: Sequence[Scheduled]) -> Iterator[Step]:
    """The steps of one name; where several have it, the oldest stays."""
    for extra in there[1:]:
        yield _delete(schedules, extra, f"another of this name, {there[0].id}, is older")
    if not there:
        yield Step("create", wanted.name, _told(wanted), lambda: schedules.create(wanted))
        return
    first = there[0]
    changes, state = list(_changes(first, wanted)), _state(first, wanted)
    if changes:
        changes += [state] if state else []
        yield Step("update", wanted.name, "; ".join(changes), lambda: schedules.update(first, wanted))
    elif state:
        verb = "pause" if wanted.paused else "resume"
        do = schedules.pause if wanted.paused else schedules.resume
        yield Step(verb, wanted.name, state, lambda: do(first))


def _state(there: Scheduled, wanted: Plan) -> str:
    """Where somebody has paused or resumed it there: that the case takes it back."""
    if there.paused == wanted.paused:
        return ""
    if wanted.paused:
        return "active -> paused, as the case says"
    return f"paused -> active; schedules.{wanted.name}.paused: true in the case keeps it paused"


def _changes(there: Scheduled, wanted: Plan) -> Iterator[str]:
    pairs = {
        "cron": (there.cron, wanted.cron),
        "time zone": (there.time_zone, wanted.time_zone),
        "concurrency": (there.concurrency, wanted.concurrency),
        "pipeline": (there.pipeline, wanted.asked.pipeline),
    }
    for name, (old, new) in pairs.items():
        if old != new:
            yield f"{name} {old} -> {new}"
    if there.ends:
        yield "it has an end, which cannot be taken away: made anew"
    if there.digest != wanted.asked.digest and there.pipeline == wanted.asked.pipeline:
        given = wanted.asked.arguments
        names = [name for name in sorted(given) if there.about.get(name) != given[name]]
        yield f"other {', '.join(names)}" if names else "another release of the pipeline"


def _delete(schedules: Schedules, existing: Scheduled, why: str) -> Step:
    return Step("delete", existing.name, why, lambda: schedules.delete(existing))


def _told(wanted: Plan) -> str:
    state = ", paused" if wanted.paused else ""
    return f"{wanted.asked.pipeline} at {wanted.cron} {wanted.time_zone}{state}"


def only(schedules: Schedules, case: str, name: str, listing: str) -> Scheduled:
    """The one schedule of this name; the oldest where there are several. Raises CaseError.

    `listing` is the command that shows them.
    """
    there = [one for one in schedules.list(case) if one.display_name == display_name(case, name)]
    if not there:
        raise CaseError("SCHEDULE", f"be one of {case} on the target", name, f"See `{listing}`.")
    return there[0]


def crontab(file: CaseFile, names: Sequence[str], profile: str, folder: Path) -> list[str]:
    """Lines for this machine's crontab. With a concurrency of 1 a run that is still going keeps the next one out."""
    lines = ["# CRON_TZ is known to cronie; Debian's cron keeps to the machine's own zone."] if names else []
    esteira = shlex.quote(str(Path(sys.executable).with_name("esteira")))  # cron has a path of its own
    for name in names:
        one = declared(file, name)
        command = f"{esteira} run {file.name} {one.pipeline} --profile {shlex.quote(profile)}"
        if one.concurrency == 1:
            command = f"flock -n .esteira/{file.name}.{name}.lock {command}"
        log = f".esteira/{file.name}.{name}.log"
        command = f"cd {shlex.quote(str(folder))} && mkdir -p .esteira && {command} >>{log} 2>&1"
        lines += [f"# {file.name} {name}" + (": paused" if one.paused else ""), f"CRON_TZ={one.time_zone}"]
        lines.append(("# " if one.paused else "") + f"{one.cron} " + command.replace("%", r"\%"))
    return lines
