"""Runs a compiled pipeline over the container images: kfp.local's DockerRunner with a task handler of ours.

kfp's own handler takes a container that ended before it was asked for a success, and prints where nobody looks; ours
waits for the exit code, follows the log line by line, and passes on SIGTERM. Each task runs as the launcher's user,
without capabilities, on a read-only root file system with a /tmp in memory; the profile's root is mounted for writing
and its sources for reading, at the same paths as here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.core import sizes
from components.core.errors import SetupError
from components.core.profile import Profile
from components.core.record import more_memory
from pipelines.launch import engines
from pipelines.launch.local import Started, Watcher, follow, task_of

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_OWN = ("/opt", "/usr", "/etc", "/bin", "/lib", "/dev", "/proc", "/sys")
"""Folders of the image that no mount may hide."""
_PASSED = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")
_PATIENCE = 10
"""Seconds that a container has after SIGTERM."""
_KILLED = 137
"""128 and SIGKILL: how the kernel ends what takes more memory than its limit."""


@dataclass(frozen=True)
class Containers:
    """Tasks run in containers."""

    profile: Profile
    images: Mapping[str, str]
    """References by our images' names."""
    memory: Mapping[str, str]
    """Limits by step, such as 2Gi: `memory_limits`."""
    killed: Callable[[Started, str], None]
    """Told why a step was killed."""
    say: Callable[[str], None]
    """Told what the engine cannot do."""

    def configuration(self) -> Any:
        """kfp.local's runner, with what every container gets."""
        from kfp import local

        return local.DockerRunner(**_arguments(self.profile))

    @contextmanager
    def handler(self, watch: Watcher, root: Path) -> Iterator[None]:
        """Ours in the place of kfp's, for the length of a run; the images are looked at first."""
        mounts = _mounts(self.profile, root)
        with engines.served() as client:
            for reference in self.images.values():
                _present(client, reference)
            limits = self.memory if engines.limits_memory(client) else {}
            if self.memory and not limits:
                asked = ", ".join(f"{step} {size}" for step, size in sorted(self.memory.items()))
                self.say(f"This engine cannot limit memory, for want of its cgroup: not kept are {asked}.")
            with _handler(client, replace(self, memory=limits), mounts, watch, root):
                yield


def memory_limits(pipeline: str) -> dict[str, str]:
    """What the compiled pipeline (YAML text) grants each step, such as 2Gi; steps without a limit are left out."""
    executors = yaml.load(pipeline, Loader=yaml.CSafeLoader)["deploymentSpec"]["executors"]
    granted = {name: executor["container"].get("resources", {}) for name, executor in executors.items()}
    limits = {name.removeprefix("exec-"): limit.get("resourceMemoryLimit", "") for name, limit in granted.items()}
    return {step: size for step, size in limits.items() if size}


def _handler(
    client: DockerClient, asked: Containers, mounts: Mapping[str, Mapping[str, str]], watch: Watcher, root: Path
) -> AbstractContextManager[None]:
    from kfp.local import docker_task_handler, status

    class ContainerTaskHandler(docker_task_handler.DockerTaskHandler):  # type: ignore[misc]  # kfp is untyped
        """Runs a task's own command in a container of its image."""

        def run(self) -> Any:
            task = task_of(self.full_command)
            watch(task, None)
            limit = asked.memory.get(task.step)
            settings = {**self.runner.container_run_args, **_limited(limit)}
            settings["environment"] = {**settings.get("environment", {}), **self.env_vars}
            first, *rest = self.full_command  # it takes the place of an image's own entry point, as everywhere else
            container = client.containers.create(self.image, rest, entrypoint=[first], volumes=mounts, **settings)
            try:
                container.start()
                follow(_lines(container), task, watch, root)
                code = container.wait()["StatusCode"]
                if limit and code == _KILLED:
                    asked.killed(task, _why(task.step, limit, container))
            except BaseException:
                container.stop(timeout=_PATIENCE)
                raise
            finally:
                container.remove(force=True)
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    return _placed(docker_task_handler, "DockerTaskHandler", ContainerTaskHandler)


def _limited(limit: str | None) -> dict[str, int]:
    """Memory for docker's client: no swap beside it, so that a step ends where it would in a cloud."""
    return dict.fromkeys(("mem_limit", "memswap_limit"), sizes.bytes_of(limit)) if limit else {}


def _why(step: str, limit: str, container: Container) -> str:
    """What to say of a step that got SIGKILL; some engines do not notice that the kernel sent it."""
    container.reload()
    if container.attrs["State"].get("OOMKilled"):
        return f"It took more than its {limit} of memory. Raise resources.{step}.memory in the case."
    return f"Killed, most likely at its limit of {limit} of memory. {more_memory(step)}"


@contextmanager
def _placed(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _lines(container: Container) -> Iterator[str]:
    """What the container prints, whole lines whatever the pieces that arrive."""
    rest = b""
    for piece in container.logs(stream=True, follow=True):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _arguments(profile: Profile) -> dict[str, Any]:
    """For docker's client, of every container."""
    from docker.types import Ulimit

    wanted = profile.containers
    limits = [Ulimit(name=name, soft=soft, hard=hard) for name, (soft, hard) in wanted.ulimits.items()]
    return {
        "user": wanted.user or f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},  # noqa: S108  # the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "environment": {name: os.environ[name] for name in _PASSED if name in os.environ},
        **({"network_mode": wanted.network} if wanted.network else {}),
        **({"ulimits": limits} if limits else {}),
    }


def _mounts(profile: Profile, root: Path) -> dict[str, dict[str, str]]:
    """Sources for reading, the local adapters' folders for writing. Raises SetupError where one hides the image."""
    home = Path(profile.root)
    home.mkdir(parents=True, exist_ok=True)
    wanted = {} if "://" in profile.sources else {profile.sources: "ro"}
    wanted[os.fspath(home)] = "rw"
    if not root.resolve().is_relative_to(home):
        wanted[os.fspath(root.resolve())] = "rw"
    for path in wanted:
        if path == "/tmp" or any(Path(own).is_relative_to(path) for own in _OWN):  # noqa: S108
            remedy = "Run in another folder, or set root and sources in the profile."
            raise SetupError("mount", "be a folder that hides nothing of the image", path, remedy)
    return {path: {"bind": path, "mode": mode} for path, mode in wanted.items()}


def _present(client: DockerClient, reference: str) -> None:
    """Pulls an image that is not here. Raises SetupError."""
    from docker.errors import APIError, ImageNotFound

    try:
        try:
            client.images.get(reference)
        except ImageNotFound:
            client.images.pull(reference)
    except APIError as error:
        raise SetupError("image", "be here or in its registry", reference, "Run `make images`.") from error
