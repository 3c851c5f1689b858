"""What every implementation of Schedules keeps, and what `apply` makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from components.adapters.gcp.vertex_schedules import VertexSchedules
from components.adapters.kubeflow.schedules import KubeflowSchedules
from components.adapters.runs import Asked, Plan, Scheduled, Schedules
from components.core.errors import CaseError, SetupError
from components.core.targets import Kubeflow, Vertex
from pipelines.launch import kubeflow_client, schedule
from tests.servers import released
from tests.servers.http import Fault, Server
from tests.servers.kubeflow.server import kubeflow
from tests.servers.vertex.server import PROJECT, REGION, vertex

ARGUMENTS = {"bundle": "b" * 64, "operations": "c" * 64, "profile": "{}", "start": "", "stop": ""}
ASKED = Asked("batch", "flights", "", released.spec(), ARGUMENTS)
PLAN = Plan("nightly", "0 4 * * 1,2,3", "UTC", 1, paused=False, asked=ASKED)


@dataclass
class Target:
    schedules: Schedules
    server: Server
    service: Any
    create: str

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service.schedules if hasattr(self.service, "schedules") else self.service.recurring
        return found

    def apply(self, *plans: Plan) -> list[str]:
        steps = schedule.difference(self.schedules, "flights", plans)
        for step in steps:
            step.do()
        return [str(step) for step in steps]


@pytest.fixture
def on_vertex() -> Iterator[Target]:
    with vertex() as (server, service):
        at = Vertex(project=PROJECT, region=REGION, pipeline_root="gs://esteira-test/runs", endpoint=server.address)
        yield Target(VertexSchedules(at, patience=released.IMPATIENT), server, service, r"POST .*/schedules$")


@pytest.fixture
def on_kubeflow() -> Iterator[Target]:
    with kubeflow() as (server, service):
        at = Kubeflow(host=server.address)
        made = KubeflowSchedules(at, lambda: kubeflow_client.connect(at), patience=released.IMPATIENT)
        yield Target(made, server, service, r"POST .*/recurringruns$")


@pytest.fixture(params=["on_vertex", "on_kubeflow"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.getfixturevalue(request.param)
    return found


def test_what_was_made_is_what_the_case_says(target: Target) -> None:
    assert target.apply(PLAN) == ["create  nightly: batch at 0 4 * * 1,2,3 UTC"]
    (found,) = target.schedules.list("flights")
    assert (found.name, found.cron, found.time_zone, found.concurrency, found.paused) == (
        "nightly",
        "0 4 * * 1,2,3",
        "UTC",
        1,
        False,
    )
    assert (found.pipeline, found.digest, dict(found.about)) == ("batch", ASKED.digest, ARGUMENTS)
    assert found.id in found.address


def test_applying_again_changes_nothing(target: Target) -> None:
    target.apply(PLAN)
    before, seen = dict(target.kept()), len(target.server.seen)
    assert target.apply(PLAN) == []
    assert target.kept() == before
    assert {request.method for request in target.server.seen[seen:]} == {"GET"}


def test_a_look_at_the_difference_changes_nothing(target: Target) -> None:
    assert len(schedule.difference(target.schedules, "flights", [PLAN])) == 1
    assert target.kept() == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cron": "30 5 * * *"}, "update  nightly: cron 0 4 * * 1,2,3 -> 30 5 * * *"),
        ({"concurrency": 3}, "update  nightly: concurrency 1 -> 3"),
        ({"asked": replace(ASKED, arguments={**ARGUMENTS, "bundle": "d" * 64})}, "update  nightly: other bundle"),
        (
            {"asked": Asked("predict", "flights", "", released.spec("predict"), ARGUMENTS)},
            "update  nightly: pipeline batch -> predict",
        ),
        ({"paused": True}, "pause   nightly: active -> paused, as the case says"),
    ],
)
def test_a_change_of_the_case_is_told_and_made(target: Target, change: dict[str, Any], told: str) -> None:
    target.apply(PLAN)
    wanted = replace(PLAN, **change)
    assert target.apply(wanted) == [told]
    assert target.apply(wanted) == []
    assert len(target.kept()) == 1


def test_a_paused_schedule_stays_paused_when_it_is_updated_and_goes_on_when_the_case_says_so(target: Target) -> None:
    target.apply(replace(PLAN, paused=True))
    assert [one.paused for one in target.schedules.list("flights")] == [True]
    target.apply(replace(PLAN, paused=True, cron="1 1 * * *"))
    assert [one.paused for one in target.schedules.list("flights")] == [True]
    (told,) = target.apply(replace(PLAN, cron="1 1 * * *"))
    assert told.startswith("resume  nightly: paused -> active; ")
    assert [one.paused for one in target.schedules.list("flights")] == [False]


def test_what_the_case_has_no_more_is_deleted_and_other_cases_are_left_alone(target: Target) -> None:
    other = replace(PLAN, asked=replace(ASKED, case="flights-2"))
    target.schedules.create(other)
    target.apply(PLAN, replace(PLAN, name="weekly", cron="0 4 * * 0"))
    assert target.apply(replace(PLAN, name="weekly", cron="0 4 * * 0")) == [
        "delete  nightly: the case has none of this name"
    ]
    assert [one.name for one in target.schedules.list("flights")] == ["weekly"]
    assert len(target.schedules.list("flights-2")) == 1


def test_of_several_of_one_name_the_oldest_stays(target: Target) -> None:
    first = target.schedules.create(PLAN)
    second = target.schedules.create(replace(PLAN, cron="9 9 * * *"))
    assert target.apply(PLAN) == [f"delete  nightly: another of this name, {first.id}, is older"]
    assert list(target.kept()) == [first.id]
    assert second.id != first.id


def test_a_create_whose_answer_is_lost_makes_one_schedule(target: Target) -> None:
    target.server.faults.append(Fault(target.create))
    target.apply(PLAN)
    assert len(target.kept()) == 1
    assert target.apply(PLAN) == []


def test_a_delete_whose_answer_is_lost_is_done(target: Target) -> None:
    target.apply(PLAN)
    target.server.faults.append(Fault("DELETE "))
    assert target.apply() == ["delete  nightly: the case has none of this name"]
    assert target.kept() == {}


def test_a_busy_server_is_asked_again(target: Target) -> None:
    target.server.faults += [Fault(target.create, 429, times=2), Fault("GET ", 503, times=1)]
    target.apply(PLAN)
    assert len(target.kept()) == 1


def test_pausing_and_resuming_twice_is_no_error(target: Target) -> None:
    made = target.schedules.create(PLAN)
    for verb, paused in ((target.schedules.pause, True), (target.schedules.resume, False)):
        for _ in range(2):
            verb(made)
            assert [one.paused for one in target.schedules.list("flights")] == [paused]


def test_a_schedule_that_is_gone_is_named(target: Target) -> None:
    made = target.schedules.create(PLAN)
    target.schedules.delete(made)
    with pytest.raises(CaseError, match=r"'schedule' must be there\. Got 'esteira\.flights\.nightly'"):
        target.schedules.pause(made)


def test_an_update_does_not_kill_what_the_schedule_has_started(on_kubeflow: Target) -> None:
    made = on_kubeflow.schedules.create(PLAN)
    run = on_kubeflow.service.fire(made.id)
    on_kubeflow.apply(replace(PLAN, cron="5 5 * * *"))
    on_kubeflow.apply()
    assert on_kubeflow.service.killed == []
    assert on_kubeflow.service.runs[run]["state"] == "PENDING"


def test_the_server_tells_a_delete_that_would_kill(on_kubeflow: Target) -> None:
    """The contract server's own trap works: without ORPHAN the run goes with its schedule."""
    made = on_kubeflow.schedules.create(PLAN)
    run = on_kubeflow.service.fire(made.id)
    on_kubeflow.schedules._calls.client.delete_recurring_run(made.id)  # type: ignore[attr-defined]
    assert on_kubeflow.service.killed == [run]


