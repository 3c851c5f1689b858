"""From features to a model that a scorer opens, twice the same; what cannot be learned from is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from components.adapters.connect import Connected
from components.adapters.records import load_run
from components.core import artifacts, drift, skops_file
from components.core.case import Model
from components.core.columns import Columns
from components.core.errors import CaseError
from components.core.profile import EndpointsAddress, Profile
from components.core.scorer import Scorer, frame
from components.step import Context, Launch, Result
from components.train import task
from tests.train.conftest import Make, Publish

ROW: Columns = {
    "distance": np.array([1089.0]),
    "hour": np.array([5.0]),
    "dep_delay": np.array([120.0]),
    "carrier": np.array(["AA"], dtype=object),
    "origin": np.array(["JFK"], dtype=object),
    "dest": np.array(["never seen"], dtype=object),
}
LOGISTIC = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "parameters": {"max_iter": 500},
    "scale": True,
    "categories": "onehot",
}
Train = Callable[..., tuple[Result, Path]]


@pytest.fixture
def train(flights_features: Path, tmp_path: Path) -> Train:
    """Runs the step; its result and the model's folder."""

    def run(launch: Launch, name: str = "model", features: Path = flights_features) -> tuple[Result, Path]:
        return task.run(launch, features=str(features), model=str(tmp_path / name)), tmp_path / name

    return run


def error(launch: Launch) -> str:
    """What the run's record says of the step that failed."""
    return load_run(Connected(Profile.from_json(launch.profile)).blobs, launch.job).step("train").error


@pytest.mark.slow
def test_a_published_model_is_whole_and_scores(make_case: Make, train: Train, flights_features: Path) -> None:
    launch = make_case()
    result, root = train(launch)
    names = {file.path for file in artifacts.verify(root, "model").files}
    bundled = {f"bundle/{name}" for name in ("bundle.json", "case.json", "features.py")}
    assert names == {"model.onnx", "model.skops", "model.json", "baseline.json"} | bundled
    scorer = Scorer.open(root, launch.bundle)
    late = scorer.predict(ROW)
    assert late.score[0] > 0.8
    assert late.decision[0] == "1"
    found = scorer.model
    assert (found.rows, found.trained_from, found.trained_to) == (7499, "2013-01-01T00:00:00Z", "2013-11-30T00:00:00Z")
    assert found.data == artifacts.read_manifest(flights_features).digest
    assert found.identity == result.parameters["identity"]
    assert found.parameters == {"max_iter": 20, "random_state": 0}
    assert result.metrics["roc_auc"] > 0.85
    assert result.metrics == found.metrics
    assert {"distance", "carrier", drift.SCORE} <= set(drift.parse(json.loads((root / "baseline.json").read_bytes())))


@pytest.mark.slow
def test_the_report_fits_the_page(make_case: Make, train: Train) -> None:
    search = {"trials": 3, "parameters": {"max_leaf_nodes": {"low": 4, "high": 16, "integer": True}}}
    shown = train(make_case(search=search))[0].report["blocks"]
    titles = [block["title"] for block in shown]
    assert titles[:2] == ["Training", "Metrics on the validation rows"]
    assert titles[2].startswith("Threshold 0.")
    assert titles[3:] == ["Search: roc_auc on the validation rows", "The best trials", "ONNX equals scikit-learn"]
    assert len(json.dumps(shown, allow_nan=False)) < 30_000


@pytest.mark.slow
def test_skops_and_onnx_files_hold_the_same_model(make_case: Make, train: Train) -> None:
    launch = make_case(**LOGISTIC)
    _, root = train(launch)
    scorer = Scorer.open(root, launch.bundle)
    pipeline = skops_file.loads((root / "model.skops").read_bytes())
    expected = pipeline.predict_proba(frame(scorer.features(ROW), scorer.model.features))[:, 1]
    np.testing.assert_allclose(scorer.predict(ROW).score, expected, atol=1e-12)


