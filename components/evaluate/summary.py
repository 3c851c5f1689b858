"""The verdict and its numbers as Markdown, for a console that shows it beside the task."""

from __future__ import annotations

import math

from components.core.intervals import Estimate
from components.evaluate.findings import Findings


def markdown(found: Findings, said: str) -> bytes:
    """The verdict in a word, its reasons, and each metric with its interval beside the champion's."""
    reasons = [f"- {reason}" for reason in found.verdict.reasons]
    lines = [f"## {said}", "", *reasons, "", *_table(found)]
    return ("\n".join(lines) + "\n").encode()


def _table(found: Findings) -> list[str]:
    opponent = found.opponent
    columns = ["metric", "challenger"]
    if opponent is not None:
        columns += [f"champion (version {opponent.version})", "difference"]
    lines = [_row(columns), _row([":--", *["--:"] * (len(columns) - 1)])]
    for name, estimate in found.metrics.items():
        cells = [name, _shown(estimate)]
        if opponent is not None:
            theirs, difference = opponent.metrics.get(name), opponent.differences.get(name)
            cells += ["" if theirs is None else f"{theirs:.4g}", "" if difference is None else _shown(difference)]
        lines.append(_row(cells))
    return lines


def _shown(estimate: Estimate) -> str:
    interval = f" ({estimate.low:.4g} to {estimate.high:.4g})" if math.isfinite(estimate.high - estimate.low) else ""
    return f"{estimate.value:.4g}{interval}" if math.isfinite(estimate.value) else "undefined"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
