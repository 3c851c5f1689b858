"""Cloud Scheduler's jobs that start a case's job of Cloud Run: esteira-predict_CASE_SCHEDULE, found by name alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from components.adapters.gcp import errors
from components.adapters.gcp.cloud_calls import Calls
from components.adapters.patience import Patience
from components.core.targets import CloudRun

SERVICE = errors.Service(
    "Cloud Scheduler",
    "cloudscheduler.googleapis.com",
    "roles/cloudscheduler.admin, and roles/iam.serviceAccountUser on the account that starts the job",
    "Wait and run it again, or ask for more of the quota.",
)
ENABLED, PAUSED = "ENABLED", "PAUSED"
_FIELDS = ("description", "schedule", "time_zone", "http_target", "retry_config", "attempt_deadline")


@dataclass(frozen=True)
class Timed:
    """When a case's job is started, and as whom. Its fields are all that is set, and all of it is compared.

    Times are seconds.
    """

    name: str
    """Of the case's schedule."""
    cron: str
    time_zone: str
    account: str
    uri: str
    """What is posted to."""
    state: str
    """ENABLED or PAUSED; also DISABLED or UPDATE_FAILED, of Google's own accord."""
    description: str
    method: str = "POST"
    retries: int = 3
    backoff: float = 10.0
    """Before the first retry."""
    deadline: float = 180.0
    """For the answer that the job has started, not for its end."""


class CloudSchedules:
    """The schedules of cases' jobs. Every method raises SetupError, DataError and RunError as `Calls`."""

    def __init__(self, at: CloudRun, *, patience: Patience | None = None) -> None:
        self._at = at
        self._calls = Calls(_client, SERVICE, at.parent, at.scheduler_endpoint, patience)

    def list(self, case: str) -> list[Timed]:
        """By name."""
        request, prefix = {"parent": self._at.parent, "page_size": 500}, self._name(case, "")
        found = self._calls.again(lambda: [*self._calls.once("list_jobs", request=request)])
        ours = [_read(one.name.removeprefix(prefix), one) for one in found if one.name.startswith(prefix)]
        return sorted(ours, key=lambda one: one.name)

    def create(self, case: str, wanted: Timed) -> None:
        from google.api_core.exceptions import Conflict

        with suppress(Conflict):  # an answer that was lost had said so; another's differs, which the next apply tells
            self._calls.call(
                "create_job", Conflict, request={"parent": self._at.parent, "job": self._job(case, wanted)}
            )
        self._stand(case, wanted)

    def update(self, case: str, wanted: Timed) -> None:
        """In place. One that Google disabled stays so: delete it, and it is made anew."""
        request = {"job": self._job(case, wanted), "update_mask": {"paths": list(_FIELDS)}}
        self._calls.call("update_job", request=request)
        self._stand(case, wanted)

    def delete(self, case: str, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with suppress(NotFound):
            self._calls.call("delete_job", NotFound, name=self._name(case, name))

    def _stand(self, case: str, wanted: Timed) -> None:
        """Pauses or resumes it, if need be: neither may be done twice."""
        name = self._name(case, wanted.name)

        def attempt() -> None:
            state = self._calls.once("get_job", name=name).state.name
            if {state, wanted.state} == {ENABLED, PAUSED}:
                self._calls.once("pause_job" if wanted.state == PAUSED else "resume_job", name=name)

        self._calls.again(attempt)

    def _name(self, case: str, name: str) -> str:
        return f"{self._at.parent}/jobs/esteira-predict_{case}_{name}"

    def _job(self, case: str, wanted: Timed) -> dict[str, Any]:
        token = {"service_account_email": wanted.account}
        return {
            "name": self._name(case, wanted.name),
            "description": wanted.description,
            "schedule": wanted.cron,
            "time_zone": wanted.time_zone,
            "http_target": {"uri": wanted.uri, "http_method": wanted.method, "oauth_token": token},
            "retry_config": {
                "retry_count": wanted.retries,
                "min_backoff_duration": timedelta(seconds=wanted.backoff),
            },
            "attempt_deadline": timedelta(seconds=wanted.deadline),
        }


def _client() -> Any:
    from google.cloud.scheduler_v1 import CloudSchedulerClient

    return CloudSchedulerClient


def _read(name: str, found: Any) -> Timed:
    target, retry = found.http_target, found.retry_config
    account = target.oauth_token.service_account_email
    return Timed(
        name,
        found.schedule,
        found.time_zone,
        account,
        target.uri,
        found.state.name,
        found.description,
        target.http_method.name,
        retry.retry_count,
        retry.min_backoff_duration.total_seconds(),
        found.attempt_deadline.total_seconds(),
    )
