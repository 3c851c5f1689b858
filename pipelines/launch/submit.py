"""`esteira submit`: a released pipeline of a case, started on a cloud target, once for each key."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.adapters.ports import Ports
from components.adapters.runs import Asked, Runs, Started, checked_key
from components.core import artifacts, bundle, case_file, declared
from components.core.case_file import CaseFile
from components.core.errors import ArtifactError, CaseError
from components.core.profile import Profile
from pipelines.launch import cases, compile, fit, hints, release, targets, window

PARAMETERS = ("bundle", "operations", "profile", "start", "stop")


@dataclass(frozen=True)
class Ready:
    """A pipeline and a case that fit each other; nothing is stored or asked yet."""

    folder: Path
    file: CaseFile
    pipeline: str
    spec: Mapping[str, Any]
    profile: Profile
    """As its tasks get it: with the release's own images where it names none."""


def ready(name: str, pipeline: str, folder: Path, target: str, profile: Profile) -> Ready:
    """Reads the case and its release, every rule of which is checked, and compares them; the pipeline fits the target.

    Raises
    ------
    CaseError
        There is no such release, it breaks a rule (an image without a digest, a secret), or is of another case; or the
        target cannot give a step what the case asks for.
    """
    home = cases.find(name)
    file = case_file.load(home)
    if not (folder / release.MANIFEST).is_file():
        remedy = f"Make it: {_compile(name, folder, profile)}"
        raise CaseError("--release", f"be a release with a {release.MANIFEST}", str(folder), remedy)
    manifest = release.require(folder)
    path = folder / f"{pipeline}.yaml"
    if path.name not in manifest["files"]:
        known = ", ".join(sorted(Path(one).stem for one in manifest["files"]))
        raise CaseError("PIPELINE", f"be one of the release: {known}", pipeline, "Choose one of them.")
    spec = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)  # safe, and in C
    _same_pipeline(spec, pipeline, str(path))
    _same_case(manifest, home, file, folder, profile)
    if manifest["case"] is None:
        compile.give(spec, file.resources)
    fitted = fit.fit(spec, file.resources, target, profile.vertex)
    return Ready(home, file, pipeline, fitted, release.completed(profile, manifest["images"]))


def _same_pipeline(spec: Mapping[str, Any], pipeline: str, where: str) -> None:
    found = spec["pipelineInfo"]["name"]
    if found != f"esteira-{pipeline}":
        raise CaseError("pipelineInfo.name", f"be esteira-{pipeline}", found, "Compile it again.", where=where)
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if set(declared) != set(PARAMETERS):
        raise CaseError("parameters", f"be {', '.join(PARAMETERS)}", sorted(declared), "Compile it again.", where=where)


def _compile(name: str, folder: Path, profile: Profile) -> str:
    words = f"compile {shlex.quote(name)} --images build/digests.json --out {shlex.quote(str(folder))}"
    return hints.esteira(words, profile.name)


def _same_case(manifest: Mapping[str, Any], home: Path, file: CaseFile, folder: Path, profile: Profile) -> None:
    """A release without a case serves every one."""
    where = str(folder)
    if manifest["case"] not in (None, file.name):
        remedy = f"Make one of {file.name}: {_compile(file.name, folder, profile)}"
        raise CaseError("case", f"be {file.name}", manifest["case"], remedy, where=where)
    for name, digest in digests(home, file).items():
        released = manifest[name] or digest
        if released != digest:
            remedy = f"The release is of another state of {file.name}: compile it again, or go back to its commit."
            raise CaseError(name, f"be the case's own, {digest[:12]}…", f"{released[:12]}…", remedy, where=where)


def digests(folder: Path, file: CaseFile) -> dict[str, str]:
    """What the case will be stored under: the parameters bundle and operations."""
    operations = artifacts.sha256(declared.resolved_json(file.operations()).encode())
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


def launch(ready: Ready, runs: Runs, target: str, profile: Profile, ports: Ports) -> Launched:
    """Asks the target whether it answers, and then stores the case. Raises SetupError, CaseError, ArtifactError."""
    runs.probe()
    targets.require_bucket(profile, target)
    taken = cases.snapshot(ready.folder, ports)
    if taken.file != ready.file:
        raise ArtifactError("case", "stay as it is while it is submitted", "a change", "Submit it again.")
    return Launched(runs, ready, taken, ready.profile.to_json())
