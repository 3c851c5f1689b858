"""Schedules on Vertex AI: one Schedule each, found by its exact display name, for it has no id of ours, label or etag.

The digest of what it runs travels as a label of the embedded job. A field that was set once cannot be unset, so a
schedule that somebody gave an end is made anew.
"""

from __future__ import annotations

import re
from typing import Any

from components.adapters.gcp import vertex
from components.adapters.gcp.vertex_runs import DIGEST, PIPELINE, job
from components.adapters.patience import Patience
from components.adapters.runs import Plan, Scheduled
from components.core import cron
from components.core.errors import CaseError
from components.core.targets import Vertex

_CRON = re.compile(r"(?:(?:CRON_)?TZ=(\S+) )?(.+)")
_MASK = "cron,max_concurrent_run_count,max_concurrent_active_run_count,create_pipeline_job_request"
_STATES = {"ACTIVE": False, "PAUSED": True, "COMPLETED": True}


class VertexSchedules:
    """Implements `runs.Schedules`."""

    def __init__(self, at: Vertex, *, patience: Patience | None = None, credentials: Any = None) -> None:
        self._at = at
        self._calls = vertex.Caller("schedule_service", at, patience=patience, credentials=credentials)

    def probe(self) -> None:
        from google.api_core.exceptions import NotFound

        try:
            self._page("", 1)
        except NotFound as error:
            raise vertex.no_service(self._at, vertex.words(error)) from error

    def check(self, plan: Plan) -> None:
        """Vertex keeps every zone and every canonical cron."""

    def list(self, case: str) -> list[Scheduled]:
        found: list[Scheduled] = []
        token = ""
        while True:
            page = self._page(token, 100)
            ours = (one for one in page.schedules if one.display_name.startswith(f"esteira.{case}."))
            found += [self._scheduled(one) for one in ours]
            token = page.next_page_token
            if not token:
                return sorted(found, key=lambda one: (one.created, one.id))

    def _page(self, token: str, size: int) -> Any:
        request = {"parent": self._at.parent, "page_size": size, "page_token": token, "order_by": "create_time"}
        return self._calls.call("list_schedules", about=self._at.parent, request=request)

    def create(self, plan: Plan) -> Scheduled:
        """Creating is not idempotent: after an answer that was lost, the one that stands by now is taken."""
        known = {one.id for one in self.list(plan.asked.case)}
        request = {"parent": self._at.parent, "schedule": self._wanted(plan)}
        tried = False

        def attempt() -> Scheduled:
            nonlocal tried
            for one in self.list(plan.asked.case) if tried else ():
                if one.id not in known and one.display_name == plan.display_name:
                    return one
            tried = True
            return self._scheduled(self._calls.once("create_schedule", request=request))

        made = self._calls.again(attempt, plan.display_name)
        if plan.paused:
            self.pause(made)
        return made

    def update(self, existing: Scheduled, plan: Plan) -> Scheduled:
        if existing.ends:
            self.delete(existing)
            return self.create(plan)
        wanted = {**self._wanted(plan), "name": self._name(existing)}
        request = {"schedule": wanted, "update_mask": {"paths": _MASK.split(",")}}
        changed = self._scheduled(self._calls.call("update_schedule", about=plan.display_name, request=request))
        if plan.paused != changed.paused:
            self.pause(changed) if plan.paused else self.resume(changed)
        return changed

    def pause(self, existing: Scheduled) -> None:
        if not self._now(existing).paused:
            self._calls.call("pause_schedule", about=existing.display_name, name=self._name(existing))

    def resume(self, existing: Scheduled) -> None:
        if self._now(existing).paused:
            request = {"name": self._name(existing), "catch_up": False}
            self._calls.call("resume_schedule", about=existing.display_name, request=request)

    def delete(self, existing: Scheduled) -> None:
        from google.api_core.exceptions import NotFound

        try:
            operation = self._calls.call("delete_schedule", about=existing.display_name, name=self._name(existing))
        except NotFound:
            return  # an answer that was lost had said so
        self._calls.finish(operation, existing.display_name)

    def _now(self, existing: Scheduled) -> Scheduled:
        from google.api_core.exceptions import NotFound

        try:
            found = self._calls.call("get_schedule", about=existing.display_name, name=self._name(existing))
        except NotFound as error:
            name = existing.display_name
            raise CaseError("schedule", "be there", name, "See `esteira schedule list`.") from error
        return self._scheduled(found)

    def _name(self, existing: Scheduled) -> str:
        return f"{self._at.parent}/schedules/{existing.id}"

    def _wanted(self, plan: Plan) -> dict[str, Any]:
        return {
            "display_name": plan.display_name,
            "cron": cron.with_zone(plan.cron, plan.time_zone),
            "max_concurrent_run_count": plan.concurrency,  # limits starts
            "max_concurrent_active_run_count": plan.concurrency,  # limits what runs
            "create_pipeline_job_request": {"parent": self._at.parent, "pipeline_job": job(self._at, plan.asked)},
        }

    def _scheduled(self, found: Any) -> Scheduled:
        id = found.name.rpartition("/")[2]
        embedded = found.create_pipeline_job_request.pipeline_job
        match = _CRON.fullmatch(found.cron)
        values = dict(embedded.runtime_config.parameter_values)
        return Scheduled(
            id,
            display_name=found.display_name,
            cron=match[2] if match else found.cron,
            time_zone=(match[1] if match else "") or "UTC",
            concurrency=int(found.max_concurrent_active_run_count or found.max_concurrent_run_count),
            paused=vertex.state(found, _STATES),
            pipeline=embedded.labels.get(PIPELINE, ""),
            digest=embedded.labels.get(DIGEST, ""),
            created=vertex.seconds(found.create_time) or 0.0,
            next=vertex.seconds(found.next_run_time),
            address=f"{vertex.CONSOLE}/vertex-ai/locations/{self._at.region}/pipelines/schedules/{id}?project={self._at.project}",
            ends=found.end_time is not None or bool(found.max_run_count),
            about={name: value for name, value in values.items() if isinstance(value, str)},
        )
