"""The estimator that the case names, and the pipeline around it: encoded texts, numbers as the estimator needs them."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.case import Model, Scalar
from components.core.errors import CaseError

MODULES = (
    "sklearn.discriminant_analysis",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.svm",
    "sklearn.tree",
)
WHERE = "case.yaml"
ENCODE, ESTIMATOR = "encode", "model"
NUMBERS, CATEGORIES = "numbers", "categories"


def estimator_class(model: Model) -> Any:
    """The class of the case's estimator.

    Raises
    ------
    CaseError
        Its module is not on the list, it is no estimator of that module, or it does not fit the task.
    """
    module, _, name = model.estimator.rpartition(".")
    if module not in MODULES:
        remedy = "Name it as module.Class."
        raise CaseError("model.estimator", f"be a class of {', '.join(MODULES)}", model.estimator, remedy, where=WHERE)
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    public = {
        key: value
        for key, value in vars(importlib.import_module(module)).items()
        if inspect.isclass(value) and issubclass(value, BaseEstimator) and value.__module__.startswith(module)
    }
    found = public.get(name)
    if found is None:
        near = difflib.get_close_matches(name, public, n=3)
        remedy = f"Did you mean {' or '.join(near)}?" if near else "See scikit-learn's list of estimators."
        raise CaseError("model.estimator", f"be an estimator of {module}", name, remedy, where=WHERE)
    wanted = RegressorMixin if model.task == "regression" else ClassifierMixin
    if not issubclass(found, wanted):
        kind = "regressor" if model.task == "regression" else "classifier"
        remedy = "Choose another estimator, or another model.task."
        raise CaseError("model.estimator", f"be a {kind} for {model.task}", model.estimator, remedy, where=WHERE)
    return found


def check_parameters(found: Any, names: Mapping[str, object], key: str = "model.parameters") -> None:
    """Refuses, by a CaseError that names it, a parameter that the estimator does not have or that is ours to set."""
    known = inspect.signature(found).parameters
    for name, value in names.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or sorted(known)
            remedy = f"It has {', '.join(near)}."
            raise CaseError(f"{key}.{name}", f"be a parameter of {found.__name__}", name, remedy, where=WHERE)
        if name == "n_jobs" and value != 1:
            remedy = "Leave it out."
            raise CaseError(f"{key}.n_jobs", "be 1, so that training repeats itself", value, remedy, where=WHERE)


def estimator(model: Model, chosen: Mapping[str, Scalar] | None = None) -> Any:
    """An unfitted estimator with the case's parameters, then `chosen`, and the case's seed unless one is given.

    Raises
    ------
    CaseError
        As `estimator_class` and `check_parameters`, or it gives no probabilities.
    """
    found = estimator_class(model)
    given = {**model.parameters, **(chosen or {})}
    check_parameters(found, given)
    seed = {"random_state": model.seed} if "random_state" in inspect.signature(found).parameters else {}
    try:
        made = found(**{**seed, **given})
    except TypeError as error:
        remedy = "Choose an estimator that takes numbers and texts only."
        raise CaseError("model.estimator", "be made from model.parameters", str(error), remedy, where=WHERE) from error
    if model.task != "regression" and not hasattr(made, "predict_proba"):
        remedy = "Choose an estimator or parameters with predict_proba."
        raise CaseError("model.estimator", "give probabilities", model.estimator, remedy, where=WHERE)
    return made


def is_tree(made: Any) -> bool:
    """Whether it compares numbers with thresholds, so that a rounding may change the answer."""
    return type(made).__module__.startswith(("sklearn.ensemble", "sklearn.tree"))


def encoder(model: Model, made: Any, features: Iterable[tuple[str, str]]) -> Any:
    """The unfitted ColumnTransformer before the estimator `made`; it drops every column that is not among `features`.

    Numbers pass as they are, are imputed where the estimator takes no NaN, and standardized where the case says
    `scale`. Texts become codes (unseen: -1), indicator columns (unseen: none) or target means (unseen: the mean).
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.utils import get_tags

    fill = SimpleImputer(strategy="median")
    if model.scale:
        numbers: Any = make_pipeline(fill, StandardScaler())
    else:
        numbers = FunctionTransformer() if get_tags(made).input_tags.allow_nan else fill
    names: dict[str, list[str]] = {"float32": [], "string": []}
    for name, kind in features:
        names[kind].append(name)
    blocks = [(NUMBERS, numbers, names["float32"]), (CATEGORIES, _categories(model), names["string"])]
    return ColumnTransformer([block for block in blocks if block[2]], sparse_threshold=0)


def _categories(model: Model) -> Any:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    if model.categories == "onehot":
        return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if model.categories == "target":
        kind = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}[model.task]
        return TargetEncoder(target_type=kind, random_state=model.seed)
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def sample_weights(
    model: Model, made: Any, labels: npt.NDArray[Any], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    """(n,) what each row counts; None where the case weighs nothing.

    Balanced: each class counts as much as every other, as scikit-learn's class_weight="balanced" has it.

    Raises
    ------
    CaseError
        The estimator takes no weights.
    """
    if not model.weights.balanced and model.weights.column is None:
        return None
    if "sample_weight" not in inspect.signature(made.fit).parameters:
        remedy = "Leave model.weights out, or choose an estimator whose fit takes sample_weight."
        raise CaseError("model.weights", f"be left out for {type(made).__name__}", "given", remedy, where=WHERE)
    if not model.weights.balanced or model.task == "regression":
        return weights
    codes = np.unique(labels, return_inverse=True)[1]
    totals = np.bincount(codes, weights=weights)
    factors: npt.NDArray[np.float64] = weights.sum() / (len(totals) * totals)
    return weights * factors[codes]
