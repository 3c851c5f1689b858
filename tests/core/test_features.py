"""The contract of `features(columns)`: what apply refuses by name, and which rows sift leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core import bundle
from components.core.columns import Columns, ColumnType
from components.core.errors import CaseError, FeatureError, RowError
from components.core.features import Transform, null_columns

TYPES: dict[str, ColumnType] = {"a": "number", "b": "bool", "s": "string", "t": "timestamp"}
FLIGHTS = Path(__file__).parents[2] / "pipelines" / "cases" / "flights"


def columns(rows: int = 4) -> Columns:
    return {
        "a": np.arange(rows, dtype=np.float64),
        "b": np.ones(rows),
        "s": np.array([f"ß{i}" for i in range(rows)], dtype=object),
        "t": np.full(rows, np.datetime64("2013-01-01T00:00:00", "us")),
    }


def transform(function: object) -> Transform:
    return Transform(function, TYPES)  # type: ignore[arg-type]


def good(given: Columns) -> Columns:
    return {"double": (given["a"] * 2).astype(np.float32), "text": given["s"]}


def test_apply_gives_the_functions_columns_in_its_order() -> None:
    made = transform(good).apply(columns())
    assert list(made) == ["double", "text"]
    assert made["double"].tolist() == [0, 2, 4, 6]
    assert made["text"].tolist() == ["ß0", "ß1", "ß2", "ß3"]


def test_apply_hands_over_the_inputs_only_and_in_their_order() -> None:
    seen: list[str] = []

    def function(given: Columns) -> Columns:
        seen.extend(given)
        return good(given)

    transform(function).apply({"other": np.zeros(4), **dict(reversed(columns().items()))})
    assert seen == ["a", "b", "s", "t"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"a": None},
            "features.py: 'a' must be an input column of dtype float64, as long as the others. Got 'absent'. ",
        ),
        (
            {"s": np.array(["a"] * 4)},
            "'s' must be an input column of dtype object, as long as the others. Got '<U1 of ",
        ),
        ({"t": np.zeros(4)}, "'t' must be an input column of dtype datetime64[us], as long as the others. "),
        ({"t": np.zeros(3, "datetime64[us]")}, "'t' must be an input column of dtype datetime64[us], as long as "),
    ],
)
def test_apply_refuses_an_input_that_is_not_of_its_type(change: dict[str, np.ndarray | None], message: str) -> None:
    given = {name: values for name, values in {**columns(), **change}.items() if values is not None}
    with pytest.raises(FeatureError) as caught:
        transform(good).apply(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "'features' must return a dict of columns. Got None. Return {name: array, ...}."),
        ({}, "'features' must return a dict of columns. Got {}. "),
        ({"_x": np.zeros(4, np.float32)}, "'_x' must be named by an identifier that does not start with _. Got '_x'. "),
        ({3: np.zeros(4, np.float32)}, "'3' must be named by an identifier that does not start with _. Got 3. "),
        ({"x": [1.0] * 4}, "'x' must be a numpy array. Got 'list'. Return arrays only."),
        (
            {"x": np.zeros(4)},
            "'x' must be float32, or object of str. Got 'float64'. Use .astype(np.float32) for numbers",
        ),
        ({"x": np.array(["a"] * 4)}, "'x' must be float32, or object of str. Got '<U1'. "),
        ({"x": np.zeros(3, np.float32)}, "'x' must have one value per row: 4. Got (3,). Work row by row."),
        ({"x": np.zeros((4, 1), np.float32)}, "'x' must have one value per row: 4. Got (4, 1). "),
    ],
)
def test_apply_refuses_a_returned_column_of_a_wrong_form(made: object, message: str) -> None:
    with pytest.raises(FeatureError) as caught:
        transform(lambda _: made).apply(columns())
    assert str(caught.value).startswith(f"features.py: {message}")
    assert not isinstance(caught.value, RowError)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "'x' must hold only texts, with '' for missing. Got 'sequence item 1: expected str instance, NoneType"),
        (1.5, "'x' must hold only texts, with '' for missing. Got 'sequence item 1: expected str instance, float"),
        ("\ud800", "'x' must hold only texts, with '' for missing. Got \"'utf-8' codec can't encode character"),
    ],
)
def test_apply_refuses_what_is_no_text(value: object, message: str) -> None:
    with pytest.raises(RowError) as caught:
        transform(lambda _: {"x": np.array(["a", value, "b", "c"], dtype=object)}).apply(columns())
    assert str(caught.value).startswith(f"features.py: {message}")


def test_apply_refuses_infinity_and_takes_nan() -> None:
    with pytest.raises(RowError) as caught:
        transform(lambda given: {"x": (1 / given["a"]).astype(np.float32)}).apply(columns())
    expected = "features.py: 'x' must be finite or NaN. Got 'infinity'. Bound it, or make it missing (NaN)."
    assert str(caught.value) == expected
    made = transform(lambda given: {"x": (given["a"] * np.nan).astype(np.float32)}).apply(columns())
    assert np.isnan(made["x"]).all()


def test_what_the_function_raises_is_told_as_its_own() -> None:
    with pytest.raises(RowError) as caught:
        transform(lambda given: given["absent"]).apply(columns())
    expected = (
        "features.py: 'features' must give columns without an error. Got \"KeyError: 'absent'\". Mend it, or the row."
    )
    assert str(caught.value) == expected


def test_sift_leaves_out_the_rows_at_fault_and_keeps_the_others_in_order() -> None:
    def function(given: Columns) -> Columns:
        return {"x": np.array([1 / int(v.removeprefix("ß")) for v in given["s"]], dtype=np.float32)}

    given = columns(9)
    given["s"][5] = "odd"
    sifted = transform(function).sift(given)
    assert [at for at, _ in sifted.refused] == [0, 5]
    assert "ZeroDivisionError" in sifted.refused[0][1]
    assert "ValueError: invalid literal for int() with base 10: 'odd'" in sifted.refused[1][1]
    assert sifted.taken.tolist() == [1, 2, 3, 4, 6, 7, 8]
    assert sifted.features is not None
    assert sifted.features["x"].tolist() == np.array([1 / i for i in (1, 2, 3, 4, 6, 7, 8)], np.float32).tolist()


def test_sift_of_rows_that_are_all_refused_has_no_features() -> None:
    sifted = transform(lambda given: {"x": given["absent"]}).sift(columns(3))
    assert sifted.features is None
    assert [at for at, _ in sifted.refused] == [0, 1, 2]
    assert transform(good).sift(columns(0)).features is None


def test_sift_stops_after_as_many_refused_rows_as_may_be() -> None:
    calls = []

    def function(given: Columns) -> Columns:
        calls.append(1)
        raise ValueError

    assert len(transform(function).sift(columns(4096), most=5).refused) == 6
    assert len(calls) < 50


def test_sift_raises_where_no_row_is_at_fault() -> None:
    with pytest.raises(FeatureError, match="'x' must be float32"):
        transform(lambda given: {"x": given["a"]}).sift(columns())


def test_sift_refuses_columns_that_depend_on_the_rows() -> None:
    def function(given: Columns) -> Columns:
        if (given["a"] == 3).any():
            raise ValueError
        return {f"x{len(given['a'])}": given["a"].astype(np.float32)}

    with pytest.raises(FeatureError, match="'features' must return the same columns for every batch"):
        transform(function).sift(columns(8))


def test_outputs_are_asked_of_a_row_of_nulls() -> None:
    assert transform(good).outputs() == {"double": "number", "text": "string"}
    nulls = null_columns(TYPES, 2)
    assert [values.dtype.str for values in nulls.values()] == ["<f8", "<f8", "|O", "<M8[us]"]
    assert nulls["s"].tolist() == ["", ""]
    assert np.isnat(nulls["t"]).all()


def test_load_gives_the_function_of_the_bundle_and_its_sources(tmp_path: Path) -> None:
    built = bundle.build(FLIGHTS)
    bundle.write(built, tmp_path)
    loaded = Transform.load(tmp_path, built.digest, built.case().input_types())
    assert list(loaded.types) == list(built.case().input_types())
    assert set(loaded.sources) == {"features.py"}
    assert loaded.outputs()["carrier"] == "string"


def test_load_refuses_a_file_without_the_function(tmp_path: Path) -> None:
    files = {**bundle.build(FLIGHTS).files, "features.py": b"feature = 1\n"}
    built = bundle.Bundle(files, bundle.digest_of(files))
    bundle.write(built, tmp_path)
    with pytest.raises(CaseError) as caught:
        Transform.load(tmp_path, built.digest, built.case().input_types())
    expected = (
        "features.py: 'features' must be a function in features.py. Got None. Write def features(columns): and return"
    )
    assert str(caught.value).startswith(expected)
