"""A canary behind a Vertex endpoint: real servers, their log in Cloud Storage, traffic that follows the pointer."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from components.adapters import release
from components.adapters.gcp.blobs import CloudBlobs
from components.canary import task
from components.core import container, inference
from components.core.errors import RunError
from components.deploy import task as deploy
from components.step import Launch
from tests.adapters.gcp.conftest import GCS
from tests.canary.conftest import ALIKE
from tests.servers.http import Server
from tests.servers.vertex.server import PROJECT, REGION, Vertex, vertex
from tests.toy import NAME, PLAIN, Toy, toy

pytestmark = [pytest.mark.servers, pytest.mark.slow]
IMAGE = f"europe-west1-docker.pkg.dev/p/e/server@sha256:{'0' * 64}"
_PATIENCE = 60.0


@dataclass
class Cloud:
    toy: Toy
    server: Server
    service: Vertex
    blobs: CloudBlobs

    def versions(self) -> tuple[int, int]:
        """Two that decide alike."""
        models = (self.toy.model("first", PLAIN), self.toy.model("second", ALIKE))
        first, second = (self.toy.register(model) for model in models)
        return first, second

    def ask(self, requests: int) -> Counter[int | None]:
        """How many of the requests each version answered."""
        path = f"/v1/{self.toy.ports.endpoints.resource(NAME)}:predict"
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=_PATIENCE)
        found: Counter[int | None] = Counter()
        for i in range(requests):
            rows = [{"x": (i - 50) / 20, "z": 0.0, "kind": "p"}]
            body = {"instances": rows, "parameters": {"id": f"request {i}"}}
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = json.loads(answer.read())
            assert answer.status == 200, data
            assert container.deployed(data["deployedModelId"]) == int(data["modelVersionId"])
            found[int(data["modelVersionId"])] += 1
        connection.close()
        return found

    def until_said(self, **facts: object) -> None:
        """Waits until one of the servers has said this."""
        deadline = time.monotonic() + _PATIENCE
        while not any(facts.items() <= said.items() for one in self.service.containers.values() for said in one.said):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def logged(self, requests: int) -> list[dict[str, Any]]:
        """The lines of so many requests, once they are all there."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            names = self.blobs.names(inference.log_prefix(NAME))
            lines = [json.loads(line) for name in names for line in self.blobs.read(name)[0].splitlines()]
            found = [line for line in lines if "id" in line]
            if len(found) >= requests:
                return found
            assert time.monotonic() < deadline, lines
            time.sleep(0.2)


@pytest.fixture
def cloud(tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    if not GCS:
        pytest.skip("ESTEIRA_GCS names no Cloud Storage emulator (host:port)")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{GCS}")
    monkeypatch.setattr(task, "INTERVAL", 0.05)
    at = f"gs://esteira/{uuid.uuid4().hex}"
    with vertex() as (server, service):

        def launch(folder: Path, sources: Path) -> Launch:
            place = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/runs"}
            return make_launch(
                folder,
                sources,
                blobs={"adapter": "google", "at": at},
                registry={"adapter": "google"},
                endpoints={"adapter": "google", "image": IMAGE},
                vertex={**place, "endpoint": server.address},
            )

        asked = {"percent": 20, "requests": 15, "deadline": "60s", "error_rate": 0.3, "agreement": 0.5, "latency": None}
        yield Cloud(toy(tmp_path, launch, canary=asked), server, service, CloudBlobs(at))
        running = [one.process for one in service.containers.values()]
    assert all(process.poll() is not None for process in running)


def test_a_canary_is_promoted_by_what_its_servers_logged_and_rolled_back_again(cloud: Cloud) -> None:
    first, second = cloud.versions()
    ports = cloud.toy.ports
    assert release.promote(ports, NAME, first, by="test", why="the first").behind == ""
    assert cloud.ask(10) == {first: 10}
    evaluation = cloud.toy.evaluation("evaluation", cloud.toy.root / "second", champion=first)
    begun = deploy.run(cloud.toy.launch, version=str(second), evaluation=str(evaluation), mode="canary")
    id = ports.endpoints.resource(NAME).rpartition("/")[2]
    share = "Version 2 is challenger with 20 % of the traffic, beside version 1"
    assert begun.summary == f"{share}, at the endpoint {id}"
    assert ports.endpoints.traffic(NAME) == {first: 80, second: 20}
    cloud.until_said(message="serving", version=second, role="challenger")
    answered = cloud.ask(120)
    assert 10 < answered[second] < 40

    lines = cloud.logged(130)
    assert Counter(line["version"] for line in lines) == answered + Counter({first: 10})
    assert {line["role"] for line in lines if line["version"] == second} == {"challenger"}
    result = task.run(cloud.toy.again("job-2").launch, version=str(second), canary=str(cloud.toy.root / "canary"))
    assert result.parameters == {"champion": str(second), "state": "promote"}
    assert cloud.ask(5) == {second: 5}

    back = release.rollback(ports, NAME, by="test", why="just so")
    assert (back.after.champion, back.behind) == (first, "")
    assert cloud.ask(5) == {first: 5}
    assert len(cloud.service.containers) == 1


def test_a_version_that_does_not_start_leaves_the_old_one_all_of_the_traffic(cloud: Cloud) -> None:
    first, second = cloud.versions()
    ports = cloud.toy.ports
    release.promote(ports, NAME, first, by="test", why="the first")
    for variable in cloud.service.version(ports.registry.resource(NAME, second)).container_spec.env:
        if variable.name == "ESTEIRA_BUNDLE":
            variable.value = "0" * 64
    with pytest.raises(RunError) as caught:
        release.promote(ports, NAME, second, by="test", why="the next")
    told = str(caught.value.value)
    assert told.startswith("Model server exited unexpectedly.")
    assert "0" * 64 in told
    assert ports.endpoints.pointer(NAME).champion == first
    assert ports.endpoints.traffic(NAME) == {first: 100}
    assert cloud.ask(5) == {first: 5}
