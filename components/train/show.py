"""What the run's page shows of a training."""

from __future__ import annotations

from collections.abc import Sequence

from components.core import blocks
from components.core.blocks import Block
from components.core.metrics import LESS_IS_BETTER
from components.core.model import Model
from components.train.data import Data
from components.train.proof import TOLERANCE, Proof
from components.train.scoring import Scored
from components.train.search import Trial


def report(
    data: Data, described: Model, scored: Scored, proof: Proof | None, trials: Sequence[Trial], main: str
) -> list[Block]:
    """The blocks of the page; `main` names the metric that the search went by."""
    names, values = list(described.metrics), [round(v, 4) for v in described.metrics.values()]
    made = [
        _facts(data, described),
        blocks.table("Metrics on the validation rows", ["metric", "value"], list(zip(names, values, strict=True))),
    ]
    return [*made, *_threshold(scored), *_trials(trials, main), _proof(described, proof)]


def _facts(data: Data, described: Model) -> Block:
    given = ", ".join(f"{name} {_short(value)}" for name, value in described.parameters.items())
    return blocks.facts(
        "Training",
        {
            "estimator": described.estimator,
            "parameters": given or "as scikit-learn sets them",
            "rows to learn from": f"{described.rows:,}, {described.trained_from} to {described.trained_to}",
            "rows to choose by": f"{len(data.validation):,}",
            "features": f"{len(described.numbers)} numbers, {len(described.strings)} texts",
            "identity": described.identity,
        },
    )


def _threshold(scored: Scored) -> list[Block]:
    if scored.chosen is None:
        return []
    chosen = scored.chosen
    curves = {chosen.by: chosen.values, "precision": chosen.precision, "recall": chosen.recall}
    xs = [round(v, 5) for v in blocks.thin(chosen.thresholds.tolist())]
    series = {name: (xs, [round(v, 5) for v in blocks.thin(ys.tolist())]) for name, ys in curves.items()}
    title = f"Threshold {chosen.threshold:.4f}: {chosen.by} {chosen.value:.4f} on the validation rows"
    return [blocks.lines(title, series, x="threshold", y="value")]


def _trials(trials: Sequence[Trial], main: str) -> list[Block]:
    if not trials:
        return []
    known = [(i, trial.value) for i, trial in enumerate(trials, 1) if trial.value is not None]
    sign = 1 if main in LESS_IS_BETTER else -1
    best = sorted((t for t in trials if t.value is not None), key=lambda t: sign * (t.value or 0.0))[:10]
    rows = [[", ".join(f"{name} {_short(value)}" for name, value in t.parameters.items()), t.value] for t in best]
    points = ([i for i, _ in known], [round(value, 6) for _, value in known])
    return [
        blocks.lines(f"Search: {main} on the validation rows", {main: points}, x="trial", y=main),
        blocks.table("The best trials", ["parameters", main], rows),
    ]


def _proof(described: Model, proof: Proof | None) -> Block:
    if proof is None:
        return blocks.text("ONNX", "None: scikit-learn itself scores (serve_with: skops); no prediction server has it.")
    return blocks.facts(
        "ONNX equals scikit-learn",
        {
            "rows compared": f"{proof.rows:,} of validation, {proof.generated:,} generated",
            "largest difference": f"{proof.largest:.2g} (tolerance {TOLERANCE:g} + {TOLERANCE:g} of the value)",
            "decisions that differ": proof.flips(described),
        },
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
