"""The quick way through an Open Inference request gives what the long way gives: the same columns or the same status."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.core.columns import Columns
from components.serving import oip
from components.serving.asked import Limits, parse
from components.serving.body import Input, Inputs
from components.serving.refusal import Refused
from components.serving.tensors import DATATYPES

INPUTS = Inputs(
    [
        Input("x", "number", missing=False),
        Input("z", "number"),
        Input("open", "bool"),
        Input("kind", "string"),
        Input("code", "id", missing=False),
        Input("at", "timestamp"),
    ]
)
LIMITS = Limits(rows=3)
WORDS = ["FP64", "FP32", "INT64", "UINT8", "BOOL", "BYTES", "FP65", 7]
USUAL = [DATATYPES[one.kind] for one in INPUTS.all]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60) | st.none(),
    "BOOL": st.booleans() | st.none(),
    "BYTES": st.sampled_from(["", "p", "ß:", "2013-01-01T00:00:00Z", '"\\', "5"]) | st.none(),
}
ANY = st.one_of(*VALUES.values(), st.just([1]), st.just({"a": 1}))


@st.composite
def tensors(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Of every input, mostly as they are usually sent, and then changed here and there."""
    rows = draw(st.integers(1, 4))
    made = []
    for one, datatype in zip(INPUTS.all, USUAL, strict=True):
        data = draw(st.lists(VALUES[datatype], min_size=rows, max_size=rows))
        made.append(
            {"name": one.name, "shape": draw(st.sampled_from([[rows], [rows, 1]])), "datatype": datatype, "data": data}
        )
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(made) - 1))
        change: Any = {
            "name": st.sampled_from(["x", "kind", "w", 3, None]),
            "shape": st.sampled_from([[], [0], [1.0], [True], [1, 1], [1, 1.0], [1, 1, 1], [2], 1, None]),
            "datatype": st.sampled_from(WORDS),
            "data": st.lists(ANY, max_size=4) | st.just("text") | st.none(),
            "parameters": st.just({}),
        }
        field = draw(st.sampled_from(sorted(change)))
        made[at] = {**made[at], field: draw(change[field])}
    return draw(st.permutations(made))


def answered(body: bytes) -> Columns | Refused:
    try:
        asked = oip.ask(parse(body, None), INPUTS, LIMITS)
        return asked.columns if asked.columns is not None else INPUTS.columns(asked.values)
    except Refused as refused:
        return refused


@given(tensors(), st.sampled_from([{}, {"id": "a:b"}, {"id": "a", "outputs": [{"name": "score"}]}]))
def test_a_usual_tensor_is_read_as_one_with_parameters_that_say_nothing(
    sent: list[dict[str, Any]], more: dict[str, Any]
):
    quick = answered(json.dumps({"inputs": sent, **more}).encode())
    long = answered(json.dumps({"inputs": [{**tensor, "parameters": {}} for tensor in sent], **more}).encode())
    if isinstance(quick, Refused) or isinstance(long, Refused):  # of two faults either may be told
        assert [getattr(one, "status", None) for one in (quick, long)] in ([400, 400], [413, 413])
        return
    assert list(quick) == list(long)
    for name in quick:
        assert quick[name].dtype == long[name].dtype
        np.testing.assert_array_equal(quick[name], long[name])


def test_a_key_twice_in_a_usual_tensor_is_refused():
    usual = [
        {"name": o.name, "shape": [1], "datatype": d, "data": [None]} for o, d in zip(INPUTS.all, USUAL, strict=True)
    ]
    text = json.dumps({"inputs": usual})
    assert "'shape' must stand once in its object" in str(
        answered(text.replace('"shape"', '"shape": [1], "shape"', 1).encode())
    )
