"""`esteira cloud-run`: a case's predictions as a job of Cloud Run, the difference told first.

What the job runs is `components.once`; its schedules are those of the case whose pipeline is predict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from components import types
from components.adapters.connect import Connected
from components.adapters.gcp.cloud_run import CloudRunJobs, Job
from components.adapters.gcp.cloud_scheduler import ENABLED, PAUSED, CloudSchedules, Timed
from components.core import case_file, sizes
from components.core import profile as profiles
from components.core.case_file import CaseFile
from components.core.declared import seconds
from components.core.errors import ArtifactError, CaseError
from components.core.operations import Resources
from components.core.profile import Profile
from components.core.targets import CloudRun
from pipelines.launch import cases, images, submit, targets
from pipelines.launch.schedule import Step

_MOST = {"1": "4Gi", "2": "8Gi", "4": "16Gi", "6": "24Gi", "8": "32Gi"}
"""The memory that a task may have by its cores: cloud.google.com/run/docs/configuring/jobs/memory-limits"""
_LEAST = {"1": "512Mi", "2": "512Mi", "4": "2Gi", "6": "4Gi", "8": "4Gi"}
_TIME_LIMIT = 3600
_RETRIES = 1
_LABELS = {"key": "kms_key", "seconds": "time limit"}


def at(profile: Profile) -> CloudRun:
    """Where the profile says that Cloud Run is, and as whom. Raises CaseError where it does not."""
    whole = profile.cloud_run_there()
    whole = whole.model_copy(update={"scheduler_account": whole.scheduler_account or whole.service_account})
    for name in ("project", "region", "service_account"):
        if not getattr(whole, name):
            remedy = f"Add it to profiles/{profile.name}.yaml, or vertex.{name}."
            raise CaseError(f"cloud_run.{name}", "be named", "", remedy, where="profile")
    return whole


@dataclass(frozen=True)
class Work:
    """A case's job and schedules as they should be, and where they go."""

    jobs: CloudRunJobs
    schedules: CloudSchedules
    folder: Path
    file: CaseFile
    profile: Profile
    wanted: Job
    timed: tuple[Timed, ...]

    def store(self) -> None:
        """Stores the case, as the job will ask for it. Raises ArtifactError where it has changed since."""
        taken = cases.snapshot(self.folder, Connected(self.profile))
        if taken.file != self.file:
            raise ArtifactError("case", "stay as it is while it is applied", "a change", "Give it again.")

    def difference(self) -> list[Step]:
        """What makes job and schedules as the case says; the job comes first."""
        return [*self._job(), *self._schedules()]

    def _job(self) -> Iterator[Step]:
        case, wanted, there = self.file.name, self.wanted, self.jobs.get(self.file.name)
        if there is None:
            why = f"{wanted.cpu} cpu, {wanted.memory}, {wanted.seconds}s, {wanted.image}"
            yield Step("create", "job", why, lambda: self.jobs.create(case, wanted))
        elif why := "; ".join(_changes(there, wanted)):
            yield Step("update", "job", why, lambda: self.jobs.update(case, wanted))

    def _schedules(self) -> Iterator[Step]:
        case, there = self.file.name, {one.name: one for one in self.schedules.list(self.file.name)}
        for wanted in self.timed:
            first = there.pop(wanted.name, None)
            if first is None:
                why = f"{wanted.cron} {wanted.time_zone}" + (", paused" if wanted.state == PAUSED else "")
                yield Step("create", wanted.name, why, lambda one=wanted: self.schedules.create(case, one))  # type: ignore[misc]
            elif why := "; ".join(_changes(first, wanted)):
                yield Step("update", wanted.name, why, lambda one=wanted: self.schedules.update(case, one))  # type: ignore[misc]
        for name in there:
            why = "the case has none of this name"
            yield Step("delete", name, why, lambda name=name: self.schedules.delete(case, name))  # type: ignore[misc]


def _changes(there: Job | Timed, wanted: Job | Timed) -> Iterator[str]:
    for field in fields(wanted):
        old, new = getattr(there, field.name), getattr(wanted, field.name)
        if field.name == "arguments" and old != new:
            before, after = (dict(zip(one[::2], one[1::2], strict=False)) for one in (old, new))
            yield f"other {', '.join(name.removeprefix('--') for name in after if before.get(name) != after[name])}"
        elif old != new:
            yield f"{_LABELS.get(field.name, field.name.replace('_', ' '))} {old} -> {new}"


