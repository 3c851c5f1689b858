"""A step's memory in a container: its limit is kept, and a step that takes more says which key to raise."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kfp import compiler, dsl

from components import types
from components.core.profile import Profile
from pipelines.launch import docker, local
from pipelines.launch.local import Started

pytestmark = [pytest.mark.containers, pytest.mark.slow]


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def modest(job: str) -> int:
    return len(bytearray(16 * 2**20))


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def greedy(job: str) -> int:
    return len(bytearray(512 * 2**20))


@dsl.pipeline
def both(job: str) -> None:
    first = modest(job=job).set_memory_limit("256Mi")
    greedy(job=job).set_memory_limit("256Mi").after(first)


@dataclass
class Ended:
    """What was told of the run, and the folder that it was started in."""

    here: Path
    began: list[str] = field(default_factory=list)
    killed: list[tuple[Started, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def watch(self, task: Started, line: str | None) -> None:
        if line is None:
            self.began.append(task.step)


@pytest.fixture(scope="module")
def ended(references: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Ended:
    place = tmp_path_factory.mktemp("memory")
    compiler.Compiler().compile(both, str(place / "both.yaml"))
    text = (place / "both.yaml").read_text().replace(types.PIPELINE, references["esteira-pipeline"])
    root, ended = place / "root", Ended(place / "here")
    containers = {"network": "host", "ulimits": {"nofile": [1024, 4096], "nproc": [1024, 4096]}}
    profile = Profile.model_validate({"root": str(root), "sources": str(place), "containers": containers})
    limits = docker.memory_limits(text)
    runner = docker.Containers(
        profile, {}, limits, lambda task, why: ended.killed.append((task, why)), ended.said.append
    )
    ended.here.mkdir()
    with contextlib.chdir(ended.here):
        local.run(text, {"job": "of-a-test"}, root=root, watch=ended.watch, runner=runner)
    return ended


def test_a_step_that_takes_more_than_its_limit_is_killed_and_names_the_key(ended: Ended) -> None:
    assert ended.began == ["modest", "greedy"]
    assert ended.said == []
    assert [task for task, _ in ended.killed] == [Started("of-a-test", "greedy")]
    assert "raise resources.greedy.memory in the case." in ended.killed[0][1].replace("Raise", "raise")


def test_what_the_engine_writes_when_memory_runs_out_is_not_left_where_one_works(ended: Ended) -> None:
    assert list(ended.here.iterdir()) == []
