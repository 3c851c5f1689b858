"""A case's predictions as a job of Cloud Run, esteira-predict-CASE: found by its name alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from components.adapters.gcp import errors
from components.adapters.gcp.cloud_calls import Calls
from components.adapters.gcp.vertex import CONSOLE, seconds, transient
from components.adapters.patience import Patience
from components.core.errors import CaseError, ConflictError, RunError
from components.core.targets import CloudRun

LABEL = "esteira-case"
COMMAND = ("python3", "-m", "components.once")
SERVICE = errors.Service(
    "Cloud Run",
    "run.googleapis.com",
    "roles/run.developer, and roles/iam.serviceAccountUser on the job's account",
    "Wait and run it again, or ask for more of the quota.",
)


@dataclass(frozen=True)
class Job:
    """What a case's job runs. Its fields are all that is set, and all of it is compared."""

    image: str
    arguments: tuple[str, ...]
    account: str
    key: str
    """CMEK; empty: Google's own."""
    cpu: str
    memory: str
    seconds: int
    """What one attempt may take."""
    retries: int
    labels: tuple[str, str]
    """The case's name, on the job and on its executions."""
    command: tuple[str, ...] = COMMAND
    tasks: int = 1


@dataclass(frozen=True)
class Execution:
    """The job, run once; its name is the run record's too. Times are seconds since 1970."""

    name: str
    state: str
    started: float | None
    ended: float | None
    address: str


class CloudRunJobs:
    """The jobs of cases, and what they have run. Every method raises SetupError, DataError and RunError as `Calls`."""

    def __init__(self, at: CloudRun, *, patience: Patience | None = None) -> None:
        self._at = at
        self._jobs = Calls(_jobs_client, SERVICE, at.parent, at.endpoint, patience)
        self._executions = Calls(_executions_client, SERVICE, at.parent, at.endpoint, patience)

    def get(self, case: str) -> Job | None:
        """None where there is no job of this case's."""
        from google.api_core.exceptions import NotFound

        try:
            return _read(self._jobs.call("get_job", NotFound, name=self.name(case)))
        except NotFound:
            return None

    def create(self, case: str, job: Job) -> None:
        """Raises ConflictError where another one was made meanwhile."""
        from google.api_core.exceptions import Conflict

        request = {"parent": self._at.parent, "job_id": _id(case), "job": _written(job)}
        try:
            self._finish(self._jobs.call("create_job", Conflict, request=request))
        except Conflict as error:
            if self.get(case) != job:  # else an answer that was lost had said so
                remedy = "Give the command again: it tells the difference."
                raise ConflictError(_id(case), "be made by one at a time", errors.said(error), remedy) from error

    def update(self, case: str, job: Job) -> None:
        """What runs goes on as it was."""
        request = {"job": {**_written(job), "name": self.name(case)}}
        self._finish(self._jobs.call("update_job", request=request))

    def delete(self, case: str) -> bool:
        """Whether it was there. Its executions go with it; the run records stay."""
        from google.api_core.exceptions import NotFound

        if self.get(case) is None:
            return False
        with suppress(NotFound):
            self._finish(self._jobs.call("delete_job", NotFound, name=self.name(case)))
        return True

    def run(self, case: str) -> Execution:
        """Starts the job. After an answer that was lost, the execution that stands by now is taken: all are equal.

        Raises CaseError where there is no job.
        """
        if self.get(case) is None:
            remedy = f"Make it: esteira cloud-run apply {case}."
            raise CaseError("CASE", "have a job on Cloud Run", case, remedy, where=self._at.parent)
        known = {one.name for one in self.executions(case)}
        tried = False

        def attempt() -> Execution:
            nonlocal tried
            for one in self.executions(case) if tried else ():
                if one.name not in known:
                    return one
            tried = True
            # Its operation ends only with the execution, which it names at once.
            return self._execution(self._jobs.once("run_job", name=self.name(case)).metadata)

        return self._jobs.again(attempt)

    def executions(self, case: str, most: int = 100) -> list[Execution]:
        """The newest first."""
        request = {"parent": self.name(case), "page_size": most}
        pages = self._executions.call("list_executions", request=request).pages
        found = [self._execution(one) for one in next(pages).executions]
        return sorted(found, key=lambda one: one.started or 0.0, reverse=True)

    def name(self, case: str) -> str:
        return f"{self._at.parent}/jobs/{_id(case)}"

    def uri(self, case: str) -> str:
        """A POST there starts the job."""
        return f"https://{SERVICE.api}/v2/{self.name(case)}:run"

    def address(self, case: str) -> str:
        """The console's page of the job."""
        return f"{CONSOLE}/run/jobs/details/{self._at.region}/{_id(case)}?project={self._at.project}"

    def _execution(self, found: Any) -> Execution:
        name, ended = found.name.rpartition("/")[2], seconds(found.completion_time)
        counts = {"cancelled": found.cancelled_count, "failed": found.failed_count, "done": found.succeeded_count}
        state = "running" if ended is None else next((state for state, count in counts.items() if count), "failed")
        address = f"{CONSOLE}/run/jobs/executions/details/{self._at.region}/{name}?project={self._at.project}"
        return Execution(name, state, seconds(found.create_time), ended, address)

    def _finish(self, operation: Any) -> None:
        """Waits until the operation has succeeded."""

        def done() -> None:
            if not operation.done(retry=None):
                raise _Pending

        with errors.translated(SERVICE, self._at.parent):
            try:
                self._jobs.patience.retry(done, lambda error: isinstance(error, _Pending) or transient(error))
            except _Pending:
                remedy = "Look again later: esteira cloud-run show."
                raise RunError("operation", "end", "it is still under way", remedy, where=self._at.parent) from None
            operation.result()


class _Pending(Exception):
    """A long-running operation is under way."""


def _jobs_client() -> Any:
    from google.cloud.run_v2 import JobsClient

    return JobsClient


def _executions_client() -> Any:
    from google.cloud.run_v2 import ExecutionsClient

    return ExecutionsClient


def _id(case: str) -> str:
    return f"esteira-predict-{case}"


def _written(job: Job) -> dict[str, Any]:
    container = {
        "image": job.image,
        "command": list(job.command),
        "args": list(job.arguments),
        "resources": {"limits": {"cpu": job.cpu, "memory": job.memory}},
    }
    task = {
        "containers": [container],
        "service_account": job.account,
        "encryption_key": job.key,
        "timeout": {"seconds": job.seconds},
        "max_retries": job.retries,
    }
    own, executions = ({LABEL: name} for name in job.labels)
    return {"labels": own, "template": {"labels": executions, "task_count": job.tasks, "template": task}}


def _read(found: Any) -> Job:
    task = found.template.template
    container = task.containers[0]
    limits = dict(container.resources.limits)
    return Job(
        container.image,
        tuple(container.args),
        task.service_account,
        task.encryption_key,
        limits.get("cpu", ""),
        limits.get("memory", ""),
        int(task.timeout.total_seconds()),
        task.max_retries,
        (found.labels.get(LABEL, ""), found.template.labels.get(LABEL, "")),
        tuple(container.command),
        found.template.task_count,
    )
