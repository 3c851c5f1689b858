"""What Vertex Model Registry asks for beyond the contract: one upload for one content, its aliases, its evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.adapters.gcp.registry import VertexRegistry
from components.adapters.gcp.uploads import Uploads
from components.adapters.gcp.vertex import Caller
from components.adapters.lease import Lease
from components.adapters.local.blobs import FileBlobs
from components.adapters.patience import Patience
from components.adapters.ports import ModelVersion
from components.core import artifacts
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, RunError, SetupError
from components.core.evaluated import Confusion, Curve, Evaluation, Slice
from tests.contract import registries
from tests.contract.registries import IMAGE, QUICK, CloudFiles
from tests.contract.test_registry import a_model
from tests.servers.http import Fault, Refused, Server
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.server import PARENT, PROJECT, Vertex, vertex

UPLOAD = r"POST .*/models:upload"
TAGS = {"bundle": "b" * 64, "run": "Flights/Batch 1", "estimator": "sklearn.linear_model.LogisticRegression"}


class Here:
    """A registry over the contract server."""

    def __init__(self, server: Server, service: Vertex, root: Path) -> None:
        self.server, self.service, self.root = server, service, root
        self.registry = self.anew()

    def anew(self, **times: float) -> VertexRegistry:
        return registries.on_vertex(self.server.address, self.root, **times)

    def register(self, content: str = "a", registry: VertexRegistry | None = None) -> ModelVersion:
        model, identity = a_model(self.root, content)
        return (registry or self.registry).register("flights", model, identity, TAGS | {"content": content})

    def contents(self) -> list[str]:
        return [version.tags["content"] for version in self.registry.versions("flights")]

    def default(self) -> int:
        [kept] = self.service.models.values()
        return kept.aliases["default"]

    @property
    def id(self) -> str:
        [id] = self.service.models
        return id

    def uploaded(self, place: int = -1) -> dict[str, Any]:
        asked = [r for r in self.server.seen if r.path.endswith("models:upload")]
        found: dict[str, Any] = asked[place].json()
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with vertex() as (server, service):
        yield Here(server, service, tmp_path)


def refusal(call: Callable[[], object]) -> EsteiraError:
    with pytest.raises(EsteiraError) as caught:
        call()
    return caught.value


# what is uploaded


def test_a_version_is_uploaded_with_its_lineage_its_container_and_where_its_artifact_lies(here):
    found = here.register()
    model = here.uploaded()["model"]
    assert here.uploaded()["modelId"] == here.id
    assert model["labels"] == {
        "esteira-case": "flights",
        "esteira-identity": found.identity[:32],
        "esteira-bundle": "b" * 32,
        "esteira-run": "flights_batch_1",
    }
    assert model["artifactUri"].startswith(f"gs://esteira{here.root}/blobs/models/{found.identity}/")
    spec = model["containerSpec"]
    assert (spec["imageUri"], spec["healthRoute"], spec["predictRoute"]) == (IMAGE, "/health", "/predict")
    assert {one["name"]: one["value"] for one in spec["env"]} == {
        "ESTEIRA_CASE": "flights",
        "ESTEIRA_BUNDLE": "b" * 64,
        "ESTEIRA_LOG": f"gs://esteira{here.root}/blobs",
        "ESTEIRA_AUTH": "platform",
    }
    assert here.registry.resource("flights", 1) == f"{PARENT}/models/{here.id}@1"


def test_the_first_version_is_the_default_and_an_upload_leaves_it_there(here):
    for content in "abc":
        here.register(content)
    assert here.uploaded()["parentModel"] == f"{PARENT}/models/{here.id}"
    assert here.default() == 1


def test_an_upload_may_take_as_long_as_the_lease_lasts(here):
    here.service.upload_looks = 60
    profile, blobs = registries.profile(here.server.address), CloudFiles(here.root / "blobs")
    assert here.register("a", VertexRegistry(blobs, profile, patience=Patience(0.01, 0.02, 0.1))).version == 1
    assert here.server.called(UPLOAD) == 1


def test_the_default_moves_with_the_champion_and_stays_when_there_is_none(here):
    here.register("a")
    here.register("b")
    for aliases, default in (({"champion": 2}, 2), ({"champion": 1, "previous": 2}, 1), ({"challenger": 2}, 1)):
        here.registry.project("flights", aliases)
        assert here.default() == default


def test_aliases_that_stand_already_are_not_merged_again(here):
    here.register("a")
    for _ in range(3):
        here.registry.project("flights", {"champion": 1})
    assert here.server.called("mergeVersionAliases") == 1


def test_versions_and_aliases_of_a_person_stay_and_are_not_ours(here):
    here.register("a")
    model = {"display_name": "theirs", "artifact_uri": "gs://theirs/model", "version_aliases": ["favourite"]}
    request = {
        "parent": PARENT,
        "parent_model": f"{PARENT}/models/{here.id}",
        "model": model | {"container_spec": {"image_uri": IMAGE}},
    }
    calls = Caller("model_service", registries.profile(here.server.address).vertex, patience=QUICK)
    calls.finish(calls.call("upload_model", request=request), "theirs")
    assert here.register("b").version == 3
    here.registry.project("flights", {"champion": 3})
    assert [v.version for v in here.registry.versions("flights")] == [1, 3]
    assert here.service.models[here.id].aliases["favourite"] == 2
    assert refusal(lambda: here.registry.get("flights", 2)).value == 2


def test_two_places_of_one_project_have_a_model_each(here):
    here.register()
    other = registries.on_vertex(here.server.address, here.root, blobs=CloudFiles(here.root / "production"))
    assert other.versions("flights") == []
    assert here.register("b", other).version == 1


# one upload for one content


@pytest.mark.parametrize("lost", [UPLOAD, "GET .*/operations/", "GET .*:listVersions"])
def test_an_answer_that_is_lost_after_the_work_was_done_makes_no_second_version(here, lost):
    here.server.faults.append(Fault(lost, times=2))
    assert here.register().version == 1
    assert here.contents() == ["a"]
    assert here.server.called(UPLOAD) == 1


def test_an_upload_that_never_arrived_is_made_again(here):
    here.server.faults.append(Fault(UPLOAD, 503))
    assert here.register().version == 1
    assert here.server.called(UPLOAD) == 2


def test_an_upload_that_is_listed_late_is_not_made_again(here):
    here.register("a")
    here.service.list_looks = 10**6
    assert here.register("b", here.anew(settle=0.01)).version == 2
    here.service.list_looks = 0
    assert here.register("b").version == 2
    assert here.server.called(UPLOAD) == 2


def test_an_upload_that_is_not_listed_yet_keeps_everybody_from_making_it_again(here):
    here.service.list_looks = 10**6
    here.register("a", here.anew(settle=0.01))
    blobs = CloudFiles(here.root / "blobs")
    [lease] = [name for name in blobs.names("registry/") if name.endswith(".lease")]
    assert not Lease(blobs, lease, 1.0).take()


def test_a_version_that_is_gone_right_after_its_upload_is_told(here):
    here.register("a")
    here.service.list_looks = 10**6
    here.server.faults.append(Fault("GET .*%402", 404))
    error = refusal(lambda: here.register("b", here.anew(settle=0.01)))
    assert str(error) == (
        f"{PARENT}/models/{here.id}: 'version' must show once it is uploaded. Got '2'. "
        "Run it again, which looks for it first; see in the console whether somebody deleted it."
    )
    assert here.server.called(UPLOAD) == 2


def test_an_upload_over_the_quota_is_made_again_without_being_looked_for(here):
    here.server.faults.append(Fault(UPLOAD, 429, times=3))
    assert here.register(registry=here.anew(lease=900, settle=600)).version == 1
    assert here.server.called(UPLOAD) == 4


def test_a_model_that_somebody_makes_at_the_same_moment_is_uploaded_into(here):
    here.register("a")
    here.server.faults.append(Fault("GET .*/models/[a-z0-9-]+$", 404))
    assert here.register("b").version == 2
    assert [here.uploaded(n).get("modelId", "") for n in (1, 2)] == [here.id, ""]


def unanswered(here: Here) -> str:
    registry = registries.on_vertex(here.server.address, here.root, settle=0.01, patience=registries.BRIEF)
    error = refusal(lambda: here.register("a", registry))
    assert isinstance(error, RunError)
    return str(error)


def test_an_upload_that_was_never_answered_is_told_and_comes_all_the_same(here):
    here.service.upload_looks = 10**6
    here.server.faults.append(Fault(UPLOAD, times=10**6))
    told, model = unanswered(here), r"projects/[\w/-]+/models/esteira-flights-\w+"
    assert re.fullmatch(
        rf"{model}: 'upload' must be answered. Got .+\. It may come all the same: run it again, "
        r"which looks for it for \d+ s first\.",
        told,
    )
    asked = here.server.called(UPLOAD)
    for operation in here.service.operations.values():
        operation.left = 0
    here.service.uploads[1:] = []
    assert here.register("a").version == 1
    assert here.server.called(UPLOAD) == asked


def test_an_upload_without_an_answer_keeps_everybody_out_also_where_the_next_one_is_refused(here):
    here.server.faults += [Fault(UPLOAD, done=False), Fault(UPLOAD, 403)]
    registry = here.anew(settle=0.01)
    assert isinstance(refusal(lambda: here.register("a", registry)), SetupError)
    blobs = CloudFiles(here.root / "blobs")
    [lease] = [name for name in blobs.names("registry/") if name.endswith(".lease")]
    assert not Lease(blobs, lease, 1.0).take()


def test_an_upload_that_was_never_answered_keeps_everybody_out_until_the_lease_ends(here):
    here.server.faults.append(Fault(UPLOAD, times=10**6, done=False))
    unanswered(here)
    blobs = CloudFiles(here.root / "blobs")
    [lease] = [name for name in blobs.names("registry/") if name.endswith(".lease")]
    assert not Lease(blobs, lease, 1.0).take()
    here.server.faults.clear()
    time_passes(blobs)
    assert here.register("a").version == 1


def test_a_task_that_is_told_to_end_while_vertex_copies_the_model_leaves_its_upload_to_the_next(here, monkeypatch):
    def told(*_: object) -> None:
        raise KeyboardInterrupt

    here.service.upload_looks = 5
    with monkeypatch.context() as patch:
        patch.setattr(Caller, "finish", told)
        with pytest.raises(KeyboardInterrupt):
            here.register("a")
    assert here.register("a").version == 1
    assert here.server.called(UPLOAD) == 1


def test_a_task_that_is_told_to_end_before_its_upload_is_listed_leaves_it_to_the_next(here, monkeypatch):
    def told(*_: object) -> None:
        raise KeyboardInterrupt

    here.service.list_looks = 10**6
    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "_shown", told)
        with pytest.raises(KeyboardInterrupt):
            here.register("a")
    here.service.list_looks = 3
    assert here.register("a").version == 1
    assert here.server.called(UPLOAD) == 1


@pytest.mark.parametrize("status", [400, 403, 429])
def test_an_upload_that_was_refused_lets_the_next_one_in_at_once(here, status):
    here.server.faults.append(Fault(UPLOAD, status, times=10**6))
    registry = registries.on_vertex(here.server.address, here.root, patience=registries.BRIEF)
    refusal(lambda: here.register("a", registry))
    here.server.faults.clear()
    assert here.register("a").version == 1


def test_a_model_that_is_busy_is_uploaded_into_later(here, monkeypatch):
    here.register("a")
    real, once = here.service._add, [1]

    def busy(*given: Any) -> Any:
        if once:
            once.pop()
            raise Refused(400, "FAILED_PRECONDITION", "There are other operations running on the Model.")
        return real(*given)

    monkeypatch.setattr(here.service, "_add", busy)
    assert here.register("b").version == 2


def test_a_model_that_somebody_makes_and_takes_away_at_every_try_is_told(here):
    here.server.faults.append(Fault(UPLOAD, 409, times=10**6))
    registry = registries.on_vertex(here.server.address, here.root, settle=0.01)
    error = refusal(lambda: here.register("a", registry))
    assert str(error).partition(": ")[2] == (
        "'upload' must end in a version. Got 'told to'. Run it again: it goes on with what is there."
    )


def test_a_region_without_vertex_is_told(here):
    places = {"project": PROJECT, "region": "europe-north9", "pipeline_root": "gs://esteira/runs"}
    profile = registries.profile(here.server.address, vertex={**places, "endpoint": here.server.address})
    registry = VertexRegistry(CloudFiles(here.root / "blobs"), profile, patience=QUICK, settle=0.01)
    assert str(refusal(lambda: here.register("a", registry))) == (
        "'vertex.region' must have the service. Got 'Location europe-north9 is not found or access is unauthorized.'. "
        "'europe-north9' has no Vertex AI for project 'esteira-test': choose another region in the profile."
    )


@pytest.mark.parametrize("where", ["_post_models_upload", "_add"])
def test_an_image_that_is_not_there_is_told_as_such_and_not_asked_for_again(here, monkeypatch, where):
    monkeypatch.setattr(here.service, where, refusing(f"{IMAGE} is not found."))
    error = refusal(here.register)
    assert isinstance(error, SetupError)
    assert str(error).startswith(f"{IMAGE}: 'endpoints.image' must be an image that Vertex finds. Got '{IMAGE[:100]}")
    assert error.remedy == (
        "Push it, or name another in the profile; Vertex's service agent needs roles/artifactregistry.reader."
    )
    assert here.server.called(UPLOAD) == 1


@pytest.mark.parametrize("where", ["_post_models_upload", "_add"])
def test_an_artifact_that_is_not_there_is_told_as_such_and_not_asked_for_again(here, monkeypatch, where):
    model, identity = a_model(here.root, "a")
    address = f"gs://esteira{here.root}/blobs/models/{identity}/{artifacts.read_manifest(model).digest}"
    monkeypatch.setattr(here.service, where, refusing(f"Nothing under {address}."))
    error = refusal(here.register)
    assert isinstance(error, ArtifactError)
    assert str(error).startswith(f"{address}: 'model' must be where Vertex finds it. Got 'Nothing under gs://esteira/")
    assert error.remedy == ("Restore it, or train it again; Vertex's service agent needs roles/storage.objectViewer.")
    assert here.server.called(UPLOAD) == 1
    blobs = CloudFiles(here.root / "blobs")
    [lease] = [name for name in blobs.names("registry/") if name.endswith(".lease")]
    assert Lease(blobs, lease, 1.0).take()  # nothing is under way


def refusing(told: str) -> Callable[..., Any]:
    def refuse(*_: object) -> None:
        raise Refused(404, "NOT_FOUND", told)

    return refuse


def test_what_else_is_not_found_is_not_taken_for_the_region(here):
    here.server.faults.append(Fault(UPLOAD, 404, times=10**6))
    error = refusal(lambda: here.register("a", here.anew(settle=0.01)))
    assert str(error).partition(": ")[2] == (
        "'upload' must end in a version. Got 'told to'. Run it again: it goes on with what is there."
    )


def test_of_two_versions_of_one_content_everybody_means_the_older(here):
    here.register("a")
    [kept] = here.service.models.values()
    copy = type(kept.versions[1]).wrap(type(kept.versions[1]).pb(kept.versions[1]))
    kept.versions[2], kept.last = aiplatform_v1.Model(copy, version_id="2"), 2
    assert here.register("a").version == 1
    assert [v.version for v in here.registry.versions("flights")] == [1]


class Death(BaseException):
    """A kill: nothing runs after it."""


class Mortal:
    """Ends everything at the n-th step that leaves a trace."""

    def __init__(self, n: int) -> None:
        self.left = n

    def step(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Death


def mortal_blobs(root: Path, mortal: Mortal) -> FileBlobs:
    class Blobs(CloudFiles):
        def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
            mortal.step()
            return super().write(name, data, generation=generation)

    return Blobs(root)


@pytest.mark.slow
def test_a_registration_killed_at_any_point_is_whole_or_not_there_and_converges_when_repeated(here, monkeypatch):
    once = Caller.once
    for n in range(1, 50):
        here.service.models.clear()
        here.root = here.root.parent / f"{here.root.name.partition('-')[0]}-{n}"
        here.registry = here.anew()
        here.register("a")
        mortal = Mortal(n)

        def dying(self: Caller, method: str, mortal: Mortal = mortal, **arguments: Any) -> Any:
            if method in ("upload_model",):
                mortal.step()
            return once(self, method, **arguments)

        monkeypatch.setattr(Caller, "once", dying)
        blobs = mortal_blobs(here.root / "blobs", mortal)
        try:
            here.register("b", registries.on_vertex(here.server.address, here.root, blobs=blobs))
        except Death:
            time_passes(blobs)
        monkeypatch.setattr(Caller, "once", once)
        for version in here.registry.versions("flights"):
            here.registry.fetch("flights", version.version)
        assert [here.register("b").version, here.register("c").version] == [2, 3]
        assert here.contents() == ["a", "b", "c"]
        if mortal.left > 0:
            break
    assert 6 < n < 49


def time_passes(blobs: FileBlobs) -> None:
    """Every lease is over."""
    for name in blobs.names("registry/"):
        if name.endswith(".lease"):
            FileBlobs.write(blobs, name, json.dumps({"until": 1}).encode())


# errors


def test_aliases_move_past_whoever_changes_the_model_at_the_same_moment(here):
    here.register()
    here.server.faults.append(Fault("mergeVersionAliases", 409, times=3))
    here.registry.project("flights", {"champion": 1})
    assert here.registry.get("flights", 1).aliases == ("champion",)


@pytest.mark.parametrize("status", [404, 409])
def test_aliases_that_never_can_be_moved_are_told(here, status):
    here.register()
    here.server.faults.append(Fault("mergeVersionAliases", status, times=10**6))
    registry = registries.on_vertex(here.server.address, here.root, patience=registries.BRIEF)
    error = refusal(lambda: registry.project("flights", {"champion": 1}))
    assert str(error) == (
        f"{PARENT}/models/{here.id}: 'model' must stay as it is while its aliases move. Got 'told to'. "
        "Somebody else changes it: run it again."
    )


def test_an_evaluation_of_a_version_that_is_deleted_meanwhile_is_told(here):
    here.register()
    here.server.faults.append(Fault("evaluations:import", 404))
    error = refusal(lambda: here.registry.evaluated("flights", 1, EVALUATION))
    assert (type(error), error.value) == (ArtifactError, 1)


def test_an_evaluation_that_another_operation_keeps_out_is_told(here):
    here.register()
    here.server.faults.append(Fault("evaluations:import", 409))
    error = refusal(lambda: here.registry.evaluated("flights", 1, EVALUATION))
    assert type(error) is ConflictError
    assert str(error) == (
        f"{PARENT}/models/{here.id}@1: 'version' must take its evaluation. Got 'told to'. "
        "Somebody else changes it: run it again."
    )


def test_what_the_account_may_not_do_is_told_with_its_role(here):
    here.service.forbidden = True
    error = refusal(here.register)
    assert isinstance(error, SetupError)
    assert error.remedy == (
        "Give the account roles/aiplatform.user, and roles/iam.serviceAccountUser on the service account."
    )
    assert str(error).startswith(f"'{PARENT}/models/esteira-flights-")


def test_a_quota_that_stays_used_up_is_told_with_what_to_do(here):
    here.server.faults.append(Fault("listVersions", 429, times=10_000))
    registry = VertexRegistry(CloudFiles(here.root), registries.profile(here.server.address), patience=registries.BRIEF)
    error = refusal(lambda: registry.versions("flights"))
    assert isinstance(error, RunError)
    assert error.remedy == "Wait and run it again, or ask for more of the quota that it names."


def test_an_artifact_that_vertex_cannot_read_is_told_as_it_says_it(here, monkeypatch):
    def refuse(*_: object) -> None:
        raise Refused(400, "FAILED_PRECONDITION", "The service agent has no storage.objects.list access")

    monkeypatch.setattr(here.service, "_add", refuse)
    error = refusal(here.register)
    assert isinstance(error, CaseError)
    assert "The service agent has no storage.objects.list access" in str(error)


def test_a_profile_without_the_servers_image_is_refused_before_anything_is_uploaded(here):
    profile = registries.profile(here.server.address, endpoints={})
    registry = VertexRegistry(CloudFiles(here.root / "blobs"), profile, patience=QUICK)
    assert str(refusal(lambda: here.register("a", registry))) == (
        "profile: 'endpoints.image' must be given: a version is served by it. Got ''. "
        "Name the server's image there, REGISTRY/NAME@sha256:…."
    )
    assert here.server.called(UPLOAD) == 0


def test_artifacts_outside_of_cloud_storage_are_refused_before_anything_is_uploaded(here):
    registry = registries.on_vertex(here.server.address, here.root, blobs=FileBlobs(here.root / "blobs"))
    error = refusal(lambda: here.register("a", registry))
    assert (error.name, error.rule) == ("blobs", "be in Cloud Storage: Vertex copies the model from there")
    assert error.remedy == "Set blobs.adapter: google beside registry.adapter: google in the profile."
    assert here.server.called(UPLOAD) == 0


@pytest.mark.parametrize("harm", ["gone", "of another model"])
def test_a_version_without_its_record_is_refused_by_the_records_name(here, harm):
    found, other = here.register("a"), here.register("b")
    blobs, record = CloudFiles(here.root / "blobs"), f"registry/flights/{found.identity}.json"
    if harm == "gone":
        blobs.delete(record)
    else:
        blobs.write(record, blobs.read(f"registry/flights/{other.identity}.json")[0])
    error = refusal(lambda: here.registry.get("flights", 1))
    assert isinstance(error, ArtifactError)
    assert (error.where, error.name, error.rule) == (record, "record", "be a version's")
    assert error.remedy == "Restore the blob: it was written before its version."


# evaluations

EVALUATION = Evaluation(
    "e" * 64,
    "binary",
    {"roc_auc": 0.9, "average_precision": 0.8, "log_loss": 0.3, "precision": 0.5, "recall": 0.8, "f1": 0.6}
    | {"balanced_accuracy": 0.8, "brier": 0.1},
    [Slice("origin", code, 100, {"roc_auc": 0.8}) for code in ("JFK", "LGA")] + [Slice("origin", "EWR", 9, {})],
    Curve([0.0, 0.2, 1.0], [0.0, 0.8, 1.0], [1.3, 0.5, 0.0]),
    Confusion(["0", "1"], [[80, 20], [5, 20]]),
)


def imported(here: Here) -> list[Any]:
    return list(here.service.evaluations[f"{here.id}@1"].values())


def slices(here: Here) -> list[str]:
    return [one.slice_.value for found in here.service.slices.values() for one in found]


def test_an_evaluation_is_imported_as_the_published_schema_says_and_only_once(here):
    here.register()
    for _ in range(3):
        here.registry.evaluated("flights", 1, EVALUATION)
    [found] = imported(here)
    assert found.metrics_schema_uri == (
        "gs://google-cloud-aiplatform/schema/modelevaluation/classification_metrics_1.0.0.yaml"
    )
    data = json.loads(aiplatform_v1.ModelEvaluation.to_json(found))["metrics"]
    assert {key: data[key] for key in ("auRoc", "auPrc", "logLoss")} == {"auRoc": 0.9, "auPrc": 0.8, "logLoss": 0.3}
    assert data["confusionMatrix"]["rows"] == [[80, 20], [5, 20]]
    assert [point["confidenceThreshold"] for point in data["confidenceMetrics"]] == [0, 0.5]
    assert slices(here) == ["origin=JFK", "origin=LGA"]


def test_another_evaluation_of_the_same_version_stands_beside_it(here):
    here.register()
    for digest in "ef":
        here.registry.evaluated("flights", 1, Evaluation(digest * 64, "regression", {"rmse": 2.0, "r2": -0.5}))
    assert len(imported(here)) == 2


@pytest.mark.parametrize("lost", ["evaluations:import", "slices:batchImport", "GET .*/evaluations$", "GET .*/slices$"])
def test_an_import_whose_answer_is_lost_is_not_made_twice(here, lost):
    here.register()
    here.server.faults.append(Fault(lost))
    here.registry.evaluated("flights", 1, EVALUATION)
    assert len(imported(here)) == 1
    assert slices(here) == ["origin=JFK", "origin=LGA"]


def test_slices_come_in_batches_and_what_a_kill_left_out_is_brought_by_the_next(here, monkeypatch):
    here.register()
    many = Evaluation(
        "e" * 64, "regression", {"rmse": 1.0}, [Slice("carrier", str(n), 9, {"mae": 1.0}) for n in range(120)]
    )
    once, mortal = Caller.once, Mortal(3)

    def dying(self: Caller, method: str, **arguments: Any) -> Any:
        if "import" in method:
            mortal.step()
        return once(self, method, **arguments)

    monkeypatch.setattr(Caller, "once", dying)
    with pytest.raises(Death):
        here.registry.evaluated("flights", 1, many)
    assert len(slices(here)) == 50
    monkeypatch.setattr(Caller, "once", once)
    here.registry.evaluated("flights", 1, many)
    assert len(imported(here)) == 1
    assert slices(here) == [f"carrier={n}" for n in range(120)]
