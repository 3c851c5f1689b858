"""One fit: what stands before the estimator is fitted once, and what scikit-learn says is passed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.case import Model
from components.core.columns import Columns
from components.core.errors import DataError
from components.core.scorer import frame
from components.train.data import Data, Rows
from components.train.fit import Fitted, Fitter

N = 300
RNG = np.random.default_rng(8)
X: Columns = {
    "x": RNG.normal(size=N).astype(np.float32),
    "nothing": np.full(N, np.nan, np.float32),
    "kind": np.array(["a", "b", ""], dtype=object)[RNG.integers(0, 3, N)],
}
LATE = (X["x"] + (X["kind"] == "a") + RNG.normal(size=N) / 2 > 0.5).astype(np.int64)
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def fit(columns: Columns = X, counts: Any = None, **model: Any) -> tuple[Fitted, list[str]]:
    rows = Rows(columns, LATE, np.ones(N) if counts is None else counts, np.arange(N).astype("datetime64[us]"))
    features = tuple((name, "string" if values.dtype == object else "float32") for name, values in columns.items())
    said: list[str] = []
    fitter = Fitter(Data(rows, rows, features, ""), Model.model_validate({"task": "binary", **model}), said.append)
    return fitter.fit(), said


@pytest.mark.parametrize("model", [{}, {"estimator": LOGISTIC, "scale": True}], ids=["boosting", "logistic"])
def test_a_number_that_no_row_has_is_left_out_and_told(model: dict[str, Any]) -> None:
    made, said = fit(**model)
    assert said == ["left out, missing in every training row: nothing"]
    rows = frame(
        {name: values[:2] for name, values in X.items()}, (("x", "float32"), ("nothing", "float32"), ("kind", "string"))
    )
    assert made.pipeline.predict_proba(rows).shape == (2, 2)


def test_features_without_any_value_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        fit({"nothing": X["nothing"]})
    assert str(caught.value) == (
        "train: 'features' must have a value in some training row. Got 'none'. "
        "Look at features() and at the columns that it reads."
    )


def test_what_scikit_learn_warns_of_is_told_once() -> None:
    _, said = fit({"x": X["x"]}, estimator=LOGISTIC, parameters={"max_iter": 1})
    assert len(said) == 1
    assert said[0].startswith("scikit-learn: lbfgs failed to converge after 1 iteration")


def test_the_parameters_are_those_that_the_estimator_got() -> None:
    made, _ = fit({"x": X["x"]}, estimator=LOGISTIC, parameters={"C": 0.5}, seed=9)
    assert made.parameters == {"C": 0.5, "random_state": 9}


def test_weights_reach_the_estimator() -> None:
    plain, _ = fit({"x": X["x"]}, estimator=LOGISTIC)
    weighed, _ = fit({"x": X["x"]}, np.where(LATE == 1, 9.0, 1.0), estimator=LOGISTIC, weights={"column": "w"})
    ignored, _ = fit({"x": X["x"]}, np.where(LATE == 1, 9.0, 1.0), estimator=LOGISTIC)
    assert weighed.pipeline[-1].intercept_[0] > plain.pipeline[-1].intercept_[0] + 1
    assert ignored.pipeline[-1].intercept_[0] == plain.pipeline[-1].intercept_[0]
