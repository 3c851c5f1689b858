"""The proof that the exported model is the trained one: both score the same rows, real and made up, and must agree."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.columns import Array, Columns
from components.core.errors import ProofError
from components.core.model import Model, Task
from components.core.scorer import decide, frame, onnx_raw, sklearn_raw
from components.train.data import Rows
from components.train.estimators import CATEGORIES, ENCODE, ESTIMATOR, NUMBERS, is_tree
from components.train.export import Features, encoder_to_onnx

TOLERANCE = 1e-5
"""Of |onnx - sklearn|, absolute and per unit of |sklearn|."""
MOST_ROWS = 20_000
_BASE = 64
_TEXTS = ("", " ", "never seen", "\N{GRINNING FACE}", "ß", "e\N{COMBINING ACUTE ACCENT}", "x" * 5000)
_REMEDIES = {
    NUMBERS: "Set model.scale: false for trees, or model.serve_with: skops where no server is needed.",
    CATEGORIES: "Set model.categories to another encoding, or model.serve_with: skops where no server is needed.",
    ESTIMATOR: "Choose another estimator or other parameters, or model.serve_with: skops where no server is needed.",
}


@dataclass(frozen=True)
class Proof:
    """What both models gave for the same rows, and their largest difference."""

    rows: int
    generated: int
    largest: float
    expected: npt.NDArray[Any]
    given: npt.NDArray[Any]

    def flips(self, described: Model) -> int:
        """How many decisions differ: only where a score lies within the tolerance of the threshold can they."""
        if described.task == "regression":
            return 0
        decisions = [decide(described, raw).decision for raw in (self.expected, self.given)]
        return int((decisions[0] != decisions[1]).sum())


def prove(pipeline: Any, onnx: bytes, features: Features, rows: Rows, task: Task) -> Proof:
    """Compares a fitted pipeline with its export on at most 20,000 of the rows and on generated ones.

    Generated rows hold missing, extreme and neighbouring numbers and missing, unseen and odd texts, one at a time and
    all together.

    Raises
    ------
    ProofError
        |onnx - sklearn| > 1e-5 + 1e-5 |sklearn| somewhere: it names the first stage that differs.
    """
    real = rows.take(np.unique(np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows)), dtype=np.int64))).columns
    made = generated(real, features, extreme=is_tree(pipeline[-1]))
    columns = {name: np.concatenate([real[name], made[name]]) for name, _ in features}
    names = [tuple(n for n, k in features if k == kind) for kind in ("float32", "string")]
    expected = _quietly(sklearn_raw(pipeline, features), columns)
    given = onnx_raw(onnx, *names)(columns).reshape(expected.shape)
    wrong, largest = compare(expected, given)
    if wrong.any():
        at = int(np.flatnonzero(wrong.reshape(len(expected), -1).any(axis=1))[0])
        _refuse(pipeline, onnx, features, columns, f"{largest:.3g} in {task} scores, first in row {at}")
    return Proof(len(real[features[0][0]]), len(made[features[0][0]]), largest, expected, given)


def compare(expected: npt.NDArray[Any], given: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], float]:
    """Where two arrays differ by more than the tolerance, and the largest difference; NaN equals NaN only."""
    with np.errstate(all="ignore"):
        difference = np.abs(given.astype(np.float64) - expected)
        same = (given == expected) | (np.isnan(given) & np.isnan(expected))
        near = np.isfinite(difference) & (difference <= TOLERANCE + TOLERANCE * np.abs(expected))
    return ~(same | near), float(np.max(np.where(same, 0.0, difference), initial=0.0))


def generated(real: Columns, features: Features, *, extreme: bool) -> Columns:
    """Rows as they do not come every day, made from the first and the last of real ones.

    `extreme` adds the largest float32 values, where arithmetic other than comparison overflows.
    """
    base = np.unique(np.linspace(0, len(real[features[0][0]]) - 1, _BASE, dtype=np.int64))
    odd = {n: _numbers(real[n], extreme) if k == "float32" else _texts(real[n]) for n, k in features}
    most = max(len(values) for values in odd.values())
    parts = {name: [np.resize(values, most)] for name, values in odd.items()}
    for name, _ in features:
        count = len(odd[name])
        places = np.resize(base, count)
        for other, _ in features:
            parts[other].append(odd[name] if other == name else real[other][places])
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}


def _numbers(values: Array, extreme: bool) -> npt.NDArray[np.float32]:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    span = max(high - low, 1.0)
    far = [low - 1000 * span, high + 1000 * span, *([-3.4e38, 3.4e38] if extreme else [])]
    some = known[np.unique(np.linspace(0, len(known) - 1, 8, dtype=np.int64))] if len(known) else known
    with np.errstate(over="ignore"):
        near = [np.nextafter(some, np.float32(end)) for end in (-np.inf, np.inf)]
        odd = np.array([np.nan, 0.0, -0.0, 1e-30, *far]).astype(np.float32)
    made: npt.NDArray[np.float32] = np.concatenate([odd, some, *near])
    return made[~np.isinf(made)]


def _texts(values: Array) -> npt.NDArray[np.object_]:
    known = sorted(set(values.tolist()))[:8]
    variants = [v for text in known for v in _variants(text)]
    return np.array([*dict.fromkeys([*_TEXTS, *known, *variants])], dtype=object)


def _variants(text: str) -> Iterator[str]:
    yield from (text.upper(), text.lower(), f"{text} ", f" {text}", f"{text}\0")
    yield from (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))


def _quietly(call: Any, columns: Columns) -> npt.NDArray[Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # overflow and unseen categories are what these rows are for
        return np.asarray(call(columns), dtype=np.float64)


def _refuse(pipeline: Any, onnx: bytes, features: Features, columns: Columns, found: str) -> None:
    stage, parts = _first_difference(pipeline, onnx, features, columns)
    rule = f"give in ONNX what it gives in scikit-learn, to {TOLERANCE:g} (it is the first stage that does not)"
    raise ProofError(f"{stage} ({parts})", rule, found, _REMEDIES[stage], where="train")


def _first_difference(pipeline: Any, onnx: bytes, features: Features, columns: Columns) -> tuple[str, str]:
    """The block of the encoder, or the estimator, that differs first; and the classes it is made of.

    What a tree compares must be equal to the last bit; what is added up may differ by the tolerance.
    """
    encode, estimator = pipeline.named_steps[ENCODE], pipeline[-1]
    names = [tuple(n for n, k in features if k == kind) for kind in ("float32", "string")]
    expected = _quietly(lambda c: encode.transform(frame(c, features)), columns)
    given = onnx_raw(encoder_to_onnx(encode, features, like=onnx), *names)(columns).astype(np.float64)
    for name, place in encode.output_indices_.items():
        left, right = expected[:, place], given[:, place]
        same = left == right if is_tree(estimator) else ~compare(left, right)[0]
        if not (same | (np.isnan(left) & np.isnan(right))).all():
            block = encode.named_transformers_[name]
            steps = [step for _, step in getattr(block, "steps", [(name, block)])]
            return name, ", ".join(type(step).__name__ for step in steps)
    return ESTIMATOR, type(estimator).__name__
