"""Runs a compiled pipeline over the container images: kfp.local's DockerRunner with a task handler of ours.

kfp's own handler takes a container that ended before it was asked for a success, and prints where nobody looks; ours
waits for the exit code, follows the log line by line, and passes on SIGTERM. Each task runs as the launcher's user,
without capabilities, on a read-only root file system with a /tmp in memory; the profile's root is mounted for writing
and its sources for reading, at the same paths as here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import SetupError
from components.core.profile import Profile
from pipelines.launch.local import Watcher, follow, task_of

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_OWN = ("/opt", "/usr", "/etc", "/bin", "/lib", "/dev", "/proc", "/sys")
"""Folders of the image that no mount may hide."""
_PASSED = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")
_SOCKET = "unix:///var/run/docker.sock"
_LONGEST = 600
"""Seconds for one answer of the engine; a pull or a quiet step takes long."""
_PATIENCE = 10
"""Seconds that a container has after SIGTERM."""


@dataclass(frozen=True)
class Containers:
    """Tasks run in containers. `images` are references by our images' names."""

    profile: Profile
    images: Mapping[str, str]

    def configuration(self) -> Any:
        """kfp.local's runner, with what every container gets."""
        from kfp import local

        return local.DockerRunner(**_arguments(self.profile))

    @contextmanager
    def handler(self, watch: Watcher, root: Path) -> Iterator[None]:
        """Ours in the place of kfp's, for the length of a run; the images are looked at first."""
        mounts = _mounts(self.profile, root)
        with served() as client:
            for reference in self.images.values():
                _present(client, reference)
            with _handler(client, mounts, watch, root):
                yield


def _handler(
    client: DockerClient, mounts: Mapping[str, Mapping[str, str]], watch: Watcher, root: Path
) -> AbstractContextManager[None]:
    from kfp.local import docker_task_handler, status

    class ContainerTaskHandler(docker_task_handler.DockerTaskHandler):  # type: ignore[misc]  # kfp is untyped
        """Runs a task's own command in a container of its image."""

        def run(self) -> Any:
            task = task_of(self.full_command)
            watch(task, None)
            settings = dict(self.runner.container_run_args)
            settings["environment"] = {**settings.get("environment", {}), **self.env_vars}
            first, *rest = self.full_command  # it takes the place of an image's own entry point, as everywhere else
            container = client.containers.create(self.image, rest, entrypoint=[first], volumes=mounts, **settings)
            try:
                container.start()
                follow(_lines(container), task, watch, root)
                code = container.wait()["StatusCode"]
            except BaseException:
                container.stop(timeout=_PATIENCE)
                raise
            finally:
                container.remove(force=True)
            return status.Status.SUCCESS if code == 0 else status.Status.FAILURE

    return _placed(docker_task_handler, "DockerTaskHandler", ContainerTaskHandler)


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
    wanted = {profile.sources: "ro", os.fspath(home): "rw", os.fspath(root.resolve()): "rw"}
    if root.resolve().is_relative_to(home):
        del wanted[os.fspath(root.resolve())]
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


@contextmanager
def served() -> Iterator[DockerClient]:
    """A client of DOCKER_HOST, of docker's own socket, or else of a podman service that lives as long as this block.

    Raises
    ------
    SetupError
        None of them answers.
    """
    client = _client()
    if client is None and "DOCKER_HOST" not in os.environ and shutil.which("podman"):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "podman.sock"
            address = f"unix://{place}"
            service = subprocess.Popen(["podman", "system", "service", "--time=0", address])
            try:
                _wait(lambda: _listens(str(place)), service)
                with _closing(_client(address)) as found:
                    yield found
            finally:
                service.terminate()
                service.wait()
        return
    with _closing(client) as found:
        yield found


@contextmanager
def _closing(client: DockerClient | None) -> Iterator[DockerClient]:
    if client is None:
        at = os.environ.get("DOCKER_HOST") or "docker's socket"
        remedy = "Start docker, or install podman, or set DOCKER_HOST; --runner environments needs none of them."
        raise SetupError("DOCKER_HOST", "be a container engine that answers", at, remedy)
    try:
        yield client
    finally:
        client.close()


def _client(address: str | None = None) -> DockerClient | None:
    import docker
    from docker.errors import DockerException

    at = address or os.environ.get("DOCKER_HOST") or _SOCKET
    if at.startswith("unix://") and not _listens(at.removeprefix("unix://")):
        return None
    try:
        return docker.DockerClient(base_url=at, timeout=_LONGEST) if address else docker.from_env(timeout=_LONGEST)
    except DockerException:
        return None


def _listens(path: str) -> bool:
    """Looked at first: the client leaves an open socket behind where nobody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _wait(ready: Callable[[], bool], service: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if ready() or service.poll() is not None:
            return
        time.sleep(0.1)
