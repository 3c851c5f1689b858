"""The main job with Google's adapters behind every port: emulators, Vertex's contract server, Beam's job service."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from components import ROUTE
from components.adapters.connect import Connected
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client, storage_client
from components.core import artifacts, case_file, shards
from components.core import profile as profiles
from tests.conftest import FLIGHTS, REPOSITORY
from tests.e2e.conftest import Ran, esteira, run
from tests.servers.vertex.server import Vertex, vertex

SERVERS = ("ESTEIRA_PRISM", "ESTEIRA_PUBSUB", "ESTEIRA_GCS", "ESTEIRA_BIGQUERY")
ABSENT = [name for name in SERVERS if not os.environ.get(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.xdist_group("flights"),
    # Google's client looks for the bucket's region in a thread of its own, which outlives the test.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} name no servers (make servers)"),
]


@dataclass(frozen=True)
class Cloud:
    """A user's folder whose profile is Google's, and what stands for Vertex."""

    home: Path
    vertex: Vertex
    address: str

    def run(self, pipeline: str = "batch") -> Ran:
        return run(self.home, "flights", pipeline, "--profile", "google-emulated")

    def ports(self) -> Connected:
        return Connected(profiles.load("google-emulated", self.home / "profiles"))

    def ask(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """A prediction through the endpoint, as a client of Vertex's asks."""
        data = json.dumps(body).encode()
        request = Request(f"{self.address}/v1/{endpoint}:predict", data, {"Content-Type": "application/json"})
        with urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@pytest.fixture(scope="module")
def cloud(flights_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The repository's profile over this session's servers, with a bucket's prefix and a dataset of its own.

    The case's sources lie under the prefix, not here.
    """
    home, mark = tmp_path_factory.mktemp("cloud"), uuid.uuid4().hex[:12]
    rest, _, read = os.environ["ESTEIRA_BIGQUERY"].partition(",")
    with pytest.MonkeyPatch.context() as patch, vertex() as (server, service):
        emulators = {"storage": f"http://{os.environ['ESTEIRA_GCS']}", "bigquery": f"http://{rest}"}
        emulators |= {"bigquery_storage": read, "pubsub": os.environ["ESTEIRA_PUBSUB"]}
        said = yaml.safe_load((REPOSITORY / "profiles" / "google-emulated.yaml").read_text())
        said["emulators"] = emulators
        said["blobs"]["at"] = f"gs://esteira/{mark}"
        said["sources"] = f"gs://esteira/{mark}-sources"
        said["tables"]["at"] = f"esteira.t_{mark}"
        said["vertex"]["endpoint"] = server.address
        said["jobs"]["options"]["job_endpoint"] = os.environ["ESTEIRA_PRISM"]
        (home / "profiles").mkdir()
        (home / "profiles" / "google-emulated.yaml").write_text(yaml.safe_dump(said))
        for name, value in profiles.load("google-emulated", home / "profiles").emulators.variables().items():
            patch.setenv(name, value)
        assert os.environ[BIGQUERY_EMULATOR]
        bigquery_client("esteira").create_dataset(f"t_{mark}")
        for file in (flights_sample / "data").rglob("*.csv"):
            name = f"{mark}-sources/{file.relative_to(flights_sample).as_posix()}"
            storage_client().bucket("esteira").blob(name).upload_from_filename(str(file))
        yield Cloud(home, service, server.address)


@pytest.fixture(scope="module")
def first_there(cloud: Cloud) -> Ran:
    return cloud.run()


def test_every_step_is_done_and_learns_the_same_model_as_here(first: Ran, first_there: Ran) -> None:
    assert first_there.code == 0
    assert first_there.states() == dict.fromkeys(ROUTE, "done")
    here, there = first.record["steps"], first_there.record["steps"]
    assert there["ingest"]["parameters"]["snapshot"] == here["ingest"]["parameters"]["snapshot"]
    assert there["train"]["parameters"]["identity"] == here["train"]["parameters"]["identity"]
    for step in ("ingest", "preprocess", "predict"):
        assert (there[step]["rows_in"], there[step]["rows_out"]) == (here[step]["rows_in"], here[step]["rows_out"])


def test_the_champion_is_the_default_version_and_has_all_of_the_traffic(cloud: Cloud, first_there: Ran) -> None:
    (version,) = cloud.ports().registry.versions("flights")
    assert version.version == 1
    assert version.aliases == ("champion",)
    (endpoint,) = cloud.vertex.endpoints.values()
    (deployed,) = endpoint.deployed_models
    assert dict(endpoint.traffic_split) == {deployed.id: 100}


def test_the_endpoint_gives_the_predictions_that_the_table_holds(cloud: Cloud, first_there: Ran) -> None:
    """What batch scored into BigQuery, and the server that Vertex started from the registry's model in Cloud Storage."""
    ports = cloud.ports()
    table = ports.tables.read("predictions_flights")
    assert table.num_rows == first_there.record["steps"]["predict"]["rows_out"]
    kept = {row["_entity"]: row for row in table.to_pylist()}
    folder = cloud.home / ".esteira" / "artifacts" / first_there.record["job"] / "preprocess" / "score"
    enriched = shards.read_all(folder, artifacts.verify(folder, "enriched")).slice(0, 50)
    names = list(case_file.load(FLIGHTS).case().input_types())
    rows = [
        {n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()}
        for row in enriched.select(names).to_pylist()
    ]
    answer = cloud.ask(ports.endpoints.resource("flights"), {"instances": rows})
    wanted = [kept[entity] for entity in enriched["_entity"].to_pylist()]
    assert [one["decision"] for one in answer["predictions"]] == [row["decision"] for row in wanted]
    assert [one["score"] for one in answer["predictions"]] == pytest.approx([row["score"] for row in wanted], abs=1e-5)


def test_the_training_is_an_experiment_run(cloud: Cloud, first_there: Ran) -> None:
    runs = [c for c in cloud.vertex.contexts.values() if c.schema_title == "system.ExperimentRun"]
    assert len(runs) == 1


def test_the_same_again_makes_no_second_version_and_no_second_deployment(cloud: Cloud, first_there: Ran) -> None:
    again = cloud.run()
    assert again.code == 0
    assert again.states()["train"] == "reused"
    assert [v.version for v in cloud.ports().registry.versions("flights")] == [1]
    (endpoint,) = cloud.vertex.endpoints.values()
    assert [deployed.model_version_id for deployed in endpoint.deployed_models] == ["1"]


def test_a_canary_begins_and_is_aborted_by_hand(cloud: Cloud, first_there: Ran) -> None:
    """With another seed: the pointer moves first, and the endpoint's traffic follows it."""
    folder = cloud.home / "cases" / "flights"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("seed: 7", "seed: 8") + "\ndeploy: canary\n")
    second = cloud.run()
    assert second.record["steps"]["deploy"]["parameters"] | {"resource": ""} == {
        "champion": "1",
        "challenger": "2",
        "resource": "",
    }
    (endpoint,) = cloud.vertex.endpoints.values()
    assert sorted(endpoint.traffic_split.values()) == [25, 75]
    esteira(cloud.home, "models", "abort", "flights", "--why", "by hand", "--profile", "google-emulated")
    assert [deployed.model_version_id for deployed in endpoint.deployed_models] == ["1"]
    assert list(endpoint.traffic_split.values()) == [100]
