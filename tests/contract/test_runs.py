"""What every implementation of Runs keeps, through the real client libraries against servers that keep the APIs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp.vertex_runs import VertexRuns
from components.adapters.kubeflow.runs import KubeflowRuns
from components.adapters.kubeflow.schedules import KubeflowSchedules
from components.adapters.patience import Patience
from components.adapters.runs import Asked, Plan, Runs
from components.core.errors import CaseError, ConflictError, RunError, SetupError
from components.core.targets import Kubeflow, Vertex
from pipelines.launch import kubeflow_client
from tests.servers import released
from tests.servers.frames import Frame
from tests.servers.http import Fault, Server
from tests.servers.kubeflow.server import kubeflow
from tests.servers.vertex.server import PROJECT, REGION, vertex
from tests.servers.vertex.server import Vertex as VertexService

ASKED = Asked(
    "batch",
    "flights",
    "3f1c2ab",
    released.spec(),
    {"bundle": "b" * 64, "operations": "c" * 64, "profile": "{}", "start": "", "stop": ""},
)


@dataclass
class Target:
    """A server, its runs port, and what differs between the servers' ways of being driven."""

    runs: Runs
    server: Server
    service: Any
    create: str
    """The request that makes a run, as "METHOD PATH"."""
    patient: Any

    def made(self) -> int:
        return len(self.service.jobs if isinstance(self.service, VertexService) else self.service.runs)

    def course(self, *frames: Frame) -> None:
        self.service.course = lambda id: list(frames)


@pytest.fixture
def on_vertex() -> Iterator[Target]:
    with vertex() as (server, service):
        at = Vertex(project=PROJECT, region=REGION, pipeline_root="gs://esteira-test/runs", endpoint=server.address)
        runs = VertexRuns(at, patience=released.IMPATIENT)
        yield Target(
            runs, server, service, r"POST .*/pipelineJobs$", lambda patience: VertexRuns(at, patience=patience)
        )


@pytest.fixture
def on_kubeflow() -> Iterator[Target]:
    with kubeflow() as (server, service):
        patient = partial(kubeflow_runs, server)
        yield Target(patient(released.IMPATIENT), server, service, r"POST .*/runs$", patient)


def kubeflow_runs(server: Server, patience: Patience, **change: Any) -> KubeflowRuns:
    at = Kubeflow.model_validate({"host": server.address} | change)
    return KubeflowRuns(at, lambda: kubeflow_client.connect(at), patience=patience)


@pytest.fixture(params=["on_vertex", "on_kubeflow"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.getfixturevalue(request.param)
    return found


def test_a_run_is_started_once_per_key(target: Target) -> None:
    first = target.runs.start(ASKED)
    second = target.runs.start(ASKED)
    assert (first.found, second.found) == (False, True)
    assert first.run.id == second.run.id
    assert target.made() == 1


def test_other_keys_are_other_runs(target: Target) -> None:
    ids = {target.runs.start(replace(ASKED, key=f"key-{i}")).run.id for i in range(3)}
    assert len(ids) == target.made() == 3


def test_a_start_whose_answer_is_lost_finds_its_run(target: Target) -> None:
    target.server.faults.append(Fault(target.create))
    started = target.runs.start(ASKED)
    assert target.made() == 1
    assert target.runs.get(started.run.id).id == started.run.id


def test_a_start_that_never_arrived_is_made_again(target: Target) -> None:
    target.server.faults.append(Fault(target.create, done=False))
    assert not target.runs.start(ASKED).found
    assert target.made() == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(target: Target, status: int) -> None:
    target.server.faults.append(Fault(target.create, status, times=3))
    assert not target.runs.start(ASKED).found
    assert target.server.called(target.create) == 4


def test_who_gets_no_answer_from_vertex_is_told_of_the_key_where_a_run_has_one(on_vertex: Target) -> None:
    on_vertex.server.faults = [Fault(".*", status=503, times=10_000)]
    with pytest.raises(RunError) as caught:
        on_vertex.runs.start(ASKED)
    assert caught.value.remedy == "Give the same command again, with the same --key: nothing is done twice."
    with pytest.raises(RunError) as caught:
        on_vertex.runs.list()
    assert caught.value.remedy == "Run it again: what is there already is found."


def test_who_gets_no_answer_from_kubeflow_is_told_of_the_key_where_a_run_has_one(on_kubeflow: Target) -> None:
    on_kubeflow.server.faults = [Fault(r"POST .*/runs$", status=503, times=10_000)]
    with pytest.raises(RunError) as caught:
        on_kubeflow.runs.start(ASKED)
    assert caught.value.remedy == "Give the same command again, with the same --key: nothing is done twice."
    on_kubeflow.server.faults = [Fault(".*", status=503, times=10_000)]
    with pytest.raises(RunError) as caught:
        on_kubeflow.runs.list()
    assert caught.value.remedy == "Run it again: what is there already is found."


def test_a_server_that_stays_busy_is_an_error_that_says_so(target: Target) -> None:
    target.server.faults.append(Fault(".", 429, times=1000))
    with pytest.raises(RunError, match="must answer"):
        target.patient(replace(released.IMPATIENT, deadline=0.05)).start(ASKED)
    assert target.made() == 0


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, arguments=dict(ASKED.arguments) | {"bundle": "d" * 64}),
        replace(ASKED, spec=released.spec("predict"), pipeline="batch"),
    ],
    ids=["parameters", "pipeline"],
)
def test_the_same_key_for_something_else_is_a_conflict(target: Target, other: Asked) -> None:
    target.runs.start(ASKED)
    with pytest.raises(ConflictError, match="must be the run that this key had before"):
        target.runs.start(other)
    assert target.made() == 1


