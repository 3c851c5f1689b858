"""The main job with Google's adapters behind every port: emulators, Vertex's contract server, Beam's job service."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from components import ROUTE
from components.adapters.connect import Connected
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client
from components.core import profile as profiles
from tests.conftest import REPOSITORY
from tests.e2e.conftest import Ran, run
from tests.servers import http
from tests.servers.vertex.server import Vertex

SERVERS = ("ESTEIRA_PRISM", "ESTEIRA_PUBSUB", "ESTEIRA_GCS", "ESTEIRA_BIGQUERY")
ABSENT = [name for name in SERVERS if not os.environ.get(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.xdist_group("flights"),
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
    """The repository's profile over this session's servers, with a bucket's prefix and a dataset of its own."""
    home, mark = tmp_path_factory.mktemp("cloud"), uuid.uuid4().hex[:12]
    shutil.copytree(flights_sample / "data", home / "data")
    rest, _, read = os.environ["ESTEIRA_BIGQUERY"].partition(",")
    with pytest.MonkeyPatch.context() as patch, http.serving(Vertex()) as server:
        emulators = {"storage": f"http://{os.environ['ESTEIRA_GCS']}", "bigquery": f"http://{rest}"}
        emulators |= {"bigquery_storage": read, "pubsub": os.environ["ESTEIRA_PUBSUB"]}
        said = yaml.safe_load((REPOSITORY / "profiles" / "google-emulated.yaml").read_text())
        said["emulators"] = emulators
        said["blobs"]["at"] = f"gs://esteira/{mark}"
        said["tables"]["at"] = f"esteira.t_{mark}"
        said["vertex"]["endpoint"] = server.address
        said["jobs"]["options"]["job_endpoint"] = os.environ["ESTEIRA_PRISM"]
        (home / "profiles").mkdir()
        (home / "profiles" / "google-emulated.yaml").write_text(yaml.safe_dump(said))
        for name, value in profiles.load("google-emulated", home / "profiles").emulators.variables().items():
            patch.setenv(name, value)
        assert os.environ[BIGQUERY_EMULATOR]
        bigquery_client("esteira").create_dataset(f"t_{mark}")
        assert isinstance(server.service, Vertex)
        yield Cloud(home, server.service, server.address)
        server.service.close()


@pytest.fixture(scope="module")
def first_there(cloud: Cloud) -> Ran:
    return cloud.run()


def test_every_step_is_done_and_learns_the_same_model_as_here(first: Ran, first_there: Ran) -> None:
    assert first_there.code == 0
    assert first_there.states() == dict.fromkeys(ROUTE, "done")
    here, there = first.record["steps"], first_there.record["steps"]
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


def test_the_endpoint_answers_with_the_predictions_that_the_table_holds(cloud: Cloud, first_there: Ran) -> None:
    ports = cloud.ports()
    row = dict.fromkeys(json.loads(_case(ports, first_there))["columns"])
    answer = cloud.ask(ports.endpoints.resource("flights"), {"instances": [row]})
    assert answer
    assert ports.tables.read("predictions_flights").num_rows == first_there.record["steps"]["predict"]["rows_out"]


def _case(ports: Connected, ran: Ran) -> str:
    return ports.blobs.read(f"bundles/{ran.record['bundle']}/case.json")[0].decode()
