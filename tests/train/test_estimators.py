"""Any estimator of the listed modules, with its own parameters; anything else is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.case import Model
from components.core.errors import CaseError
from components.train import estimators

LOGISTIC = "sklearn.linear_model.LogisticRegression"


def test_the_seed_is_given_where_one_is_taken() -> None:
    made = estimators.estimator(Model(task="binary", estimator="sklearn.ensemble.RandomForestClassifier", seed=5))
    assert made.random_state == 5
    own = estimators.estimator(Model(task="binary", parameters={"random_state": 3}))
    assert own.random_state == 3
    assert estimators.estimator(Model(task="binary", estimator="sklearn.naive_bayes.GaussianNB", seed=5))


def test_what_the_search_chose_goes_before_the_case() -> None:
    model = Model(task="binary", parameters={"max_iter": 10, "max_depth": 3})
    made = estimators.estimator(model, {"max_iter": 20})
    assert (made.max_iter, made.max_depth) == (20, 3)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a module outside the list": (
        {"estimator": "os.system"},
        "case.yaml: 'model.estimator' must be a class of sklearn.discriminant_analysis, sklearn.dummy, "
        "sklearn.ensemble, sklearn.linear_model, sklearn.naive_bayes, sklearn.neighbors, sklearn.neural_network, "
        "sklearn.svm, sklearn.tree. Got 'os.system'. Name it as module.Class.",
    ),
    "a private module": (
        {"estimator": "sklearn.linear_model._logistic.LogisticRegression"},
        "case.yaml: 'model.estimator' must be a class of sklearn.discriminant_analysis, ",
    ),
    "a misspelt class": (
        {"estimator": "sklearn.linear_model.LogisticRegresion"},
        "case.yaml: 'model.estimator' must be an estimator of sklearn.linear_model. Got 'LogisticRegresion'. "
        "Did you mean LogisticRegression or ",
    ),
    "a function": (
        {"estimator": "sklearn.linear_model.ridge_regression"},
        "case.yaml: 'model.estimator' must be an estimator of sklearn.linear_model. Got 'ridge_regression'. ",
    ),
    "a regressor for classes": (
        {"estimator": "sklearn.linear_model.Ridge"},
        "case.yaml: 'model.estimator' must be a classifier for binary. Got 'sklearn.linear_model.Ridge'. "
        "Choose another estimator, or another model.task.",
    ),
    "a classifier for numbers": (
        {"task": "regression", "estimator": LOGISTIC},
        f"case.yaml: 'model.estimator' must be a regressor for regression. Got '{LOGISTIC}'. ",
    ),
    "an unknown parameter": (
        {"parameters": {"max_itr": 5}},
        "case.yaml: 'model.parameters.max_itr' must be a parameter of HistGradientBoostingClassifier. "
        "Got 'max_itr'. It has max_iter, max_bins, max_features.",
    ),
    "many jobs": (
        {"estimator": LOGISTIC, "parameters": {"n_jobs": 4}},
        "case.yaml: 'model.parameters.n_jobs' must be 1, so that training repeats itself. Got 4. Leave it out.",
    ),
    "no probabilities": (
        {"estimator": "sklearn.svm.LinearSVC"},
        "case.yaml: 'model.estimator' must give probabilities. Got 'sklearn.svm.LinearSVC'. "
        "Choose an estimator or parameters with predict_proba.",
    ),
    "other estimators inside": (
        {"estimator": "sklearn.ensemble.VotingClassifier"},
        "case.yaml: 'model.estimator' must be made from model.parameters. ",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_an_estimator_that_is_none_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError) as caught:
        estimators.estimator(Model.model_validate({"task": "binary", **change}))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({}, "FunctionTransformer"),
        ({"estimator": LOGISTIC}, "SimpleImputer"),
        ({"estimator": "sklearn.ensemble.GradientBoostingClassifier"}, "SimpleImputer"),
        ({"estimator": LOGISTIC, "scale": True}, "Pipeline"),
    ],
)
def test_numbers_pass_unless_the_estimator_or_the_case_wants_more(change: dict[str, Any], numbers: str) -> None:
    model = Model.model_validate({"task": "binary", **change})
    encode = estimators.encoder(model, estimators.estimator(model), (("x", "float32"),))
    assert [(name, type(step).__name__) for name, step, _ in encode.transformers] == [("numbers", numbers)]


def test_balanced_weights_are_scikit_learns_times_the_rows_own() -> None:
    from sklearn.utils.class_weight import compute_sample_weight

    labels = np.array([0, 0, 0, 1])
    model = Model.model_validate({"task": "binary", "weights": {"balanced": True}})
    made = estimators.estimator(model)
    balanced = estimators.sample_weights(model, made, labels, np.ones(4))
    assert balanced is not None
    np.testing.assert_allclose(balanced, compute_sample_weight("balanced", labels))
    own = estimators.sample_weights(model, made, labels, np.array([1.0, 1.0, 4.0, 2.0]))
    assert own is not None
    assert own[:3].sum() == pytest.approx(own[3:].sum())
    assert own[2] == pytest.approx(4 * own[0])


def test_weights_are_the_column_alone_without_balance_and_none_without_either() -> None:
    labels, weights = np.array([0, 1]), np.array([1.0, 2.0])
    given = Model.model_validate({"task": "binary", "weights": {"column": "w"}})
    found = estimators.sample_weights(given, estimators.estimator(given), labels, weights)
    assert found is weights
    plain = Model(task="binary")
    assert estimators.sample_weights(plain, estimators.estimator(plain), labels, weights) is None


def test_weights_for_an_estimator_without_them_are_refused() -> None:
    change = {"task": "binary", "estimator": "sklearn.neighbors.KNeighborsClassifier", "weights": {"balanced": True}}
    model = Model.model_validate(change)
    with pytest.raises(CaseError) as caught:
        estimators.sample_weights(model, estimators.estimator(model), np.array([0, 1]), np.ones(2))
    assert str(caught.value) == (
        "case.yaml: 'model.weights' must be left out for KNeighborsClassifier. Got 'given'. "
        "Leave model.weights out, or choose an estimator whose fit takes sample_weight."
    )