def test_a_run_tells_its_tasks_in_order_and_where_it_is_shown(target: Target) -> None:
    target.course(
        Frame("RUNNING", {"ingest": "SUCCEEDED", "validate": "RUNNING"}),
        Frame("FAILED", {"ingest": "SUCCEEDED", "validate": "FAILED"}, "column x is missing"),
    )
    run = target.runs.start(ASKED).run
    looks = [target.runs.get(run.id) for _ in range(2)]
    assert [look.state for look in looks] == ["running", "failed"]
    assert [(t.name, t.state) for t in looks[0].tasks] == [("ingest", "done"), ("validate", "running")]
    failed = looks[1].tasks[1]
    told = "column x is missing" if isinstance(target.service, VertexService) else ""  # Kubeflow's API tells none
    assert (failed.name, failed.state, failed.error) == ("validate", "failed", told)
    assert failed.logs.startswith("http")
    assert run.id in looks[0].address
    assert looks[1].ended is not None


def test_a_state_that_nobody_documents_is_an_error(target: Target) -> None:
    target.course(Frame("97"))
    run = target.runs.start(ASKED).run
    with pytest.raises(RunError, match="'state' must be one that .* documents"):
        target.runs.get(run.id)


def test_a_cancelled_run_ends_as_cancelled(target: Target) -> None:
    target.course(*[Frame("RUNNING")] * 5)
    run = target.runs.start(ASKED).run
    target.runs.cancel(run.id)
    states = [target.runs.get(run.id).state for _ in range(3)]
    assert states[-1] == "cancelled"
    target.runs.cancel(run.id)
    assert target.runs.get(run.id).state == "cancelled"


def test_a_run_that_is_not_there_is_named(target: Target) -> None:
    for call in (target.runs.get, target.runs.cancel):
        with pytest.raises(CaseError, match="'RUN' must be one on .*Got 'esteira-batch-none'"):
            call("esteira-batch-none")


def test_runs_are_listed_by_case_the_newest_first(target: Target) -> None:
    started = [target.runs.start(replace(ASKED, key=f"key-{i}")).run.id for i in range(3)]
    target.runs.start(replace(ASKED, case="taxi"))
    assert [run.id for run in target.runs.list("flights")] == started[::-1]
    assert len(target.runs.list()) == 4
    assert len(target.runs.list(most=2)) == 2
    assert {run.case for run in target.runs.list()} == {"flights", "taxi"}
    assert {run.key for run in target.runs.list("flights")} == {"key-0", "key-1", "key-2"}


