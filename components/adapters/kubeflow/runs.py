"""Runs on Kubeflow Pipelines.

Creating a run is not idempotent there: the workflow exists before the database row, and names need not be unique. So
the key stands in the run's name, which is looked up before and after each create. What stays open: two commands with
one key at the same moment, and an answer that was lost while the row was not yet written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from components.adapters.kubeflow.caller import CALL, SAME_KEY, Absent, Caller, named, seconds
from components.adapters.patience import Patience
from components.adapters.runs import ENDED, Asked, Run, Started, State, Task, TaskState, is_group
from components.core.errors import CaseError, ConflictError, RunError, SetupError
from components.core.targets import Kubeflow

_NAME = re.compile(r"esteira-([a-z]+)-(.+)-[0-9a-f]{20}")
_UNSET = "RUNTIME_STATE_UNSPECIFIED"
_STATES: Mapping[str, State] = {
    _UNSET: "pending",
    "PENDING": "pending",
    "RUNNING": "running",
    "PAUSED": "paused",
    "CANCELING": "cancelling",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "SKIPPED": "cancelled",
}
_TASK_STATES: Mapping[str, TaskState] = {
    _UNSET: "pending",
    "PENDING": "pending",
    "RUNNING": "running",
    "PAUSED": "pending",
    "CANCELING": "cancelling",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "SKIPPED": "skipped",
}


class KubeflowRuns:
    """Implements `runs.Runs`."""

    def __init__(self, at: Kubeflow, connect: Callable[[], Any], *, patience: Patience | None = None) -> None:
        self._at = at
        self._calls = Caller(at, connect, patience=patience)

    @property
    def _api(self) -> Any:
        return self._calls.client.runs

    def probe(self) -> None:
        """One listing: it needs the host, the token, and the right to see runs."""
        where = self._calls.where
        try:
            self._calls.call(
                lambda: self._api.run_service_list_runs(page_size=1, _request_timeout=CALL, **where), "runs"
            )
        except Absent as error:
            remedy = "Give the address of Kubeflow Pipelines' API in the profile."
            raise SetupError("kubeflow.host", "have the v2beta1 API", self._at.host, remedy) from error

    def start(self, asked: Asked) -> Started:
        experiment = self._calls.experiment()
        pipeline, version = self._calls.version(asked)
        models = self._calls.client.api_models
        wanted = models.V2beta1Run(
            experiment_id=experiment,
            display_name=asked.id,
            description=f"{asked.case} {asked.pipeline} [{asked.key}]",
            pipeline_version_reference=models.V2beta1PipelineVersionReference(
                pipeline_id=pipeline, pipeline_version_id=version
            ),
            runtime_config=models.V2beta1RuntimeConfig(
                parameters=dict(asked.arguments), pipeline_root=self._at.pipeline_root or None
            ),
            service_account=self._at.service_account or None,
        )

        def find() -> Any:
            found = self._api.run_service_list_runs(
                experiment_id=experiment, filter=named(asked.id), sort_by="created_at", _request_timeout=CALL
            )
            return next(iter(found.runs or []), None)

        def create() -> Any:
            return self._api.run_service_create_run(run=wanted, _request_timeout=CALL)

        there, found = self._calls.ensure(find, create, asked.id, SAME_KEY)
        differs = _differences(there, asked, version)
        if differs:
            remedy = "Leave out --key, or choose another: this one has its run."
            raise ConflictError(asked.id, "be the run that this key had before", differs, remedy)
        return Started(self._run(there), found)

    def get(self, id: str) -> Run:
        return self._run(self._get(id))

    def _get(self, id: str) -> Any:
        try:
            return self._calls.call(lambda: self._api.run_service_get_run(id, _request_timeout=CALL), id)
        except Absent as error:
            raise CaseError("RUN", "be one on Kubeflow", id, "See `esteira runs list --on kubeflow`.") from error

    def list(self, case: str = "", most: int = 20) -> list[Run]:
        """Of the profile's experiment; what a schedule has started is its case's as long as the schedule is there."""
        experiment = self._calls.known_experiment()
        found: list[Run] = []
        token, more = "", bool(experiment)
        while more and len(found) < most:
            page = self._calls.call(lambda at=token: self._page(experiment, at), "runs")  # type: ignore[misc]
            schedules = self._schedules(experiment) if any(one.recurring_run_id for one in page.runs or []) else {}
            runs = (self._run(one, schedules.get(one.recurring_run_id, "")) for one in page.runs or [])
            found += [run for run in runs if case in ("", run.case)]
            token = page.next_page_token or ""
            more = bool(token)
        return found[:most]

    def _page(self, experiment: str, token: str) -> Any:
        listing = self._api.run_service_list_runs
        order = "created_at desc"
        return listing(experiment_id=experiment, page_token=token, page_size=100, sort_by=order, _request_timeout=CALL)

    def _schedules(self, experiment: str) -> dict[str, str]:
        """The display names of the schedules by their ids."""

        def page_of() -> Any:
            listing = self._calls.client.recurring_runs.recurring_run_service_list_recurring_runs
            return listing(experiment_id=experiment, page_size=200, _request_timeout=CALL)

        page = self._calls.call(page_of, "recurring runs")
        return {one.recurring_run_id: one.display_name for one in page.recurring_runs or []}

    def cancel(self, id: str) -> None:
        if self.get(id).state not in ENDED:
            self._calls.call(lambda: self._api.run_service_terminate_run(id, _request_timeout=CALL), id)

    def retry(self, id: str, key: str) -> Started:  # noqa: ARG002  # the run keeps its own key
        """Within the same run: its failed steps begin again."""
        run = self.get(id)
        if run.state not in ("failed", "cancelled"):
            done = run.state == "done"
            remedy = "Submit it under another --key." if done else "Wait for its end, or cancel it first."
            raise CaseError("RUN", "have failed or been cancelled", run.state, remedy, where=id)
        self._calls.call(lambda: self._api.run_service_retry_run(id, _request_timeout=CALL), id)
        return Started(self.get(id), found=False)

    def _run(self, found: Any, schedule: str = "") -> Run:
        name = _NAME.fullmatch(found.display_name or "")
        key = re.search(r" \[(.*)\]$", found.description or "")
        details = (found.run_details.task_details if found.run_details else None) or []
        tasks = [self._task(found.run_id, task) for task in details if not is_group(task.display_name or "")]
        state = _state(_STATES, found.state, found.run_id)
        if state == "failed" and any(one.state == "CANCELING" for one in found.state_history or []):
            state = "cancelled"  # a workflow that was shut down has failed, says Argo
        return Run(
            found.run_id,
            name=found.display_name,
            state=state,
            pipeline=name[1] if name else "",
            case=name[2] if name else schedule.partition(".")[2].rpartition(".")[0],
            key=key[1] if key else "",
            address=f"{self._at.ui or self._at.host}/#/runs/details/{found.run_id}",
            tasks=tuple(sorted(tasks, key=lambda task: task.started or float("inf"))),
            error=(found.error.message or "") if found.error else "",
            created=seconds(found.created_at),
            ended=seconds(found.finished_at) if state in ENDED else None,
        )

    def _task(self, run: str, found: Any) -> Task:
        pods = [found.pod_name, *(child.pod_name for child in found.child_tasks or [])]
        pod = next((name for name in pods if name), "")
        return Task(
            found.display_name,
            state=_state(_TASK_STATES, found.state, found.display_name),
            error=(found.error.message or "") if found.error else "",
            logs=self._logs(run, pod) if pod else "",
            started=seconds(found.start_time),
            ended=seconds(found.end_time),
        )

    def _logs(self, run: str, pod: str) -> str:
        which = {"podname": pod, "runid": run, "podnamespace": self._at.namespace or "kubeflow"}
        return f"{self._at.ui or self._at.host}/k8s/pod/logs?{urlencode(which)}"


def _differences(there: Any, asked: Asked, version: str) -> str:
    """In what a run differs from the one that is wanted; empty: it is the same."""
    given = dict((there.runtime_config and there.runtime_config.parameters) or {})
    names = sorted(n for n in given.keys() | asked.arguments.keys() if given.get(n) != asked.arguments.get(n))
    if names:
        return f"other parameters: {', '.join(names)}"
    reference = there.pipeline_version_reference
    return "" if reference and reference.pipeline_version_id == version else "another pipeline"


def _state(known: Mapping[str, Any], given: Any, about: str) -> Any:
    name = str(given or _UNSET)
    if name not in known:
        remedy = "Look at it in the console; a newer Esteira may know this state."
        raise RunError("state", f"be one that Kubeflow documents ({', '.join(known)})", name, remedy, where=about)
    return known[name]
