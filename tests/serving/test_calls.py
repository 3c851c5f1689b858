"""Requests of one turn of the loop share one call of the model, and none sees its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from components.adapters import live
from components.core.columns import Columns
from components.core.scorer import Predictions, Scorer
from components.serving.asked import Limits, Reply
from components.serving.calls import Calls
from components.serving.exchange import Exchange
from components.serving.identifiers import Identifiers
from components.serving.metrics import Metrics
from components.serving.scoring import MANY, Call
from components.serving.versions import State, Versions, opened
from tests import toy as toys
from tests.serving.conftest import begin_canary
from tests.toy import Toy

OTHER = ((2.0, -2.0), (0.0, 0.0))


@dataclass
class World:
    """Calls over loaded versions; how many rows each call of a model had, and the answers by id."""

    versions: Versions
    rows: list[int] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def ask(self, calls: Calls, identifier: str, body: object, route: str = "predict") -> None:
        def keep(_: Exchange, status: int, reply: Reply, headers: bytes) -> None:
            assert f"x-request-id: {identifier}\r\n".encode() in headers
            self.answers[identifier] = (status, orjson.loads(reply.body))

        headers = {b"x-request-id": identifier.encode()}
        calls.take(Call(Exchange(keep, b"POST", b"/predict", headers, orjson.dumps(body), True), route))

    def turns(self, *turns: Callable[[Calls], None]) -> None:
        """Each in a turn of its own."""

        async def run() -> None:
            calls = Calls(self.versions, Limits(), Metrics(list), None)
            for turn in turns:
                turn(calls)
                while calls.pending:
                    await asyncio.sleep(0.001)
            calls.close()

        asyncio.run(run())


@pytest.fixture
def world(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> World:
    first = toy.promote(toy.model("first"))
    second = begin_canary(toy, toy.model("second", OTHER), 50)
    ports = toy.ports
    loaded = [opened(toys.NAME, v, lambda v=v: live.load(ports.registry, toys.NAME, v)) for v in (first, second)]
    found = World(Versions(State(*loaded, 50)))
    predict = Scorer.predict

    def counted(self: Scorer, columns: Columns) -> Predictions:
        found.rows.append(len(columns["x"]))
        return predict(self, columns)

    monkeypatch.setattr(Scorer, "predict", counted)
    return found


def row(i: int) -> dict[str, Any]:
    return {"x": i / 10 - 3, "z": 0, "kind": "p"}


def test_requests_of_one_turn_are_scored_in_one_call_per_version_as_each_alone(world: World):
    def together(calls: Calls) -> None:
        for i in range(40):
            world.ask(calls, f"r{i}", {"instances": [row(i)]})

    world.turns(together)
    assert len(world.rows) == 2
    assert sum(world.rows) == 40
    at_once, world.answers = world.answers, {}
    world.turns(*[lambda calls, i=i: world.ask(calls, f"r{i}", {"instances": [row(i)]}) for i in range(40)])
    assert world.rows[2:] == [1] * 40
    assert world.answers == at_once


def test_both_protocols_share_a_call(world: World):
    tensors = [{"name": n, "shape": [2], "datatype": "FP64", "data": [1, 2]} for n in ("x", "z")]
    tensors.append({"name": "kind", "shape": [2], "datatype": "BYTES", "data": ["p", "q"]})
    world.versions.replace(State(world.versions.state.champion))

    def together(calls: Calls) -> None:
        world.ask(calls, "a", {"inputs": tensors}, "infer")
        world.ask(calls, "b", {"instances": [[1, 1, "p"], [2, 2, "q"]]})

    world.turns(together)
    assert world.rows == [4]
    assert world.answers["a"][1]["outputs"][0]["data"] == [p["score"] for p in world.answers["b"][1]["predictions"]]


def test_a_value_at_fault_is_its_own_request_s(world: World):
    world.versions.replace(State(world.versions.state.champion))

    def together(calls: Calls) -> None:
        for i, x in enumerate([1, "text", 3e300, 2]):  # the third is infinite as float32
            world.ask(calls, f"r{i}", {"instances": [[x, 0, "p"]]})

    world.turns(together)
    assert [world.answers[f"r{i}"][0] for i in range(4)] == [200, 400, 400, 200]
    assert world.answers["r1"][1]["parameter"] == world.answers["r2"][1]["parameter"] == "x"


def test_a_model_that_fails_is_a_500_that_shows_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fails(self: Scorer, columns: Columns) -> Predictions:
        raise RuntimeError(f"of the model: {columns['x']}") from ValueError("a value")

    monkeypatch.setattr(Scorer, "predict", fails)
    world.turns(lambda calls: world.ask(calls, "a", {"instances": [row(1)]}))
    status, told = world.answers["a"]
    assert status == 500
    assert told["error"] == "'model' must score without an error. Got 'RuntimeError'. See the server's log."
    said = capsys.readouterr().err
    assert "of the model" not in said
    assert "a value" not in said
    trace = orjson.loads(said)["trace"]
    assert [one["type"] for one in trace] == ["RuntimeError", "ValueError"]
    assert trace[0]["frames"][-1].startswith(__file__)
    assert trace[0]["frames"][-1].endswith(" fails")


def test_no_call_of_the_model_on_the_loop_is_large(world: World):
    world.versions.replace(State(world.versions.state.champion))

    def together(calls: Calls) -> None:
        for i in range(MANY + 10):
            world.ask(calls, f"r{i}", {"instances": [row(i), row(i + 1)]})

    world.turns(together)
    assert world.rows == [MANY, MANY, 20]


def test_identifiers_are_uuids_of_version_4_and_all_different():
    import uuid

    identifiers = Identifiers()
    found = [identifiers.next() for _ in range(1000)]
    assert len(set(found)) == 1000
    assert all(uuid.UUID(text).version == 4 and str(uuid.UUID(text)) == text for text in found)