def test_only_a_run_that_failed_is_retried(target: Target) -> None:
    target.course(Frame("SUCCEEDED"))
    run = target.runs.start(ASKED).run
    target.runs.get(run.id)
    with pytest.raises(CaseError, match="must have failed or been cancelled"):
        target.runs.retry(run.id, "again")


# Vertex alone


def vertex_runs(server: Server, **change: Any) -> VertexRuns:
    at = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira-test/runs", "endpoint": server.address}
    return VertexRuns(Vertex.model_validate(at | change), patience=released.IMPATIENT)


def test_a_retry_on_vertex_is_a_new_job_of_the_same_pipeline_labelled_with_the_first(on_vertex: Target) -> None:
    on_vertex.course(Frame("FAILED", {"ingest": "FAILED"}))
    first = on_vertex.runs.start(ASKED).run
    on_vertex.runs.get(first.id)
    second = on_vertex.runs.retry(first.id, "again").run
    on_vertex.runs.get(second.id)
    third = on_vertex.runs.retry(second.id, "again-2").run
    jobs = on_vertex.service.jobs
    assert len(jobs) == 3
    assert jobs[second.id].labels["esteira-retry-of"] == jobs[third.id].labels["esteira-retry-of"]
    assert jobs[second.id].labels["esteira-retry-of"] == jobs[first.id].labels["esteira-key"]
    assert jobs[second.id].pipeline_spec == jobs[first.id].pipeline_spec
    assert dict(jobs[second.id].runtime_config.parameter_values) == dict(ASKED.arguments)
    assert on_vertex.runs.retry(second.id, "again-2").found


def test_a_job_on_vertex_has_account_network_key_and_labels_within_the_rules(on_vertex: Target) -> None:
    kms = f"projects/p/locations/{REGION}/keyRings/r/cryptoKeys/k"
    account = "run@esteira-test.iam.gserviceaccount.com"
    runs = vertex_runs(
        on_vertex.server, service_account=account, network="projects/12/global/networks/vpc", kms_key=kms
    )
    long = replace(ASKED, case="c" * 40, key="K" * 80)
    job = on_vertex.service.jobs[runs.start(long).run.id]
    assert (job.service_account, job.network, job.encryption_spec.kms_key_name) == (
        account,
        "projects/12/global/networks/vpc",
        kms,
    )
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,126}", job.name.rpartition("/")[2])
    assert set(job.labels) == {"esteira-case", "esteira-pipeline", "esteira-key", "esteira-digest"}
    assert len(job.labels["esteira-key"]) == len(job.labels["esteira-digest"]) == 32
    assert job.runtime_config.gcs_output_directory == "gs://esteira-test/runs"


def test_a_region_without_the_service_is_told_before_anything_is_made(on_vertex: Target) -> None:
    with pytest.raises(SetupError, match="'vertex.region' must have the service"):
        vertex_runs(on_vertex.server, region="mars-north1").probe()


@pytest.mark.parametrize("forbidden", [True, False], ids=["right", "project"])
def test_a_closed_project_names_the_right_that_is_missing(on_vertex: Target, forbidden: bool) -> None:
    on_vertex.service.forbidden = forbidden
    project = PROJECT if forbidden else "another-project"
    with pytest.raises(SetupError, match=r"must be open to this account\. .* Give the account roles/aiplatform\.user"):
        vertex_runs(on_vertex.server, project=project).probe()


def test_a_request_that_vertex_refuses_is_told_with_its_words(on_vertex: Target) -> None:
    asked = replace(ASKED, arguments=dict(ASKED.arguments) | {"colour": "red"})
    with pytest.raises(CaseError, match="The pipeline parameter colour is not found in the pipeline job input"):
        on_vertex.runs.start(asked)


def test_absent_credentials_are_told(on_vertex: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SetupError, match="'credentials' must be there for Vertex AI"):
        vertex_runs(on_vertex.server, endpoint="https://127.0.0.1:1").probe()