def prepare(
    name: str, profile: str, digests: Path | None, folder: Path = Path("release"), *, allow_local_blobs: bool = False
) -> Work:
    """Reads case, image and profile; nothing is stored or asked yet.

    Parameters
    ----------
    digests
        The file of images' digests; None: the image of the release in `folder`.

    Raises
    ------
    CaseError, SetupError
        As `esteira submit` does; or Cloud Run has no such machine.
    """
    chosen = profiles.load(profile)
    where, home = at(chosen), cases.find(name)
    file = case_file.load(home)
    image, given = _image(name, chosen, digests, folder)
    if not allow_local_blobs:
        targets.require_shared(chosen, file, "Cloud Run", ["predict"])
    jobs = CloudRunJobs(where)
    passed = {**submit.digests(home, file), "profile": given.to_json()}
    arguments = tuple(text for key, value in passed.items() for text in (f"--{key}", value))
    resources = file.resources.get("predict", Resources())
    machine = _machine(resources)
    limit = seconds(resources.time_limit) if resources.time_limit else _TIME_LIMIT  # a case's longest is Cloud Run's
    job = Job(image, arguments, where.service_account, where.kms_key, *machine, limit, _RETRIES, (file.name, file.name))
    timed = tuple(_timed(file, jobs.uri(file.name), where.scheduler_account))
    return Work(jobs, CloudSchedules(where), home, file, chosen, job, timed)


def _image(name: str, profile: Profile, digests: Path | None, folder: Path) -> tuple[str, Profile]:
    """The image of the steps by digest, and the profile as they get it."""
    if digests is None:
        ready = submit.ready(name, "predict", folder, "cloud-run", profile)
        return str(ready.spec["deploymentSpec"]["executors"]["exec-predict"]["container"]["image"]), ready.profile
    key = types.PIPELINE.partition(":")[0]
    found = images.load(digests).get(key, "")
    if not images.PINNED.fullmatch(found):
        remedy = "Push it first: make push; its digest is the registry's."
        raise CaseError(key, "be an image by digest, without a tag", found, remedy, where=str(digests))
    return found, profile


def _machine(wanted: Resources) -> tuple[str, str]:
    """Cores and memory. Raises CaseError for what a task of Cloud Run cannot have."""
    for key in ("machine", "disk", "accelerator"):
        if value := getattr(wanted, key):
            remedy = "Say it in cpu and memory, or run predict on Vertex AI."
            raise CaseError(f"resources.predict.{key}", "not be there for Cloud Run", str(value), remedy)
    cpu = wanted.cpu or next((c for c, most in _MOST.items() if _fits(wanted.memory or "8Gi", most)), "8")
    if cpu not in _MOST:
        known = ", ".join(_MOST)
        raise CaseError("resources.predict.cpu", f"be one of {known} for Cloud Run", cpu, "Choose one of them.")
    memory = wanted.memory or _MOST[cpu]
    if not (_fits(_LEAST[cpu], memory) and _fits(memory, _MOST[cpu])):
        rule = f"be from {_LEAST[cpu]} to {_MOST[cpu]} beside {cpu} cores for Cloud Run"
        raise CaseError("resources.predict.memory", rule, memory, "Change one of the two.")
    return cpu, memory


def _fits(one: str, other: str) -> bool:
    return sizes.bytes_of(one) <= sizes.bytes_of(other)


def _timed(file: CaseFile, uri: str, account: str) -> Iterator[Timed]:
    for name, one in file.schedules.items():
        if one.pipeline == "predict":
            state, told = PAUSED if one.paused else ENABLED, f"Predictions of {file.name}: {name}"
            yield Timed(name, one.cron, one.time_zone, account, uri, state, told)


@dataclass(frozen=True)
class There:
    """A case's job and schedules on Cloud Run."""

    case: str
    jobs: CloudRunJobs
    schedules: CloudSchedules

    def shown(self) -> dict[str, Any]:
        """Job (None: there is none), schedules and the newest executions, as data."""
        job = self.jobs.get(self.case)
        return {
            "job": job,
            "address": self.jobs.address(self.case),
            "schedules": self.schedules.list(self.case),
            "executions": self.jobs.executions(self.case) if job is not None else [],
        }

    def delete(self) -> Iterator[str]:
        """What was deleted: first what starts the job."""
        for one in self.schedules.list(self.case):
            self.schedules.delete(self.case, one.name)
            yield f"deleted {one.name}"
        if self.jobs.delete(self.case):
            yield "deleted job"


def there(name: str, profile: str) -> There:
    """Nothing is asked yet. Raises CaseError."""
    where = at(profiles.load(profile))
    return There(case_file.load(cases.find(name)).name, CloudRunJobs(where), CloudSchedules(where))
