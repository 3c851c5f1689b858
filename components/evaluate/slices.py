"""The holdout by the values of a column: what the gate asks for, and what a person would look at first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from components.core.intervals import resample
from components.core.model import Model
from components.core.operations import Gate
from components.core.policy import Slice
from components.evaluate.holdout import Rows, Scores

MAX_VALUES = 20
"""A string input with more values is not sliced by, unless the gate asks."""
MAX_COLUMNS = 6
MINIMUM_ROWS = 100
"""A slice with fewer rows is counted and not measured, unless the gate asks."""


def columns(gate: Gate, model: Model) -> tuple[str, ...]:
    """Those that the gate names, then the model's string inputs."""
    asked = [rule.column for rule in gate.slices]
    return tuple(dict.fromkeys([*asked, *(name for name, kind in model.inputs if kind == "string")]))


def slices(scores: Scores, rows: Rows, gate: Gate, main: str, seed: int) -> list[Slice]:
    """By column, the largest first; with intervals of the main metric and of those that the gate asks for."""
    asked = {rule.column for rule in gate.slices}
    others = [name for name, texts in rows.texts.items() if name not in asked and len(texts.values) <= MAX_VALUES]
    chosen = [name for name in rows.texts if name in asked or name in others[:MAX_COLUMNS]]
    return [made for name in chosen for made in _slices(name, scores, rows, gate, main, seed)]


def _slices(name: str, scores: Scores, rows: Rows, gate: Gate, main: str, seed: int) -> Iterator[Slice]:
    rules = [rule for rule in gate.slices if rule.column == name]
    metrics = {main, *(rule.metric for rule in rules)}
    least = min([rule.minimum_rows for rule in rules], default=MINIMUM_ROWS)
    codes, values = rows.texts[name].codes, rows.texts[name].values
    counts = np.bincount(codes, minlength=len(values))
    for code in sorted(np.flatnonzero(counts), key=lambda code: (-counts[code], values[code])):
        size = int(counts[code])
        if size < least:
            yield Slice(name, values[code], size)
            continue
        measure = scores.measure(rows, codes == code, metrics)
        (sampled,) = resample([measure], size, resamples=gate.resamples, seed=seed)
        yield Slice(name, values[code], size, {m: s.estimate(gate.confidence) for m, s in sampled.items()})