def test_expired_credentials_are_told(on_vertex: Target) -> None:
    expired = importlib.import_module("google.oauth2.credentials").Credentials(
        None, refresh_token="r", token_uri=f"{on_vertex.server.address}/token", client_id="i", client_secret="planted"
    )
    at = Vertex(
        project=PROJECT, region=REGION, pipeline_root="gs://esteira-test/runs", endpoint=on_vertex.server.address
    )
    with pytest.raises(SetupError, match="'credentials' must be valid") as caught:
        VertexRuns(at, patience=released.IMPATIENT, credentials=expired).probe()
    assert "planted" not in str(caught.value)


def test_on_vertex_of_many_starts_with_one_key_at_once_one_makes_the_run(on_vertex: Target) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: vertex_runs(on_vertex.server).start(ASKED), range(8)))
    assert [one.found for one in started].count(False) == 1
    assert len({one.run.id for one in started}) == on_vertex.made() == 1


def test_a_job_on_vertex_that_is_none_of_ours_is_not_repeated(on_vertex: Target) -> None:
    on_vertex.course(Frame("FAILED"))
    run = on_vertex.runs.start(ASKED).run
    on_vertex.service.jobs[run.id].labels.clear()
    with pytest.raises(CaseError, match="must be one of Esteira's, by its labels"):
        on_vertex.runs.retry(run.id, "again")
    assert on_vertex.made() == 1


# Kubeflow alone


