"""Pipeline jobs and schedules: state is kept, nothing is computed. A job goes through its `course`, one frame with each look."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from tests.servers.frames import ENDED, Frame, usual
from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.service import PARENT, REGION, Service, labelled, moment, page, snake, written


@dataclass
class Pipelines(Service):
    """`course` gives a new job's frames; without it, it succeeds at its third look."""

    jobs: dict[str, aiplatform_v1.PipelineJob] = field(default_factory=dict)
    schedules: dict[str, aiplatform_v1.Schedule] = field(default_factory=dict)
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    course: Callable[[str], list[Frame]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"pipelineJobId"}

    # jobs

    def _post_pipelineJobs(self, request: Request) -> Any:
        id = request.query.get("pipelineJobId", "")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,127}", id):
            raise rules.invalid(f"pipeline_job_id {id!r}")
        found = rules.job(request.json(), REGION)
        if id in self.jobs:
            raise Refused(409, "ALREADY_EXISTS", f"The PipelineJob {PARENT}/pipelineJobs/{id} already exists.")
        return written(self.add(id, found))

    def add(self, id: str, found: Any) -> Any:
        found.name = f"{PARENT}/pipelineJobs/{id}"
        found.create_time = moment(self.clock)
        found.state = aiplatform_v1.PipelineState.PIPELINE_STATE_PENDING
        self.jobs[id] = found
        self.frames[id] = self.course(id) if self.course else usual(_steps(found))
        return found

    def _get_pipelineJobs_one(self, request: Request, id: str) -> Any:
        found = self.there(self.jobs, id, "PipelineJob")
        if self.frames[id]:
            self._show(found, self.frames[id].pop(0))
        return written(found)

    def _get_pipelineJobs(self, request: Request) -> Any:
        found = [j for j in self.jobs.values() if labelled(j, request.query.get("filter", ""))]
        if request.query.get("orderBy", "") == "create_time desc":
            found.sort(key=lambda j: j.create_time.timestamp(), reverse=True)
        shown, token = page(found, request)
        listed = [written(job) for job in shown]
        for job in listed:
            job.pop("jobDetail", None)
        return {"pipelineJobs": listed, **token}

    def _post_pipelineJobs_one_cancel(self, request: Request, id: str) -> Any:
        found = self.there(self.jobs, id, "PipelineJob")
        state = found.state.name.removeprefix("PIPELINE_STATE_")
        if state in ENDED:
            raise Refused(400, "FAILED_PRECONDITION", f"The PipelineJob is in state {state}.")
        self._show(found, Frame("CANCELLING"))
        self.frames[id] = [Frame("CANCELLING"), Frame("CANCELLED")]
        return {}

    def _show(self, found: Any, frame: Frame) -> None:
        number = getattr(aiplatform_v1.PipelineState, f"PIPELINE_STATE_{frame.state}", None)
        found.state = number if number is not None else int(frame.state)
        if frame.error:
            found.error = {"code": 9, "message": frame.error}
        if frame.state in ENDED:
            found.end_time = moment(self.clock)
        if frame.tasks:
            details = [self._detail(i, n, s, frame.error) for i, (n, s) in enumerate(frame.tasks.items())]
            found.job_detail = aiplatform_v1.PipelineJobDetail(task_details=details)

    def _detail(self, index: int, name: str, state: str, error: str) -> Any:
        detail: Any = aiplatform_v1.PipelineTaskDetail(task_id=index + 1, task_name=name, state=state)
        detail.start_time = moment(self.clock + index / 100)
        job = f"projects/123/locations/{REGION}/customJobs/{1000 + index}"
        detail.executor_detail = {"container_detail": {"main_job": job}}
        if state == "FAILED":
            detail.error = {"code": 9, "message": error or "The replica exited with a non-zero status."}
        return detail

    # schedules

    def _post_schedules(self, request: Request) -> Any:
        found: Any = rules.schedule(request.json(), PARENT)
        id = str(4_000_000_000 + next(self.numbers))
        found.name = f"{PARENT}/schedules/{id}"
        found.create_time = moment(self.clock)
        found.start_time = found.start_time or found.create_time
        found.state = aiplatform_v1.Schedule.State.ACTIVE
        found.next_run_time = moment(self.clock + 3600)
        self.schedules[id] = found
        return written(found)

    def _get_schedules(self, request: Request) -> Any:
        if request.query.get("filter"):
            raise rules.invalid("this server has no filter for schedules")
        shown, token = page(list(self.schedules.values()), request)
        return {"schedules": [written(schedule) for schedule in shown], **token}

    def _get_schedules_one(self, request: Request, id: str) -> Any:
        return written(self.there(self.schedules, id, "Schedule"))

    def _patch_schedules_one(self, request: Request, id: str) -> Any:
        there = self.there(self.schedules, id, "Schedule")
        mask = [snake(path) for path in request.query.get("updateMask", "").split(",")]
        known = {"display_name", "cron", "max_concurrent_run_count", "max_concurrent_active_run_count"}
        known |= {"create_pipeline_job_request", "allow_queueing", "start_time", "end_time", "max_run_count"}
        if not set(mask) <= known:
            raise rules.invalid(f"update_mask {mask}")
        given = aiplatform_v1.Schedule.pb(rules.parsed(aiplatform_v1.Schedule, request.json()))
        raw = aiplatform_v1.Schedule.pb(there)
        changed = type(raw)()
        changed.CopyFrom(raw)
        for path in mask:
            if path not in {f.name for f, _ in given.ListFields()}:
                raise rules.invalid(f"{path} cannot be unset")
            changed.ClearField(path)
            one = getattr(given, path)
            getattr(changed, path).CopyFrom(one) if hasattr(one, "CopyFrom") else setattr(changed, path, one)
        rules.check_schedule(aiplatform_v1.Schedule.wrap(changed), PARENT)
        raw.CopyFrom(changed)
        there.update_time = moment(self.clock)
        return written(there)

    def _post_schedules_one_pause(self, request: Request, id: str) -> Any:
        found = self.there(self.schedules, id, "Schedule")
        if found.state != aiplatform_v1.Schedule.State.ACTIVE:
            raise Refused(400, "FAILED_PRECONDITION", "The schedule is not active.")
        found.state = aiplatform_v1.Schedule.State.PAUSED
        return {}

    def _post_schedules_one_resume(self, request: Request, id: str) -> Any:
        asked = rules.parsed(aiplatform_v1.ResumeScheduleRequest, request.json())
        found = self.there(self.schedules, id, "Schedule")
        if found.state != aiplatform_v1.Schedule.State.PAUSED:
            raise Refused(400, "FAILED_PRECONDITION", "The schedule is not paused.")
        found.state, found.catch_up = aiplatform_v1.Schedule.State.ACTIVE, asked.catch_up
        return {}

    def _delete_schedules_one(self, request: Request, id: str) -> Any:
        self.there(self.schedules, id, "Schedule")
        del self.schedules[id]
        return self.begin(lambda: None)

    def fire(self, id: str) -> str:
        """What the schedule does when its time comes; the new job's id."""
        found = self.schedules[id]
        raw = aiplatform_v1.PipelineJob.pb(found.create_pipeline_job_request.pipeline_job)
        copy = type(raw)()
        copy.CopyFrom(raw)
        job = aiplatform_v1.PipelineJob.wrap(copy)
        job.schedule_name = found.name
        return str(self.add(f"scheduled-{next(self.numbers)}", job).name.rpartition("/")[2])


def _steps(job: aiplatform_v1.PipelineJob) -> list[str]:
    spec = json_format.MessageToDict(aiplatform_v1.PipelineJob.pb(job).pipeline_spec)
    return [name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]]
