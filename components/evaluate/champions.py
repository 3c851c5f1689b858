"""The champion: which version the pointer names, and its model with its own code."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from components.adapters.ports import ModelVersion, Ports
from components.core.errors import ModelError
from components.core.model import Model
from components.evaluate.holdout import Mask, Rows


def current(ports: Ports, case: str) -> ModelVersion | None:
    """The champion's registry record; None where nothing is live. Raises ArtifactError where it is gone."""
    version = ports.endpoints.pointer(case).champion
    return None if version is None else ports.registry.get(case, version)


def check(challenger: Model, champion: Model) -> None:
    """Refuses to compare models of different tasks. Raises ModelError."""
    if champion.task != challenger.task:
        rule, remedy = f"be a {challenger.task} model as the challenger is", "Give the changed case another name."
        raise ModelError("champion", rule, champion.task, remedy)


def unseen(champion: Model, version: int, rows: Rows) -> tuple[Mask, str]:
    """Which rows the champion was not trained on, and a sentence about them where that is not all of them."""
    first, last = _moment(champion.trained_from), _moment(champion.trained_to)
    if first > rows.times.max() or last < rows.times.min():
        return np.ones(len(rows), dtype=bool), ""
    after = rows.times > last
    return after, (
        f"Champion version {version} was trained on data up to {champion.trained_to}, inside the holdout: "
        f"only the {int(after.sum()):,} rows after it are compared."
    )


def _moment(text: str) -> np.datetime64:
    moment = datetime.fromisoformat(text)
    naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return np.datetime64(naive, "us")
