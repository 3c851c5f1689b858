"""What evaluate found, measured once; `show` writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.adapters.ports import ModelVersion
from components.core import curves
from components.core.curves import Bin, Roc
from components.core.intervals import Estimate, Sampled, resample
from components.core.metrics import compute
from components.core.model import Model
from components.core.operations import Gate
from components.core.policy import Comparison, Slice, Verdict
from components.evaluate.holdout import Mask, Rows, Scores


@dataclass(frozen=True)
class Opponent:
    """The champion on the rows that both models may be compared on: its metrics, and challenger minus champion."""

    version: int
    identity: str
    rows: int
    note: str
    metrics: Mapping[str, float]
    challenger: Mapping[str, float]
    differences: Mapping[str, Estimate]
    roc: Roc | None

    def comparison(self, main: str) -> Comparison:
        return Comparison(
            self.version, self.rows, self.challenger[main], self.metrics[main], self.differences[main], self.note
        )


@dataclass(frozen=True)
class Picture:
    """Beyond the metrics: curves, tables and what the simplest models reach."""

    roc: Roc | None
    bins: Sequence[Bin]
    calibration_error: float | None
    confusion: tuple[list[str], list[list[int]]] | None
    baselines: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Findings:
    model: Model
    gate: Gate
    main: str
    verdict: Verdict
    rows: int
    window: tuple[str, str]
    """Event time of the first and the last row: ISO 8601, UTC."""
    metrics: Mapping[str, Estimate]
    slices: Sequence[Slice]
    opponent: Opponent | None
    picture: Picture
    importance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rival:
    """The champion as loaded: its record, its answers, and the rows that it was not trained on."""

    record: ModelVersion
    scores: Scores
    unseen: Mask
    note: str


def measured(
    scores: Scores, rows: Rows, rival: Rival | None, gate: Gate, seed: int
) -> tuple[dict[str, Estimate], Opponent | None]:
    """The challenger's metrics on all rows, and both models' on the rows that the champion was not trained on."""
    whole = rival is not None and bool(rival.unseen.all())
    both = [scores, rival.scores] if rival is not None and whole else [scores]
    sampled = resample([s.measure(rows) for s in both], len(rows), resamples=gate.resamples, seed=seed)
    estimates = {name: s.estimate(gate.confidence) for name, s in sampled[0].items()}
    if rival is None:
        return estimates, None
    if not whole:
        pair = [s.measure(rows, rival.unseen) for s in (scores, rival.scores)]
        sampled = resample(pair, int(rival.unseen.sum()), resamples=gate.resamples, seed=seed)
    return estimates, _opponent(rival, rows, sampled[0], sampled[1], gate.confidence)


def _opponent(
    rival: Rival, rows: Rows, challenger: Mapping[str, Sampled], champion: Mapping[str, Sampled], confidence: float
) -> Opponent:
    return Opponent(
        rival.record.version,
        rival.record.identity,
        int(rival.unseen.sum()),
        rival.note,
        {name: s.value for name, s in champion.items()},
        {name: s.value for name, s in challenger.items()},
        {name: s.minus(champion[name]).estimate(confidence) for name, s in challenger.items()},
        _roc(rival.scores, rows),
    )


def picture(scores: Scores, rows: Rows) -> Picture:
    if scores.task == "regression":
        edges = np.unique(np.quantile(scores.scores, np.linspace(0, 1, curves.BINS + 1)[1:-1]))
        bins = curves.reliability(rows.labels, scores.scores, rows.weights, edges)
        return Picture(None, bins, None, None, _baselines(scores, rows))
    if scores.task == "binary":
        hits, told = rows.labels, scores.scores
        labels = np.where(rows.labels == 1, "1", "0").tolist()
    else:
        hits, told = (rows.labels == scores.decisions).astype(np.float64), scores.scores.max(axis=1)
        labels = rows.labels.tolist()
    bins = curves.reliability(hits, told, rows.weights)
    confusion = curves.confusion(labels, scores.decisions.tolist(), scores.classes or ("0", "1"))
    return Picture(_roc(scores, rows), bins, curves.calibration_error(bins), confusion, _baselines(scores, rows))


def _roc(scores: Scores, rows: Rows) -> Roc | None:
    return curves.roc(rows.labels, scores.scores, rows.weights) if scores.task == "binary" else None


def _baselines(scores: Scores, rows: Rows) -> dict[str, dict[str, float]]:
    """What the best constant answer reaches: the holdout's own shares or mean, which no model gets to know."""
    n, total = len(rows), rows.weights.sum()
    if scores.task == "multiclass":
        shares = np.array([rows.weights[rows.labels == name].sum() for name in scores.classes]) / total
        majority = np.full(n, scores.classes[int(shares.argmax())], dtype=object)
        constant = compute(
            "multiclass", rows.labels, np.tile(shares, (n, 1)), majority, rows.weights, classes=scores.classes
        )
        return {"majority class": constant}
    mean = float((rows.weights * rows.labels).sum() / total)
    answers = np.full(n, "1" if mean > 0.5 else "0", dtype=object)
    constant = compute(scores.task, rows.labels, np.full(n, mean), answers, rows.weights)
    return {"majority class" if scores.task == "binary" else "mean": constant}
