"""A contract server for Dataflow: every request is strictly a proto of Google's, and what Dataflow refuses is refused.

It keeps state and computes nothing. A job goes through its `course`, one frame with each look (GetJob, summary view).
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format

from tests.servers import http
from tests.servers.http import Refused, Request
from tests.servers.vertex.rules import invalid, parsed
from tests.servers.vertex.service import moment

PROJECT, REGION = "esteira-test", "europe-west1"
ENDED = ("DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED")
_PATH = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/:]+))?(?:/(messages|metrics))?")
_QUERIES = {"$alt", "filter", "name", "view", "pageSize", "pageToken", "startTime", "minimumImportance", "updateMask"}
# the reference of projects.locations.jobs, field by field
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
_IMAGE = re.compile(r"\S+@sha256:[0-9a-f]{64}")  # by digest: our rule, not Dataflow's
_OUTPUT_ONLY = ("id", "current_state", "current_state_time", "create_time", "replaced_by_job_id", "stage_states")
_SUMMARY = ("id", "projectId", "name", "type", "currentState", "currentStateTime", "createTime", "location")
_DESCRIPTION = (*_SUMMARY, "labels", "environment", "clientRequestId", "replaceJobId", "replacedByJobId")
_IMPORTANCE = {1: 0, 2: 1, 5: 2, 3: 3, 4: 4}
"""The levels in order: BASIC has the number 5."""


@dataclass(frozen=True)
class Frame:
    """A state, what the job says with it, and our counters so far."""

    state: str
    says: str = ""
    error: bool = False
    counters: Mapping[str, int] = field(default_factory=dict)


def batch_course(_: Any) -> list[Frame]:
    return [Frame("PENDING"), Frame("RUNNING", "Worker pool started."), Frame("DONE", counters={"rows": 3})]


def stream_course(_: Any) -> list[Frame]:
    return [Frame("PENDING"), Frame("RUNNING")]


@dataclass
class Dataflow:
    """`course` gives a new job's frames; without one a batch job succeeds at its third look, and a stream goes on."""

    jobs: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    course: Callable[[Any], list[Frame]] | None = None
    denied: str = ""
    """What it says to everyone, with a 403."""
    broken: str = ""
    """What it says to who makes a job, with a 400."""
    listed: bool = True
    """Whether new jobs are in the listing yet."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    clock: float = field(default_factory=lambda: float(int(time.time())))

    def refusal(self, refused: Refused) -> Any:
        return {"error": {"code": refused.status, "message": refused.message, "status": refused.reason}}

    def answer(self, request: Request) -> Any:
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused(404, "NOT_FOUND", f"no such method {request.path}")
        if unknown := set(request.query) - _QUERIES:
            raise invalid(f"Unknown query parameters {sorted(unknown)}")
        project, region, id, part = match.groups()
        if self.denied or project != PROJECT:
            raise Refused(403, "PERMISSION_DENIED", self.denied or f"Permission denied on project {project}.")
        if region != REGION:
            raise Refused(400, "INVALID_ARGUMENT", f"The regional endpoint {region} does not exist.")
        self.clock += 1
        if id is None:
            return self._list(request) if request.method == "GET" else self._create(request)
        if id not in self.jobs:
            raise Refused(404, "NOT_FOUND", f"(95c8c8d2): Information about job {id} could not be found.")
        if part is not None:
            return self._messages(request, id) if part == "messages" else self._metrics(id)
        return self._update(request, id) if request.method == "PUT" else self._get(request, id)

    def active(self) -> list[Any]:
        return [job for job in self.jobs.values() if self.state(job.id) not in ENDED]

    def state(self, id: str) -> str:
        return str(dataflow.JobState(self.jobs[id].current_state).name.removeprefix("JOB_STATE_"))

    # the methods

    def _create(self, request: Request) -> Any:
        if self.broken:
            raise invalid(self.broken)
        job = parsed(dataflow.Job, request.json())
        _check(job)
        same = [other for other in self.jobs.values() if other.name == job.name]
        if job.client_request_id and any(other.client_request_id == job.client_request_id for other in same):
            raise Refused(409, "ALREADY_EXISTS", f"(7f4e): The workflow could not be created, as {job.name} exists.")
        if job.replace_job_id:
            self._replace(job)
        elif there := [other for other in same if self.state(other.id) not in ENDED]:
            return _shown(there[0], _DESCRIPTION)
        job.id = f"2026-01-01_00_00_00-{next(self.numbers)}"
        job.project_id, job.location, job.create_time = PROJECT, REGION, moment(self.clock)
        self.jobs[job.id], self.said[job.id], self.counters[job.id] = job, [], {}
        streaming = job.type_ == dataflow.JobType.JOB_TYPE_STREAMING
        self.frames[job.id] = (self.course or (stream_course if streaming else batch_course))(job)
        return _shown(job, _DESCRIPTION)

    def _replace(self, job: Any) -> None:
        before = self.jobs.get(job.replace_job_id)
        if before is None or self.state(before.id) != "RUNNING":
            raise invalid(f"(5e1b): The job {job.replace_job_id} to update is not running.")
        if before.name != job.name:
            raise invalid("(5e1c): The new job must have the same name as the job that it updates.")
        if dataflow.JobType.JOB_TYPE_BATCH in (before.type_, job.type_):
            raise invalid("(5e1d): A batch job cannot be updated.")
        self._put(before, "UPDATED")
        self.frames[before.id] = []

    def _get(self, request: Request, id: str) -> Any:
        job, view = self.jobs[id], request.query.get("view", "1")
        if view not in "123":
            raise invalid(f"view {view}")
        if view == "1" and self.frames[id]:
            self._show(job, self.frames[id].pop(0))
        return _shown(job, _SUMMARY if view == "1" else _DESCRIPTION)

    def _list(self, request: Request) -> Any:
        """Summaries alone, whatever the view; half a page, so that who reads only one finds not all."""
        name, start = request.query.get("name"), int(request.query.get("pageToken") or 0)
        kinds: dict[str, Callable[[str], bool]] = {
            "0": lambda _: True,
            "1": lambda _: True,
            "2": ENDED.__contains__,
            "3": lambda s: s not in ENDED,
        }
        kind = kinds[request.query.get("filter", "0")]
        found = [j for j in self.jobs.values() if name in (None, j.name) and kind(self.state(j.id)) and self.listed]
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(found) else {}
        return {"jobs": [_shown(job, _SUMMARY) for job in found[start : start + 2]], **more}

    def _update(self, request: Request, id: str) -> Any:
        job, asked = self.jobs[id], parsed(dataflow.Job, request.json())
        if request.query.get("updateMask"):
            raise invalid("this server updates no fields")
        wanted = dataflow.JobState(asked.requested_state).name.removeprefix("JOB_STATE_")
        if wanted not in ("CANCELLED", "DRAINED", "DONE"):
            raise invalid(f"requested_state {wanted}")
        if self.state(id) in ENDED:
            raise Refused(400, "FAILED_PRECONDITION", f"(2f6a): Job {id} is in the terminal state {self.state(id)}.")
        if wanted == "DRAINED" and job.type_ != dataflow.JobType.JOB_TYPE_STREAMING:
            raise invalid("(2f6b): Cannot drain a batch job.")
        between = {"CANCELLED": "CANCELLING", "DRAINED": "DRAINING", "DONE": "RUNNING"}[wanted]
        self._put(job, between)
        self.frames[id] = [Frame(between), Frame(wanted)]
        return _shown(job, _DESCRIPTION)

    def _messages(self, request: Request, id: str) -> Any:
        since = request.query.get("startTime", "")
        least = _IMPORTANCE[int(request.query.get("minimumImportance", 1))]
        found = [m for m in self.said[id] if m["time"] >= since and _IMPORTANCE[m["messageImportance"]] >= least]
        return {"jobMessages": found}

    def _metrics(self, id: str) -> Any:
        context = {"namespace": "esteira", "step": "s2"}
        return {
            "metrics": [
                {"name": {"origin": "user", "name": name, "context": {**context, **tentative}}, "scalar": value}
                for name, value in self.counters[id].items()
                for tentative in ({}, {"tentative": "true"})
            ]
        }

    def _show(self, job: Any, frame: Frame) -> None:
        self._put(job, frame.state)
        self.counters[job.id] = frame.counters or self.counters[job.id]
        if frame.says:
            number, at = len(self.said[job.id]), moment(self.clock).ToJsonString()
            level = 4 if frame.error else 5
            message = {"id": str(number), "time": at, "messageText": frame.says, "messageImportance": level}
            self.said[job.id].append(message)

    def _put(self, job: Any, state: str) -> None:
        number = dataflow.JobState.__members__.get(f"JOB_STATE_{state}")
        type(job).pb(job).current_state = int(state) if number is None else number.value
        job.current_state_time = moment(self.clock)


def _shown(job: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    data: dict[str, Any] = json_format.MessageToDict(type(job).pb(job), use_integers_for_enums=True)
    return {name: value for name, value in data.items() if name in fields}


def _check(job: Any) -> None:
    raw = type(job).pb(job)
    for name in _OUTPUT_ONLY:
        if name in {f.name for f, _ in raw.ListFields()}:
            raise invalid(f"{name} is output only")
    if not _NAME.fullmatch(job.name):
        raise invalid(f"(1a2b): The workflow name {job.name!r} is invalid.")
    if job.type_ not in (dataflow.JobType.JOB_TYPE_BATCH, dataflow.JobType.JOB_TYPE_STREAMING):
        raise invalid("type must be batch or streaming")
    if len(job.labels) > 64 or not all(
        _LABEL_KEY.fullmatch(k) and _LABEL_VALUE.fullmatch(v) for k, v in job.labels.items()
    ):
        raise invalid(f"labels {dict(job.labels)}")
    if job.transform_name_mapping and not job.replace_job_id:
        raise invalid("transform_name_mapping belongs to an update")
    options = json_format.MessageToDict(raw.environment.sdk_pipeline_options).get("options", {})
    if not re.fullmatch(r"gs://[^/]+/.+", str(options.get("pipelineUrl", ""))):
        raise invalid("pipelineUrl must name a staged graph")
    if not raw.environment.temp_storage_prefix.startswith("storage.googleapis.com/"):
        raise invalid("temp_storage_prefix must be in Cloud Storage")
    if len(raw.environment.worker_pools) != 1:
        raise invalid("a job of the portable kind has one worker pool")
    pool = raw.environment.worker_pools[0]
    images = [image.container_image for image in pool.sdk_harness_container_images]
    if not images or not all(map(_IMAGE.fullmatch, images)):
        raise invalid(f"worker images {images}")
    if pool.kind != "harness":
        raise invalid(f"worker pool of kind {pool.kind!r}")


@contextmanager
def serving() -> Iterator[tuple[http.Server, Dataflow]]:
    service = Dataflow()
    with http.serving(service) as server:
        yield server, service
