"""What the run's page and console show of the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.core import blocks
from components.core.blocks import Block
from components.core.case import Case
from components.preprocess.period import Outcome

_USES = ("train", "validation", "holdout", "score")


def totals(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The counts of all periods."""
    names = outcomes[0].counts if outcomes else {}
    return {name: sum(outcome.counts[name] for outcome in outcomes) for name in names}


def written(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The rows published by use."""
    return {use: sum(o.counts["written"] for o in outcomes if o.use == use) for use in _USES}


def summary(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "No new rows."
    counts = totals(outcomes)
    parts = [f"{rows:,} rows for {use}" for use, rows in written(outcomes).items() if rows]
    parts += [f"{counts[name]:,} {name}" for name in ("unlabelled", "refused") if counts[name]]
    return ", ".join(parts)


def report(case: Case, outcomes: Sequence[Outcome], features: Mapping[str, str]) -> list[Block]:
    """Rows and label per period, and the reasons of the columns."""
    if not outcomes:
        return []
    thinned = blocks.thin(outcomes)
    keys = [outcome.key for outcome in thinned]
    rows = [
        [o.key, o.use, o.counts["written"], o.counts["unlabelled"], o.counts["refused"], _mean(case, o)]
        for o in thinned
    ]
    name = "positive" if case.model.task == "binary" else "mean label"
    return [
        blocks.facts(
            "Transform",
            {
                "features": len(features),
                "reference columns": sum(len(reference.take) for reference in case.references.values()),
                "window columns": sum(len(window.names(name)) for name, window in case.windows.items()),
                "laws kept": ", ".join(next((o.laws for o in outcomes if o.laws), [])) or "not checked again",
            },
        ),
        blocks.table(f"Split by {case.split.by}", [case.split.by, "use", "rows", "unlabelled", "refused", name], rows),
        blocks.categories(
            f"Rows per {case.split.by}",
            keys,
            {use: [o.counts["written"] if o.use == use else 0 for o in thinned] for use in _USES},
        ),
    ]


def _mean(case: Case, outcome: Outcome) -> float | None:
    if case.model.task == "multiclass" or not outcome.labelled:
        return None
    return outcome.total / outcome.labelled
