"""evaluation.json, and what the page shows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.core import blocks
from components.core.blocks import Block, finite
from components.core.curves import Roc
from components.core.intervals import Estimate
from components.core.metrics import LESS_IS_BETTER
from components.evaluate.findings import Findings

FORMAT = 1
_TOP = 20
"""So many features are drawn."""


def to_json(found: Findings) -> bytes:
    return json.dumps(data(found), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def data(found: Findings) -> dict[str, Any]:
    """Everything as JSON; a number that is not finite is null, a metric that is not is named in `undefined`."""
    picture, values = found.picture, {name: e.value for name, e in found.metrics.items()}
    return {
        "format": FORMAT,
        "accepted": found.verdict.accepted,
        "unchanged": found.verdict.unchanged,
        "reasons": list(found.verdict.reasons),
        "task": found.model.task,
        "model": found.model.identity,
        "main_metric": found.main,
        "rows": found.rows,
        "window": list(found.window),
        "confidence": found.gate.confidence,
        "metrics": _known(values),
        "undefined": sorted(set(values) - set(_known(values))),
        "intervals": {name: _interval(e) for name, e in found.metrics.items()},
        "champion": _champion(found),
        "slices": [
            {
                "column": s.column,
                "value": s.value,
                "rows": s.rows,
                "metrics": {name: [finite(e.value), *_interval(e)] for name, e in s.metrics.items()},
            }
            for s in found.slices
        ],
        "baselines": {name: _known(metrics) for name, metrics in picture.baselines.items()},
        "calibration": {
            "bins": [{"rows": b.rows, "score": finite(b.score), "actual": finite(b.actual)} for b in picture.bins],
            "expected_error": finite(picture.calibration_error),
        },
        "roc": None if picture.roc is None else vars(picture.roc),
        "confusion": picture.confusion and {"labels": picture.confusion[0], "matrix": picture.confusion[1]},
        "importance": _known(found.importance),
    }


def _champion(found: Findings) -> dict[str, Any] | None:
    opponent = found.opponent
    if opponent is None:
        return None
    return {
        "version": opponent.version,
        "identity": opponent.identity,
        "rows": opponent.rows,
        "note": opponent.note,
        "metrics": _known(opponent.metrics),
        "differences": {n: [finite(e.value), *_interval(e)] for n, e in opponent.differences.items()},
    }


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {name: number for name, value in values.items() if (number := finite(value)) is not None}


def _interval(estimate: Estimate) -> list[float | None]:
    return [finite(estimate.low), finite(estimate.high)]


def report(found: Findings) -> list[Block]:
    """The blocks of the page: the verdict first, then why."""
    return [
        blocks.verdict(found.verdict.accepted, found.verdict.reasons, said=_said(found)),
        _metrics(found),
        *_differences(found),
        *_slices(found),
        *_curves(found),
        *_importance(found),
        _baselines(found),
    ]


def _said(found: Findings) -> str:
    return blocks.UNCHANGED if found.verdict.unchanged else ""


def _row(name: str, estimate: Estimate, **more: object) -> dict[str, object]:
    given = {key: value for key, value in more.items() if value is not None}
    return {"name": name, "value": estimate.value, "low": estimate.low, "high": estimate.high, **given}


def _metrics(found: Findings) -> Block:
    rows = [_row(name, e, bar=found.gate.floors.get(name)) for name, e in found.metrics.items()]
    return blocks.intervals(f"Metrics on the holdout, {found.gate.confidence * 100:g} % intervals", rows)


def _differences(found: Findings) -> list[Block]:
    if found.opponent is None:
        return []
    bar = found.gate.tolerance if found.main in LESS_IS_BETTER else -found.gate.tolerance
    rows = [_row(n, e, bar=bar if n == found.main else None) for n, e in found.opponent.differences.items()]
    return [blocks.intervals(f"Challenger minus champion (version {found.opponent.version})", rows)]


def _slices(found: Findings) -> list[Block]:
    bars = {(rule.column, rule.metric): rule for rule in found.gate.slices}
    rows: dict[str, list[dict[str, object]]] = {}
    for s in found.slices:
        for name, estimate in s.metrics.items():
            rule = bars.get((s.column, name))
            bar = rule.floor if rule is not None and s.rows >= rule.minimum_rows else None
            rows.setdefault(name, []).append(
                _row(s.value or "(missing)", estimate, bar=bar, group=s.column, rows=s.rows)
            )
    return [blocks.intervals(f"{name} by slice", some[:60]) for name, some in rows.items()]


def _curves(found: Findings) -> list[Block]:
    picture, made = found.picture, []
    if picture.roc is not None:
        series = {"challenger": _points(picture.roc)}
        if found.opponent is not None and found.opponent.roc is not None:
            series["champion"] = _points(found.opponent.roc)
        made.append(blocks.lines("ROC", series, x="false positive rate", y="true positive rate", diagonal=True))
    if picture.bins:
        points = ([round(b.score, 6) for b in picture.bins], [round(b.actual, 6) for b in picture.bins])
        error = "" if picture.calibration_error is None else f", expected error {picture.calibration_error:.4f}"
        y = "mean label" if found.model.task == "regression" else "share that came true"
        made.append(blocks.lines(f"Calibration{error}", {"model": points}, x="mean score", y=y, diagonal=True))
    if picture.confusion is not None:
        made.append(blocks.matrix("Confusion matrix", *picture.confusion))
    return made


def _points(roc: Roc) -> tuple[list[float], list[float]]:
    return [round(v, 5) for v in roc.fpr], [round(v, 5) for v in roc.tpr]


def _importance(found: Findings) -> list[Block]:
    if not found.importance:
        return []
    verb = "rises" if found.main in LESS_IS_BETTER else "falls"
    names = list(found.importance)[:_TOP]
    title = f"Permutation importance: {found.main} {verb} by"
    return [blocks.bars(title, names, [found.importance[name] for name in names])]


def _baselines(found: Findings) -> Block:
    baselines = found.picture.baselines
    rows: list[list[object]] = [
        [name, e.value, *(values[name] for values in baselines.values())] for name, e in found.metrics.items()
    ]
    return blocks.table("Beside a constant answer", ["metric", "model", *baselines], rows)
