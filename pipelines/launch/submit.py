"""`esteira submit`: a released pipeline of a case, started on a cloud target, once for each key."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.adapters.ports import Ports
from components.adapters.runs import Asked, Runs, Started, checked_key
from components.core import artifacts, bundle, case
from components.core.case import CaseFile
from components.core.errors import ArtifactError, CaseError
from components.core.profile import Profile
from pipelines.launch import cases, lint, window

PARAMETERS = ("bundle", "operations", "profile", "start", "stop")
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Ready:
    """A pipeline and a case that fit each other; nothing is stored or asked yet."""

    folder: Path
    file: CaseFile
    pipeline: str
    spec: Mapping[str, Any]


def ready(name: str, pipeline: str, release: Path) -> Ready:
    """Reads the released pipeline and the case, and compares them.

    Raises
    ------
    CaseError
        There is no such release, it is not portable, an image has no digest, or it was made for another case.
    """
    folder = cases.find(name)
    file = case.load(folder)
    path = release / f"{pipeline}.yaml"
    if not path.is_file():
        remedy = f"Make it: esteira compile {name} --images digests.json --out {release}"
        raise CaseError("--release", f"hold {pipeline}.yaml", str(release), remedy)
    text = path.read_text(encoding="utf-8")
    lint.require(text, where=str(path))
    spec = yaml.load(text, yaml.CSafeLoader)  # safe, and in C
    _same_pipeline(spec, pipeline, str(path))
    _pinned(spec, str(path))
    _same_case(spec, folder, file, str(path))
    return Ready(folder, file, pipeline, spec)


def _same_pipeline(spec: Mapping[str, Any], pipeline: str, where: str) -> None:
    found = spec["pipelineInfo"]["name"]
    if found != f"esteira-{pipeline}":
        raise CaseError("pipelineInfo.name", f"be esteira-{pipeline}", found, "Compile it again.", where=where)
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if set(declared) != set(PARAMETERS):
        raise CaseError("parameters", f"be {', '.join(PARAMETERS)}", sorted(declared), "Compile it again.", where=where)


def _pinned(spec: Mapping[str, Any], where: str) -> None:
    for name, executor in spec["deploymentSpec"]["executors"].items():
        image = executor.get("container", {}).get("image", "")
        if not _PINNED.fullmatch(image):
            remedy = "Compile with --images digests.json: a tag may name another image tomorrow."
            raise CaseError(name.removeprefix("exec-"), "have an image by digest", image, remedy, where=where)


def _same_case(spec: Mapping[str, Any], folder: Path, file: CaseFile, where: str) -> None:
    written = spec["root"]["inputDefinitions"]["parameters"]
    for name, digest in digests(folder, file).items():
        default = written[name].get("defaultValue", digest)
        if default != digest:
            remedy = (
                f"The release is of another state of the case: compile {file.name} again, or go back to its commit."
            )
            raise CaseError(name, f"be the case's own, {digest[:12]}…", str(default)[:12] + "…", remedy, where=where)


def digests(folder: Path, file: CaseFile) -> dict[str, str]:
    """What the case will be stored under: the parameters bundle and operations."""
    operations = artifacts.sha256(case.resolved_json(file.operations()).encode())
    return {"bundle": bundle.build(folder).digest, "operations": operations}


def new_key() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Launched:
    """What every run of one command shares: the case as it was stored, and who starts it."""

    runs: Runs
    ready: Ready
    taken: cases.Snapshot
    profile: str

    def asked(self, key: str, start: str = "", stop: str = "") -> Asked:
        arguments = {"bundle": self.taken.bundle, "operations": self.taken.operations, "profile": self.profile}
        arguments |= {"start": start, "stop": stop}
        return Asked(self.ready.pipeline, self.ready.file.name, key, self.ready.spec, arguments)

    def start(self, key: str, start: str = "", stop: str = "") -> Started:
        """Raises ConflictError where the key has another run."""
        window.parse(start, stop)
        return self.runs.start(self.asked(checked_key(key), start, stop))


def launch(ready: Ready, runs: Runs, profile: Profile, ports: Ports) -> Launched:
    """Asks the target whether it answers, and then stores the case. Raises SetupError, CaseError, ArtifactError."""
    runs.probe()
    taken = cases.snapshot(ready.folder, ports)
    if taken.file != ready.file:
        raise ArtifactError("case", "stay as it is while it is submitted", "a change", "Submit it again.")
    return Launched(runs, ready, taken, profile.to_json())
