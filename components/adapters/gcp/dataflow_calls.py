"""Dataflow's API: jobs found, made, looked at and stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from components.adapters.gcp.dataflow_errors import SERVICE, translated
from components.adapters.gcp.vertex import transient
from components.adapters.patience import Patience
from components.adapters.ports import CloudJob, JobState
from components.core.errors import RunError, SetupError
from components.core.targets import Dataflow

T = TypeVar("T")
LABEL = "esteira-key"
"""What a job is found again by: the digest of what it is to do."""
CALL = 60.0
"""Seconds that one call may take."""
NEWEST = 20
"""Jobs of one name that are looked at: only one of them can be under way."""
STATES: Mapping[str, JobState] = {
    "UNKNOWN": "starting",  # right after its making a job has none yet
    "STOPPED": "starting",
    "PENDING": "starting",
    "QUEUED": "starting",
    "RUNNING": "running",
    "RESOURCE_CLEANING_UP": "running",
    "DRAINING": "draining",
    "CANCELLING": "cancelling",
    "DONE": "done",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "DRAINED": "drained",
    "UPDATED": "updated",
}


@dataclass(frozen=True)
class Told:
    """One of a job's own messages."""

    at: datetime
    text: str
    error: bool


class Api:
    """Calls of Dataflow in one project and region, asked again while the service is busy or away.

    Every method raises SetupError, DataError or RunError: Google's errors as ours.
    """

    def __init__(self, at: Dataflow, patience: Patience) -> None:
        self._at, self._patience = at, patience
        self._place = {"project_id": at.project, "location": at.region}

    def found(self, name: str) -> list[CloudJob]:
        """The jobs of this name in any state, the newest first. A listing has no labels: each is asked for."""

        def listed() -> list[Any]:
            return list(self._jobs.list_jobs({**self._place, "name": name, "filter": 1}, retry=None, timeout=CALL))

        jobs = [job for job in self.again(listed, name) if job.name == name]
        jobs.sort(key=lambda job: (job.create_time is not None, job.create_time), reverse=True)
        found = (self.get(job.id, labels=True) for job in jobs[:NEWEST])
        return [job for job in found if job is not None]

    def get(self, id: str, *, labels: bool = False) -> CloudJob | None:
        """The job as it is now; None where there is none. Raises RunError for a state that is not documented."""
        from google.api_core.exceptions import NotFound

        asked = {**self._place, "job_id": id, "view": 3 if labels else 1}
        try:
            return self._job(self.again(lambda: self._jobs.get_job(asked, retry=None, timeout=CALL), id))
        except NotFound:
            return None

    def create(self, job: Any) -> tuple[CloudJob, str]:
        """One attempt, Google's errors as they are: the job, and who asked for it. It may be another's of that name."""
        made = self._jobs.create_job({**self._place, "job": job}, retry=None, timeout=CALL)
        return self._job(made), str(made.client_request_id)

    def stop(self, id: str, state: str) -> None:
        """Asks for JOB_STATE_CANCELLED or JOB_STATE_DRAINED."""
        types = self._types
        job = types.Job(requested_state=types.JobState[state])
        self.again(
            lambda: self._jobs.update_job({**self._place, "job_id": id, "job": job}, retry=None, timeout=CALL), id
        )

    def messages(self, id: str, since: datetime | None) -> list[Told]:
        """What a person should know of the job, from `since` on, the oldest first."""
        asked = {**self._place, "job_id": id, "start_time": since, "minimum_importance": 5}

        def listed() -> list[Any]:
            return list(self._messages.list_job_messages(asked, retry=None, timeout=CALL))

        error = self._types.JobMessageImportance.JOB_MESSAGE_ERROR
        return [Told(m.time, m.message_text, m.message_importance == error) for m in self.again(listed, id)]

    def counters(self, id: str) -> dict[str, int]:
        """Our own counters' values so far, over all steps."""
        asked = {**self._place, "job_id": id}
        found = self.again(lambda: self._metrics.get_job_metrics(asked, retry=None, timeout=CALL), id)
        counts: dict[str, int] = {}
        for metric in found.metrics:
            context = metric.name.context
            if context.get("namespace") == "esteira" and "tentative" not in context:
                counts[metric.name.name] = counts.get(metric.name.name, 0) + int(metric.scalar or 0)
        return counts

    def again(self, attempt: Callable[[], T], about: str) -> T:
        """What the attempt gives, made again while the service is busy or away; NotFound and Conflict as they are."""
        with translated(about):
            return self._patience.retry(attempt, transient)

    def _job(self, found: Any) -> CloudJob:
        at = self._at
        url = f"https://console.cloud.google.com/dataflow/jobs/{at.region}/{found.id}?project={at.project}"
        streaming = found.type_ == self._types.JobType.JOB_TYPE_STREAMING
        return CloudJob(found.id, found.name, _state(found), streaming, found.labels.get(LABEL, ""), url)

    @cached_property
    def _types(self) -> Any:
        return _package()

    @cached_property
    def _jobs(self) -> Any:
        return self._client("JobsV1Beta3Client")

    @cached_property
    def _messages(self) -> Any:
        return self._client("MessagesV1Beta3Client")

    @cached_property
    def _metrics(self) -> Any:
        return self._client("MetricsV1Beta3Client")

    def _client(self, name: str) -> Any:
        from google.api_core.client_options import ClientOptions

        endpoint, credentials = self._at.endpoint or f"https://{SERVICE.api}", None
        if endpoint.startswith("http://"):
            from google.auth.credentials import AnonymousCredentials

            credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
        with translated(name):
            made: Callable[..., Any] = getattr(_package(), name)
            return made(credentials=credentials, transport="rest", client_options=ClientOptions(api_endpoint=endpoint))


def _package() -> Any:
    try:
        from google.cloud import dataflow_v1beta3
    except ModuleNotFoundError as error:
        remedy = "Install google-cloud-dataflow-client into this environment: `make setup`."
        raise SetupError("google-cloud-dataflow-client", "be installed", str(error), remedy) from error
    return dataflow_v1beta3


def _state(found: Any) -> JobState:
    raw = type(found).pb(found)
    value = raw.DESCRIPTOR.fields_by_name["current_state"].enum_type.values_by_number.get(raw.current_state)
    name = value.name.removeprefix("JOB_STATE_") if value is not None else str(raw.current_state)
    if name not in STATES:
        remedy = "Look at it in the console; a newer Esteira may know this state."
        raise RunError("state", f"be one that Dataflow documents ({', '.join(STATES)})", name, remedy, where=raw.id)
    return STATES[name]
