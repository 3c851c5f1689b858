"""The same schedules over Google's adapters, and faults on the wire between them and the servers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.adapters.gcp.proxy import Fault, Proxy, google_error
from tests.adapters.gcp.scene import Fake
from tests.faults.cloud import SERVERS, emulators
from tests.faults.conftest import Driver
from tests.servers.vertex.server import Vertex, vertex

ABSENT = [name for name in SERVERS if not os.environ.get(name)]
FAULTS = 3
"""Of one schedule on the wire, at most."""

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


class Seeded(Proxy):
    """Loses, refuses, cuts and answers in the service's place, by a seed, a few times."""

    def __init__(self, upstream: str, seed: int) -> None:
        super().__init__(upstream)
        self._chance, self.left = random.Random(seed), FAULTS

    def chosen(self, request: str) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            if not self.left or self._chance.random() > 0.15:
                return None
            self.left -= 1
            return self._chance.choice(
                [
                    Fault("", "lose"),
                    Fault("", "refuse"),
                    Fault("", "cut"),
                    Fault("", "instead", **google_error(503, "backendError", "told to")),
                    Fault("", "answer", **google_error(503, "backendError", "told to")),
                    Fault("", "answer", **google_error(429, "rateLimitExceeded", "told to")),
                ]
            )


@pytest.mark.parametrize(("scene", "seed"), [("commands", 0), ("gate", 1)])
def test_a_wire_that_fails_now_and_then_changes_nothing_in_the_end(driver: Driver, scene: str, seed: int) -> None:
    print(f"seed {seed}")
    plain = emulators()
    blobs, tables = (plain[name].removeprefix("http://") for name in ("storage", "bigquery"))
    with Seeded(blobs, seed) as storage, Seeded(tables, seed) as bigquery:
        wire = {"storage": f"http://{storage.at}", "bigquery": f"http://{bigquery.at}"}
        outcomes = driver.play(cloud={"emulators": plain, "wire": wire}, scenes=[scene])
        assert problems(outcomes) == ""
        assert storage.left == 0


@contextmanager
def on_vertex() -> Iterator[tuple[dict[str, Any], Vertex]]:
    """Registry and endpoints are Vertex's, whose containers are always ready."""
    with vertex() as (server, service):
        service.starts = lambda *_: Fake()
        yield {"emulators": emulators(), "vertex": server.address}, service


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
