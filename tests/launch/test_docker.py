"""What a task's container is given, and what is refused before one is made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.errors import SetupError
from components.core.operations import Resources
from components.core.profile import Profile
from pipelines.launch import compile, docker, engines
from pipelines.launch.local import Started


@pytest.mark.parametrize("place", ["/", "/usr", "/opt/esteira/..", "/tmp"])
def test_a_mount_that_would_hide_the_images_own_folders_is_refused(place: str, tmp_path: Path) -> None:
    profile = Profile(root=str(tmp_path / "root"), sources=os.path.normpath(place))
    with pytest.raises(SetupError, match="'mount' must be a folder that hides nothing of the image. Got '/"):
        docker._mounts(profile, tmp_path / "root" / "artifacts")


def test_sources_are_for_reading_and_the_root_is_for_writing_at_the_paths_of_here(tmp_path: Path) -> None:
    root, sources = str(tmp_path / "root"), str(tmp_path)
    for artifacts in (Path(root), Path(root) / "artifacts"):
        found = docker._mounts(Profile(root=root, sources=sources), artifacts)
        assert found == {sources: {"bind": sources, "mode": "ro"}, root: {"bind": root, "mode": "rw"}}


def test_sources_at_a_url_are_no_mount(tmp_path: Path) -> None:
    found = docker._mounts(Profile(root=str(tmp_path), sources="gs://bucket/data"), tmp_path / "artifacts")
    assert found == {str(tmp_path): {"bind": str(tmp_path), "mode": "rw"}}


def test_a_container_has_no_capability_no_writable_root_and_the_launchers_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setenv("A_SECRET", "x")
    profile = Profile.model_validate({"containers": {"network": "host", "ulimits": {"nofile": [10, 20]}}})
    found = docker._arguments(profile)
    assert found["user"] == f"{os.getuid()}:{os.getgid()}"
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges"]
    assert found["environment"] == {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}
    assert found["network_mode"] == "host"
    assert [dict(limit) for limit in found["ulimits"]] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_whole_however_they_arrive(size: int) -> None:
    text = "São Paulo ✈\n\nlast"
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    container: Any = SimpleNamespace(logs=lambda **_: iter(pieces))
    assert list(docker._lines(container)) == text.split("\n")


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_does_not_answer_is_said_with_its_address(tmp_path: Path) -> None:
    rule = f"'DOCKER_HOST' must be a container engine that answers. Got 'unix://{tmp_path}/none.sock'. Start docker"
    with pytest.raises(SetupError, match=rule), engines.served():
        pass


def test_kfp_still_has_the_handler_that_ours_takes_the_place_of() -> None:
    from kfp.local import docker_task_handler, task_dispatcher

    assert task_dispatcher.docker_task_handler is docker_task_handler
    assert docker_task_handler.DockerTaskHandler.run


def test_a_steps_memory_is_what_the_compiled_pipeline_grants_it() -> None:
    wanted = {"train": Resources(memory="2Gi"), "evaluate": Resources(cpu="2"), "ingest": Resources(memory="512M")}
    assert docker.memory_limits(compile.text("batch", resources=wanted)) == {"train": "2Gi", "ingest": "512M"}


def test_a_limit_leaves_no_swap_beside_it() -> None:
    assert docker._limited("2Gi") == {"mem_limit": 2**31, "memswap_limit": 2**31}
    assert docker._limited(None) == {}


@pytest.mark.parametrize(
    ("noticed", "why"),
    [
        (True, "It took more than its 2Gi of memory. Raise resources.train.memory in the case."),
        (
            False,
            "Killed, most likely at its limit of 2Gi of memory. If memory ran out, raise resources.train.memory in the case.",
        ),
    ],
)
def test_a_step_killed_at_its_limit_names_the_key_to_raise(noticed: bool, why: str) -> None:
    container: Any = SimpleNamespace(reload=lambda: None, attrs={"State": {"OOMKilled": noticed}})
    assert docker._why("train", "2Gi", container) == why


def test_an_engine_that_cannot_limit_memory_says_whose_limit_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def served() -> Iterator[Any]:
        yield SimpleNamespace(info=lambda: {"MemoryLimit": False})

    monkeypatch.setattr(engines, "served", served)
    said: list[str] = []
    profile = Profile(root=str(tmp_path / "root"), sources=str(tmp_path))
    asked = docker.Containers(profile, {}, {"train": "2Gi", "ingest": "1G"}, _never_killed, said.append)
    with asked.handler(lambda task, line: None, tmp_path / "root"):
        pass
    assert said == ["This engine cannot limit memory, for want of its cgroup: not kept are ingest 1G, train 2Gi."]


def _never_killed(task: Started, why: str) -> None:
    raise AssertionError(why)
