"""What `model.json` says: the frozen description of a trained model, read by everything that scores or registers one.

The identity names the model's content: sha256 over the served model, the schema of its inputs and the digest of its
bundle. Metrics, versions of libraries, run names and times stay outside, so equal training gives an equal identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, Literal

from components.core.errors import ArtifactError

FORMAT = 1
FILE = "model.json"
ONNX = "model.onnx"
SKOPS = "model.skops"
BASELINE = "baseline.json"
BUNDLE = "bundle"
NUMBERS = "numbers"
"""The ONNX model's input of all float features, (n, k) in the order of `features`."""
STRINGS = "strings"
"""Its input of all str features, (n, m)."""

Task = Literal["binary", "multiclass", "regression"]
_REMEDY = "Train the model again."


@dataclass(frozen=True)
class Model:
    """A trained model.

    `inputs` are the columns that the transform takes (name, case type) and `features` those that it gives
    (name, "float32" or "string"), both in order. `classes` are texts in the order of the probabilities, empty for
    regression; `threshold` is set for binary models only: the decision is "1" where score >= threshold.
    """

    identity: str
    case: str
    task: Task
    estimator: str
    parameters: Mapping[str, Any]
    """Those given to the estimator: the case's, with what the search chose."""
    inputs: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    threshold: float | None
    serve_with: Literal["onnx", "skops"]
    metrics: Mapping[str, float]
    """On the validation periods."""
    trained_from: str
    """The event time of the first and the last row that the model was fitted on: ISO 8601, UTC."""
    trained_to: str
    rows: int
    """How many rows it was fitted on."""
    data: str
    """The digest of the features that it learned from."""
    bundle: str
    seed: int
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.features if kind == "float32")

    @property
    def strings(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.features if kind == "string")

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str = "") -> Model:
        """The description in the bytes of a `model.json`.

        Raises
        ------
        ArtifactError
            It is no JSON, lacks a key, has an unknown one, or is of another format.
        """
        try:
            raw = json.loads(data)
            found = set(raw)
        except (ValueError, TypeError) as error:
            raise ArtifactError(FILE, "be a JSON object", str(error), _REMEDY, where=where) from error
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            value = raw.get("format") if isinstance(raw, dict) else raw
            raise ArtifactError("format", f"be {FORMAT}", value, "Use the release that wrote it.", where=where)
        expected = {f.name for f in fields(cls)}
        if found != expected:
            raise ArtifactError(FILE, "have the keys of a model", sorted(found ^ expected), _REMEDY, where=where)
        try:
            for name in ("inputs", "features"):
                raw[name] = tuple((str(column), str(kind)) for column, kind in raw[name])
            raw["classes"] = tuple(str(c) for c in raw["classes"])
        except (TypeError, ValueError) as error:
            raise ArtifactError(FILE, "list names and types", str(error), _REMEDY, where=where) from error
        return cls(**raw)


def identity(content: str, inputs: tuple[tuple[str, str], ...], bundle: str) -> str:
    """The sha256 that names a model.

    Parameters
    ----------
    content
        The sha256 of `model.onnx`, or of what `model.skops` holds (`skops_file.content_digest`).
    inputs
        The columns that the transform takes, with their case types, in order.
    bundle
        The digest of the case bundle.
    """
    parts = {"model": content, "inputs": [list(pair) for pair in inputs], "bundle": bundle}
    return sha256(json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
