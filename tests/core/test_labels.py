"""The label and weight of a row, by the case's task."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from components.core import case_file
from components.core.case import Case
from components.core.labels import arrow_type, labels, weights
from tests.preprocess.conftest import PARCELS


def make_case(task: str, kind: str, **label: Any) -> Case:
    data = copy.deepcopy(PARCELS)
    data |= {"windows": {}, "references": {}, "inputs": ["city"]}
    data["columns"]["hours"]["type"] = kind
    data["label"] = {"column": "hours", **label}
    data["model"] = {"task": task, "weights": {"column": "weight"}}
    return case_file.parse(yaml.safe_dump(data), where="test").case()


def table(values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"hours": pa.array(values, kind or pa.float64())})


@pytest.mark.parametrize(
    ("case", "rows", "expected"),
    [
        (make_case("binary", "number", above=15), table([15, 15.1, None, math.nan, math.inf]), [0, 1, None, None, 1]),
        (make_case("binary", "number"), table([0, 1, None]), [0, 1, None]),
        (make_case("binary", "bool"), table([True, False, None], pa.bool_()), [1, 0, None]),
        (make_case("binary", "bool", positive="false"), table([True, False, None], pa.bool_()), [0, 1, None]),
        (make_case("binary", "string", positive="ß"), table(["ß", "SS", "", None], pa.string()), [1, 0, None, None]),
        (make_case("binary", "number", positive="2"), table([2, 2.5, -0.0, None]), [1, 0, 0, None]),
        (make_case("regression", "number"), table([2.5, None, -1e300]), [2.5, None, -1e300]),
        (make_case("multiclass", "string"), table(["a", "ß|é", "", None], pa.string()), ["a", "ß|é", None, None]),
        (make_case("multiclass", "number"), table([3, 2.5, math.nan]), ["3", "2.5", None]),
        (make_case("multiclass", "bool"), table([True, None], pa.bool_()), ["true", None]),
    ],
)
def test_a_label_is_what_the_task_makes_of_its_column(case: Case, rows: pa.Table, expected: list[Any]) -> None:
    found = labels(case, rows)
    assert found.values.to_pylist() == expected
    assert found.known.tolist() == [value is not None for value in expected]
    assert found.values.type == arrow_type(case)
    assert found.faults == {}


@pytest.mark.parametrize(
    ("task", "values", "fault"),
    [
        ("binary", [1.0, 0.5, None], "'hours' must be 0 or 1. Got 0.5."),
        ("binary", [1.0, math.inf, None], "'hours' must be 0 or 1. Got inf."),
        ("regression", [1.0, -math.inf, None], "'hours' must be finite. Got -inf."),
    ],
)
def test_a_label_that_the_task_cannot_take_is_a_fault(task: str, values: list[Any], fault: str) -> None:
    found = labels(make_case(task, "number"), table(values))
    assert found.faults == {1: fault}
    assert found.values.to_pylist() == [1.0, None, None]
    assert found.known.tolist() == [True, False, False]


def test_a_weight_is_a_finite_number_from_0_on() -> None:
    rows = pa.table({"weight": pa.array([0.0, 2.5, None, math.nan, -1.0, math.inf], pa.float64())})
    found, faults = weights(make_case("regression", "number"), rows)
    np.testing.assert_array_equal(found, [0.0, 2.5, *[math.nan] * 4])
    rule = "'weight' must be a weight, 0 or more. Got"
    assert faults == {2: f"{rule} nan.", 3: f"{rule} nan.", 4: f"{rule} -1.0.", 5: f"{rule} inf."}
