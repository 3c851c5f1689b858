"""A step's memory in a container: its limit is kept, and a step that takes more says which key to raise."""

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


def test_a_step_that_takes_more_than_its_limit_is_killed_and_names_the_key(
    references: dict[str, str], tmp_path: Path
) -> None:
    compiler.Compiler().compile(both, str(tmp_path / "both.yaml"))
    text = (tmp_path / "both.yaml").read_text().replace(types.PIPELINE, references["esteira-pipeline"])
    root = tmp_path / "root"
    containers = {"network": "host", "ulimits": {"nofile": [1024, 4096], "nproc": [1024, 4096]}}
    profile = Profile.model_validate({"root": str(root), "sources": str(tmp_path), "containers": containers})
    began: list[str] = []
    killed: list[tuple[Started, str]] = []
    said: list[str] = []
    runner = docker.Containers(
        profile, {}, docker.memory_limits(text), lambda task, why: killed.append((task, why)), said.append
    )

    def watch(task: Started, line: str | None) -> None:
        if line is None:
            began.append(task.step)

    local.run(text, {"job": "of-a-test"}, root=root, watch=watch, runner=runner)
    assert began == ["modest", "greedy"]
    assert said == []
    assert [task for task, _ in killed] == [Started("of-a-test", "greedy")]
    assert "raise resources.greedy.memory in the case." in killed[0][1].replace("Raise", "raise")
