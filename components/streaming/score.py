"""The fourth step: features and predictions of enriched events, each by its version; what a transform refuses apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.core.columns import Columns
from components.core.errors import FeatureError, ModelError, RowError
from components.core.scorer import Scorer


@dataclass(frozen=True)
class Scored:
    """Of n rows: `score` (n,) float64 and `decision` (n,) object of str; NaN and None where refused, and why by row."""

    score: npt.NDArray[np.float64]
    decision: npt.NDArray[np.object_]
    refused: dict[int, str]


def score(scorer: Scorer, columns: Columns, rows: int) -> Scored:
    """Predictions of the model's input columns (n rows); rows at fault are found by halving.

    Where no row is at fault, but the transform itself, all are refused: the stream goes on with other versions.
    """
    made = Scored(np.full(rows, np.nan), np.full(rows, None, dtype=object), {})
    stack = [np.arange(rows)] if rows else []
    while stack:
        at = stack.pop()
        try:
            found = scorer.predict(columns if len(at) == rows else {n: v[at] for n, v in columns.items()})
        except Exception as error:  # the model's runtime may raise anything, and no row may end the stream
            if isinstance(error, FeatureError) and not isinstance(error, RowError):
                made.refused.update(dict.fromkeys(at.tolist(), str(error)))
            elif len(at) > 1:
                stack += [at[len(at) // 2 :], at[: len(at) // 2]]
            else:
                made.refused[int(at[0])] = str(_told(error))
        else:
            made.score[at], made.decision[at] = found.score, found.decision
    return made


def _told(error: Exception) -> Exception:
    """What is not ours yet, as ours."""
    if isinstance(error, RowError):
        return error
    return ModelError("model", "score the row", f"{type(error).__name__}: {error}", "Mend the model, or the row.")
