"""JSON becomes the columns that batch makes of the same values, or it is refused by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import arrow, convert, json_rows
from components.core.case import Column
from components.core.columns import Columns, ColumnType
from components.serving import body as bodies
from components.serving import strict
from components.serving.asked import parse
from components.serving.body import Input, Inputs
from components.serving.refusal import Refused

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(-(2**53), 2**53)
TIMES = st.datetimes().map(lambda time: time.isoformat()) | st.dates().map(lambda day: day.isoformat())
GOOD: dict[ColumnType, st.SearchStrategy[Any]] = {
    "number": st.none() | FINITE | INTEGERS,
    "bool": st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0, -0.0]),
    "string": st.none() | TEXTS | st.booleans() | WHOLE | WHOLE.map(float),
    "id": st.none() | TEXTS | INTEGERS | WHOLE.map(float),
    "timestamp": st.none() | st.just("") | TIMES | TIMES.map(lambda text: f" {text}") | TIMES.map(lambda t: f"{t[:16]}+05:30" if "T" in t else t),
}  # fmt: skip
TYPES: tuple[ColumnType, ...] = ("number", "bool", "string", "id", "timestamp")


def batch(rows: list[dict[str, Any]], kinds: dict[str, ColumnType]) -> tuple[Columns, set[int]]:
    """The columns that batch makes of JSON lines, and the rows that it refuses."""
    arrays, faults = json_rows.arrays(rows, {name: Column(type=kind) for name, kind in kinds.items()})
    bad = set(faults)
    made = {}
    for name, kind in kinds.items():
        made[name], wrong = convert.convert(arrays[name], kind)
        bad |= set(np.flatnonzero(wrong).tolist()) if wrong is not None else set()
    return arrow.columns_of(pa.table(made), kinds), bad


@given(st.data())
def test_good_values_become_the_columns_of_batch(data: st.DataObject):
    kinds = {f"c{i}": kind for i, kind in enumerate(data.draw(st.permutations(TYPES)))}
    rows = data.draw(st.lists(st.fixed_dictionaries({n: GOOD[k] for n, k in kinds.items()}), min_size=1, max_size=4))
    sent = parse(json.dumps({"instances": rows}).encode(), None).data["instances"]
    inputs = Inputs([Input(name, kind) for name, kind in kinds.items()])
    expected, bad = batch(rows, kinds)
    assert not bad
    assert_same(inputs.columns(inputs.rows(sent)), expected)
    assert_same(inputs.columns(inputs.rows([[row[name] for name in kinds] for row in sent])), expected)


ANY = st.none() | st.booleans() | FINITE | INTEGERS | TEXTS | st.lists(st.none(), max_size=1) | st.just({"a": 1})


@given(st.sampled_from(TYPES), ANY)
def test_any_value_is_refused_or_means_what_it_means_in_batch(kind: ColumnType, value: Any):
    inputs = Inputs([Input("c", kind)])
    sent = parse(json.dumps({"instances": [{"c": value}]}).encode(), None).data["instances"]
    try:
        found = inputs.columns(inputs.rows(sent))
    except Refused as refused:
        told = (refused.status, refused.name, refused.where)
        assert told == (400, "c", "row 0")  # refused or the same: both are right
    else:
        expected, bad = batch([{"c": value}], {"c": kind})
        assert not bad
        assert_same(found, expected)


def assert_same(found: Columns, expected: Columns) -> None:
    """To the bit, the sign of zero and what is missing included."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        if values.dtype == object:
            assert found[name].tolist() == values.tolist(), name
        else:
            assert found[name].tobytes() == values.tobytes(), name


@given(st.sampled_from(TYPES), st.data())
def test_rows_logged_are_rows_that_can_be_sent(kind: ColumnType, data: st.DataObject):
    inputs = Inputs([Input("c", kind)])
    columns = inputs.columns(inputs.rows([{"c": data.draw(GOOD[kind])}]))
    assert_same(inputs.columns(inputs.rows(bodies.rows_of(columns))), columns)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("NaN", "be JSON"),
        ("Infinity", "be JSON"),
        ("1e999", "be JSON"),
        ("9" * 4301, "be JSON"),
        ("[" * 100_000, "be JSON"),
        ('"\\ud800"', "be JSON"),
        ("[1]", "be an object"),
        ("", "be JSON"),
        ("\ufeff{}", "be JSON"),
    ],
)
def test_what_is_no_strict_json_object_is_refused(text: str, rule: str):
    with pytest.raises(Refused) as caught:
        parse(text.encode(), None)
    assert (caught.value.status, caught.value.name, caught.value.rule) == (400, "body", rule)
    assert len(str(caught.value)) < 400


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(Refused, match="'body' must be JSON"):
        parse(b'{"a": "\xff"}', None)


