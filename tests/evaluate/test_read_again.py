"""What evaluate writes is what a registry is shown."""

from __future__ import annotations

from typing import Any

import pytest

from components.adapters.gcp import evaluations
from components.core import artifacts, evaluated
from tests.evaluate.conftest import GOOD, Maker
from tests.servers.vertex import metrics


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_an_evaluation_is_read_whole_and_fits_googles_schema(world: Maker, kind: Any) -> None:
    here = world(kind)
    here.run(here.model(GOOD[kind]))
    found, data = evaluated.read(here.evaluation, kind), here.data()
    assert found.id == artifacts.read_manifest(here.evaluation).digest
    assert found.metrics == data["metrics"]
    assert [(s.column, s.value, s.rows) for s in found.slices] == [
        (s["column"], s["value"], s["rows"]) for s in data["slices"]
    ]
    assert (found.roc is not None, found.confusion is not None) == (kind == "binary", kind != "regression")
    made = evaluations.whole(found)
    metrics.check(evaluations.schema(kind), made)
    assert len(made.get("confidenceMetrics", [])) > (10 if kind == "binary" else -1)
    for part in found.slices:
        if shown := evaluations.part(part, kind):
            metrics.check(evaluations.schema(kind), shown)
