"""Blocks are plain JSON, bounded, in the order in which they were given."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import blocks

NUMBERS = st.one_of(st.floats(), st.integers(-9, 9))


@given(st.lists(NUMBERS, max_size=500), st.integers(2, 300))
def test_thinned_values_keep_their_order_and_both_ends(values: list[float], most: int) -> None:
    places = blocks.thin(range(len(values)), most)
    assert len(places) == min(len(values), most)
    assert places == sorted(set(places))
    if values:
        assert (places[0], places[-1]) == (0, len(values) - 1)


@given(st.lists(NUMBERS, min_size=1, max_size=300))
def test_every_block_is_json_without_a_number_that_is_none(values: list[float]) -> None:
    names = [str(i) for i in range(len(values))]
    made = [
        blocks.facts("t", dict(zip(names, values, strict=True))),
        blocks.table("t", ["a"], [[v] for v in values]),
        blocks.bars("t", names, values),
        blocks.lines("t", {"a": (values, values)}, x="x", y="y"),
        blocks.intervals("t", [{"name": "a", "value": v, "low": v, "high": v, "bar": v} for v in values]),
        blocks.histogram("t", [*values, 1.0], {"a": values}),
        blocks.categories("t", names, {"a": values}),
    ]
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_facts_keep_numbers_and_what_is_unknown_and_write_out_the_rest() -> None:
    made = blocks.facts("t", {"rows": 336776, "share": 0.5, "nan": math.nan, "none": None, "list": [1]})
    assert made["items"] == [["rows", 336776], ["share", 0.5], ["nan", None], ["none", None], ["list", "[1]"]]


def test_a_curve_keeps_at_most_200_points() -> None:
    made = blocks.lines("t", {"a": (range(1000), range(1000))}, x="x", y="y")
    assert [len(made["series"][0][name]) for name in ("x", "y")] == [200, 200]


@pytest.mark.parametrize(("value", "kept"), [(1, 1.0), (math.inf, None), (math.nan, None), (None, None)])
def test_finite(value: float | None, kept: float | None) -> None:
    assert blocks.finite(value) == kept