@pytest.mark.slow
def test_a_model_without_a_converter_is_served_by_scikit_learn(make_case: Make, train: Train) -> None:
    estimator = {"estimator": "sklearn.dummy.DummyClassifier", "parameters": {"strategy": "prior"}}
    launch = make_case(serve_with="skops", **estimator)
    result, root = train(launch)
    assert not (root / "model.onnx").exists()
    assert Scorer.open(root, launch.bundle).predict(ROW).score[0] == pytest.approx(0.24, abs=0.02)
    assert result.report["blocks"][-1]["text"].startswith("None: scikit-learn itself scores")


def test_it_is_refused_behind_a_vertex_endpoint_before_anything_is_read() -> None:
    model, endpoints = Model(task="binary", serve_with="skops"), EndpointsAddress(adapter="google")
    context = SimpleNamespace(case=SimpleNamespace(model=model), profile=SimpleNamespace(endpoints=endpoints))
    with pytest.raises(CaseError, match=r"'model.serve_with' must be onnx where endpoints.adapter is google"):
        task.work(cast(Context, context))


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, LOGISTIC, {"serve_with": "skops"}], ids=["onnx", "double", "skops"])
def test_the_same_rows_and_seed_give_the_same_identity(make_case: Make, train: Train, change: dict[str, Any]) -> None:
    launch = make_case(**change)
    first, root = train(launch)
    elsewhere = Launch("job-2", launch.bundle, launch.operations, launch.profile)
    _forget(launch)
    second, again = train(elsewhere, "again")
    assert not second.reused
    assert first.parameters == second.parameters
    if "serve_with" not in change:
        assert (root / "model.onnx").read_bytes() == (again / "model.onnx").read_bytes()


def _forget(launch: Launch) -> None:
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    for name in blobs.names("reuse/"):
        blobs.delete(name)


@pytest.mark.slow
def test_an_equal_step_is_reused_and_another_case_is_not(make_case: Make, train: Train) -> None:
    launch = make_case()
    train(launch)
    assert train(launch, "second")[0].reused
    other = make_case(seed=1)
    result, root = train(other, "third")
    assert not result.reused
    assert Scorer.open(root, other.bundle).model.seed == 1


@pytest.mark.slow
def test_classes_and_numbers_are_learned_too(
    make_case: Make, train: Train, publish: Publish, flights: tuple[Columns, Any, Any]
) -> None:
    columns, delay, times = flights
    names = np.array(["early", "late", "on time"], dtype=object)[np.where(delay > 15, 1, np.where(delay < 0, 0, 2))]
    launch = make_case(task="multiclass")
    _, root = train(launch, "classes", publish(columns, names, times, "by-name"))
    scorer = Scorer.open(root, launch.bundle)
    assert scorer.model.classes == ("early", "late", "on time")
    assert scorer.predict(ROW).decision.tolist() == ["late"]
    launch = make_case(task="regression", estimator="sklearn.ensemble.HistGradientBoostingRegressor")
    result, root = train(launch, "numbers", publish(columns, delay, times, "by-number"))
    predicted = Scorer.open(root, launch.bundle).predict(ROW)
    assert predicted.decision[0] == repr(float(predicted.score[0]))
    assert 60 < predicted.score[0] < 160
    assert set(result.metrics) == {"rmse", "mae", "r2", "median_absolute_error"}


@pytest.mark.slow
def test_weights_change_what_is_learned(make_case: Make, train: Train) -> None:
    plain = train(make_case(**LOGISTIC))[0]
    launch = make_case(weights={"balanced": True}, **LOGISTIC)
    balanced, root = train(launch, "balanced")
    assert balanced.metrics["log_loss"] > plain.metrics["log_loss"]
    assert Scorer.open(root, launch.bundle).model.threshold == pytest.approx(0.5, abs=0.2)


def refused(launch: Launch, train: Train, code: int, **inputs: Any) -> str:
    """Runs a step that must fail with this exit code and publish nothing; what it said."""
    with pytest.raises(SystemExit) as caught:
        train(launch, "refused", **inputs)
    assert caught.value.code == code
    root = Path(Profile.from_json(launch.profile).root).parent / "refused"
    assert not (root / artifacts.MANIFEST).exists()
    return error(launch)


