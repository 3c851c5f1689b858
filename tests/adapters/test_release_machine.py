"""Any sequence of promotions, canaries, aborts and rollbacks, of whole and of harmed versions, against a plain model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from components.adapters import release
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer, Ports
from components.adapters.release import Change
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError
from tests.toy import NAME, Toy

VERSIONS = st.sampled_from([1, 2, 3, 4])  # 4 is not registered
SAID: dict[str, Any] = {"by": "ana", "why": ""}


@dataclass(frozen=True)
class Expected:
    champion: int | None = None
    previous: int | None = None
    challenger: int | None = None
    split: int = 0

    def promoted(self, version: int) -> Expected:
        return self.aborted() if version == self.champion else Expected(version, self.champion)

    def canary(self, version: int, percent: int) -> Expected:
        return self if version == self.champion else replace(self, challenger=version, split=percent)

    def aborted(self) -> Expected:
        return replace(self, challenger=None, split=0)


class _Registry(MlflowRegistry):
    def _project(self, *_: Any) -> None:
        """Without MLflow's view, which has tests of its own."""


class Release(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.root / "registry")
        registry, endpoints = _Registry(self.root / "registry"), PointerEndpoints(FileBlobs(self.root / "blobs"))
        self.ports = cast(Ports, SimpleNamespace(registry=registry, endpoints=endpoints))
        self.expected, self.states = Expected(), 0
        self.harmed, self.seen = {4}, [Pointer(NAME)]
        self.projected = Expected()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _does(
        self, call: Callable[..., Change], target: int | None, wanted: Expected, error: type[EsteiraError] | None
    ) -> None:
        """The call, dry first, ends as expected: with the state `wanted`, or in the error."""
        if target in self.harmed:
            error = ArtifactError
        if error is not None:
            for dry_run in (True, False):
                with pytest.raises(error):
                    call(dry_run=dry_run)
            return
        dry = call(dry_run=True)
        assert self.ports.endpoints.pointer(NAME).generation == self.states
        change = call()
        assert (dry.done, change.behind, change.changed) == (change.done, "", wanted != self.expected)
        self.states += change.changed
        self.expected = self.projected = wanted
        if change.changed:
            self.seen.append(change.after)

    @rule(version=VERSIONS)
    def promote(self, version: int) -> None:
        call = lambda **more: release.promote(self.ports, NAME, version, **SAID, **more)  # noqa: E731
        self._does(call, version, self.expected.promoted(version), None)

    @rule(version=VERSIONS, percent=st.sampled_from([1, 20, 99]))
    def begin_canary(self, version: int, percent: int) -> None:
        now = self.expected
        error: type[EsteiraError] | None = None
        if now.champion is None:
            error = CaseError
        elif version != now.champion and now.challenger not in (None, version):
            error = ConflictError
        call = lambda **more: release.begin_canary(self.ports, NAME, version, percent, **SAID, **more)  # noqa: E731
        self._does(call, version, now.canary(version, percent), error)

    @rule()
    def abort(self) -> None:
        call = lambda **more: release.abort(self.ports, NAME, **SAID, **more)  # noqa: E731
        self._does(call, None, self.expected.aborted(), None)

    @rule(to=VERSIONS | st.none())
    def rollback(self, to: int | None) -> None:
        target = to or self.expected.previous
        wanted = self.expected.promoted(target) if target else self.expected
        call = lambda **more: release.rollback(self.ports, NAME, to=to, **SAID, **more)  # noqa: E731
        self._does(call, target, wanted, None if target else CaseError)

    @rule(data=st.data(), version=VERSIONS)
    def promote_from_another_state(self, data: st.DataObject, version: int) -> None:
        seen = data.draw(st.sampled_from(self.seen))
        if seen.generation != self.states:
            with pytest.raises(ArtifactError if version in self.harmed else ConflictError):
                release.promote(self.ports, NAME, version, **SAID, seen=seen)

    @rule(version=st.sampled_from([1, 2, 3]))
    def harm(self, version: int) -> None:
        """Or mend, if it is harmed already."""
        folder = self.root / "registry" / "models" / self.ports.registry.get(NAME, version).identity
        if version in self.harmed:
            shutil.copytree(self.template / "models" / folder.name, folder)
        else:
            shutil.rmtree(folder)
        self.harmed ^= {version}

    @rule()
    def commit_without_aliases(self) -> None:
        """What a kill right after the commit leaves."""
        if self.expected.challenger is not None:
            before = self.ports.endpoints.pointer(NAME)
            self.seen.append(self.ports.endpoints.change(replace(before, challenger=None, split=0)))
            self.expected, self.states = self.expected.aborted(), self.states + 1

    @rule()
    def reconcile(self) -> None:
        release.reconcile(self.ports, self.ports.endpoints.pointer(NAME))
        self.projected = self.expected

    @invariant()
    def one_state_is_live(self) -> None:
        now = self.ports.endpoints.pointer(NAME)
        assert Expected(now.champion, now.previous, now.challenger, now.split) == self.expected
        assert (now.challenger is None) == (now.split == 0)
        assert now.champion is None or now.champion != now.challenger
        assert now.generation == self.states

    @invariant()
    def the_history_has_no_gap(self) -> None:
        assert self.ports.endpoints.history(NAME) == self.seen[1:]

    @invariant()
    def the_aliases_are_the_last_projected_state(self) -> None:
        found = {alias: v.version for v in self.ports.registry.versions(NAME) for alias in v.aliases}
        wanted = {name: getattr(self.projected, name) for name in ("champion", "previous", "challenger")}
        assert found == {name: version for name, version in wanted.items() if version}


@pytest.mark.slow
def test_any_sequence_of_changes_keeps_one_state_and_its_history(here: Toy) -> None:
    Release.template = here.ports.profile.path("registry")
    run_state_machine_as_test(Release, settings=settings(max_examples=150, stateful_step_count=30, deadline=None))
