"""Vertex Experiments and TensorBoard over their contract server, with answers that get lost."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.adapters.gcp import tensorboard
from components.adapters.gcp.tracking import VertexTracking
from components.adapters.local.blobs import FileBlobs
from components.adapters.patience import Patience
from components.core.errors import ConflictError, RunError, SetupError
from components.core.profile import Profile
from components.core.targets import Vertex
from tests.conftest import REPOSITORY
from tests.servers import http
from tests.servers.vertex import server as vertex
from tests.servers.vertex.messages import aiplatform_v1

BOARD = f"{vertex.PARENT}/tensorboards/7"
RUN = f"{BOARD}/experiments/esteira-flights/runs/job-1"
CONTEXT = "esteira-flights-job-1"
KEY = f"projects/p/locations/{vertex.REGION}/keyRings/r/cryptoKeys/k"


@pytest.fixture
def cloud() -> Iterator[tuple[http.Server, vertex.Vertex]]:
    with vertex.vertex() as (server, service):
        service.boards.add("7")
        yield server, service


def at(server: http.Server, **given: str) -> Vertex:
    root = "gs://esteira-runs/root"
    return Vertex(project=vertex.PROJECT, region=vertex.REGION, pipeline_root=root, endpoint=server.address, **given)


def make(
    server: http.Server, tmp_path: Path, board: str = BOARD, deadline: float = 20.0, **given: str
) -> VertexTracking:
    patience = Patience(first=0.01, longest=0.02, deadline=deadline)
    blobs = FileBlobs(tmp_path / "blobs")
    return VertexTracking(at(server, **given), tensorboard=board, blobs=blobs, patience=patience)


def log(made: VertexTracking, run: str = "job-1", **given: Any) -> str:
    facts: dict[str, Any] = {"parameters": {"max_iter": "10"}, "metrics": {"roc_auc": 0.9}, "tags": {"identity": "i"}}
    return made.log("flights", run, **{**facts, **given})


def test_metrics_and_curves_go_to_the_tensorboard_that_experiment_and_run_name(cloud, tmp_path):
    server, service = cloud
    address = log(make(server, tmp_path), curves={"search_roc_auc": [0.5, math.nan, 0.7]})
    assert address == (
        "https://console.cloud.google.com/vertex-ai/experiments/locations/europe-west1/experiments/esteira-flights"
        f"/runs/{CONTEXT}/metrics?project={vertex.PROJECT}"
    )
    assert service.curves(RUN) == {"roc_auc": [0.9], "search_roc_auc": [0.5, 0.7]}
    assert sorted(service.points[next(n for n, s in service.series.items() if s.display_name != "roc_auc")]) == [0, 2]
    assert service.contexts["esteira-flights"].metadata["backing_tensorboard_resource"] == BOARD
    artifact = service.artifacts[f"{CONTEXT}-tb-run"]
    assert (artifact.schema_title, artifact.metadata["resourceName"]) == ("google.VertexTensorboardRun", RUN)
    assert service.held[CONTEXT] == [artifact.name]


@pytest.mark.slow
def test_googles_own_sdk_reads_the_run(cloud, tmp_path):
    server, _ = cloud
    log(make(server, tmp_path), metrics={"roc_auc": 0.9, "lift": math.inf})
    code = f"""
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
aiplatform.init(project={vertex.PROJECT!r}, location={vertex.REGION!r}, api_endpoint={server.address!r},
                api_transport="rest", credentials=AnonymousCredentials())
run = aiplatform.ExperimentRun("job-1", experiment="esteira-flights")
print(run.get_params(), run.get_metrics(), run.state.name, run._get_latest_time_series_metric_columns())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    params = {"max_iter": "10", "tags.identity": "i"}
    assert done.stdout.split("} ")[0] + "}" in (f"{params}", f"{dict(reversed(params.items()))}"), done.stderr
    assert "'roc_auc': 0.9" in done.stdout
    assert "'lift': 'inf'" in done.stdout
    assert done.stdout.endswith("COMPLETE {'roc_auc': 0.9}\n")


@pytest.mark.parametrize(
    "call",
    [
        "POST .*metadataStores$",
        "POST .*contexts$",
        "POST .*addContextChildren",
        "POST .*artifacts$",
        "POST .*/experiments$",
        "POST .*/runs$",
        "POST .*/timeSeries$",
        "POST .*:write",
        "POST .*addContextArtifacts",
    ],
)
def test_an_answer_that_is_lost_leaves_one_run_and_the_same_address(cloud, tmp_path, call):
    server, service = cloud
    server.faults = [http.Fault(call, done=True)]
    lost = log(make(server, tmp_path))
    assert server.faults[0].times == 0
    assert log(make(server, tmp_path)) == lost
    assert sorted(service.contexts) == ["esteira-flights", CONTEXT]
    assert service.curves(RUN) == {"roc_auc": [0.9]}
    assert [len(found) for found in service.held.values()] == [1]


def test_an_update_whose_answer_is_lost_is_seen_to_have_been_made(cloud, tmp_path):
    server, service = cloud
    log(make(server, tmp_path))
    server.faults = [http.Fault("PATCH .*contexts", done=True)]
    log(make(server, tmp_path), metrics={"roc_auc": 0.8})
    assert server.called("PATCH") == 2
    assert service.contexts[CONTEXT].metadata["_metrics"]["roc_auc"] == 0.8
    assert service.curves(RUN) == {"roc_auc": [0.8]}