def test_a_leaked_target_is_refused_by_name(
    make_case: Make, train: Train, publish: Publish, flights: tuple[Columns, Any, Any]
) -> None:
    columns, delay, times = flights
    leaky = {**columns, "arrival": delay.astype(np.float32)}
    message = refused(make_case(), train, 3, features=publish(leaky, (delay > 15).astype(float), times, "leaky"))
    assert message.startswith("train: 'arrival' must not give the label away.")


def test_one_class_is_refused(
    make_case: Make, train: Train, publish: Publish, flights: tuple[Columns, Any, Any]
) -> None:
    columns, delay, times = flights
    message = refused(make_case(), train, 3, features=publish(columns, np.zeros(len(delay)), times, "one"))
    assert message.startswith("train: 'label' must have two classes or more in the training rows. Got '0 in all 7499'.")


def test_a_metric_that_is_no_number_is_refused(
    make_case: Make, train: Train, publish: Publish, flights: tuple[Columns, Any, Any]
) -> None:
    columns, delay, times = flights
    delay = np.where(times >= np.datetime64("2013-12-01"), 7.0, delay)
    launch = make_case(task="regression", estimator="sklearn.tree.DecisionTreeRegressor", parameters={}, metric="r2")
    message = refused(launch, train, 3, features=publish(columns, delay, times, "flat"))
    assert message == (
        "train: 'r2' must be a number on the validation rows. Got nan. "
        "Look at the labels and scores of the validation rows, or choose another model.metric."
    )


def test_an_unknown_parameter_is_refused(make_case: Make, train: Train) -> None:
    message = refused(make_case(parameters={"max_itr": 3}), train, 2)
    assert message.startswith("case.yaml: 'model.parameters.max_itr' must be a parameter of")


def test_a_value_out_of_a_parameters_range_is_refused(make_case: Make, train: Train) -> None:
    message = refused(make_case(parameters={"max_iter": -3}), train, 2)
    assert message.startswith("case.yaml: 'model.parameters' must be what it takes. Got \"The 'max_iter' parameter of")


def test_what_scikit_learn_cannot_fit_is_refused(make_case: Make, train: Train) -> None:
    launch = make_case(estimator="sklearn.naive_bayes.MultinomialNB", parameters={})
    message = refused(launch, train, 5)
    assert message.startswith("train: 'estimator' must fit the training rows. Got 'Negative values in data passed to")


def test_a_scaler_before_trees_is_refused_with_the_remedy(make_case: Make, train: Train) -> None:
    message = refused(make_case(scale=True, parameters={"max_iter": 100}), train, 5)
    assert message.startswith("train: 'numbers (SimpleImputer, StandardScaler)' must give in ONNX what it gives")
    assert message.endswith("Set model.scale: false for trees, or model.serve_with: skops where no server is needed.")


@pytest.mark.slow
def test_a_tracking_server_that_is_down_does_not_fail_the_training(make_case: Make, train: Train) -> None:
    launch = make_case(tracking={"adapter": "mlflow", "at": "http://127.0.0.1:9"})
    result, root = train(launch)
    assert artifacts.verify(root, "model").kind == "model"
    assert result.aside.startswith("not tracked: 'tracking' must take a run at http://127.0.0.1:9.")


SCRIPT = """
import json, sys
from components.step import Launch
from components.train import task
for launch, model in json.loads(sys.argv[1]):
    print(task.run(Launch(*launch), features=sys.argv[2], model=model).parameters["identity"])
"""


@pytest.mark.slow
def test_another_process_gives_the_same_identities(
    make_case: Make, train: Train, flights_features: Path, tmp_path: Path
) -> None:
    launches = [make_case(), make_case(serve_with="skops", **LOGISTIC)]
    here = [train(launch, launch.bundle)[0].parameters["identity"] for launch in launches]
    _forget(launches[0])
    order = [[[x.job, x.bundle, x.operations, x.profile], str(tmp_path / f"{x.bundle}-2")] for x in launches]
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(order), str(flights_features)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in made.stdout.splitlines() if not line.startswith("[")] == here


def test_a_reused_step_imports_nothing_heavy() -> None:
    code = "import sys, components.train.task; print(sorted({'sklearn', 'onnx', 'mlflow', 'skops'} & set(sys.modules)))"
    root = str(Path(__file__).resolve().parents[2])
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert made.stdout.strip() == "[]"
