"""A Vertex endpoint follows the pointer: through Google's own client, against the contract server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.adapters.gcp import deployments, vertex
from components.adapters.gcp.endpoints import VertexEndpoints
from components.adapters.local.blobs import FileBlobs
from components.adapters.patience import Patience
from components.adapters.ports import Pointer
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, RunError, SetupError
from tests.adapters.gcp.scene import CASE, MODEL, QUICK, Fake, Scene, scene, version_of
from tests.servers.http import Fault, Refused
from tests.servers.vertex.server import PARENT, PROJECT, REGION

DEPLOY, UNDEPLOY, MOVE = r":deployModel$", r":undeployModel$", r"^PATCH "
KEY = f"projects/{PROJECT}/locations/{REGION}/keyRings/r/cryptoKeys/k"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as found:
        yield found


def test_a_profile_chooses_it(on: Scene):
    assert isinstance(Connected(on.profile()).endpoints, VertexEndpoints)


# what is asked of Vertex


def test_the_endpoint_is_made_as_the_profile_says_it(on: Scene):
    asked = {"requests": "bq://my-project.esteira.requests", "projects": ["my-project"]}
    on.endpoints(asked, kms_key=KEY).prepare(version_of(1))
    (made,) = on.bodies("/endpoints")
    assert made == {
        "displayName": "esteira toy",
        "labels": {"esteira-case": "toy"},
        "encryptionSpec": {"kmsKeyName": KEY},
        "predictRequestResponseLoggingConfig": {
            "enabled": True,
            "samplingRate": 1.0,
            "bigqueryDestination": {"outputUri": "bq://my-project.esteira.requests"},
        },
        "privateServiceConnectConfig": {"enablePrivateServiceConnect": True, "projectAllowlist": ["my-project"]},
    }


def test_the_operation_that_deploys_a_version_is_named_in_a_file(on: Scene, tmp_path: Path):
    endpoints = on.endpoints()
    endpoints.resources = tmp_path / "outputs" / "gcp_resources"
    endpoints.prepare(version_of(1))
    [named] = json.loads(endpoints.resources.read_bytes())["resources"]
    place = f"https://{REGION}-aiplatform.googleapis.com/v1/{PARENT}/"
    assert (named["resourceType"], named["resourceUri"].startswith(place)) == ("VertexLro", True)
    assert "/operations/" in named["resourceUri"]
    endpoints.resources.unlink()
    endpoints.prepare(version_of(1))  # it serves: nothing is under way
    assert not endpoints.resources.exists()


def test_a_version_is_deployed_as_the_profile_says_it_and_without_traffic(on: Scene):
    asked = {
        "machine": "n2-standard-4",
        "replicas": [2, 5],
        "utilization": 75,
        "service_account": "s@p.iam.gserviceaccount.com",
    }
    on.endpoints(asked).prepare(version_of(7))
    (made,) = on.bodies(":deployModel")
    deployed = made["deployedModel"]
    assert made == {"deployedModel": deployed}
    assert deployed.pop("id") == on.endpoint.deployed_models[0].id
    assert deployed == {
        "model": f"{MODEL}@7",
        "displayName": "toy version 7",
        "serviceAccount": "s@p.iam.gserviceaccount.com",
        "dedicatedResources": {
            "machineSpec": {"machineType": "n2-standard-4"},
            "minReplicaCount": 2,
            "maxReplicaCount": 5,
            "autoscalingMetricSpecs": [{"metricName": deployments.CPU, "target": 75}],
        },
    }
    assert on.split() == {}


def test_the_tasks_account_is_the_servers_where_it_has_none_of_its_own(on: Scene):
    on.endpoints(service_account="tasks@p.iam.gserviceaccount.com").prepare(version_of(1))
    assert on.endpoint.deployed_models[0].service_account == "tasks@p.iam.gserviceaccount.com"


def test_no_request_but_the_one_for_it_carries_a_split(on: Scene):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    on.live(endpoints, champion=1, challenger=2, split=20)
    on.live(endpoints, champion=2, previous=1)
    assert not [
        body for verb in (":deployModel", ":undeployModel") for body in on.bodies(verb) if "trafficSplit" in body
    ]
    moves = [r for r in on.server.seen if r.method == "PATCH"]
    assert {r.query["updateMask"] for r in moves} == {"trafficSplit"}
    assert all(set(r.json()) == {"trafficSplit", "etag"} for r in moves)


def test_two_profiles_of_one_project_have_an_endpoint_each(on: Scene, tmp_path: Path):
    one, other = on.endpoints(), on.endpoints(root=tmp_path / "else")
    assert one.resource(CASE) != other.resource(CASE)
    assert one.resource(CASE).startswith(f"{PARENT}/endpoints/esteira-toy-")
    assert on.endpoints().resource(CASE) == one.resource(CASE)


# it follows the pointer


def test_a_prepared_version_is_deployed_once_and_has_no_traffic(on: Scene):
    endpoints = on.endpoints()
    endpoints.prepare(version_of(1))
    endpoints.prepare(version_of(1))
    on.endpoints().prepare(version_of(1))
    assert on.server.called(DEPLOY) == 1
    assert endpoints.traffic(CASE) == {1: 0}


def test_promotion_canary_and_rollback_move_the_traffic_and_leave_nothing_idle(on: Scene):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    assert (on.split(), on.deployed()) == ({1: 100}, {1})
    on.live(endpoints, champion=1, challenger=2, split=20)
    assert (on.split(), on.deployed()) == ({1: 80, 2: 20}, {1, 2})
    on.live(endpoints, champion=2, previous=1)
    assert (on.split(), on.deployed()) == ({2: 100}, {2})
    on.live(endpoints, champion=1, previous=2)
    assert (on.split(), on.deployed()) == ({1: 100}, {1})
    assert [fake.ended for fake in on.started] == [True, True, False]
    assert endpoints.traffic(CASE) == {1: 100}


def test_a_challenger_without_a_share_is_there_and_has_none(on: Scene):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    on.live(endpoints, champion=1, challenger=2, split=0)
    assert (on.split(), on.deployed()) == ({1: 100}, {1, 2})


def test_the_previous_champion_stays_where_the_profile_asks_for_it(on: Scene):
    endpoints = on.endpoints({"keep_previous": True})
    on.live(endpoints, champion=1)
    on.live(endpoints, champion=2, previous=1)
    assert (on.split(), on.deployed()) == ({2: 100}, {1, 2})
    on.live(endpoints, champion=1, previous=2)
    assert on.server.called(DEPLOY) == 2


def test_a_pointer_without_a_champion_has_no_traffic(on: Scene):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    on.live(endpoints)
    assert (on.split(), on.deployed()) == ({}, set())
    assert endpoints.traffic(CASE) == {}


def test_nothing_is_made_where_nothing_is_live(on: Scene):
    endpoints = on.endpoints()
    on.live(endpoints)
    assert on.service.endpoints == {}


def test_what_the_pointer_names_and_somebody_took_away_is_deployed_again(on: Scene):
    endpoints = on.endpoints()
    state = on.live(endpoints, champion=1)
    on.endpoint.traffic_split = {}
    on.endpoint.deployed_models = []
    on.service.containers.clear()
    endpoints.project(state)
    assert (on.split(), on.deployed()) == ({1: 100}, {1})


def test_an_endpoint_that_somebody_deleted_meanwhile_is_made_again(on: Scene, monkeypatch: pytest.MonkeyPatch):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    real, once = deployments.Deployments.move, [1]

    def deleted(self: Any, found: Any, split: Any) -> bool:
        if once:
            once.pop()
            on.service.endpoints.clear()
            on.service.containers.clear()
        return real(self, found, split)

    monkeypatch.setattr(deployments.Deployments, "move", deleted)
    on.live(endpoints, champion=2, previous=1)
    assert (on.split(), on.deployed()) == ({2: 100}, {2})


def test_other_settings_take_over_without_a_gap(on: Scene):
    on.live(on.endpoints(), champion=1)
    before = on.endpoint.deployed_models[0].id
    bigger = on.endpoints({"machine": "n1-standard-8"})
    bigger.project(bigger.pointer(CASE))
    (after,) = on.endpoint.deployed_models
    assert after.id != before
    assert after.dedicated_resources.machine_spec.machine_type == "n1-standard-8"
    assert on.split() == {1: 100}


def test_vertexs_own_log_of_requests_begins_and_ends_with_the_profiles_wish(on: Scene):
    on.live(on.endpoints(), champion=1)
    logged = on.endpoints({"requests": "bq://my-project.esteira"})
    logged.prepare(version_of(2))
    assert on.endpoint.predict_request_response_logging_config.enabled
    on.endpoints().prepare(version_of(3))
    assert not on.endpoint.predict_request_response_logging_config.enabled
    assert on.split() == {1: 100}


# what does not become ready


def never(on: Scene, ready: Patience = QUICK) -> RunError:
    endpoints = on.endpoints(ready=ready)
    with pytest.raises(RunError) as caught:
        endpoints.prepare(version_of(2))
    assert (on.split(), on.deployed()) == ({1: 100}, {1})
    assert set(on.service.containers) == {(on.endpoint.name.rpartition("/")[2], on.endpoint.deployed_models[0].id)}
    return caught.value


def test_a_version_whose_server_ends_leaves_the_old_one_all_of_the_traffic(on: Scene):
    on.live(on.endpoints(), champion=1)
    on.next = Fake(failed="ModuleNotFoundError: onnxruntime")
    error = never(on)
    id = on.endpoint.name.rpartition("/")[2]
    assert str(error) == (
        "toy version 2: 'version' must become ready to serve; what was live keeps all of the traffic. Got "
        "'Model server exited unexpectedly. ModuleNotFoundError: onnxruntime'. Its log: "
        "https://console.cloud.google.com/logs/query;query=resource.type%3D%22aiplatform.googleapis.com%2FEndpoint%22%20"
        f"resource.labels.endpoint_id%3D%22{id}%22?project=esteira-test"
    )


def test_one_that_takes_too_long_is_cancelled_and_leaves_nothing(on: Scene):
    on.live(on.endpoints(), champion=1)
    on.next = Fake(ready=False)
    error = never(on, Patience(first=0.002, longest=0.01, deadline=0.2))
    assert error.value == "it took too long"
    assert on.server.called(r"operations/\d+:cancel$") == 1
    assert on.started[-1].ended


def test_what_cannot_be_taken_away_does_not_hide_why_the_deployment_failed(on: Scene):
    on.live(on.endpoints(), champion=1)

    class Ending(Fake):
        def healthy(self) -> bool:
            on.server.faults.append(Fault(r"GET .*/endpoints/[\w-]+$", 403, times=10**6))
            on.service.containers.popitem()
            raise Refused(400, "FAILED_PRECONDITION", "Model server exited unexpectedly.")

    on.next = Ending()
    with pytest.raises(RunError) as caught:
        on.endpoints().prepare(version_of(2))
    id = on.endpoint.name.rpartition("/")[2]
    assert caught.value.value == "Model server exited unexpectedly."
    assert caught.value.remedy.startswith("Its log: https://console.cloud.google.com/logs/query")
    assert caught.value.remedy.endswith(
        f" See in the console that nothing of it is left: '{id}' must be open to this account. Got 'told to'. Give the "
        "account roles/aiplatform.user, and roles/iam.serviceAccountUser on the service account."
    )


@pytest.mark.parametrize(
    ("fake", "told"),
    [
        (lambda: Fake(failed="No module onnxruntime"), "Model server exited unexpectedly. No module onnxruntime"),
        (lambda: Fake(ready=False), "told to"),
    ],
    ids=["its own error", "what the service says"],
)
def test_a_deployment_at_which_nobody_could_look_is_told_with(
    on: Scene, fake: Callable[[], Fake], told: str, monkeypatch: pytest.MonkeyPatch
):
    on.live(on.endpoints(), champion=1)
    on.next = fake()
    on.server.faults.append(Fault("GET .*/operations/", 500, times=10**6))
    real = deployments.Deployments._clear

    def clear(self: Any, *given: Any) -> Any:
        on.server.faults.clear()
        return real(self, *given)

    monkeypatch.setattr(deployments.Deployments, "_clear", clear)
    assert never(on, Patience(first=0.002, longest=0.01, deadline=0.2)).value == told


@pytest.mark.parametrize(
    ("refused", "remedy"),
    [
        (
            Refused(429, "RESOURCE_EXHAUSTED", "custom_model_serving_cpus"),
            "Ask for more of the quota, or name a smaller machine or fewer replicas in the profile's endpoints.",
        ),
        (
            Refused(403, "PERMISSION_DENIED", "artifactregistry.repositories.downloadArtifacts"),
            "Give Vertex's service agent roles/artifactregistry.reader on the image, and yourself "
            "roles/iam.serviceAccountUser on the server's account.",
        ),
    ],
)
def test_a_refusal_is_told_with_its_remedy(on: Scene, refused: Refused, remedy: str, monkeypatch: pytest.MonkeyPatch):
    on.live(on.endpoints(), champion=1)

    class Refusing(Fake):
        def healthy(self) -> bool:
            on.service.containers.popitem()
            raise refused

    on.next = Refusing()
    error = never(on)
    assert (error.value, error.remedy) == (refused.message, remedy)


def test_a_model_that_is_not_there_is_told(on: Scene):
    with pytest.raises(ArtifactError) as caught:
        on.endpoints().prepare(version_of(12))
    assert str(caught.value) == (
        f"toy version 12: 'model' must be in Vertex's registry. Got '{MODEL}@12'. "
        "See `esteira models list`; register it again."
    )


def test_another_registry_is_told(on: Scene):
    profile = on.profile()
    endpoints = VertexEndpoints(FileBlobs(on.root), profile, lambda *_: "", patience=QUICK, ready=QUICK)
    with pytest.raises(SetupError) as caught:
        endpoints.prepare(version_of(1))
    assert str(caught.value) == (
        "profile: 'registry.adapter' must be google for a Vertex endpoint. Got 'another'. "
        "Set registry.adapter: google beside endpoints.adapter: google in the profile."
    )


def test_an_endpoint_of_another_key_is_told(on: Scene):
    on.endpoints().prepare(version_of(1))
    with pytest.raises(ConflictError) as caught:
        on.endpoints(kms_key=KEY).prepare(version_of(2))
    assert str(caught.value) == (
        f"{on.endpoint.name}: 'endpoint' must be encrypted with {KEY}. Got 'none'. "
        "An endpoint keeps its key: delete it in the console, or name its key in vertex.kms_key."
    )


def test_a_closed_door_is_told_with_the_role(on: Scene):
    on.service.forbidden = True
    with pytest.raises(SetupError, match="Give the account roles/aiplatform.user"):
        on.endpoints().prepare(version_of(1))


# an endpoint that is busy


def somebody_deploys(on: Scene) -> Fake:
    """An operation on the endpoint that is under way until its container is ready."""
    on.next = Fake(ready=False)
    other = on.endpoints()
    request = {"endpoint": other.resource(CASE), "deployed_model": other._wanted(CASE, 9)}
    other._callers[0].call("deploy_model", request=request)
    return on.started[-1]


def until_ready(fake: Fake) -> Patience:
    """Whoever waits for the second time finds it ready."""
    waits = iter([False])

    def sleep(_: float) -> None:
        fake.ready = next(waits, True)

    return Patience(first=0.002, longest=0.02, deadline=60.0, sleep=sleep)


def test_a_deployment_waits_for_another_operation_of_the_endpoint(on: Scene):
    on.live(on.endpoints(), champion=1)
    theirs = somebody_deploys(on)
    on.endpoints(ready=until_ready(theirs)).prepare(version_of(2))
    assert on.deployed() == {1, 2, 9}
    assert on.server.called(DEPLOY) > 3


def test_the_traffic_waits_for_another_operation_of_the_endpoint(on: Scene):
    endpoints = on.endpoints()
    before = on.live(endpoints, champion=1)
    endpoints.prepare(version_of(2))
    after = endpoints.change(Pointer(CASE, champion=2, previous=1, generation=before.generation))
    theirs = somebody_deploys(on)
    on.endpoints(ready=until_ready(theirs)).project(after)
    assert (on.split(), on.deployed()) == ({2: 100}, {2})


def test_what_is_taken_away_waits_for_another_operation_and_is_asked_for_again(
    on: Scene, monkeypatch: pytest.MonkeyPatch
):
    on.live(on.endpoints(), champion=1)
    real = deployments.Deployments.undeploy

    def undeploy(self: Any, gone: Any) -> None:
        self._ready = until_ready(somebody_deploys(on))
        real(self, gone)

    monkeypatch.setattr(deployments.Deployments, "undeploy", undeploy)
    on.live(on.endpoints(), champion=2, previous=1)
    assert (on.split(), on.deployed()) == ({2: 100}, {2, 9})
    assert on.server.called(UNDEPLOY) > 1


def test_an_endpoint_that_stays_busy_is_not_waited_for_for_ever(on: Scene):
    endpoints = on.endpoints(ready=Patience(first=0.002, longest=0.01, deadline=0.2))
    on.live(on.endpoints(), champion=1)
    somebody_deploys(on)
    with pytest.raises(RunError) as caught:
        endpoints.prepare(version_of(2))
    assert str(caught.value) == (
        "toy version 2: 'version' must become ready to serve; what was live keeps all of the traffic. Got "
        "'another operation is still under way'. Wait for it or cancel it in the console, then run it again."
    )
    on.endpoint.traffic_split = {}
    with pytest.raises(RunError) as caught:
        endpoints._deployments(CASE).undeploy([endpoints._wanted(CASE, 1)["id"]])
    assert str(caught.value) == (
        f"{on.endpoint.name.rpartition('/')[2]}: 'deployment' must be taken away. Got 'another operation is still under "
        "way'. Undeploy it in the console; the next command tries again."
    )


def test_a_refusal_for_any_other_reason_is_told_at_once(on: Scene, monkeypatch: pytest.MonkeyPatch):
    on.live(on.endpoints(), champion=1)

    def refuse(*_: Any) -> Any:
        raise Refused(400, "FAILED_PRECONDITION", "The model has no container.")

    monkeypatch.setattr(on.service, "starts", refuse)
    with pytest.raises(CaseError) as caught:
        on.endpoints().prepare(version_of(2))
    assert str(caught.value) == (
        "'toy version 2' must be one that Vertex takes. Got 'The model has no container.'. Mend what it names."
    )
    on.service.__dict__["_post_endpoints_one_undeployModel"] = refuse
    on.endpoint.traffic_split = {}
    endpoints = on.endpoints()
    with pytest.raises(CaseError, match="The model has no container"):
        endpoints._deployments(CASE).undeploy([endpoints._wanted(CASE, 1)["id"]])
    assert (on.server.called(DEPLOY), on.server.called(UNDEPLOY)) == (2, 1)


# an endpoint that comes and goes


def test_an_endpoint_that_is_deleted_before_the_deployment_is_made_again(on: Scene, monkeypatch: pytest.MonkeyPatch):
    real, once = deployments.Deployments._made, [1]

    def deleted(self: Any) -> Any:
        found = real(self)
        if once:
            once.pop()
            on.service.endpoints.clear()
        return found

    monkeypatch.setattr(deployments.Deployments, "_made", deleted)
    on.endpoints().prepare(version_of(1))
    assert on.deployed() == {1}
    assert on.server.called(r"POST .*/endpoints$") == 2


def test_an_endpoint_whose_making_is_forgotten_is_made_again(on: Scene, monkeypatch: pytest.MonkeyPatch):
    real, once = vertex.Caller.finish, [1]

    def forgotten(self: Any, *given: Any) -> None:
        if once:
            once.pop()
            on.service.begun.clear()
            on.service.operations.clear()
        real(self, *given)

    monkeypatch.setattr(vertex.Caller, "finish", forgotten)
    on.endpoints().prepare(version_of(1))
    assert on.deployed() == {1}


def test_a_region_without_vertex_is_told(on: Scene):
    with pytest.raises(SetupError) as caught:
        on.endpoints(region="europe-north9").prepare(version_of(1))
    assert str(caught.value) == (
        "'vertex.region' must have the service. Got 'Location europe-north9 is not found or access is unauthorized.'. "
        "'europe-north9' has no Vertex AI for project 'esteira-test': choose another region in the profile."
    )


def test_settings_are_set_on_an_endpoint_that_somebody_changes_meanwhile(on: Scene, monkeypatch: pytest.MonkeyPatch):
    on.live(on.endpoints(), champion=1)
    real, once = deployments.Deployments._update, [1]

    def overtaken(self: Any, *given: Any) -> bool:
        if once:
            once.pop()
            on.service._touched(on.endpoint)
        return real(self, *given)

    monkeypatch.setattr(deployments.Deployments, "_update", overtaken)
    on.endpoints({"requests": "bq://my-project.esteira"}).prepare(version_of(2))
    assert on.endpoint.predict_request_response_logging_config.enabled


# somebody else at the same time, and answers that are lost


def test_a_stale_etag_means_look_again(on: Scene, monkeypatch: pytest.MonkeyPatch):
    endpoints = on.endpoints()
    on.live(endpoints, champion=1)
    real, others = deployments.Deployments.move, [1]

    def move(self: Any, found: Any, split: Any) -> bool:
        if others:  # somebody describes the endpoint anew in the console
            others.pop()
            on.service._touched(on.endpoint)
        return real(self, found, split)

    monkeypatch.setattr(deployments.Deployments, "move", move)
    on.live(endpoints, champion=1, challenger=2, split=30)
    assert on.split() == {1: 70, 2: 30}
    assert on.server.called(MOVE) == 3


def test_an_endpoint_that_changes_at_every_try_is_not_asked_for_ever(on: Scene, monkeypatch: pytest.MonkeyPatch):
    endpoints = on.endpoints(ready=Patience(first=0.002, longest=0.01, deadline=0.3))
    on.live(endpoints, champion=1)
    monkeypatch.setattr(deployments.Deployments, "move", lambda *_: False)
    with pytest.raises(RunError) as caught:
        on.live(endpoints, champion=1, challenger=2, split=30)
    assert str(caught.value) == (
        f"{endpoints.resource(CASE)}: 'traffic' must follow the pointer. Got 'the endpoint changed, or was busy, at every try'. "
        "See who changes it, in its activity; the next command moves the traffic."
    )
    assert on.split() == {1: 100}


def test_the_newest_state_wins_wherever_the_older_one_stood(on: Scene, monkeypatch: pytest.MonkeyPatch):
    slow, fast = on.endpoints(), on.endpoints()
    on.live(slow, champion=1)
    real, once = deployments.Deployments.move, [1]

    def overtaken(self: Any, found: Any, split: Any) -> bool:
        if once:
            once.pop()
            on.live(fast, champion=3, previous=1)
        return real(self, found, split)

    monkeypatch.setattr(deployments.Deployments, "move", overtaken)
    old = on.live(slow, champion=1, challenger=2, split=30)
    assert slow.pointer(CASE).generation == old.generation + 1
    assert (on.split(), on.deployed()) == ({3: 100}, {3})
    slow.project(old)
    assert (on.split(), on.deployed()) == ({3: 100}, {3})


def test_a_deployment_that_somebody_took_away_meanwhile_is_made_again(on: Scene, monkeypatch: pytest.MonkeyPatch):
    endpoints, other = on.endpoints(), on.endpoints()
    before = on.live(endpoints, champion=1)
    real, once = deployments.Deployments.move, [1]

    def undeployed(self: Any, found: Any, split: Any) -> bool:
        if once:  # as who projects the state before does, for the challenger has no traffic yet
            once.pop()
            deployments.Deployments.undeploy(self, other._unused(before, self.get()))
        return real(self, found, split)

    monkeypatch.setattr(deployments.Deployments, "move", undeployed)
    on.live(endpoints, champion=1, challenger=2, split=30)
    assert on.split() == {1: 70, 2: 30}
    assert on.server.called(DEPLOY) == 3


def test_of_many_at_once_the_traffic_is_the_pointers(on: Scene):
    start = on.live(on.endpoints(), champion=1)

    def change(version: int) -> object:
        endpoints = on.endpoints()
        try:
            endpoints.prepare(version_of(version))
            after = endpoints.change(Pointer(CASE, champion=version, previous=1, generation=start.generation))
            endpoints.project(after)
        except EsteiraError as error:
            return error
        return after

    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(change, range(2, 7)))
    (won,) = [result for result in results if isinstance(result, Pointer)]
    assert {type(result) for result in results} == {Pointer, ConflictError}
    on.endpoints().project(won)
    assert (on.split(), on.deployed()) == ({won.champion: 100}, {won.champion})


@pytest.mark.parametrize("done", [True, False], ids=["after its work", "before its work"])
@pytest.mark.parametrize(
    "call", ["POST .*/endpoints$", DEPLOY, MOVE, UNDEPLOY, "GET .*/endpoints/", "GET .*/operations/"]
)
def test_an_answer_that_is_lost_makes_nothing_twice(on: Scene, call: str, done: bool):
    endpoints = on.endpoints()
    on.server.faults.append(Fault(call, done=done))
    on.live(endpoints, champion=1)
    on.live(endpoints, champion=2, previous=1)
    assert on.server.faults[0].times == 0
    assert (on.split(), on.deployed()) == ({2: 100}, {2})
    assert (len(on.service.endpoints), len(on.started)) == (1, 2)


class Killed(BaseException):
    pass


def killed_at(n: int, after: bool, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ends whoever makes the n-th call (from 1) of Vertex, before it or after it; counts down."""
    left, real = [n], vertex.Caller.once

    def once(self: vertex.Caller, method: str, **arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        answer = real(self, method, **arguments)
        if left[0] == 0:
            raise Killed
        return answer

    monkeypatch.setattr(vertex.Caller, "once", once)
    return left


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_the_next_command_brings_the_traffic_to_the_pointer(
    on: Scene, after: bool, monkeypatch: pytest.MonkeyPatch
):
    """One command makes version 2 champion after version 1; the next is whoever projects what is live."""
    committed = set()
    for n in range(1, 40):
        on.service.endpoints.clear()
        on.service.containers.clear()
        root = on.root / f"{n}"
        on.live(on.endpoints(root=root), champion=1)
        with monkeypatch.context() as patch:
            left = killed_at(n, after, patch)
            try:
                on.live(on.endpoints(root=root), champion=2, previous=1)
            except Killed:
                assert sum(on.split().values()) == 100
        endpoints = on.endpoints(root=root)
        now = endpoints.pointer(CASE)
        committed.add(now.champion)
        endpoints.project(now)
        assert (on.split(), on.deployed()) == ({now.champion: 100}, {now.champion})
        assert len(on.service.containers) == 1
        if left[0] > 0:
            break
    assert n > 6
    assert committed == {1, 2}
