"""Predictions in a process of their own, which imports them by name."""

from __future__ import annotations

from collections.abc import Sequence

from components.predict import task
from components.step import Launch


def predict(launch: Launch, scores: Sequence[str]) -> int:
    """Predicts each of the rows, one after the other; how many there were."""
    done = [task.run(launch, score=score, predictions=f"{score}-predicted") for score in scores]
    return sum(result.rows_out or 0 for result in done)
