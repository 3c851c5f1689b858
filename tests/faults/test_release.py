"""Whatever ends or crosses a change of what is live: one state, a history without a gap, aliases that follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.adapters import live, release
from components.adapters.connect import Connected
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer
from components.adapters.release import Change
from components.core.errors import ConflictError
from components.step import Launch
from tests import processes
from tests.faults import killed_release
from tests.toy import NAME, Toy, toy

WEIGHTS = [((-2.0, 2.0), (shift, -shift)) for shift in (0.0, 0.5, 1.0, 1.5)]
BEFORE = {"champion": 2, "previous": 1}
CANARY = {"challenger": 3, "split": 20}


@pytest.fixture
def here(tmp_path: Path, make_launch: Callable[..., Launch]) -> Iterator[Toy]:
    """Versions 1 to 4, of which 2 is champion after 1, by states 1 and 2."""
    found = toy(tmp_path, make_launch)
    with mock.patch.object(MlflowRegistry, "_project"):
        for number, weights in enumerate(WEIGHTS, 1):
            found.register(found.model(f"m{number}", weights))
        for version in (1, 2):
            release.promote(found.ports, NAME, version, by="ana", why="")
        yield found


def whole(ports: Connected) -> Pointer:
    """What is live: whole versions and all of the traffic, at the end of a history without a gap."""
    now, history = ports.endpoints.pointer(NAME), ports.endpoints.history(NAME)
    assert [state.generation for state in history] == list(range(1, now.generation + 1))
    assert history[-1] == now
    for version in {now.champion, now.previous, now.challenger} - {None}:
        live.verify(ports.registry, NAME, version)  # type: ignore[arg-type]  # None is taken out
    shares = {now.champion: 100 - now.split} | ({now.challenger: now.split} if now.challenger else {})
    assert sum(shares.values()) == 100
    assert all(version is not None and share > 0 for version, share in shares.items())
    return now


def roles(pointer: Pointer) -> dict[str, int]:
    found = {name: getattr(pointer, name) for name in ("champion", "challenger", "previous")}
    return {name: version for name, version in found.items() if version is not None}


def aliases(ports: Connected) -> dict[str, int]:
    return {alias: v.version for v in ports.registry.versions(NAME) for alias in v.aliases}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "under_way", "wanted"),
    [
        ("promote", CANARY, (3, 2, None, 0)),
        ("begin_canary", {}, (2, 1, 3, 20)),
        ("abort", CANARY, (2, 1, None, 0)),
        ("rollback", CANARY, (1, 2, None, 0)),
    ],
)
def test_a_change_killed_at_any_side_effect_is_whole_or_not_there_and_the_next_command_ends_it(
    here: Toy, tmp_path: Path, name: str, under_way: dict[str, int], wanted: tuple[int | None, ...]
) -> None:
    if under_way:
        release.begin_canary(here.ports, NAME, 3, 20, by="ana", why="")
    before = here.ports.endpoints.pointer(NAME)
    root, outcomes, died = Path(here.ports.profile.root), set(), 0
    while True:
        place = tmp_path / "killed" / str(died)
        shutil.copytree(root, place)
        profile = here.ports.profile.model_copy(update={"root": str(place)})
        if not processes.dies_at(died + 1, killed_release.change, profile.to_json(), name):
            break
        died += 1
        ports = Connected(profile)
        now = whole(ports)
        moved = now.generation == before.generation + 1
        outcomes.add(moved)
        assert now == before or (now.champion, now.previous, now.challenger, now.split) == wanted
        for following in killed_release.CHANGES:
            ended = tmp_path / "ended"
            shutil.copytree(place, ended)
            ports = Connected(profile.model_copy(update={"root": str(ended)}))
            killed_release.CHANGES[following](ports, None)
            assert aliases(ports) == roles(whole(ports))
            shutil.rmtree(ended)
    assert outcomes == {False, True}
    assert died > 15


@pytest.mark.slow
def test_of_changes_of_one_state_at_once_one_wins_and_the_others_get_a_conflict(here: Toy) -> None:
    seen = release.begin_canary(here.ports, NAME, 3, 10, by="ana", why="").after
    profile = here.ports.profile.to_json()
    calls = [(killed_release.change, (profile, name, seen)) for name in killed_release.CHANGES for _ in range(2)]
    results = processes.at_once(calls)
    winners = [result for result in results if isinstance(result, Change)]
    assert [winner.changed for winner in winners] == [True]
    assert sum(isinstance(result, ConflictError) for result in results) == len(calls) - 1
    assert whole(here.ports) == winners[0].after
    assert aliases(here.ports) == roles(winners[0].after)


@pytest.mark.slow
@pytest.mark.parametrize("again", range(3))
def test_deploys_canaries_and_rollbacks_at_once_leave_one_state_that_each_agreed_to(here: Toy, again: int) -> None:
    evaluations = {v: str(here.evaluation(f"e{v}", here.root / f"m{v}", champion=2)) for v in (3, 4)}
    profile = here.ports.profile.to_json()
    calls: list[Any] = [
        *((killed_release.change, (profile, "rollback")) for _ in range(2)),
        *(
            (killed_release.deployed, (replace(here.launch, job=f"{mode}-{v}"), str(v), evaluations[v], mode))
            for v in (3, 4)
            for mode in ("champion", "canary")
        ),
    ]
    results = processes.at_once(calls)
    now = whole(here.ports)
    assert aliases(here.ports) == roles(now)
    done = [r for r in results if (isinstance(r, Change) and r.changed) or (isinstance(r, str) and "already" not in r)]
    assert len(done) == now.generation - 2
    others = [result for result in results if result not in done]
    assert all(isinstance(r, ConflictError) or r == 6 or (isinstance(r, str) and "already" in r) for r in others)
    assert done
