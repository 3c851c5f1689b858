"""`esteira models`: the versions of a case's model, what is live, and how two of them differ."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.adapters.ports import Ports
from components.core import artifacts, bundle, case_file, model
from components.core.errors import ArtifactError, CaseError
from components.core.model import Model
from pipelines.launch import cases

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def case_name(ports: Ports, case: str) -> str:
    """The name of the case that CASE on the command line means.

    One that has versions is known by its name as well: a rollback must not wait for a case.yaml to be mended.
    """
    try:
        return case_file.load(cases.find(case)).name
    except CaseError:
        if not _NAME.fullmatch(case) or not ports.registry.versions(case):
            raise
        return case


@dataclass(frozen=True)
class Row:
    """One version as it is listed. `live` is champion, previous, challenger or empty, from the pointer."""

    version: int
    live: str
    traffic: int
    """Percent of the live traffic, as whoever serves has it."""
    created: float
    run: str
    rows: int
    trained_to: str
    metrics: dict[str, float]
    identity: str
    harm: str = ""
    """Why the stored model cannot be used; the facts that stand in it are then missing."""


def listed(ports: Ports, case: str) -> list[Row]:
    """Every version, oldest first, with its metrics on the validation periods."""
    pointer = ports.endpoints.pointer(case)
    live = {pointer.previous: "previous", pointer.challenger: "challenger", pointer.champion: "champion"}
    traffic = ports.endpoints.traffic(case)
    rows = []
    for version in ports.registry.versions(case):
        role = live.get(version.version, "")
        row = Row(
            version.version,
            role,
            traffic.get(version.version, 0),
            version.created,
            version.tags.get("run", ""),
            rows=0,
            trained_to="",
            metrics={},
            identity=version.identity,
        )
        rows.append(_described(ports, case, row))
    return rows


def _described(ports: Ports, case: str, row: Row) -> Row:
    """The row with what its model says; a harmed one does not hide the others."""
    try:
        found = read(ports.registry.fetch(case, row.version))
    except ArtifactError as error:
        return replace(row, harm=str(error))
    return replace(row, rows=found.rows, trained_to=found.trained_to, metrics=dict(found.metrics))


def read(folder: Path) -> Model:
    """The model.json of a registered model. Raises ArtifactError."""
    manifest = artifacts.read_manifest(folder, "model")
    return Model.from_json(artifacts.read_named(folder, manifest, model.FILE), where=str(folder))


@dataclass(frozen=True)
class Comparison:
    """Two versions: metrics side by side, what differs of the settings, and the difference of their code."""

    metrics: list[tuple[str, float | None, float | None]]
    settings: list[tuple[str, str, str]]
    code: list[str]


def compare(ports: Ports, case: str, first: int, second: int) -> Comparison:
    """How two versions differ. Raises CaseError for a version that is none."""
    known = [version.version for version in ports.registry.versions(case)]
    for wanted in (first, second):
        if wanted not in known:
            raise CaseError("VERSION", f"be one of {known}", wanted, f"See `esteira models list {case}`.")
    folders = [ports.registry.fetch(case, version) for version in (first, second)]
    one, two = (read(folder) for folder in folders)
    names = sorted({*one.metrics, *two.metrics})
    metrics = [(name, one.metrics.get(name), two.metrics.get(name)) for name in names]
    bundles = [bundle.read(f / model.BUNDLE, m.bundle) for f, m in zip(folders, (one, two), strict=True)]
    return Comparison(metrics, _settings(one, two, bundles), _code(bundles, (first, second)))


def _settings(one: Model, two: Model, bundles: list[bundle.Bundle]) -> list[tuple[str, str, str]]:
    flat = []
    for described, made in zip((one, two), bundles, strict=True):
        facts = {
            "estimator": described.estimator,
            "threshold": described.threshold,
            "rows": described.rows,
            "trained_from": described.trained_from,
            "trained_to": described.trained_to,
            "data": described.data,
            **{f"parameters.{key}": value for key, value in described.parameters.items()},
            **_leaves("case", json.loads(made.files["case.json"])),
        }
        flat.append({key: str(value) for key, value in facts.items()})
    keys = sorted({*flat[0], *flat[1]})
    pairs = [(key, flat[0].get(key, "absent"), flat[1].get(key, "absent")) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _leaves(place: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _leaves(f"{place}.{key}", inner).items()}
    return {place: value}


def _code(bundles: list[bundle.Bundle], versions: tuple[int, int]) -> list[str]:
    lines = []
    names = sorted({name for made in bundles for name in made.files if name.endswith((".py", ".pbtxt"))})
    for name in names:
        one, two = (made.files.get(name, b"").decode().splitlines() for made in bundles)
        labels = [f"{name} (version {version})" for version in versions]
        lines += list(difflib.unified_diff(one, two, labels[0], labels[1], lineterm=""))
    return lines
