"""`esteira serve`: the prediction server over a case's pointer, on this machine."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from components import types
from components.adapters.ports import Models, Ports
from components.adapters.recorded_models import RecordedModels
from components.core import case_file, model
from components.core.case_file import CaseFile
from components.core.errors import CaseError, ModelError, SetupError
from components.core.model import Model
from components.core.profile import Profile
from components.core.servable import SCORED
from pipelines.launch import cases, environments

_TOKEN = "ESTEIRA_TOKEN"  # noqa: S105  # a variable's name


@dataclass(frozen=True)
class Wishes:
    """Where to listen, and who may ask. `token_file` is None where none is named."""

    host: str = "127.0.0.1"
    port: int = 8080
    token_file: Path | None = None
    auth: bool = True


@dataclass(frozen=True)
class Launch:
    """A server that is ready to start. `made` is the token where it was made for this one start, else empty.

    `registry` is the address of the remote registry that numbers the versions.
    """

    case: str
    python: Path
    variables: dict[str, str]
    made: str = ""
    registry: str = ""

    def start(self) -> None:
        """Becomes the server, so that what ends this process ends it."""
        os.execve(self.python, [str(self.python), "-m", "components.serving"], self.variables)  # noqa: S606


def prepare(name: str, profile: Profile, wishes: Wishes) -> Launch:
    """The server of a case in its environment.

    Raises
    ------
    CaseError
        The case, a profile whose models are elsewhere, or a wish that would leave predictions open to the network.
    SetupError
        The server's environment is not there.
    """
    file = case_file.load(cases.find(name))
    _check_here(profile)
    variables, made = _access(wishes)
    _check_free(wishes)
    told = variables | _told(file, profile, wishes)
    return Launch(file.name, environments.python(types.SERVER), told, made, profile.registry.at)


def _check_here(profile: Profile) -> None:
    """The server on this machine follows a pointer in a folder, whichever registry numbers the versions."""
    adapter = profile.blobs.adapter
    if adapter != "local":
        remedy = "Take a local profile; with endpoints.adapter: google the models are served by Vertex AI."
        raise CaseError("blobs.adapter", "be local for `esteira serve`", adapter, remedy, where="profile")


def champion(launch: Launch, ports: Ports) -> int | None:
    """The version that is live. What the server is to read of a remote registry is there after it.

    Whoever promotes a version writes its record; one that is missing all the same is written now.

    Raises
    ------
    ArtifactError
        It, or the challenger, is gone or altered.
    ModelError
        No server can load it.
    """
    pointer = ports.endpoints.pointer(launch.case)
    models: Models = ports.registry
    if launch.variables["ESTEIRA_REGISTRY"] == "remote":
        models = records = RecordedModels(ports.blobs)
        for version in (pointer.champion, pointer.challenger):
            if version is not None and not records.has(launch.case, version, launch.registry):
                records.record(ports.registry.get(launch.case, version))
    for version in (pointer.champion, pointer.challenger):
        if version is not None:
            _check_loads(models.fetch(launch.case, version), f"{launch.case} version {version}")
    return pointer.champion


def _check_loads(folder: Path, version: str) -> None:
    found = Model.from_json((folder / model.FILE).read_bytes(), where=str(folder)).serve_with
    if found != "onnx":
        rule = "be onnx for a server, which has no scikit-learn"
        remedy = f"Promote another version, or abort the canary of this one; {SCORED}."
        raise ModelError("model.serve_with", rule, found, remedy, where=version)


def _check_free(wishes: Wishes) -> None:
    """Told before a token is shown; the server looks again."""
    family = socket.AF_INET6 if ":" in wishes.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((wishes.host, wishes.port))
    except OSError as error:
        place = f"{wishes.host}:{wishes.port}"
        remedy = f"Choose another by --host and --port: {error.strerror or error}."
        raise SetupError("address", "be free to listen on", place, remedy, where="serve") from error


def _told(file: CaseFile, profile: Profile, wishes: Wishes) -> dict[str, str]:
    serving = file.serving
    return {
        "ESTEIRA_CASE": file.name,
        "ESTEIRA_ROOT": profile.root,
        "ESTEIRA_REGISTRY": "local" if profile.registry.adapter == "local" else "remote",
        "ESTEIRA_HOST": wishes.host,
        "AIP_HTTP_PORT": str(wishes.port),
        "ESTEIRA_BODY": str(serving.body),
        "ESTEIRA_ROWS": str(serving.rows),
        "ESTEIRA_QUEUE": str(serving.queue),
    }


def _access(wishes: Wishes) -> tuple[dict[str, str], str]:
    """The server's environment with who may ask, and the token made for it."""
    inherited = environments.variables(types.SERVER)
    variables = {name: value for name, value in inherited.items() if not name.startswith("AIP_")}
    given = variables.pop(_TOKEN, "")
    if not wishes.auth:
        if not _loopback(wishes.host):
            remedy = "Leave --no-auth out, or listen on 127.0.0.1."
            raise CaseError("--no-auth", "be used on a loopback address only", wishes.host, remedy)
        return variables | {"ESTEIRA_AUTH": "platform"}, ""
    variables["ESTEIRA_AUTH"] = "token"
    if wishes.token_file is not None:
        if not wishes.token_file.is_file():
            raise CaseError("--token-file", "be a file", str(wishes.token_file), "Write the token into it.")
        return variables | {"ESTEIRA_TOKEN_FILE": str(wishes.token_file.resolve())}, ""
    if given or variables.get("ESTEIRA_TOKEN_FILE"):
        return variables | ({_TOKEN: given} if given else {}), ""
    made = secrets.token_urlsafe(24)
    return variables | {_TOKEN: made}, made


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def greeting(launch: Launch, wishes: Wishes, *, champion: int | None) -> list[str]:
    """What the person should know before the server speaks for itself."""
    host = f"[{wishes.host}]" if ":" in wishes.host else wishes.host
    lines = [f"{launch.case} at http://{host}:{wishes.port}, to try at /docs"]
    if launch.made:
        lines.append(f"token, shown this once: {launch.made}")
    if champion is None:
        lines.append("No version is champion yet: the server is live, and ready once there is one.")
    return lines