def test_what_others_wrote_into_a_context_stays(cloud, tmp_path):
    server, service = cloud
    log(make(server, tmp_path, board=""))
    service.contexts[CONTEXT].metadata["_custom_jobs"] = "theirs"
    service.contexts["esteira-flights"].metadata["note"] = "theirs"
    log(make(server, tmp_path))
    assert service.contexts[CONTEXT].metadata["_custom_jobs"] == "theirs"
    assert service.contexts["esteira-flights"].metadata["note"] == "theirs"
    assert service.contexts["esteira-flights"].metadata["backing_tensorboard_resource"] == BOARD


def test_the_pipeline_that_vertex_ran_stands_under_its_run(cloud, tmp_path):
    server, service = cloud
    log(make(server, tmp_path, board=""), run="other")
    pipeline = aiplatform_v1.Context(name=f"{vertex.PARENT}/metadataStores/default/contexts/job-1")
    pipeline.schema_title = "system.PipelineRun"
    service.contexts["job-1"] = pipeline
    log(make(server, tmp_path, board=""))
    assert list(pipeline.parent_contexts) == [f"{vertex.PARENT}/metadataStores/default/contexts/{CONTEXT}"]


def test_files_go_to_the_blobs_and_are_linked_by_their_address(cloud, tmp_path):
    server, service = cloud
    (tmp_path / "model.json").write_text("{}")
    made = make(server, tmp_path, board="")
    for _ in range(2):
        log(made, files=[tmp_path / "model.json"])
    [artifact] = service.artifacts.values()
    name = f"tracking/{CONTEXT}/model.json"
    assert (artifact.display_name, artifact.uri) == ("model.json", FileBlobs(tmp_path / "blobs").address(name))
    assert Path(artifact.uri).read_bytes() == b"{}"
    assert service.held[CONTEXT] == [artifact.name]


def test_names_that_are_no_ids_and_long_ones_get_a_digest(cloud, tmp_path):
    server, service = cloud
    made = make(server, tmp_path)
    for run in ("A run / über 10 %", "a run - über 10 %", "x" * 200):
        log(made, run=run, metrics={"loss/ß": 0.1})
    runs = [id for id in service.contexts if id != "esteira-flights"]
    assert len(runs) == 3
    assert max(map(len, runs)) <= 121
    assert sum(curves == {"loss/ß": [0.1]} for curves in map(service.curves, service.board_runs)) == 3


def test_the_store_that_is_not_there_is_made_with_the_profiles_key(cloud, tmp_path):
    server, service = cloud
    log(make(server, tmp_path, board="", kms_key=KEY))
    assert service.stores == {"default"}
    assert f'"kmsKeyName": "{KEY}"' in server.everything()


def test_more_points_than_one_write_takes_are_several(cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "POINTS", 4)
    server, service = cloud
    values = [float(n) for n in range(10)]
    log(make(server, tmp_path), metrics={}, curves={"loss": values})
    assert server.called(":write") == 3
    assert service.curves(RUN) == {"loss": values}


def test_a_tensorboard_that_is_not_there_is_named(cloud, tmp_path):
    server, _ = cloud
    made = make(server, tmp_path, board=f"{vertex.PARENT}/tensorboards/8")
    with pytest.raises(SetupError) as caught:
        log(made)
    assert str(caught.value) == (
        f"'tracking.at' must name a TensorBoard that exists. Got '{vertex.PARENT}/tensorboards/8'. "
        "Make one: gcloud ai tensorboards create --display-name=esteira --region=REGION; or leave it empty."
    )


def test_a_context_of_another_kind_under_the_experiments_name_is_refused(cloud, tmp_path):
    server, service = cloud
    service.stores.add("default")
    name = f"{vertex.PARENT}/metadataStores/default/contexts/esteira-flights"
    service.contexts["esteira-flights"] = aiplatform_v1.Context(name=name, schema_title="system.PipelineRun")
    with pytest.raises(ConflictError) as caught:
        log(make(server, tmp_path))
    assert str(caught.value) == (
        f"tracking: '{name}' must be of the schema system.Experiment. Got 'system.PipelineRun'. "
        "Delete that context, or give the case another name."
    )


def test_a_run_that_somebody_keeps_changing_is_given_up_on(cloud, tmp_path):
    server, _ = cloud
    made = make(server, tmp_path, board="")
    log(made)
    server.faults = [http.Fault("PATCH", status=409, times=99)]
    with pytest.raises(RunError) as caught:
        log(made, metrics={"roc_auc": 0.1})
    assert str(caught.value) == (
        "job-1: 'tracking' must find what it has just made. Got 'told to'. "
        "Run the training again, while nobody else changes that run."
    )
    assert server.called("PATCH") == 5


def test_a_project_that_is_closed_is_told_with_the_role(cloud, tmp_path):
    server, service = cloud
    service.forbidden = True
    with pytest.raises(SetupError, match="Give the account roles/aiplatform.user"):
        log(make(server, tmp_path))


def test_a_profile_opens_it(cloud, tmp_path):
    server, service = cloud
    given = {"root": str(tmp_path), "tracking": {"adapter": "google", "at": BOARD}}
    made = Connected(Profile(vertex=at(server), **given)).tracking
    made.prepare()
    made.log("flights", "job-1", parameters={}, metrics={}, tags={}, files=[Path(__file__)])
    assert service.artifacts[f"{CONTEXT}-tb-run"].metadata["resourceName"] == RUN
    [uri] = [one.uri for one in service.artifacts.values() if one.display_name == "test_tracking.py"]
    assert uri == str(tmp_path / "blobs" / "tracking" / CONTEXT / "test_tracking.py")
