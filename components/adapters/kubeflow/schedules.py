"""Schedules on Kubeflow Pipelines: one recurring run each.

A recurring run cannot be changed: another is made, disabled; the old one is deleted, and the new one enabled. A plain
delete can take along the runs that the old one has started, so the policy is ORPHAN. A command that was killed between
leaves two of one name, which the next `apply` mends. The cron has no time zone there: it is the cluster's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from components.adapters.kubeflow.caller import CALL, Absent, Caller, named, seconds
from components.adapters.kubeflow.runs import KubeflowRuns
from components.adapters.patience import Patience
from components.adapters.runs import Plan, Scheduled
from components.core import cron
from components.core.errors import CaseError
from components.core.targets import Kubeflow

_ABOUT = re.compile(r"esteira ([a-z]+) ([0-9a-f]{32})")
_DISABLED = ("DISABLED", "STATUS_UNSPECIFIED", None)


class KubeflowSchedules:
    """Implements `runs.Schedules`."""

    def __init__(self, at: Kubeflow, connect: Callable[[], Any], *, patience: Patience | None = None) -> None:
        self._at = at
        self._calls = Caller(at, connect, patience=patience)
        self._runs = KubeflowRuns(at, connect, patience=patience)

    @property
    def _api(self) -> Any:
        return self._calls.client.recurring_runs

    def probe(self) -> None:
        self._runs.probe()

    def check(self, plan: Plan) -> None:
        if plan.time_zone != self._at.time_zone:
            remedy = "Write the cron in the cluster's zone; kubeflow.time_zone of the profile says which it is."
            rule = f"be the cluster's own zone, {self._at.time_zone}"
            raise CaseError(f"schedules.{plan.name}.time_zone", rule, plan.time_zone, remedy)

    def list(self, case: str) -> list[Scheduled]:
        found: list[Scheduled] = []
        token = ""
        while True:
            page = self._calls.call(lambda at=token: self._page(at), "recurring runs")  # type: ignore[misc]
            ours = (one for one in page.recurring_runs or [] if one.display_name.startswith(f"esteira.{case}."))
            found += [self._scheduled(one) for one in ours]
            token = page.next_page_token or ""
            if not token:
                return sorted(found, key=lambda one: (one.created, one.id))

    def _page(self, token: str) -> Any:
        listing = self._api.recurring_run_service_list_recurring_runs
        return listing(
            page_token=token, page_size=100, sort_by="created_at", _request_timeout=CALL, **self._calls.where
        )

    def create(self, plan: Plan) -> Scheduled:
        made = self._make(plan, known=set())
        if not plan.paused:
            self.resume(made)
        return made

    def _make(self, plan: Plan, known: set[str]) -> Scheduled:
        """Disabled, beside those that are known."""
        experiment = self._calls.experiment()
        pipeline, version = self._calls.version(plan.asked)
        models = self._calls.client.api_models
        reference = models.V2beta1PipelineVersionReference(pipeline_id=pipeline, pipeline_version_id=version)
        parameters = dict(plan.asked.arguments)
        root = self._at.pipeline_root or None
        wanted = models.V2beta1RecurringRun(
            experiment_id=experiment,
            display_name=plan.display_name,
            description=f"esteira {plan.asked.pipeline} {plan.asked.digest}",
            pipeline_version_reference=reference,
            runtime_config=models.V2beta1RuntimeConfig(parameters=parameters, pipeline_root=root),
            service_account=self._at.service_account or None,
            max_concurrency=str(plan.concurrency),
            no_catchup=True,
            trigger=models.V2beta1Trigger(cron_schedule=models.V2beta1CronSchedule(cron=cron.six_fields(plan.cron))),
            mode="DISABLE",
        )

        def find() -> Any:
            listing = self._api.recurring_run_service_list_recurring_runs
            page = listing(experiment_id=experiment, filter=named(plan.display_name), _request_timeout=CALL)
            new = (one for one in page.recurring_runs or [] if one.recurring_run_id not in known)
            return next((one for one in new if _digest(one) == plan.asked.digest and one.status in _DISABLED), None)

        def create() -> Any:
            return self._api.recurring_run_service_create_recurring_run(recurring_run=wanted, _request_timeout=CALL)

        return self._scheduled(self._calls.ensure(find, create, plan.display_name)[0])

    def update(self, existing: Scheduled, plan: Plan) -> Scheduled:
        made = self._make(plan, known={existing.id})
        self.delete(existing)
        if not plan.paused:
            self.resume(made)
        return made

    def pause(self, existing: Scheduled) -> None:
        self._change(
            existing, lambda id: self._api.recurring_run_service_disable_recurring_run(id, _request_timeout=CALL)
        )

    def resume(self, existing: Scheduled) -> None:
        self._change(
            existing, lambda id: self._api.recurring_run_service_enable_recurring_run(id, _request_timeout=CALL)
        )

    def _change(self, existing: Scheduled, call: Callable[[str], Any]) -> None:
        try:
            self._calls.call(lambda: call(existing.id), existing.display_name)
        except Absent as error:
            name = existing.display_name
            raise CaseError("schedule", "be there", name, "See `esteira schedule list`.") from error

    def delete(self, existing: Scheduled) -> None:
        def delete() -> Any:
            call = self._api.recurring_run_service_delete_recurring_run
            return call(existing.id, propagation_policy="ORPHAN", _request_timeout=CALL)

        try:
            self._calls.call(delete, existing.display_name)
        except Absent:
            return  # an answer that was lost had said so

    def _scheduled(self, found: Any) -> Scheduled:
        about = _ABOUT.fullmatch(found.description or "")
        trigger = found.trigger and found.trigger.cron_schedule
        six = (trigger.cron if trigger else "") or ""
        parameters = (found.runtime_config and found.runtime_config.parameters) or {}
        return Scheduled(
            found.recurring_run_id,
            display_name=found.display_name,
            cron=six.removeprefix("0 "),
            time_zone=self._at.time_zone,
            concurrency=int(found.max_concurrency or 1),
            paused=found.status in _DISABLED,
            pipeline=about[1] if about else "",
            digest=_digest(found),
            created=seconds(found.created_at) or 0.0,
            address=f"{self._at.ui or self._at.host}/#/recurringrun/details/{found.recurring_run_id}",
            ends=bool(trigger and seconds(trigger.end_time)),
            about={name: value for name, value in parameters.items() if isinstance(value, str)},
        )


def _digest(found: Any) -> str:
    about = _ABOUT.fullmatch(found.description or "")
    return about[2] if about else ""
