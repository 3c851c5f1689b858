"""Cloud Run's jobs and Cloud Scheduler, as their APIs keep them: state is kept, nothing is computed.

Messages are parsed strictly into Google's own; the rules are those of the references of run v2 and cloudscheduler v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.cloud import run_v2, scheduler_v1
from google.protobuf import any_pb2, json_format

from tests.servers import http
from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.service import PARENT, PROJECT, REGION, Service, moment, page, snake, written

_PATH = re.compile(r"/(v[12])/projects/([^/]+)/locations/([^/:]+)/([^:]+)(?::(\w+))?")
_GIB = 2**30
_MEMORY = {"1": (0.5, 4), "2": (0.5, 8), "4": (2, 16), "6": (4, 24), "8": (4, 32)}
"""cloud.google.com/run/docs/configuring/jobs/memory-limits"""
_UNITS = {"M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": _GIB}
_RESERVED = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")


@dataclass
class CloudRun(Service):
    """Version 2 is Cloud Run's, version 1 Cloud Scheduler's; `fire` does what the latter does when the time comes."""

    jobs: dict[str, Any] = field(default_factory=dict)
    executions: dict[str, Any] = field(default_factory=dict)
    timed: dict[str, Any] = field(default_factory=dict)
    disabled: str = ""
    """The API that the project has not enabled."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"jobId"}

    def answer(self, request: Request) -> Any:
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused(404, "NOT_FOUND", "no such method")
        version, project, region, rest, verb = match.groups()
        api = {"v2": "run", "v1": "cloudscheduler"}[version]
        if unknown := set(request.query) - self.queries:
            raise rules.invalid(f"Unknown query parameters {sorted(unknown)}")
        if project != PROJECT or self.forbidden:
            raise Refused(403, "PERMISSION_DENIED", f"Permission '{api}.jobs.get' denied on {project}")
        if self.disabled.startswith(api):
            raise Refused(403, "SERVICE_DISABLED", f"{self.disabled} has not been used in project {project}")
        if region != REGION:
            raise Refused(404, "NOT_FOUND", f"Location {region} is not found")
        parts = rest.split("/")
        names, ids = parts[::2], parts[1::2]
        whole = ["one"] if len(ids) == len(names) else []
        name = "_" + "_".join([api, request.method.lower(), *names, *whole, *([verb] if verb else [])])
        method = getattr(self, name, None)
        if method is None:
            raise Refused(404, "NOT_FOUND", f"no method {name}")
        self.clock += 1
        return method(request, *ids)

    def refusal(self, refused: Refused) -> Any:
        error: dict[str, Any] = {"code": refused.status, "message": refused.message, "status": refused.reason}
        if refused.reason == "SERVICE_DISABLED":
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refused.reason}
            error |= {"status": "PERMISSION_DENIED", "details": [{**info, "domain": "googleapis.com"}]}
        return {"error": error}

    # Cloud Run

    def _run_get_operations_one(self, request: Request, id: str) -> Any:
        return self._get_operations_one(request, id)

    def _run_post_jobs(self, request: Request) -> Any:
        id = request.query.get("jobId", "")
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", id):
            raise rules.invalid(f"job_id {id!r}")
        found: Any = rules.parsed(run_v2.Job, request.json())
        _check(found, "")
        if id in self.jobs:
            raise Refused(409, "ALREADY_EXISTS", f"Resource '{id}' already exists.")
        found.name, found.create_time, found.generation = f"{PARENT}/jobs/{id}", moment(self.clock), 1
        self.jobs[id] = _defaulted(found)
        return self.begin(lambda: found)

    def _run_get_jobs_one(self, request: Request, id: str) -> Any:
        return written(self._job(id))

    def _run_patch_jobs_one(self, request: Request, id: str) -> Any:
        there = self._job(id)
        found: Any = rules.parsed(run_v2.Job, request.json())
        found.name = found.name or there.name  # the clients leave in the path what stands there
        _check(found, there.name)
        found.create_time, found.generation = there.create_time, there.generation + 1
        self.jobs[id] = _defaulted(found)
        return self.begin(lambda: found)

    def _run_delete_jobs_one(self, request: Request, id: str) -> Any:
        found = self._job(id)
        del self.jobs[id]
        self.executions = {n: e for n, e in self.executions.items() if e.job != id}
        return self.begin(lambda: found)

    def _run_post_jobs_one_run(self, request: Request, id: str) -> Any:
        rules.parsed(run_v2.RunJobRequest, request.json())
        job = self._job(id)
        name = f"{id}-{next(self.numbers):05d}"
        made: Any = run_v2.Execution(name=f"{job.name}/executions/{name}", job=id, task_count=1, running_count=1)
        made.create_time = moment(self.clock)
        self.executions[name] = made
        wrapped = any_pb2.Any()
        wrapped.Pack(run_v2.Execution.pb(made))
        # Its operation ends with the execution.
        operation = self.begin(lambda: made, looks=10**6)
        return {**operation, "metadata": json_format.MessageToDict(wrapped, use_integers_for_enums=True)}

    def _run_get_jobs_executions(self, request: Request, id: str) -> Any:
        self._job(id)
        newest = [one for one in reversed(self.executions.values()) if one.job == id]
        shown, token = page(newest, request)
        return {"executions": [written(one) for one in shown], **token}

    def _job(self, id: str) -> Any:
        if id not in self.jobs:
            raise Refused(404, "NOT_FOUND", f"Resource '{id}' of kind 'JOB' in region '{REGION}' does not exist.")
        return self.jobs[id]

    def end(self, name: str, *, failed: bool = False) -> None:
        """An execution's task ends."""
        found = self.executions[name]
        found.running_count, found.completion_time = 0, moment(self.clock + 60)
        setattr(found, "failed_count" if failed else "succeeded_count", 1)

    # Cloud Scheduler

    def _cloudscheduler_post_jobs(self, request: Request) -> Any:
        found: Any = rules.parsed(scheduler_v1.Job, request.json())
        _check_timed(found)
        id = found.name.rpartition("/")[2]
        if id in self.timed:
            raise Refused(409, "ALREADY_EXISTS", f"Job {found.name} already exists.")
        found.state = scheduler_v1.Job.State.ENABLED
        self.timed[id] = found
        return written(found)

    def _cloudscheduler_get_jobs(self, request: Request) -> Any:
        shown, token = page(list(self.timed.values()), request)
        return {"jobs": [written(one) for one in shown], **token}

    def _cloudscheduler_get_jobs_one(self, request: Request, id: str) -> Any:
        return written(self.there(self.timed, id, "Job"))

    def _cloudscheduler_patch_jobs_one(self, request: Request, id: str) -> Any:
        there = self.there(self.timed, id, "Job")
        mask = [snake(path) for path in request.query.get("updateMask", "").split(",")]
        given = scheduler_v1.Job.pb(rules.parsed(scheduler_v1.Job, request.json()))
        raw = scheduler_v1.Job.pb(there)
        changed = type(raw)()
        changed.CopyFrom(raw)
        for path in mask:
            if path not in raw.DESCRIPTOR.fields_by_name:
                raise rules.invalid(f"update_mask {path}")
            one = getattr(given, path)
            getattr(changed, path).CopyFrom(one) if hasattr(one, "CopyFrom") else setattr(changed, path, one)
        _check_timed(scheduler_v1.Job.wrap(changed))
        raw.CopyFrom(changed)
        return written(there)

    def _cloudscheduler_delete_jobs_one(self, request: Request, id: str) -> Any:
        self.there(self.timed, id, "Job")
        del self.timed[id]
        return {}

    def _cloudscheduler_post_jobs_one_pause(self, request: Request, id: str) -> Any:
        return self._turn(id, "ENABLED", "PAUSED")

    def _cloudscheduler_post_jobs_one_resume(self, request: Request, id: str) -> Any:
        return self._turn(id, "PAUSED", "ENABLED")

    def _turn(self, id: str, before: str, after: str) -> Any:
        found = self.there(self.timed, id, "Job")
        if found.state.name != before:
            raise Refused(400, "FAILED_PRECONDITION", f"Job is not in the {before} state.")
        found.state = scheduler_v1.Job.State[after]
        return written(found)

    def fire(self, id: str) -> None:
        """Posts where the schedule says."""
        target = self.timed[id].http_target
        path = target.uri.removeprefix("https://run.googleapis.com")
        self.answer(Request(target.http_method.name, path, {}, {}, target.body))


