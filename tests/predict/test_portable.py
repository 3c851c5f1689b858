"""Predictions by a Beam job whose workers are processes of their own: to the bit what this process says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.core import artifacts
from components.core.profile import Profile
from components.step import Launch
from tests import prism
from tests.toy import toy

from .test_task import World, refusal, two_months

pytestmark = pytest.mark.slow


def on(world: World, options: dict[str, Any]) -> None:
    """From now on its jobs run there."""
    profile = Profile.from_json(world.toy.launch.profile).model_dump()
    jobs = {"runner": "PortableRunner", "options": options}
    world.toy.launch = replace(world.toy.launch, profile=json.dumps(profile | {"jobs": jobs}), job="job-2")


@prism.needed
def test_prism_predicts_what_this_process_does_and_tells_what_goes_wrong(
    tmp_path: Path, make_launch: Callable[..., Launch], capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(toy(tmp_path, make_launch))
    world.toy.promote(world.toy.model("one"))
    world.predict(two_months())
    rows, table, digest = world.rows(), world.table(), artifacts.read_manifest(world.out).digest
    shutil.rmtree(world.toy.ports.profile.path("tables"))
    with prism.workers(tmp_path / "empty") as options:
        on(world, options)
        resources = tmp_path / "resources.json"
        result = world.again(gcp_resources=str(resources))
        assert result.summary == "1,000 rows by version 1 into the table predictions_toy"
        assert artifacts.verify(world.out, "predictions").digest == digest
        assert world.rows().equals(rows)
        assert world.table().equals(table)
        assert sorted(path.name for path in world.out.iterdir()) == ["2021-01", "2021-02", "_manifest.json"]
        assert json.loads(resources.read_bytes()) == {"resources": []}
        shard = next((tmp_path / "score-1" / "2021-02").iterdir())
        shard.write_bytes(shard.read_bytes()[:-1] + b"\x00")
        told = refusal(world, capsys, 4, world.again)
        assert told.startswith(f"{tmp_path / 'score-1'}: '2021-02/{shard.name}' must have the sha256")
        assert not (world.out / artifacts.MANIFEST).exists()
