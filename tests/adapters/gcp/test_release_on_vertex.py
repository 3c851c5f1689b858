"""Over a Vertex endpoint a change that loses leaves no deployment behind: an idle one is paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.adapters import release
from components.adapters.gcp.endpoints import VertexEndpoints
from components.adapters.ports import Pointer
from components.core.errors import CaseError, ConflictError
from tests.adapters.conftest import WEIGHTS
from tests.adapters.gcp.scene import CASE, Scene, scene
from tests.servers.http import Fault
from tests.toy import Toy

SAID: dict[str, Any] = {"by": "ana", "why": "seen on Monday"}
LOSING = {
    "promote": lambda ports: release.promote(ports, CASE, 3, **SAID),
    "begin_canary": lambda ports: release.begin_canary(ports, CASE, 3, 20, **SAID),
}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def ports(on: Scene, here: Toy) -> Any:
    """Version 1 is champion."""
    made = SimpleNamespace(registry=here.ports.registry, endpoints=on.endpoints())
    release.promote(made, CASE, 1, **SAID)
    return made


def overtake(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> None:
    """From now on somebody makes version 2 champion right before each commit."""
    change = VertexEndpoints.change

    def late(self: VertexEndpoints, pointer: Pointer) -> Pointer:
        before = self.pointer(CASE)
        change(self, Pointer(CASE, champion=2, previous=1, generation=before.generation))
        then()
        return change(self, pointer)

    monkeypatch.setattr(VertexEndpoints, "change", late)


@pytest.mark.parametrize("call", LOSING)
def test_a_change_that_loses_leaves_nothing_idle_and_the_winner_all_of_the_traffic(
    on: Scene, ports: Any, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtake(monkeypatch)
    with pytest.raises(ConflictError) as caught:
        LOSING[call](ports)
    assert str(caught.value) == (
        "'pointer' must be at generation 1. Got 2. Somebody changed it first: read it again and decide anew."
    )
    assert (on.split(), on.deployed()) == ({2: 100}, {2})


def test_what_is_left_all_the_same_is_told_and_taken_away_by_the_next_command(
    on: Scene, ports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as late:
        overtake(late, lambda: on.server.faults.append(Fault("GET .*/endpoints/", 403, times=10**6)))
        with pytest.raises(ConflictError) as caught:
            LOSING["promote"](ports)
    assert caught.value.remedy.startswith(
        "Somebody changed it first: read it again and decide anew. What was made ready is taken away by the next "
        "command: "
    )
    assert "Give the account roles/aiplatform.user" in caught.value.remedy
    on.server.faults.clear()
    assert on.deployed() == {1, 3}
    release.abort(ports, CASE, **SAID)
    assert (on.split(), on.deployed()) == ({2: 100}, {2})


@pytest.mark.parametrize("call", ["promote", "begin_canary", "rollback"])
def test_a_model_that_the_server_cannot_load_is_refused_before_anything_is_deployed(
    on: Scene, ports: Any, here: Toy, call: str
) -> None:
    described = {"serve_with": "skops", "identity": "d" * 64}
    version = here.register(here.model("skops", WEIGHTS[0], **described))
    begin: dict[str, Callable[[], object]] = {
        "promote": lambda: release.promote(ports, CASE, version, **SAID),
        "begin_canary": lambda: release.begin_canary(ports, CASE, version, 20, **SAID),
        "rollback": lambda: release.rollback(ports, CASE, to=version, **SAID),
    }
    with pytest.raises(CaseError) as caught:
        begin[call]()
    assert str(caught.value) == (
        "'model.serve_with' must be onnx where endpoints.adapter is google: its server has no scikit-learn. Got 'skops'. "
        "Choose an estimator that ONNX can follow, or set endpoints.adapter: local; `esteira run CASE predict` and "
        "`esteira stream CASE` score with it."
    )
    assert on.server.called(":deployModel$") == 1
    assert release.promote(here.ports, CASE, version, **SAID).changed
