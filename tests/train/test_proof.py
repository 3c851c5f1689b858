"""What ONNX gets right passes the proof, and what it gets wrong is refused with the stage that is at fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core import skops_file
from components.core.case import Model
from components.core.columns import Columns
from components.core.errors import ModelError, ProofError
from components.core.scorer import frame
from components.train.data import Data, Rows
from components.train.export import to_onnx
from components.train.fit import Fitted, Fitter
from components.train.proof import compare, generated, prove

FEATURES = (("x", "float32"), ("fine", "float32"), ("empty", "float32"), ("kind", "string"), ("place", "string"))
KINDS = np.array(["", "a", "ß", "e\N{COMBINING ACUTE ACCENT}", "\N{GRINNING FACE} b", "A"], dtype=object)
N = 1200


def rows(seed: int) -> Rows:
    """Numbers with NaN, one whose values are neighbours in float32, one always missing; odd texts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N).astype(np.float32)
    steps = rng.integers(0, 200, N)
    fine = (1000 + steps * np.spacing(np.float32(1000))).astype(np.float32)
    kind, place = rng.choice(KINDS, N), rng.choice(np.array(["p", "q", "r"], dtype=object), N)
    delay = x + (kind == "a") * 2 + steps / 100 + rng.normal(size=N) / 2
    x[::9] = np.nan
    columns = {"x": x, "fine": fine, "empty": np.full(N, np.nan, np.float32), "kind": kind, "place": place}
    return Rows(columns, delay, np.ones(N), np.arange(N).astype("datetime64[us]"))


def data_for(task: str) -> Data:
    made = []
    for found in (rows(1), rows(2)):
        labels: Any = found.labels
        if task == "binary":
            labels = (labels > 1).astype(np.int64)
        elif task == "multiclass":
            labels = np.array(["early", "late", "on time"], dtype=object)[np.digitize(labels, [0.0, 1.5])]
        made.append(Rows(found.columns, labels, found.weights, found.times))
    return Data(made[0], made[1], FEATURES, "d" * 64)


def fitted(**model: Any) -> tuple[Fitted, Data]:
    chosen = Model.model_validate({"task": "binary", "seed": 3, **model})
    data = data_for(chosen.task)
    return Fitter(data, chosen, lambda text: None).fit(), data


LINEAR = {"scale": True, "categories": "onehot"}
FOREST = "sklearn.ensemble.RandomForest"
GOOD: dict[str, dict[str, Any]] = {
    "boosting": {"parameters": {"max_iter": 30}},
    "boosting, one-hot": {"categories": "onehot", "parameters": {"max_iter": 20}},
    "boosting, target means": {"categories": "target", "parameters": {"max_iter": 20}},
    "boosting, classes": {"task": "multiclass", "parameters": {"max_iter": 15}},
    "boosting, numbers": {
        "task": "regression",
        "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
        "parameters": {"max_iter": 30},
    },
    "forest": {"estimator": f"{FOREST}Classifier", "parameters": {"n_estimators": 12}},
    "forest, classes": {"task": "multiclass", "estimator": f"{FOREST}Classifier", "parameters": {"n_estimators": 6}},
    "forest, numbers": {"task": "regression", "estimator": f"{FOREST}Regressor", "parameters": {"n_estimators": 8}},
    "extra trees": {"estimator": "sklearn.ensemble.ExtraTreesClassifier", "parameters": {"n_estimators": 8}},
    "one tree": {"estimator": "sklearn.tree.DecisionTreeClassifier"},
    "trees without NaN": {
        "estimator": "sklearn.ensemble.GradientBoostingClassifier",
        "parameters": {"n_estimators": 9},
    },
    "logistic": {"estimator": "sklearn.linear_model.LogisticRegression", **LINEAR},
    "logistic, unscaled": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "categories": "onehot",
        "parameters": {"max_iter": 3000},
    },
    "logistic, target means": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "scale": True,
        "categories": "target",
    },
    "logistic, classes": {"task": "multiclass", "estimator": "sklearn.linear_model.LogisticRegression", **LINEAR},
    "ridge": {"task": "regression", "estimator": "sklearn.linear_model.Ridge", **LINEAR},
    "ridge, target means": {
        "task": "regression",
        "estimator": "sklearn.linear_model.Ridge",
        "scale": True,
        "categories": "target",
    },
    "least squares": {"task": "regression", "estimator": "sklearn.linear_model.LinearRegression", **LINEAR},
    "network": {
        "estimator": "sklearn.neural_network.MLPClassifier",
        "parameters": {"hidden_layer_sizes": 8, "max_iter": 30},
        **LINEAR,
    },
}


@pytest.mark.parametrize("model", GOOD.values(), ids=GOOD)
def test_a_good_export_is_proven(model: dict[str, Any]) -> None:
    made, data = fitted(**model)
    onnx = to_onnx(made.pipeline, FEATURES)
    proof = prove(made.pipeline, onnx, FEATURES, data.validation, data_task(model))
    assert proof.rows == N
    assert proof.generated > 50
    assert proof.largest < 1e-5


KEPT = {
    **{name: GOOD[name] for name in ("boosting", "forest", "logistic", "network")},
    "neighbours": {"estimator": "sklearn.neighbors.KNeighborsClassifier", "scale": True},
    "neighbours in balls": {
        "estimator": "sklearn.neighbors.KNeighborsClassifier",
        "parameters": {"algorithm": "ball_tree"},
        "scale": True,
    },
}


