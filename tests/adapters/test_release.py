"""What is live changes by one commit, of a verified target; what is refused moves nothing."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.adapters import release
from components.adapters.local import blobs, versions
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer, Ports
from components.adapters.release import Change
from components.core.artifacts import atomic_write
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, SetupError
from tests.toy import NAME, Toy

SAID: dict[str, Any] = {"by": "ana", "why": "seen on Monday"}
Live = tuple[int | None, int | None, int | None, int]
Call = Callable[[Ports], Change]

CALLS: dict[str, Callable[..., Change]] = {
    "promote": lambda ports, **more: release.promote(ports, NAME, 3, **SAID, **more),
    "begin_canary": lambda ports, **more: release.begin_canary(ports, NAME, 3, 20, **SAID, **more),
    "rollback": lambda ports, **more: release.rollback(ports, NAME, **SAID, **more),
    "rollback to": lambda ports, **more: release.rollback(ports, NAME, to=3, **SAID, **more),
    "abort": lambda ports, **more: release.abort(ports, NAME, **SAID, **more),
}
STAYS = "stays champion; version"
TARGETS = {"promote": 3, "begin_canary": 3, "rollback": 1, "rollback to": 3}


def live(pointer: Pointer) -> Live:
    """(champion, previous, challenger, split)."""
    return pointer.champion, pointer.previous, pointer.challenger, pointer.split


def become(here: Toy, *state: int | None) -> Pointer:
    """That state, committed; None of its aliases follow."""
    names = dict(zip(("champion", "previous", "challenger", "split"), state, strict=False))
    before = here.ports.endpoints.pointer(NAME)
    return here.ports.endpoints.change(replace(before, **names))  # type: ignore[arg-type]


def aliases(here: Toy) -> dict[str, int]:
    return {alias: v.version for v in here.ports.registry.versions(NAME) for alias in v.aliases}


def refused(here: Toy, call: Call, kind: type[EsteiraError]) -> str:
    """The message of a call that must move nothing."""
    before = here.ports.endpoints.history(NAME)
    with pytest.raises(kind) as caught:
        call(here.ports)
    assert here.ports.endpoints.history(NAME) == before
    return str(caught.value)


def test_the_first_version_is_champion_of_all_traffic(here: Toy) -> None:
    change = release.promote(here.ports, NAME, 2, **SAID)
    assert change.changed
    assert change.done == "Version 2 is champion"
    assert replace(change.after, at=0.0) == Pointer(NAME, champion=2, generation=1, by="ana", why="seen on Monday")
    assert (change.before, change.after) == (Pointer(NAME), here.ports.endpoints.pointer(NAME))
    assert aliases(here) == {"champion": 2}


@pytest.mark.parametrize(
    ("before", "call", "after", "done"),
    [
        ((1,), "promote", (3, 1, None, 0), "Version 3 is champion after version 1"),
        ((1, 2, 3, 20), "promote", (3, 1, None, 0), "Version 3 is champion after version 1"),
        ((1, None, 2, 20), "promote", (3, 1, None, 0), "Version 3 is champion after version 1"),
        (
            (1, 2),
            "begin_canary",
            (1, 2, 3, 20),
            "Version 3 is challenger with 20 % of the traffic, beside version 1",
        ),
        ((1, 2, 3, 5), "begin_canary", (1, 2, 3, 20), "Version 3 is challenger with 20 % of the traffic, 5 % before"),
        ((3, 1, 2, 20), "promote", (3, 1, None, 0), f"Version 3 {STAYS} 2 is challenger no more"),
        ((3, 1, 2, 20), "rollback to", (3, 1, None, 0), f"Version 3 {STAYS} 2 is challenger no more"),
        ((2, 1), "rollback", (1, 2, None, 0), "Version 1 is champion after version 2"),
        ((2, 1, 3, 20), "rollback", (1, 2, None, 0), "Version 1 is champion after version 2"),
        ((2, 1, 3, 20), "rollback to", (3, 2, None, 0), "Version 3 is champion after version 2"),
        (
            (2, 1, 3, 20),
            "abort",
            (2, 1, None, 0),
            "Version 3 is challenger no more; version 2 has all of the traffic",
        ),
    ],
)
def test_a_change_moves_the_pointer_once_and_the_aliases_with_it(
    here: Toy, before: tuple[int | None, ...], call: str, after: Live, done: str
) -> None:
    was = become(here, *before)
    change = CALLS[call](here.ports)
    assert (change.before, change.changed, change.done, change.behind) == (was, True, done, "")
    assert here.ports.endpoints.history(NAME) == [was, change.after]
    assert live(change.after) == after
    assert (change.after.by, change.after.why) == ("ana", "seen on Monday")
    names = {"champion": after[0], "previous": after[1], "challenger": after[2]}
    assert aliases(here) == {name: version for name, version in names.items() if version}


@pytest.mark.parametrize(
    ("before", "call", "done"),
    [
        ((3, 1), "promote", "Version 3 is champion already"),
        ((3, 1), "rollback to", "Version 3 is champion already"),
        ((3, 1), "begin_canary", "Version 3 is champion already"),
        ((1, 2, 3, 20), "begin_canary", "Version 3 is challenger with 20 % of the traffic already"),
        ((1, 2), "abort", "There is no challenger to abort"),
    ],
)
def test_what_is_so_already_changes_nothing_and_brings_the_aliases_along(
    here: Toy, before: tuple[int | None, ...], call: str, done: str
) -> None:
    was = become(here, *before)
    assert aliases(here) == {}
    assert CALLS[call](here.ports) == Change(was, was, False, done)
    assert here.ports.endpoints.history(NAME) == [was]
    assert aliases(here)["champion"] == was.champion


def test_a_rollback_twice_is_where_it_began(here: Toy) -> None:
    become(here, 2, 1)
    for champion in (1, 2):
        assert CALLS["rollback"](here.ports).after.champion == champion


@pytest.mark.parametrize("call", CALLS)
def test_a_dry_run_tells_the_same_and_moves_nothing(here: Toy, call: str) -> None:
    was = become(here, 2, 1, 3 if call in ("abort", "promote") else None, 20 if call in ("abort", "promote") else 0)
    dry = CALLS[call](here.ports, dry_run=True)
    assert here.ports.endpoints.history(NAME) == [was]
    assert aliases(here) == {}
    assert not dry.changed
    wet = CALLS[call](here.ports)
    assert (dry.before, dry.done, live(dry.after)) == (wet.before, wet.done, live(wet.after))


def harm(here: Toy, version: int, how: str) -> None:
    folder = here.ports.registry.fetch(NAME, version)
    record = here.ports.profile.path("registry") / "versions" / NAME / f"{version}.json"
    if how == "gone":
        shutil.rmtree(folder)
    elif how == "altered":
        (folder / "model.onnx").write_bytes(b"other")
    elif how == "code altered":
        (folder / "bundle" / "features.py").write_text("import os")
    elif how == "no bundle named":
        raw = json.loads(record.read_text())
        record.write_text(json.dumps(raw | {"tags": {}}))
    elif how == "another bundle named":
        raw = json.loads(record.read_text())
        record.write_text(json.dumps(raw | {"tags": {"bundle": "0" * 64}}))
    else:
        record.unlink()


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("call", TARGETS)
@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("gone", "'artifact' must be a directory with _manifest.json"),
        ("altered", "'model.onnx' must have the sha256 of its manifest"),
        ("code altered", "'bundle/features.py' must have the sha256 of its manifest"),
        ("no bundle named", "'bundle' must be named by the model's registry record. Got None."),
        ("another bundle named", f"of bundle {'0' * 64}, as registered"),
        ("not registered", "'version' must be a registered version of 'toy'"),
    ],
)
def test_a_harmed_target_is_refused_before_the_pointer_moves(
    here: Toy, call: str, how: str, text: str, dry_run: bool
) -> None:
    become(here, 2, 1)
    harm(here, TARGETS[call], how)
    assert text in refused(here, lambda ports: CALLS[call](ports, dry_run=dry_run), ArtifactError)


def test_a_harmed_challenger_and_a_harmed_champion_are_no_reason_to_let_it_go_on(here: Toy) -> None:
    become(here, 2, 1, 3, 20)
    for version in (2, 3):
        harm(here, version, "gone")
    assert live(CALLS["abort"](here.ports).after) == (2, 1, None, 0)


def test_a_canary_needs_a_champion(here: Toy) -> None:
    assert refused(here, CALLS["begin_canary"], CaseError) == (
        "toy: 'champion' must be there before a canary. Got None. "
        "The first accepted version becomes champion by the gate's floors alone (deploy), or promote one."
    )


def test_one_canary_at_a_time(here: Toy) -> None:
    become(here, 1, None, 2, 20)
    assert refused(here, CALLS["begin_canary"], ConflictError) == (
        "toy: 'challenger' must be none, or version 3. Got 2. Let its canary end, or abort it."
    )


@pytest.mark.parametrize("percent", [0, 100, -1, 12.5, True, "20"])
def test_a_challengers_share_is_a_whole_percentage_that_leaves_the_champion_some(here: Toy, percent: Any) -> None:
    become(here, 1)
    begin: Call = lambda ports: release.begin_canary(ports, NAME, 3, percent, **SAID)  # noqa: E731
    assert refused(here, begin, CaseError) == (
        f"'percent' must be a whole number from 1 to 99. Got {percent!r}. "
        "A version with all of the traffic is the champion: promote it."
    )


def test_a_rollback_needs_somewhere_to_go(here: Toy) -> None:
    text = (
        "toy: 'previous' must be a version to roll back to. Got None. Name a version: esteira models list shows them."
    )
    assert refused(here, CALLS["rollback"], CaseError) == text
    become(here, 1)
    assert refused(here, CALLS["rollback"], CaseError) == text


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_decision_about_another_state_is_a_conflict(here: Toy, call: str, dry_run: bool) -> None:
    seen = become(here, 2, 1)
    become(here, 2, 1)
    assert refused(here, lambda ports: CALLS[call](ports, seen=seen, dry_run=dry_run), ConflictError) == (
        "toy: 'pointer' must be at generation 1. Got 2. Somebody changed it first: read it again and decide anew."
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_change_between_reading_and_commit_is_a_conflict(
    here: Toy, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(here, 2, 1, *((3, 20) if call == "abort" else ()))
    change = PointerEndpoints.change

    def late(self: PointerEndpoints, pointer: Pointer) -> Pointer:
        change(self, replace(self.pointer(NAME), why="somebody was faster"))
        return change(self, pointer)

    monkeypatch.setattr(PointerEndpoints, "change", late)
    with pytest.raises(ConflictError, match="'pointer' must be at generation 1"):
        CALLS[call](here.ports)
    now = here.ports.endpoints.pointer(NAME)
    assert now.why == "somebody was faster"
    followed = {alias for alias in ("champion", "previous", "challenger") if getattr(now, alias)}
    assert set(aliases(here)) == followed


def test_a_registry_that_cannot_follow_is_told_after_the_commit_and_follows_with_the_next_call(
    here: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(here, 2, 1)
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise SetupError("registry", "be writable by MLflow", "locked", "Repair it.")

        broken.setattr(MlflowRegistry, "project", refuse)
        change = CALLS["promote"](here.ports)
    assert change.changed
    assert change.behind == "'registry' must be writable by MLflow. Got 'locked'. Repair it."
    assert aliases(here) == {}
    CALLS["abort"](here.ports)
    assert aliases(here) == {"champion": 3, "previous": 2}


@pytest.mark.parametrize("call", ["promote", "begin_canary", "rollback", "abort"])
def test_a_disk_that_is_full_at_any_write_is_told_before_the_commit_and_stops_nothing_after_it(
    here: Toy, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for n in range(1, 10):
        before = become(here, 2, 1, *((3, 20) if call == "abort" else (None, 0)))
        left = iter(range(n - 1))

        def full(path: Path, data: bytes, left: Any = left) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            atomic_write(path, data)

        with monkeypatch.context() as disk:
            disk.setattr(blobs, "atomic_write", full)
            disk.setattr(versions, "atomic_write", full)
            try:
                change = CALLS[call](here.ports)
            except OSError:
                assert here.ports.endpoints.pointer(NAME) == before
                outcomes.append("refused")
                continue
        assert here.ports.endpoints.pointer(NAME) == change.after != before
        assert here.ports.endpoints.history(NAME)[-2:] == [before, change.after]
        outcomes.append("behind" if change.behind else "done")
        if "done" in outcomes:
            break
        CALLS["abort"](here.ports)
        assert aliases(here)["champion"] == change.after.champion
    assert sorted(set(outcomes)) == ["behind", "done", "refused"]
    generations = [state.generation for state in here.ports.endpoints.history(NAME)]
    assert generations == list(range(1, generations[-1] + 1))


def test_the_last_to_bring_the_aliases_along_brings_the_newest_state(
    here: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change commits and is projected between this one's commit and its projection."""
    old = become(here, 2, 1)
    project = MlflowRegistry.project

    def overtaken(self: MlflowRegistry, *given: Any) -> None:
        monkeypatch.setattr(MlflowRegistry, "project", project)
        CALLS["promote"](here.ports)
        project(self, *given)

    monkeypatch.setattr(MlflowRegistry, "project", overtaken)
    assert live(release.reconcile(here.ports, old)) == (3, 2, None, 0)
    assert aliases(here) == {"champion": 3, "previous": 2}


def test_before_anything_is_live_there_is_nothing_to_reconcile(here: Toy, tmp_path: Path) -> None:
    assert release.reconcile(here.ports, here.ports.endpoints.pointer(NAME)) == Pointer(NAME)
    assert not (tmp_path / "esteira" / "registry" / "aliases").exists()