def test_on_kubeflow_the_old_one_starts_nothing_between_and_the_new_one_is_enabled_last(on_kubeflow: Target) -> None:
    on_kubeflow.apply(PLAN)
    seen = len(on_kubeflow.server.seen)
    on_kubeflow.apply(replace(PLAN, cron="5 5 * * *"))
    changes = [r for r in on_kubeflow.server.seen[seen:] if r.method != "GET" and "recurringruns" in r.path]
    assert [(r.method, r.path.rpartition(":")[2] if ":" in r.path else "") for r in changes] == [
        ("POST", ""),
        ("DELETE", ""),
        ("POST", "enable"),
    ]
    assert b'"mode": "DISABLE"' in changes[0].body
    assert changes[1].query == {"propagation_policy": "ORPHAN"}


@pytest.mark.parametrize("step", ["DELETE ", "POST .*:enable"])
def test_an_update_on_kubeflow_that_is_killed_between_is_mended_by_the_next(on_kubeflow: Target, step: str) -> None:
    on_kubeflow.apply(PLAN)
    on_kubeflow.server.faults.append(Fault(step, 403))
    wanted = replace(PLAN, cron="5 5 * * *")
    with pytest.raises(SetupError):
        on_kubeflow.apply(wanted)
    on_kubeflow.apply(wanted)
    on_kubeflow.apply(wanted)
    (found,) = on_kubeflow.schedules.list("flights")
    assert (found.cron, found.paused) == ("5 5 * * *", False)