def test_a_token_that_was_renewed_in_its_file_is_taken(
    on_kubeflow: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.delenv(kubeflow_client.TOKEN, raising=False)
    monkeypatch.setenv(kubeflow_client.TOKEN_FILE, str(file))
    file.write_text("first\n")
    on_kubeflow.service.token = "first"
    run = on_kubeflow.runs.start(ASKED).run
    on_kubeflow.service.token = "second"
    file.write_text("second\n")
    assert on_kubeflow.runs.get(run.id).id == run.id
    on_kubeflow.service.token = "third"
    with pytest.raises(SetupError, match="must be open to this caller"):
        on_kubeflow.runs.get(run.id)


CALLS: dict[str, Callable[[Runs, str], Any]] = {
    "probe": lambda runs, id: runs.probe(),
    "start": lambda runs, id: runs.start(replace(ASKED, key="another")),
    "list": lambda runs, id: runs.list(),
    "cancel": lambda runs, id: runs.cancel(id),
    "retry": lambda runs, id: runs.retry(id, "unused"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_goes_on_with_the_token_that_was_renewed(
    on_kubeflow: Target, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = "FAILED" if name == "retry" else "RUNNING"
    on_kubeflow.course(*[Frame(state)] * 9)
    on_kubeflow.service.token = "first"
    monkeypatch.setenv(kubeflow_client.TOKEN, "first")
    id = on_kubeflow.runs.start(ASKED).run.id
    on_kubeflow.runs.get(id)
    seen = len(on_kubeflow.server.seen)
    on_kubeflow.service.token = "second"
    monkeypatch.setenv(kubeflow_client.TOKEN, "second")
    CALLS[name](on_kubeflow.runs, id)
    tokens = [request.headers.get("authorization") for request in on_kubeflow.server.seen[seen:]]
    assert tokens[0] == "Bearer first"
    assert set(tokens[1:]) == {"Bearer second"}


def test_a_retry_on_kubeflow_goes_on_within_the_run(on_kubeflow: Target) -> None:
    on_kubeflow.course(Frame("FAILED", {"ingest": "FAILED"}))
    run = on_kubeflow.runs.start(ASKED).run
    on_kubeflow.runs.get(run.id)
    on_kubeflow.service.course = None
    again = on_kubeflow.runs.retry(run.id, "unused").run
    assert again.id == run.id
    assert [on_kubeflow.runs.get(run.id).state for _ in range(3)][-1] == "done"
    assert on_kubeflow.made() == 1


def test_on_kubeflow_a_pipeline_is_uploaded_once_for_each_content(on_kubeflow: Target) -> None:
    for key in ("one", "two"):
        on_kubeflow.runs.start(replace(ASKED, key=key))
    on_kubeflow.runs.start(replace(ASKED, key="three", pipeline="predict", spec=released.spec("predict")))
    assert on_kubeflow.server.called("POST .*upload_version") == 2
    assert {v["display_name"] for v in on_kubeflow.service.versions.values()} == {
        ASKED.pipeline_digest,
        replace(ASKED, spec=released.spec("predict")).pipeline_digest,
    }


@pytest.mark.parametrize("lost", ["POST .*/experiments$", "POST .*/pipelines$", "POST .*/pipelines/upload_version$"])
def test_on_kubeflow_an_answer_that_is_lost_on_the_way_to_the_run_makes_nothing_twice(
    on_kubeflow: Target, lost: str
) -> None:
    on_kubeflow.server.faults.append(Fault(lost))
    on_kubeflow.runs.start(ASKED)
    service = on_kubeflow.service
    assert [len(kept) for kept in (service.experiments, service.pipelines, service.versions, service.runs)] == [1] * 4


def test_on_kubeflow_a_run_is_named_by_its_key_and_bears_it(on_kubeflow: Target) -> None:
    on_kubeflow.runs.start(ASKED)
    (run,) = on_kubeflow.service.runs.values()
    assert run["display_name"] == ASKED.id
    assert run["description"] == "flights batch [3f1c2ab]"
    assert on_kubeflow.service.runs[on_kubeflow.runs.list()[0].id] is run


def test_on_kubeflow_with_namespaces_each_call_names_its_own(on_kubeflow: Target) -> None:
    on_kubeflow.service.multi_user = True
    runs = kubeflow_runs(on_kubeflow.server, released.IMPATIENT, namespace="team-a")
    runs.probe()
    run = runs.start(ASKED).run
    assert [one["namespace"] for one in on_kubeflow.service.experiments.values()] == ["team-a"]
    assert [one.id for one in runs.list()] == [run.id]
    listed = [r for r in on_kubeflow.server.seen if r.method == "GET" and r.path.endswith("/experiments")]
    assert {r.query.get("namespace") for r in listed} == {"team-a"}


def test_runs_of_other_experiments_on_kubeflow_are_not_ours(on_kubeflow: Target) -> None:
    run = on_kubeflow.runs.start(ASKED).run
    kubeflow_runs(on_kubeflow.server, released.IMPATIENT, experiment="another").start(replace(ASKED, key="theirs"))
    assert [one.id for one in on_kubeflow.runs.list()] == [run.id]


def test_where_nothing_was_ever_submitted_nothing_is_listed_and_nothing_is_made(target: Target) -> None:
    assert target.runs.list() == []
    assert {request.method for request in target.server.seen} == {"GET"}


def test_a_run_that_a_schedule_on_kubeflow_has_started_is_its_cases(on_kubeflow: Target) -> None:
    at = Kubeflow(host=on_kubeflow.server.address)
    schedules = KubeflowSchedules(at, lambda: kubeflow_client.connect(at), patience=released.IMPATIENT)
    made = schedules.create(Plan("nightly", "0 4 * * *", "UTC", 1, paused=False, asked=replace(ASKED, key="")))
    run = on_kubeflow.service.fire(made.id)
    assert [(one.id, one.case) for one in on_kubeflow.runs.list("flights")] == [(run, "flights")]
    assert on_kubeflow.runs.list("taxi") == []


def test_a_request_that_kubeflow_refuses_is_told_with_its_words(on_kubeflow: Target) -> None:
    asked = replace(ASKED, arguments=dict(ASKED.arguments) | {"colour": "red"})
    with pytest.raises(CaseError, match="Got 'parameter colour provided is not required'"):
        on_kubeflow.runs.start(asked)


@pytest.mark.parametrize("body", [{"mode": "NOPE"}, {"colour": "red"}, {"runtime_config": {"colour": 1}}])
def test_the_contract_server_refuses_what_the_generated_client_lets_pass(on_kubeflow: Target, body: Any) -> None:
    client = kubeflow_client.connect(Kubeflow(host=on_kubeflow.server.address))
    with pytest.raises(Exception, match="unknown field|none of"):
        client.recurring_runs.recurring_run_service_create_recurring_run(recurring_run=body)
