"""What is told of models that no prediction server loads, before anything is trained or deployed."""

from __future__ import annotations

import pytest

from components.core import servable
from components.core.errors import CaseError


@pytest.mark.parametrize("endpoints", ["local", "google"])
def test_onnx_is_served_everywhere(endpoints: str) -> None:
    assert servable.check("onnx", endpoints) == ""


def test_skops_is_told_to_be_scored_and_not_served() -> None:
    assert servable.check("skops", "local") == (
        "serve_with: skops: predict and the stream score with it, no prediction server does"
    )


def test_skops_behind_a_vertex_endpoint_is_refused_with_the_remedy() -> None:
    with pytest.raises(CaseError) as caught:
        servable.check("skops", "google")
    assert str(caught.value) == (
        "'model.serve_with' must be onnx where endpoints.adapter is google: its server has no scikit-learn. "
        "Got 'skops'. Choose an estimator that ONNX can follow, or set endpoints.adapter: local; "
        "`esteira run CASE predict` and `esteira stream CASE` score with it."
    )