def test_on_kubeflow_another_zone_than_the_clusters_is_refused_before_anything_is_made(on_kubeflow: Target) -> None:
    with pytest.raises(CaseError, match="'schedules.nightly.time_zone' must be the cluster's own zone, UTC"):
        on_kubeflow.apply(replace(PLAN, time_zone="Europe/Lisbon"))
    assert on_kubeflow.kept() == {}


def test_on_kubeflow_nothing_is_caught_up_and_the_cron_has_six_fields(on_kubeflow: Target) -> None:
    on_kubeflow.apply(PLAN)
    (kept,) = on_kubeflow.kept().values()
    assert kept["no_catchup"] is True
    assert kept["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * 1,2,3"}}
    assert kept["max_concurrency"] == "1"


def test_on_vertex_the_zone_stands_before_the_cron_and_overlap_is_limited(on_vertex: Target) -> None:
    on_vertex.apply(replace(PLAN, time_zone="Europe/Lisbon", concurrency=2))
    (kept,) = on_vertex.kept().values()
    assert kept.cron == "TZ=Europe/Lisbon 0 4 * * 1,2,3"
    assert (kept.max_concurrent_run_count, kept.max_concurrent_active_run_count) == (2, 2)
    job = kept.create_pipeline_job_request.pipeline_job
    assert job.labels["esteira-digest"] == ASKED.digest
    assert "esteira-key" not in job.labels


def test_on_vertex_an_end_that_somebody_gave_is_taken_away_by_a_new_one(on_vertex: Target) -> None:
    on_vertex.apply(PLAN)
    (old,) = on_vertex.kept()
    on_vertex.kept()[old].max_run_count = 5
    assert on_vertex.apply(PLAN) == ["update  nightly: it has an end, which cannot be taken away: made anew"]
    (new,) = on_vertex.kept()
    assert new != old
    assert on_vertex.apply(PLAN) == []


def test_on_vertex_a_region_without_the_service_is_told(on_vertex: Target) -> None:
    address = on_vertex.server.address
    at = Vertex(project=PROJECT, region="mars-north1", pipeline_root="gs://esteira-test/runs", endpoint=address)
    with pytest.raises(SetupError, match="'vertex.region' must have the service"):
        VertexSchedules(at, patience=released.IMPATIENT).probe()


CALLS: dict[str, Callable[[Schedules, Scheduled], Any]] = {
    "probe": lambda schedules, one: schedules.probe(),
    "list": lambda schedules, one: schedules.list("flights"),
    "pause": lambda schedules, one: schedules.pause(one),
    "resume": lambda schedules, one: schedules.resume(one),
    "update": lambda schedules, one: schedules.update(one, replace(PLAN, cron="30 4 * * *")),
    "delete": lambda schedules, one: schedules.delete(one),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_goes_on_with_the_token_that_was_renewed(
    on_kubeflow: Target, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    on_kubeflow.service.token = "first"
    monkeypatch.setenv(kubeflow_client.TOKEN, "first")
    on_kubeflow.apply(PLAN)
    (one,) = on_kubeflow.schedules.list("flights")
    seen = len(on_kubeflow.server.seen)
    on_kubeflow.service.token = "second"
    monkeypatch.setenv(kubeflow_client.TOKEN, "second")
    CALLS[name](on_kubeflow.schedules, one)
    assert on_kubeflow.server.seen[-1].headers.get("authorization") == "Bearer second"
    assert len(on_kubeflow.server.seen) > seen
