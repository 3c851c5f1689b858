"""Runs on Vertex AI Pipelines: one PipelineJob each, whose id is made of pipeline, case and key.

The id makes a second create an error, ALREADY_EXISTS, so a create whose answer was lost finds its job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.adapters.gcp import vertex
from components.adapters.patience import Patience
from components.adapters.runs import ENDED, Asked, Run, Started, State, Task, TaskState, hashed, is_group
from components.core.errors import CaseError, ConflictError
from components.core.targets import Vertex

CASE, PIPELINE, KEY, DIGEST, RETRY_OF = (f"esteira-{n}" for n in ("case", "pipeline", "key", "digest", "retry-of"))
"""Labels. Their values have 63 characters at most: 32 hex digits of a digest."""
_KEY_SHOWN = re.compile(r" \[(.*)\]$")
_LATER = float("inf")
_SAME_KEY = "Give the same command again, with the same --key: nothing is done twice."
_STATES: Mapping[str, State] = {
    "QUEUED": "pending",
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELLING": "cancelling",
    "CANCELLED": "cancelled",
    "PAUSED": "paused",
}
_TASK_STATES: Mapping[str, TaskState] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "CANCEL_PENDING": "cancelling",
    "CANCELLING": "cancelling",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
    "SKIPPED": "reused",
    "NOT_TRIGGERED": "not started",
}


class VertexRuns:
    """Implements `runs.Runs`."""

    def __init__(self, at: Vertex, *, patience: Patience | None = None, credentials: Any = None) -> None:
        self._at = at
        self._calls = vertex.Caller("pipeline_service", at, patience=patience, credentials=credentials)

    def probe(self) -> None:
        """One listing: it needs credentials, project, region and the right to see runs."""
        from google.api_core.exceptions import NotFound

        try:
            self._calls.call("list_pipeline_jobs", about=self._at.parent, request=self._listing("", 1))
        except NotFound as error:
            raise vertex.no_service(self._at, vertex.words(error)) from error

    def start(self, asked: Asked) -> Started:
        return self._create(job(self._at, asked), asked.id)

    def _create(self, wanted: Mapping[str, Any], id: str) -> Started:
        from google.api_core.exceptions import Conflict, NotFound

        request = {"parent": self._at.parent, "pipeline_job_id": id, "pipeline_job": wanted}
        try:
            created = self._calls.call("create_pipeline_job", about=id, remedy=_SAME_KEY, request=request)
        except Conflict as error:
            there = self._get(id)
            differs = _differences(there, wanted)
            if differs:
                remedy = "Leave out --key, or choose another: this one has its run."
                raise ConflictError(id, "be the run that this key had before", differs, remedy) from error
            return Started(self._run(there), found=True)
        except NotFound as error:
            raise vertex.no_service(self._at, vertex.words(error)) from error
        return Started(self._run(created), found=False)

    def get(self, id: str) -> Run:
        return self._run(self._get(id))

    def _get(self, id: str) -> Any:
        from google.api_core.exceptions import NotFound

        try:
            return self._calls.call("get_pipeline_job", about=id, name=self._name(id))
        except NotFound as error:
            raise CaseError("RUN", "be one on Vertex", id, "See `esteira runs list --on vertex`.") from error

    def _name(self, id: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,127}", id):
            raise CaseError("RUN", "be a job's id", id, "See `esteira runs list --on vertex`.")
        return f"{self._at.parent}/pipelineJobs/{id}"

    def list(self, case: str = "", most: int = 20) -> list[Run]:
        found: list[Run] = []
        request = self._listing(case, min(most, 100))
        while True:
            page = self._calls.call("list_pipeline_jobs", about=self._at.parent, request=request)
            found += [self._run(one) for one in page.pipeline_jobs]
            if len(found) >= most or not page.next_page_token:
                return found[:most]
            request["page_token"] = page.next_page_token

    def _listing(self, case: str, most: int) -> dict[str, Any]:
        which = f'labels.{CASE}="{case}"' if case else f"labels.{CASE}:*"
        return {"parent": self._at.parent, "filter": which, "page_size": most, "order_by": "create_time desc"}

    def cancel(self, id: str) -> None:
        if self.get(id).state not in ENDED:
            self._calls.call("cancel_pipeline_job", about=id, name=self._name(id))

    def retry(self, id: str, key: str) -> Started:
        """v1 repeats nothing itself: a new job of the same spec, labelled as a retry of the first."""
        there = self._get(id)
        run = self._run(there)
        if not run.case or not run.pipeline:
            raise CaseError("RUN", "be one of Esteira's, by its labels", id, "Repeat it where it was made.")
        if run.state not in ("failed", "cancelled"):
            remedy = (
                "Wait for its end, or cancel it first." if run.state != "done" else "Submit it under another --key."
            )
            raise CaseError("RUN", "have failed or been cancelled", run.state, remedy, where=id)
        first = there.labels.get(RETRY_OF) or there.labels.get(KEY) or hashed(id)[:32]  # a schedule's has no key
        raw = type(there).pb(there)
        wanted = {name: getattr(raw, name) for name in ("pipeline_spec", "service_account", "network")}
        wanted |= {"runtime_config": raw.runtime_config, "encryption_spec": raw.encryption_spec}
        wanted["display_name"] = _KEY_SHOWN.sub("", there.display_name) + f" [{key}]"
        wanted["labels"] = {**there.labels, KEY: hashed(key)[:32], RETRY_OF: first}
        wanted["labels"].pop("vertex-ai-pipelines-run-billing-id", None)  # the service's own
        new = f"esteira-{run.pipeline}-{run.case}-{hashed(key)[:20]}"
        started = self._create({k: v for k, v in wanted.items() if v}, new)
        return replace(started, run=replace(started.run, retry_of=id))

    def _run(self, found: Any) -> Run:
        id = found.name.rpartition("/")[2]
        labels, key = dict(found.labels), _KEY_SHOWN.search(found.display_name)
        steps = (self._task(task) for task in found.job_detail.task_details if not is_group(task.task_name))
        tasks = sorted(steps, key=lambda task: task.started or _LATER)
        return Run(
            id,
            name=id,
            state=vertex.state(found, _STATES, "PIPELINE_STATE_"),
            pipeline=labels.get(PIPELINE, ""),
            case=labels.get(CASE, ""),
            key=key[1] if key else "",
            address=f"{vertex.CONSOLE}/vertex-ai/locations/{self._at.region}/pipelines/runs/{id}?project={self._at.project}",
            tasks=tuple(tasks),
            error=found.error.message,
            created=vertex.seconds(found.create_time),
            ended=vertex.seconds(found.end_time),
            retry_of=labels.get(RETRY_OF, ""),
        )

    def _task(self, found: Any) -> Task:
        detail = found.executor_detail
        jobs = [
            detail.container_detail.main_job,
            *detail.container_detail.failed_main_jobs[-1:],
            detail.custom_job_detail.job,
        ]
        job_name = next((name for name in jobs if name), "")
        return Task(
            found.task_name,
            state=vertex.state(found, _TASK_STATES),
            error=found.error.message,
            logs=self._logs(job_name.rpartition("/")[2]) if job_name else "",
            started=vertex.seconds(found.start_time),
            ended=vertex.seconds(found.end_time),
        )

    def _logs(self, job_id: str) -> str:
        return vertex.logs(self._at, f'resource.type="ml_job" resource.labels.job_id="{job_id}"')


def job(at: Vertex, asked: Asked) -> dict[str, Any]:
    """The PipelineJob that a run or each run of a schedule is."""
    labels = {CASE: asked.case, PIPELINE: asked.pipeline, DIGEST: asked.digest}
    shown = f"{asked.case[:30]} {asked.pipeline}"  # at most 128 characters with the key
    if asked.key:
        labels[KEY] = hashed(asked.key)[:32]
        shown += f" [{asked.key}]"
    wanted: dict[str, Any] = {
        "display_name": shown,
        "pipeline_spec": json.loads(json.dumps(asked.spec)),
        "labels": labels,
        "runtime_config": {"gcs_output_directory": at.pipeline_root, "parameter_values": dict(asked.arguments)},
    }
    if at.service_account:
        wanted["service_account"] = at.service_account
    if at.network:
        wanted["network"] = at.network
    if at.kms_key:
        wanted["encryption_spec"] = {"kms_key_name": at.kms_key}
    return wanted


def _differences(there: Any, wanted: Mapping[str, Any]) -> str:
    """In what a job differs from the one that is wanted; empty: it is the same."""
    given = there.runtime_config.parameter_values
    values = {name: _plain(value) for name, value in dict(given).items()}
    config = wanted["runtime_config"]
    asked = config["parameter_values"] if isinstance(config, Mapping) else config.parameter_values
    other = {name: _plain(value) for name, value in dict(asked).items()}
    names = sorted(name for name in values.keys() | other.keys() if values.get(name) != other.get(name))
    if names:
        return f"other parameters: {', '.join(names)}"
    return "" if there.labels.get(DIGEST) == wanted["labels"][DIGEST] else "another pipeline"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else getattr(value, "string_value", value)
