"""Any step, killed at any of its side effects: nothing half is an artifact, and the next run completes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core import artifacts
from components.core.errors import ArtifactError
from components.step import Launch
from tests import processes
from tests.faults import killed_step


@pytest.mark.slow
def test_a_step_killed_at_any_side_effect_leaves_nothing_half_and_is_completed_by_the_next(
    make_launch: Callable[..., Launch], tmp_path: Path
) -> None:
    prepared, place, reference = tmp_path / "prepared", tmp_path / "place", tmp_path / "reference"
    make_launch(root=str(prepared))
    launch = make_launch(root=str(place))
    killed_step.perform(make_launch(root=str(tmp_path / "quiet")), str(reference))
    digest = artifacts.verify(reference).digest
    died = 0
    while True:
        shutil.rmtree(place)
        shutil.copytree(prepared, place)
        out = place / "out"
        if not processes.dies_at(died + 1, killed_step.perform, launch, str(out)):
            break
        died += 1
        try:
            assert artifacts.verify(out).digest == digest
        except ArtifactError:
            assert not (out / artifacts.MANIFEST).exists()
        killed_step.perform(launch, str(out))
        assert artifacts.verify(out).digest == digest
        assert not list(out.rglob(".*.tmp"))
    assert died > 20
