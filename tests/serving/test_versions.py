"""What is served follows the pointer: under load, with a challenger, and past versions that do not load."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace

import pytest

from components.core.traffic import challenged
from tests import toy as toys
from tests.serving.conftest import Load, Serve, Server, begin_canary
from tests.toy import Toy

pytestmark = pytest.mark.slow

ROW = {"x": 1, "z": 0, "kind": "p"}
OTHER = ((2.0, -2.0), (0.0, 0.0))
"""Decides the opposite."""


def answers(server: Server, version: int) -> int:
    return int(
        sum(
            v
            for k, v in server.metrics().items()
            if k.startswith("esteira_requests_total") and f'version="{version}"' in k
        )
    )


def test_versions_swap_under_load_without_a_failed_request(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    load = Load.on(server, 6)
    for version, weights in ((2, OTHER), (3, ((-1.0, 1.0), (0.0, 0.0)))):
        server.until(lambda before=version - 1: answers(server, before) > 50)
        assert toy.promote(toy.model(f"model-{version}", weights)) == version
        server.until(lambda now=version: server.serves(now))
    server.until(lambda: answers(server, 3) > 50)
    found, failures = load.end()
    assert failures == []
    assert found.keys() == {"200 1", "200 2", "200 3"}
    assert server.metrics()["esteira_swaps_total"] == 3
    assert server.stop() == 0
    assert all(len(server.logged(version=v, status=200)) >= found[f"200 {v}"] for v in (1, 2, 3))


def test_sigterm_under_load_answers_everything_that_was_accepted(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    load = Load.on(server, 6)
    server.until(lambda: answers(server, 1) > 100)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    found, failures = load.end()
    assert failures == []
    assert found.keys() == {"200 1"}
    assert len(server.logged(status=200, version=1)) >= sum(found.values())
    assert server.log()[-1] == {"dropped": 0}


def test_readiness_is_false_before_the_server_stops_listening(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy, ESTEIRA_DRAIN="60")
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.ask("/health").status == 503)
    assert server.ask("/v2/health/ready").json() == {"ready": False, "why": "shutting down"}
    assert server.ask("/v2/health/live").status == 200
    answer = server.predict(ROW)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_challenger_gets_the_requests_that_its_hash_says(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    assert begin_canary(toy, toy.model("second", OTHER), 30) == 2
    server = serve(toy)
    server.until(lambda: "challenger" in str(server.said))
    for i in range(60):
        answer = server.predict(ROW, x_request_id=f"r{i}")
        version, decision = ("2", "0") if challenged(f"r{i}", 2, 30) else ("1", "1")
        assert (answer.headers["x-model-version"], answer.json()["predictions"][0]["decision"]) == (version, decision)
    assert server.metrics()["esteira_split_percent"] == 30
    assert server.stop() == 0
    for line in server.logged():
        assert line["role"] == ("challenger" if challenged(line["id"], 2, 30) else "champion") or line["status"] != 200
    assert len(server.logged(version=2, role="challenger")) == sum(challenged(f"r{i}", 2, 30) for i in range(60))


def test_the_promoted_challenger_is_champion_without_a_second_load(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    begin_canary(toy, toy.model("second", OTHER), 50)
    server = serve(toy)
    server.until(lambda: "challenger" in str(server.said))
    shutil.rmtree(toy.ports.registry.fetch(toys.NAME, 2))  # it could not be loaded again
    pointer = toy.ports.endpoints.pointer(toys.NAME)
    toy.ports.endpoints.change(replace(pointer, champion=2, previous=1, challenger=None, split=0))
    server.until(lambda: server.metrics().get('esteira_model{role="champion",version="2"}') == 1)
    assert server.metrics()["esteira_swap_failures_total"] == 0


def test_a_challenger_that_does_not_load_leaves_all_traffic_to_the_champion(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    begin_canary(toy, toy.model("second", OTHER), 50)
    altered = toy.ports.registry.fetch(toys.NAME, 2) / "model.onnx"
    server.until(lambda: server.metrics()["esteira_split_percent"] == 50)  # it is loaded before it is altered
    altered.write_bytes(b"altered")
    server.stop()
    again = serve(toy)
    again.until(lambda: again.metrics()["esteira_swap_failures_total"] > 0)
    assert {again.predict(ROW).headers["x-model-version"] for _ in range(40)} == {"1"}
    assert again.metrics()["esteira_split_percent"] == 0
    (told,) = [said for said in again.said if said["severity"] == "ERROR"]
    assert told["message"] == "version does not load"
    assert "'model.onnx' must have the sha256 of its manifest" in told["error"]


def test_a_champion_that_does_not_load_leaves_the_one_before_it(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    pointer = toy.ports.endpoints.pointer(toys.NAME)
    toy.ports.endpoints.change(replace(pointer, champion=7))
    server.until(lambda: server.metrics()["esteira_swap_failures_total"] == 1)
    assert server.serves(1)
    assert toy.promote(toy.model("second", OTHER)) == 2
    server.until(lambda: server.serves(2))


def test_without_a_champion_the_server_lives_and_becomes_ready_with_the_first(toy: Toy, serve: Serve):
    server = serve(toy, ready=False)
    assert server.ask("/v2/health/live").status == 200
    assert server.ask("/v2/health/ready").json() == {"ready": False, "why": "no champion is loaded"}
    answer = server.predict(ROW)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.error == "'champion' must be there to answer. Got None. Promote a version: see `esteira models`."
    assert server.ask("/openapi.json").status == 200
    toy.promote(toy.model("first"))
    server.until_ready()
    assert server.serves(1)


def test_an_altered_pointer_leaves_what_is_served(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    (server.root / "blobs" / "pointers" / "toy.json").write_text("{")
    server.until(lambda: server.metrics()["esteira_swap_failures_total"] > 0)
    assert server.serves(1)


def test_a_version_that_is_asked_for_answers_whatever_the_split(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    begin_canary(toy, toy.model("second", OTHER), 1)
    server = serve(toy)
    server.until(lambda: "challenger" in str(server.said))
    tensors = [{"name": n, "shape": [1], "datatype": "FP64", "data": [1]} for n in ("x", "z")]
    tensors.append({"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["p"]})
    for version in ("1", "2"):
        answer = server.ask(f"/v2/models/toy/versions/{version}/infer", {"inputs": tensors})
        assert (answer.status, answer.json()["model_version"]) == (200, version)
    server.until(lambda: [line["role"] for line in server.logged()] == ["named", "named"])
    assert server.ask("/v2/models/toy/versions/3/infer", {"inputs": tensors}).status == 404
    assert server.ask("/v2/models/toy").json()["versions"] == ["1", "2"]
