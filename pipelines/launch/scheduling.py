"""The commands of `esteira schedule`: the case, its release and the target, checked before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.adapters.connect import Connected
from components.adapters.runs import Asked, Plan, Scheduled, Schedules, display_name
from components.core import case_file
from components.core import profile as profiles
from components.core.case_file import CaseFile
from components.core.errors import ArtifactError, CaseError, ConflictError
from components.core.profile import Profile
from pipelines.launch import cases, hints, schedule, submit, targets
from pipelines.launch.submit import Ready


@dataclass(frozen=True)
class Work:
    """A case's schedules with the pipelines that they start, and where they go."""

    schedules: Schedules
    file: CaseFile
    profile: Profile
    ready: dict[str, Ready]
    """By pipeline."""
    names: tuple[str, ...]
    to: str

    def plans(self) -> list[Plan]:
        """Each schedule with the run that it starts; the digests are those that `store` will give."""
        return [schedule.plan(self.file, name, self._asked(name)) for name in self.names]

    def _asked(self, name: str) -> Asked:
        one = self.ready[self.file.schedules[name].pipeline]
        arguments = {**submit.digests(one.folder, one.file), "profile": one.profile.to_json(), "start": "", "stop": ""}
        return Asked(one.pipeline, one.file.name, "", one.spec, arguments)

    def store(self) -> None:
        """Stores the case, as the schedules' runs will ask for it. Raises ArtifactError where it has changed since."""
        for one in list(self.ready.values())[:1]:
            taken = cases.snapshot(one.folder, Connected(self.profile))
            if {"bundle": taken.bundle, "operations": taken.operations} != submit.digests(one.folder, one.file):
                raise ArtifactError("case", "stay as it is while it is scheduled", "a change", "Give it again.")

    def create(self, name: str) -> str:
        """What was done. Raises ConflictError where another of this name is there."""
        (plan,) = self.plans()
        self.schedules.check(plan)
        there = [one for one in self.schedules.list(self.file.name) if one.display_name == plan.display_name]
        if there:
            steps = [step for step in self._steps() if step.name == name]
            if not steps:
                return f"{name} is there already, as the case says: {there[0].address}"
            update = f"schedule update {self.file.name} {name} --to {self.to}"
            remedy = f"Give: {hints.esteira(update, self.profile.name)}"
            raise ConflictError(name, "not be there, or be as the case says", str(steps[0]), remedy)
        self.store()
        return f"created {name}: {self.schedules.create(plan).address}"

    def update(self, name: str, *, dry_run: bool) -> Iterator[str]:
        """What differs, and then makes it so."""
        schedule.only(self.schedules, self.file.name, name, _listing(self.file.name, self.to, self.profile.name))
        steps = [step for step in self._steps() if step.name == name]
        for step in steps:
            yield str(step)
        if not steps:
            yield f"{name} is as the case says"
        elif not dry_run:
            self.store()
            for step in steps:
                step.do()
            yield "done"

    def _steps(self) -> list[schedule.Step]:
        return schedule.difference(self.schedules, self.file.name, self.plans())


def prepare(
    case: str,
    to: str,
    release: Path,
    profile: str,
    *,
    names: Sequence[str] | None = None,
    allow_local_blobs: bool = False,
) -> Work:
    """Reads case and releases, and asks the target whether it answers; nothing is stored.

    Raises
    ------
    CaseError, SetupError
        As `esteira submit` does; or a schedule is none of the case's.
    """
    chosen = profiles.load(profile)
    found = targets.schedules(chosen, to)
    file = case_file.load(cases.find(case))
    wanted = tuple(file.schedules if names is None else names)
    ready = {pipeline: submit.ready(case, pipeline, release, to, chosen) for pipeline in _pipelines(file, wanted)}
    if not allow_local_blobs:
        targets.require_shared(chosen, file, to, list(ready))
    found.probe()
    targets.require_bucket(chosen, to)
    return Work(found, file, chosen, ready, wanted, to)


def _pipelines(file: CaseFile, names: Sequence[str]) -> list[str]:
    return sorted({schedule.declared(file, name).pipeline for name in names})


def listed(case: str, to: str, profile: str) -> tuple[str, list[Scheduled]]:
    """The case's name, and its schedules on the target."""
    chosen = profiles.load(profile)
    found, name = targets.schedules(chosen, to), case_file.load(cases.find(case)).name
    return name, found.list(name)


def shown(case: str, name: str | None, to: str, profile: str) -> tuple[str, list[Scheduled]]:
    """As `listed`, or the ones of one name. Raises CaseError where there is none of it."""
    called, found = listed(case, to, profile)
    if name is not None:
        found = [one for one in found if one.display_name == display_name(called, name)]
        if not found:
            remedy = f"See `{_listing(called, to, profile)}`."
            raise CaseError("SCHEDULE", f"be one of {called} on {to}", name, remedy)
    return called, found


def _listing(case: str, to: str, profile: str) -> str:
    return hints.esteira(f"schedule list {case} --to {to}", profile)


def said(case: str, name: str | None, profile: str, *, crontab: bool) -> list[str]:
    """The case's own schedules, as lines for a person or for crontab; none where it has none."""
    file = case_file.load(cases.find(case))
    names = list(file.schedules) if name is None else [name]
    if crontab:
        return schedule.crontab(file, names, profile, Path.cwd())
    lines = []
    for one in names:
        found = schedule.declared(file, one)
        paused = ", paused" if found.paused else ""
        lines.append(f"{one}: {found.pipeline} at {found.cron} {found.time_zone}, {found.concurrency} at once{paused}")
    return lines


def change(case: str, name: str, to: str, profile: str, verb: str) -> str:
    """Pauses, resumes or deletes: whether the case has it or not."""
    chosen = profiles.load(profile)
    found, called = targets.schedules(chosen, to), case_file.load(cases.find(case)).name
    first = schedule.only(found, called, name, _listing(called, to, profile))
    if verb == "delete":
        for one in found.list(called):
            if one.display_name == first.display_name:
                found.delete(one)
    else:
        (found.pause if verb == "pause" else found.resume)(first)
    return f"{name} {verb}d: {first.address}"