@pytest.mark.parametrize("model", KEPT.values(), ids=KEPT)
def test_a_skops_file_gives_back_what_was_fitted(model: dict[str, Any]) -> None:
    made, data = fitted(**model)
    found = skops_file.loads(skops_file.dumps(made.pipeline))
    table = frame(data.validation.columns, FEATURES)
    np.testing.assert_array_equal(found.predict_proba(table), made.pipeline.predict_proba(table))


def data_task(model: dict[str, Any]) -> Any:
    return model.get("task", "binary")


def test_a_scaler_before_trees_is_refused() -> None:
    made, data = fitted(scale=True, parameters={"max_iter": 50})
    with pytest.raises(ProofError) as caught:
        prove(made.pipeline, to_onnx(made.pipeline, FEATURES), FEATURES, data.validation, "binary")
    assert str(caught.value).startswith(
        "train: 'numbers (SimpleImputer, StandardScaler)' must give in ONNX what it gives in scikit-learn, to 1e-05 "
        "(it is the first stage that does not). Got '"
    )
    assert str(caught.value).endswith(
        "Set model.scale: false for trees, or model.serve_with: skops where no server is needed."
    )


def test_native_categories_are_refused() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    made, data = fitted()
    encode, labels = made.pipeline[0], data.train.labels
    encoded = encode.transform(frame(data.train.columns, FEATURES))
    wrong = HistGradientBoostingClassifier(max_iter=20, categorical_features=[2, 3], random_state=0)
    made.pipeline.steps[-1] = ("model", wrong.fit(encoded, labels))
    with pytest.raises(ProofError) as caught:
        prove(made.pipeline, to_onnx(made.pipeline, FEATURES), FEATURES, data.validation, "binary")
    assert str(caught.value).startswith("train: 'model (HistGradientBoostingClassifier)' must give in ONNX what it ")
    assert str(caught.value).endswith(
        "Choose another estimator or other parameters, or model.serve_with: skops where no server is needed."
    )


def test_an_estimator_without_a_converter_is_refused() -> None:
    made, _ = fitted(estimator="sklearn.dummy.DummyClassifier")
    with pytest.raises(ModelError) as caught:
        to_onnx(made.pipeline, FEATURES)
    assert str(caught.value).startswith("train: 'estimator' must have a converter to ONNX. Got ")
    assert str(caught.value).endswith(
        "Choose another estimator or other parameters, or model.serve_with: skops where no server is needed."
    )


def test_neighbours_of_a_threshold_fall_on_their_side(monkeypatch: pytest.MonkeyPatch) -> None:
    made, data = fitted(parameters={"max_iter": 40})
    monkeypatch.setattr("components.train.export._mend_trees", lambda graph, estimator: None)
    with pytest.raises(ProofError, match=r"model \(HistGradientBoostingClassifier\)"):
        prove(made.pipeline, to_onnx(made.pipeline, FEATURES), FEATURES, data.validation, "binary")


def test_numbers_alone_and_texts_alone_are_exported() -> None:
    chosen = Model(task="binary", parameters={"max_iter": 5})
    data = data_for("binary")
    for kind in ("float32", "string"):
        some = tuple((name, k) for name, k in FEATURES if k == kind)
        columns: Columns = {name: data.train.columns[name] for name, _ in some}
        part = Rows(columns, data.train.labels, data.train.weights, data.train.times)
        made = Fitter(Data(part, part, some, ""), chosen, lambda text: None).fit()
        assert prove(made.pipeline, to_onnx(made.pipeline, some), some, part, "binary").largest < 1e-5


def test_a_difference_counts_in_proportion_and_nan_equals_nan_only() -> None:
    expected = np.array([0.0, 0.0, 1e6, 1e6, np.nan, np.nan, 1.0, np.inf, np.inf])
    given = np.array([9e-6, 2e-5, 1e6 + 9, 1e6 + 11, np.nan, 1.0, np.nan, np.inf, -np.inf])
    wrong, _ = compare(expected, given)
    assert wrong.tolist() == [False, True, False, True, False, True, True, False, True]


def test_generated_rows_hold_what_does_not_come_every_day() -> None:
    real = rows(2).columns
    made = generated(real, FEATURES, extreme=True)
    assert np.isnan(made["x"]).any()
    assert np.float32(3.4e38) in made["fine"]
    assert "" in made["kind"]
    assert "never seen" in made["kind"]
    assert "\N{LATIN SMALL LETTER E WITH ACUTE}" in made["kind"]
    assert len({len(values) for values in made.values()}) == 1


def test_generated_rows_of_huge_numbers_are_finite_or_missing() -> None:
    huge = np.array([-3.4028235e38, 3.4028235e38], np.float32)
    made = generated({"x": huge}, (("x", "float32"),), extreme=True)
    assert not np.isinf(made["x"]).any()


SCRIPT = """
import sys, hashlib
sys.path.insert(0, sys.argv[1])
from tests.train.test_proof import GOOD, FEATURES, fitted
from components.train.export import to_onnx
for name in ("boosting", "forest", "logistic"):
    print(hashlib.sha256(to_onnx(fitted(**GOOD[name])[0].pipeline, FEATURES)).hexdigest())
"""


@pytest.mark.slow
def test_three_processes_export_the_same_bytes() -> None:
    root = str(Path(__file__).resolve().parents[2])
    found = []
    for seed in ("1", "2", "3"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}
        made = subprocess.run(
            [sys.executable, "-c", SCRIPT, root], env=env, capture_output=True, text=True, check=True, cwd=root
        )
        found.append(made.stdout.split())
    assert len(set(found[0])) == 3
    assert found[0] == found[1] == found[2]
