"""A search finds what is better on the validation rows, the same way every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.case import Model
from components.core.errors import CaseError, ModelError
from components.train.data import Data, Rows
from components.train.search import Trial, search

FEATURES = (("x", "float32"), ("y", "float32"))
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier"}
DEPTH: dict[str, Any] = {"max_depth": {"low": 1, "high": 6, "integer": True}}


def rows(seed: int, task: str) -> Rows:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=600).astype(np.float32) for name, _ in FEATURES}
    late = (columns["x"] > 0) ^ (columns["y"] > 0)  # one level of a tree sees nothing of it
    flipped = late ^ (rng.random(600) < 0.1)
    labels = flipped.astype(np.int64) if task == "binary" else flipped.astype(float)
    return Rows(columns, labels, np.ones(600), np.arange(600).astype("datetime64[us]"))


def searched(ranges: dict[str, Any], trials: int = 8, **model: Any) -> tuple[Any, list[Trial], list[str]]:
    given = {"task": "binary", **TREE, **model, "search": {"trials": trials, "parameters": ranges}}
    chosen = Model.model_validate(given)
    assert chosen.search is not None
    data = Data(rows(1, chosen.task), rows(2, chosen.task), FEATURES, "")
    said: list[str] = []
    found, tries = search(data, chosen, chosen.search, said.append)
    return found, tries, said


def test_the_best_trial_is_kept_and_told() -> None:
    found, tries, said = searched(DEPTH)
    values = [trial.value for trial in tries]
    best = max(range(len(tries)), key=lambda i: values[i] or 0.0)
    depth = tries[best].parameters["max_depth"]
    assert found.parameters["max_depth"] == found.pipeline[-1].get_depth() == depth
    assert depth != 1
    assert said[0].startswith("search 1/8: roc_auc 0.")
    assert len(said) == len(tries) == 8


def test_the_same_seed_tries_the_same() -> None:
    assert searched(DEPTH, seed=4)[1] == searched(DEPTH, seed=4)[1]


def test_a_metric_where_less_is_better_is_brought_down() -> None:
    found, tries, _ = searched(DEPTH, task="regression", estimator="sklearn.tree.DecisionTreeRegressor", metric="mae")
    least = min(tries, key=lambda trial: trial.value or 9.0)
    assert found.parameters["max_depth"] == least.parameters["max_depth"]


def test_ranges_are_kept_to() -> None:
    ranges = {
        "min_samples_leaf": {"low": 0.001, "high": 0.4, "log": True},
        "max_depth": {"low": 2, "high": 5, "integer": True},
        "criterion": {"choices": ["gini", "entropy"]},
    }
    for trial in searched(ranges)[1]:
        leaf, depth = trial.parameters["min_samples_leaf"], trial.parameters["max_depth"]
        assert isinstance(leaf, float)
        assert 0.001 <= leaf <= 0.4
        assert depth in (2, 3, 4, 5)
        assert trial.parameters["criterion"] in ("gini", "entropy")


def test_a_searched_parameter_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(CaseError) as caught:
        searched({"depth": {"low": 1, "high": 2}})
    assert str(caught.value).startswith(
        "case.yaml: 'model.search.parameters.depth' must be a parameter of DecisionTreeClassifier. Got 'depth'."
    )


def test_a_searched_value_that_the_estimator_does_not_take_is_refused() -> None:
    with pytest.raises(CaseError, match=r"'model.parameters' must be what it takes\. Got \"The 'max_depth' parameter"):
        searched({"max_depth": {"low": -5, "high": -2, "integer": True}})


def test_a_search_without_any_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.train.search.math.isfinite", lambda value: False)
    with pytest.raises(ModelError) as caught:
        searched(DEPTH, trials=2)
    assert str(caught.value) == (
        "train: 'roc_auc' must be a number in at least one trial. Got '2 without'. "
        "Look at the ranges in model.search and at the validation rows."
    )
