"""`esteira models`: the versions of a case's model, what is live, and how two of them differ."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.adapters.ports import ModelVersion, Ports
from components.core import artifacts, bundle, model
from components.core.errors import CaseError
from components.core.model import Model


@dataclass(frozen=True)
class Row:
    """One version as it is listed. `live` is champion, previous, challenger or empty, from the pointer."""

    version: int
    live: str
    created: float
    run: str
    rows: int
    trained_to: str
    metrics: dict[str, float]
    identity: str


def listed(ports: Ports, case: str) -> list[Row]:
    """Every version, oldest first, with its metrics on the validation periods."""
    pointer = ports.endpoints.pointer(case)
    live = {pointer.previous: "previous", pointer.challenger: "challenger", pointer.champion: "champion"}
    rows = []
    for version in ports.registry.versions(case):
        described = read(ports.registry.fetch(case, version.version))
        rows.append(_row(version, described, live.get(version.version, "")))
    return rows


def _row(version: ModelVersion, described: Model, live: str) -> Row:
    return Row(
        version.version,
        live,
        version.created,
        version.tags.get("run", ""),
        described.rows,
        described.trained_to,
        dict(described.metrics),
        version.identity,
    )


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
