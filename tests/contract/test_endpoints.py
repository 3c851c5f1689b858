"""What every implementation of Endpoints keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from components.adapters.gcp.endpoints import VertexEndpoints
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.patience import Patience
from components.adapters.ports import Endpoints, ModelVersion, Pointer
from components.core.errors import ArtifactError, CaseError, ConflictError
from components.core.profile import Profile
from tests import processes

Make = Callable[[Path], Endpoints]
_QUICK = Patience(first=0.002, longest=0.02, deadline=60.0)


def files(root: Path) -> Endpoints:
    return PointerEndpoints(FileBlobs(root))


def on_vertex(profile: str, root: Path) -> Endpoints:
    """The pointer in files, so that many processes can have it; the endpoint on the contract server."""
    found = Profile.from_json(profile)
    assert found.vertex is not None
    model = f"{found.vertex.parent}/models/esteira-toy"
    return VertexEndpoints(FileBlobs(root), found, lambda _, v: f"{model}@{v}", patience=_QUICK, ready=_QUICK)


MAKERS = ("files", "vertex")


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:
        if request.param == "files":
            yield files
        else:
            from tests.adapters.gcp.scene import scene  # it takes seconds, which the processes of these tests need not

            yield partial(on_vertex, stack.enter_context(scene(tmp_path)).profile().to_json())


@pytest.fixture
def endpoints(make: Make, tmp_path: Path) -> Endpoints:
    return make(tmp_path / "blobs")


def test_nothing_is_live_at_first(endpoints):
    assert endpoints.pointer("flights") == Pointer("flights")
    assert endpoints.history("flights") == []


def test_a_change_counts_the_generation_up_and_is_dated(endpoints):
    before = time.time()
    first = endpoints.change(Pointer("flights", champion=1, by="job-1", why="the floors"))
    assert first.generation == 1
    assert before <= first.at <= time.time()
    second = endpoints.change(replace(first, champion=2, previous=1, by="job-2"))
    assert second.generation == 2
    assert second.at >= first.at
    assert endpoints.pointer("flights") == second


def test_the_history_holds_every_state_oldest_first(endpoints):
    state, states = endpoints.pointer("flights"), []
    for version in range(1, 13):
        state = endpoints.change(replace(state, champion=version, previous=state.champion))
        states.append(state)
    assert endpoints.history("flights") == states


def test_each_case_has_a_pointer_of_its_own(endpoints):
    endpoints.change(Pointer("flights", champion=1))
    assert endpoints.pointer("flight") == Pointer("flight")
    assert endpoints.history("flight") == []


def test_a_change_of_a_stale_pointer_is_a_conflict_and_changes_nothing(endpoints):
    first = endpoints.change(Pointer("flights", champion=1))
    second = endpoints.change(replace(first, champion=2))
    with pytest.raises(ConflictError) as caught:
        endpoints.change(replace(first, champion=3))
    assert str(caught.value) == (
        "'pointer' must be at generation 1. Got 2. Somebody changed it first: read it again and decide anew."
    )
    assert endpoints.pointer("flights") == second
    assert endpoints.history("flights") == [first, second]


@pytest.mark.parametrize(
    ("change", "name", "rule"),
    [
        ({"split": -1}, "split", "be a whole percentage from 0 to 100"),
        ({"split": 101}, "split", "be a whole percentage from 0 to 100"),
        ({"split": 12.5}, "split", "be a whole percentage from 0 to 100"),
        ({"split": True}, "split", "be a whole percentage from 0 to 100"),
        ({"split": 10}, "split", "be 0 without a challenger"),
        ({"champion": 0}, "champion", "be a version: a whole number from 1"),
        ({"champion": "1"}, "champion", "be a version: a whole number from 1"),
        ({"previous": -3}, "previous", "be a version: a whole number from 1"),
        ({"challenger": 1}, "challenger", "be another version than the champion"),
        ({"champion": None, "challenger": 2}, "champion", "be there before a challenger"),
    ],
)
def test_a_pointer_that_cannot_be_served_is_refused(endpoints, change, name, rule):
    with pytest.raises(CaseError) as caught:
        endpoints.change(replace(Pointer("flights", champion=1), **change))
    assert (caught.value.name, caught.value.rule) == (name, rule)
    assert endpoints.pointer("flights").generation == 0


@pytest.mark.parametrize("split", [0, 1, 100])
def test_a_challenger_takes_any_whole_share(endpoints, split):
    state = endpoints.change(Pointer("flights", champion=1, challenger=2, split=split))
    assert endpoints.pointer("flights") == state


@pytest.mark.parametrize("case", ["../x", "a/b", "a#b", "%2e%2e", "", "A", "a\0"])
def test_a_name_that_could_leave_the_store_is_refused(endpoints, case):
    for call in (endpoints.pointer, endpoints.history, lambda c: endpoints.change(Pointer(c, champion=1))):
        with pytest.raises(CaseError) as caught:
            call(case)
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        assert (caught.value.name, caught.value.rule, caught.value.value) == ("case", rule, case)


def prepared(endpoints: Endpoints, state: Pointer) -> Pointer:
    """That state, after its versions were made ready."""
    for version in {state.champion, state.challenger} - {None}:
        endpoints.prepare(ModelVersion(state.case, version, f"{version:064x}"))
    return endpoints.change(state)


def test_a_state_is_answered_as_it_says_once_it_is_projected(endpoints):
    assert endpoints.traffic("flights") == {}
    state = prepared(endpoints, Pointer("flights", champion=1))
    endpoints.project(state)
    assert endpoints.traffic("flights") == {1: 100}
    state = prepared(endpoints, replace(state, challenger=2, split=20))
    endpoints.project(state)
    assert endpoints.traffic("flights") == {1: 80, 2: 20}
    state = prepared(endpoints, replace(state, champion=2, previous=1, challenger=None, split=0))
    endpoints.project(state)
    endpoints.project(state)
    assert endpoints.traffic("flights") == {2: 100}


def test_a_state_that_was_not_prepared_is_made_ready_by_its_projection(endpoints):
    endpoints.project(endpoints.change(Pointer("flights", champion=3)))
    assert endpoints.traffic("flights") == {3: 100}


def test_a_state_that_was_overtaken_moves_nothing(endpoints):
    old = prepared(endpoints, Pointer("flights", champion=1))
    new = prepared(endpoints, replace(old, champion=2))
    endpoints.project(new)
    endpoints.project(old)
    assert endpoints.traffic("flights") == {2: 100}


def test_a_version_is_made_ready_however_often_and_moves_nothing(endpoints):
    state = prepared(endpoints, Pointer("flights", champion=1))
    endpoints.project(state)
    for _ in range(2):
        endpoints.prepare(ModelVersion("flights", 2, "2" * 64))
    assert {v: share for v, share in endpoints.traffic("flights").items() if share} == {1: 100}
    assert endpoints.pointer("flights") == state


def raise_to(make: Make, root: Path, state: Pointer, version: int) -> Pointer:
    return make(root).change(replace(state, champion=version, by=f"job-{version}"))


def test_of_8_changes_of_one_state_at_once_one_wins_and_the_others_get_a_conflict(make, tmp_path):
    state = make(tmp_path).change(Pointer("flights", champion=1))
    results = processes.at_once([(raise_to, (make, tmp_path, state, 10 + i)) for i in range(8)])
    winners = [result for result in results if isinstance(result, Pointer)]
    assert len(winners) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 7
    assert make(tmp_path).pointer("flights") == winners[0]
    assert make(tmp_path).history("flights") == [state, winners[0]]


def test_a_change_killed_at_any_point_is_whole_or_not_there_and_no_state_is_lost(make, tmp_path):
    committed = set()
    for n in range(1, 100):
        root = tmp_path / str(n)
        first = make(root).change(Pointer("flights", champion=1))
        killed = processes.dies_at(n, raise_to, make, root, first, 2)
        endpoints = make(root)
        now = endpoints.pointer("flights")
        committed.add(now.champion)
        assert endpoints.history("flights") == [first, now][: now.generation]
        last = endpoints.change(replace(now, champion=3))
        assert endpoints.history("flights") == [first, now, last][-last.generation :]
        if not killed:
            break
    assert committed == {1, 2}


def test_a_pointer_that_is_none_is_refused(tmp_path):
    blobs = FileBlobs(tmp_path)
    blobs.write("pointers/flights.json", b'{"case": "flights", "master": 1}')
    with pytest.raises(ArtifactError, match=r"^pointers/flights\.json: 'pointer' must be a pointer's record"):
        PointerEndpoints(blobs).pointer("flights")