def _check(found: Any, name: str) -> None:
    """What Cloud Run refuses of a job."""
    if found.name != name:
        raise rules.invalid(f"job.name {found.name!r}")
    labels = {**found.labels, **found.template.labels}
    if any(key.startswith(_RESERVED) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) for key in labels):
        raise rules.invalid(f"labels {sorted(labels)}")
    task = found.template.template
    if len(task.containers) != 1 or not task.containers[0].image:
        raise rules.invalid("template.template.containers: one with an image")
    if not 0 < task.timeout.total_seconds() <= 168 * 3600 or not 0 <= task.max_retries <= 10:
        raise rules.invalid("template.template: timeout or max_retries")
    limits = dict(task.containers[0].resources.limits)
    size = re.fullmatch(r"(\d+)(M|Mi|G|Gi)", limits.get("memory", ""))
    if set(limits) != {"cpu", "memory"} or limits["cpu"] not in _MEMORY or size is None:
        raise rules.invalid(f"resources.limits {limits}")
    least, most = _MEMORY[limits["cpu"]]
    if not least <= int(size[1]) * _UNITS[size[2]] / _GIB <= most:
        raise rules.invalid(f"resources.limits.memory: {limits['memory']} beside {limits['cpu']} cpu")


def _defaulted(found: Any) -> Any:
    """As Cloud Run shows it: what was left out has its value."""
    found.launch_stage = 4  # GA
    found.template.template.execution_environment = run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2
    found.etag = f'"{found.generation}"'
    return found


def _check_timed(found: Any) -> None:
    """What Cloud Scheduler refuses of a job."""
    if not re.fullmatch(rf"{PARENT}/jobs/[A-Za-z0-9_-]{{1,500}}", found.name):
        raise rules.invalid(f"Job name {found.name!r}")
    if len(found.schedule.split()) != 5:
        raise rules.invalid(f"Schedule or time zone is invalid: {found.schedule}")
    try:
        ZoneInfo(found.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise rules.invalid(f"Schedule or time zone is invalid: {found.time_zone}") from error
    target = found.http_target
    host = re.fullmatch(r"https://([^/]+)/\S+", target.uri)
    if host is None or not host[1].endswith(".googleapis.com") or "@" not in target.oauth_token.service_account_email:
        raise rules.invalid("HttpTarget: an OAuth token goes to *.googleapis.com over https, as a service account")
    if not 0 <= found.retry_config.retry_count <= 5 or not 15 <= found.attempt_deadline.total_seconds() <= 1800:
        raise rules.invalid("retry_config.retry_count or attempt_deadline")


@contextmanager
def cloud_run() -> Iterator[tuple[http.Server, CloudRun]]:
    service = CloudRun()
    with http.serving(service) as server:
        yield server, service