class Pairs(tuple[Any, ...]):
    """An object's keys and values in order, some of which may stand twice."""


KEYS = st.text('ab:\\"é', max_size=3)
TREES = st.recursive(
    st.none() | st.integers(0, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(Pairs),
    max_leaves=8,
)


def written(tree: Any, space: str) -> tuple[str, bool]:
    """JSON text that may hold a key twice in an object, and whether it does."""
    if isinstance(tree, Pairs):
        parts = [(json.dumps(key, ensure_ascii=bool(len(key) % 2)), *written(value, space)) for key, value in tree]
        text = ",".join(f"{key}{space}:{space}{value}" for key, value, _ in parts)
        return f"{{{text}}}", any(p[2] for p in parts) or len({key for key, _ in tree}) < len(tree)
    if isinstance(tree, list):
        inner = [written(value, space) for value in tree]
        return f"[{','.join(text for text, _ in inner)}]", any(twice for _, twice in inner)
    return json.dumps(tree), False


@given(TREES, st.sampled_from(["", " "]))
def test_a_key_that_stands_twice_is_seen_wherever_it_is_and_nothing_else(tree: Any, space: str):
    text, twice = written(tree, space)
    data = strict.loads(text.encode())
    if twice:
        with pytest.raises(Refused, match="must stand once in its object"):
            strict.check_keys(text.encode(), data)
    else:
        strict.check_keys(text.encode(), data)


def test_an_escaped_colon_hides_no_key():
    text = rb'{"a": "\u003a", "a": "b"}'
    with pytest.raises(Refused, match="row|'a' must stand once"):
        strict.check_keys(text, strict.loads(text))


INPUTS = Inputs([Input("n", "number", missing=False), Input("k", "string", missing=False), Input("t", "timestamp")])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"n": 1, "k": "a"}, "row 0: 't' must be given; null where it is missing. Got nothing."),
        ({"n": 1, "k": "a", "t": None, "u": 1}, "row 0: 'u' must be an input of the model. Got 'u'."),
        ({"n": "1", "k": "a", "t": None}, "row 0: 'n' must be a finite number. Got '1'. It is a number."),
        ({"n": True, "k": "a", "t": None}, "row 0: 'n' must be a finite number. Got True."),
        ({"n": None, "k": "a", "t": None}, "row 0: 'n' must be there: the case takes no row without it. Got None."),
        ({"n": 1, "k": "", "t": None}, "row 0: 'k' must be there: the case takes no row without it. Got None."),
        ({"n": 1, "k": 0.5, "t": None}, "row 0: 'k' must be UTF-8 text. Got 0.5."),
        ({"n": 1, "k": "a", "t": 5}, "row 0: 't' must be an ISO 8601 time. Got 5."),
        ({"n": 1, "k": "a", "t": "yesterday"}, "row 0: 't' must be an ISO 8601 time. Got 'yesterday'."),
        ([1, "a"], "'row 0' must have 3 values. Got '2 values'."),
        ("row", "'row 0' must be an object by input, or an array in the inputs' order, as the first one. Got 'row'."),
    ],
)
def test_a_row_at_fault_is_told_by_column_rule_and_value(row: Any, told: str):
    with pytest.raises(Refused) as caught:
        INPUTS.columns(INPUTS.rows([row]))
    assert str(caught.value).startswith(told)
    assert caught.value.status == 400


def test_the_row_at_fault_is_named_among_many():
    good = {"n": 1, "k": "a", "t": None}
    with pytest.raises(Refused, match="^row 2: 'n' must be a finite number"):
        INPUTS.columns(INPUTS.rows([good, good, {**good, "n": "x"}]))
    with pytest.raises(Refused, match="^'row 1' must be an object by input"):
        INPUTS.columns(INPUTS.rows([good, [1, "a", None]]))
