"""What a prediction server loads: ONNX alone. A model of scikit-learn's own is scored by predict and the stream."""

from __future__ import annotations

from components.core.errors import CaseError

SCORED = "`esteira run CASE predict` and `esteira stream CASE` score with it"


def check(serve_with: str, endpoints: str) -> str:
    """What is to be told of `model.serve_with`; empty for onnx.

    Parameters
    ----------
    endpoints
        The adapter of the profile's endpoints.

    Raises
    ------
    CaseError
        Each version would be deployed to a server, which could not load it.
    """
    if serve_with == "onnx":
        return ""
    if endpoints == "google":
        rule = "be onnx where endpoints.adapter is google: its server has no scikit-learn"
        remedy = f"Choose an estimator that ONNX can follow, or set endpoints.adapter: local; {SCORED}."
        raise CaseError("model.serve_with", rule, serve_with, remedy)
    return f"serve_with: {serve_with}: predict and the stream score with it, no prediction server does"
