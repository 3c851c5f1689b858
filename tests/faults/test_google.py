"""The same schedules over Google's adapters, and faults on the wire between them and the servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.adapters.gcp.scene import Fake
from tests.faults.cloud import SERVERS, emulators
from tests.faults.conftest import Driver
from tests.faults.wires import TIMES, wire
from tests.servers.vertex.server import Vertex, vertex

ABSENT = [name for name in SERVERS if not os.environ.get(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.xdist_group("google-faults"),
    pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} name no servers (make servers)"),
]


def problems(outcomes: list[dict[str, Any]]) -> str:
    return "\n".join(outcome["problem"] for outcome in outcomes if outcome["problem"])


@pytest.mark.parametrize(
    ("scene", "seeds"),
    [("commands", [3, 9]), ("gate", [9]), ("canary", [9]), ("stream", [4, 9]), ("mirror", [9])],
)
def test_a_run_after_any_faults_comes_to_the_same_end(driver: Driver, scene: str, seeds: list[int]) -> None:
    outcomes = driver.play(cloud={"emulators": emulators()}, scenes=[scene], seeds=seeds)
    assert problems(outcomes) == ""
    # The seed 9 kills after one of the first calls, which no run leaves out.
    assert outcomes[seeds.index(9)]["ended_early"]


@contextmanager
def on_vertex() -> Iterator[tuple[dict[str, Any], Vertex]]:
    """Registry and endpoints are Vertex's, whose containers are always ready."""
    with vertex() as (server, service):
        service.starts = lambda *_: Fake()
        yield {"emulators": emulators(), "vertex": server.address}, service


@pytest.mark.parametrize(
    ("scene", "seed", "requests"),
    [
        ("commands", 0, {"storage": 100, "vertex": 70}),
        ("gate", 1, {"storage": 90, "bigquery": 40, "bigquery_storage": 8}),
        ("stream", 2, {"bigquery": 50, "bigquery_storage": 20}),
    ],
)
def test_wires_that_fail_now_and_then_change_nothing_in_the_end(
    driver: Driver, scene: str, seed: int, requests: dict[str, int]
) -> None:
    """Each server of `requests` behind a wire that fails within so many: a run without a fault sends more."""
    print(f"seed {seed}")
    with ExitStack() as stack:
        cloud: dict[str, Any] = {"emulators": emulators()}
        if "vertex" in requests:
            with on_vertex() as (other, _):
                driver.play(cloud=other, scenes=[scene])  # the end without a fault
            cloud, _ = stack.enter_context(on_vertex())
        servers = cloud["emulators"] | {"vertex": cloud.get("vertex", "")}
        wires = {name: stack.enter_context(wire(servers[name], seed, among)) for name, among in requests.items()}
        cloud["wire"] = {name: one.address for name, one in wires.items()}
        outcomes = driver.play(cloud=cloud, scenes=[scene])
        assert problems(outcomes) == ""
        assert {name: len(one.places.struck) for name, one in wires.items()} == dict.fromkeys(requests, TIMES)


@pytest.mark.parametrize(("scene", "seed"), [("commands", 9), ("gate", 4)])
def test_over_vertex_the_traffic_is_the_pointers_in_the_end(driver: Driver, scene: str, seed: int) -> None:
    with on_vertex() as (cloud, _):
        driver.play(cloud=cloud, scenes=[scene])  # the end without a fault
    with on_vertex() as (cloud, service):
        [outcome] = driver.play(cloud=cloud, scenes=[scene], seeds=[seed])
        assert outcome["problem"] == ""
        assert outcome["ended_early"]
        (endpoint,) = service.endpoints.values()
        assert list(dict(endpoint.traffic_split).values()) == [100]
        assert [one.id for one in endpoint.deployed_models] == list(endpoint.traffic_split)
