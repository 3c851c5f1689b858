"""evaluate: what the gate is told of challenger and champion, and what it refuses to judge."""

from __future__ import annotations

import json
import math
import re
import shutil
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from components.core import artifacts, bundle, metrics
from components.core.errors import ArtifactError
from tests.evaluate.conftest import CLASSES, FEATURES, GOOD, NOISY, Maker, World, case_yaml, columns_of, write_holdout

KINDS = ("binary", "multiclass", "regression")


def verdict(result: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(result.parameters["verdict"])
    return loaded


def refusal(world: World, folder: Any, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The message of a run that must fail with this exit code and publish nothing."""
    with pytest.raises(SystemExit) as caught:
        world.run(folder)
    assert caught.value.code == code
    with pytest.raises(ArtifactError):
        artifacts.read_manifest(world.evaluation)
    return capsys.readouterr().err.strip().removeprefix("[evaluate] ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_model_is_measured_and_accepted(world: Maker, kind: str) -> None:
    here = world(kind)
    result = here.run(here.model(GOOD[kind]))
    data = here.data()
    assert verdict(result) == {k: data[k] for k in ("accepted", "unchanged", "reasons")}
    assert (data["accepted"], data["unchanged"], data["champion"]) == (True, False, None)
    assert tuple(data["metrics"]) == tuple(sorted(metrics.names(kind)))  # type: ignore[arg-type]
    assert result.metrics == {name: data["metrics"][name] for name in metrics.names(kind)}  # type: ignore[arg-type]
    assert result.rows_in == data["rows"] == 1500
    assert data["window"] == ["2021-01-01T00:00:00Z", "2021-03-04T11:00:00Z"]
    for name, (low, high) in data["intervals"].items():
        assert low < data["metrics"][name] < high
    artifacts.verify(here.evaluation, "evaluation")


def test_the_metrics_are_those_of_the_models_own_scores(world: Maker) -> None:
    here = world("binary", model={"task": "binary", "weights": {"column": "x"}})
    columns = columns_of("binary", 1500) | {"_weight": np.random.default_rng(2).random(1500)}
    write_holdout(here.holdout, "binary", columns)
    here.run(here.model(GOOD["binary"]))
    scores = 1 / (1 + np.exp(-4 * columns["x"]))
    labels, weights = columns["_label"], columns["_weight"]
    found = here.data()["metrics"]
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-5)
    assert found["f1"] == pytest.approx(sk.f1_score(labels, scores >= 0.5, sample_weight=weights), abs=1e-5)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(labels, scores, sample_weight=weights), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_champion_is_scored_again_on_the_same_rows(world: Maker, kind: str) -> None:
    here = world(kind)
    better, worse = here.model(GOOD[kind]), here.model(NOISY[kind])
    here.promote(worse)
    assert verdict(here.run(better))["accepted"]
    champion = here.data()["champion"]
    assert (champion["version"], champion["rows"], champion["note"]) == (1, 1500, "")
    here.promote(better)
    again = verdict(here.run(worse))
    assert not again["accepted"]
    assert "beyond the tolerance" in again["reasons"][0]
    swapped = here.data()["champion"]
    for name, (value, low, high) in swapped["differences"].items():
        other = champion["differences"][name]
        assert [value, low, high] == pytest.approx([-other[0], -other[2], -other[1]])


def test_the_champion_runs_with_the_code_of_its_own_bundle(world: Maker) -> None:
    here = world("binary")
    other = here.root / "other"
    other.mkdir()
    (other / "case.yaml").write_text(case_yaml("binary"))
    (other / "features.py").write_text(FEATURES.replace("columns[name]", "-columns[name]"))
    stored = here.root / "stored"
    bundle.write(bundle.build(other), stored)
    here.promote(here.model([[2.0, -2.0], [0.0, 0.0]], stored))  # both signs turned: the same answers
    here.run(here.model(GOOD["binary"]))
    assert here.data()["champion"]["differences"]["roc_auc"] == [0.0, 0.0, 0.0]


def test_the_champion_itself_is_unchanged(world: Maker) -> None:
    here = world("binary", gate={"floors": {"roc_auc": 1.0}})
    folder = here.model(GOOD["binary"])
    version = here.promote(folder)
    result = here.run(folder)
    found = verdict(result)
    assert (found["accepted"], found["unchanged"]) == (True, True)
    assert result.report["blocks"][0]["said"] == "Unchanged"
    assert found["reasons"] == [f"The model is the champion itself, version {version}: nothing changes."]


def test_only_rows_after_the_champions_training_are_compared(world: Maker) -> None:
    here = world("binary")
    here.promote(here.model(NOISY["binary"], trained_to="2021-02-01T12:30:00Z"))
    found = verdict(here.run(here.model(GOOD["binary"])))
    after = 1500 - 31 * 24 - 13
    assert found["accepted"]
    assert found["reasons"][0] == (
        "Champion version 1 was trained on data up to 2021-02-01T12:30:00Z, inside the holdout: "
        f"only the {after} rows after it are compared."
    )
    assert here.data()["champion"]["rows"] == after
    assert here.data()["rows"] == 1500


def test_a_champion_that_has_seen_all_of_the_holdout_cannot_be_beaten_on_it(world: Maker) -> None:
    here = world("binary")
    here.promote(here.model(NOISY["binary"], trained_to="2022-01-01T00:00:00Z"))
    found = verdict(here.run(here.model(GOOD["binary"])))
    assert not found["accepted"]
    assert found["reasons"][0] == (
        "Insufficient data: 0 rows are left to compare with champion version 1, and the gate asks for at least 200."
    )


def test_a_champion_trained_on_other_times_is_compared_on_all_rows(world: Maker) -> None:
    here = world("binary")
    times: dict[str, Any] = {"trained_from": "2022-01-01T00:00:00+01:00", "trained_to": "2022-06-01T00:00:00+01:00"}
    here.promote(here.model(NOISY["binary"], **times))
    here.run(here.model(GOOD["binary"]))
    assert here.data()["champion"]["rows"] == 1500


def test_floors_and_slices_of_the_gate_are_judged(world: Maker) -> None:
    rules = [{"column": "kind", "metric": "f1", "floor": 0.5, "minimum_rows": 300}]
    here = world("binary", gate={"floors": {"roc_auc": 0.99}, "slices": rules, "resamples": 50})
    found = verdict(here.run(here.model(GOOD["binary"])))
    assert not found["accepted"]
    assert re.fullmatch(
        r"roc_auc is 0\.9\d+ \(95 % interval 0\.9\d+ to 0\.9\d+\), below its floor of 0\.99\.", found["reasons"][0]
    )
    assert found["reasons"][1].startswith("Of the 2 slices by kind with at least 300 rows, the worst is ")
    assert found["reasons"][1].endswith("Not judged, being smaller: ''.")
    sizes = {s["value"]: (s["rows"], sorted(s["metrics"])) for s in here.data()["slices"]}
    assert sizes == {"q": (900, ["f1", "roc_auc"]), "p": (450, ["f1", "roc_auc"]), "": (150, [])}


def test_string_inputs_are_sliced_by_without_being_asked(world: Maker) -> None:
    here = world("regression")
    here.run(here.model(GOOD["regression"]))
    found = here.data()["slices"]
    assert [(s["column"], s["value"], list(s["metrics"])) for s in found] == [
        ("kind", "q", ["rmse"]),
        ("kind", "p", ["rmse"]),
        ("kind", "", ["rmse"]),
    ]


@pytest.mark.parametrize(("values", "slices"), [(20, 20), (21, 0)])
def test_a_string_input_of_many_values_is_not_sliced_by(world: Maker, values: int, slices: int) -> None:
    here = world("binary", columns=columns_of("binary", 1500) | {"kind": [f"k{i % values}" for i in range(1500)]})
    here.run(here.model(GOOD["binary"]))
    assert len(here.data()["slices"]) == slices


def test_the_gate_may_slice_by_a_number(world: Maker) -> None:
    rules = [{"column": "z", "metric": "accuracy", "floor": 0.5, "minimum_rows": 200}]
    columns = columns_of("binary", 1500) | {"z": [(0.0, 1.5, None)[i % 3] for i in range(1500)]}
    here = world("binary", columns=columns, gate={"slices": rules, "resamples": 50})
    here.run(here.model(GOOD["binary"]))
    sizes = {s["value"]: s["rows"] for s in here.data()["slices"] if s["column"] == "z"}
    assert sizes == {"0": 500, "1.5": 500, "": 500}


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_that_the_model_does_not_use_is_of_no_importance(world: Maker, kind: str) -> None:
    here = world(kind)
    here.run(here.model(GOOD[kind]))
    found = here.data()["importance"]
    assert set(found) == {"x", "z"}
    assert found["z"] == 0.0
    assert found["x"] > 0.1


def test_curves_and_baselines_stand_beside_the_metrics(world: Maker) -> None:
    here = world("binary")
    here.run(here.model(GOOD["binary"]))
    data = here.data()
    assert 2 < len(data["roc"]["fpr"]) <= 200
    assert all(math.isfinite(t) for t in data["roc"]["thresholds"])
    assert data["confusion"]["labels"] == ["0", "1"]
    assert np.sum(data["confusion"]["matrix"]) == 1500
    assert sum(b["rows"] for b in data["calibration"]["bins"]) == 1500
    assert 0 < data["calibration"]["expected_error"] < 0.2
    assert data["baselines"]["majority class"]["roc_auc"] == 0.5
    assert data["baselines"]["majority class"]["accuracy"] < data["metrics"]["accuracy"]


def test_classes_have_a_confusion_and_no_roc_curve(world: Maker) -> None:
    here = world("multiclass")
    here.run(here.model(GOOD["multiclass"]))
    data = here.data()
    assert data["roc"] is None
    assert data["confusion"]["labels"] == list(CLASSES["multiclass"])


def test_numbers_have_neither_and_their_mean_as_baseline(world: Maker) -> None:
    here = world("regression")
    here.run(here.model(GOOD["regression"]))
    data = here.data()
    assert (data["roc"], data["confusion"], data["calibration"]["expected_error"]) == (None, None, None)
    assert data["baselines"]["mean"]["r2"] == pytest.approx(0.0, abs=1e-12)
    assert len(data["calibration"]["bins"]) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_the_report_show_what_was_found(world: Maker, kind: str) -> None:
    here = world(kind)
    here.promote(here.model(NOISY[kind]))
    result = here.run(here.model(GOOD[kind]))
    page = (here.evaluation / "index.html").read_text()
    shown = [block["type"] for block in result.report["blocks"]]
    assert shown[:2] == ["verdict", "intervals"]
    assert {"lines", "bars", "table"} <= set(shown)
    assert ("matrix" in shown) == (kind != "regression")
    assert "toy: evaluation" in page
    assert "Challenger minus champion (version 1)" in page
    assert len(json.dumps(result.report, allow_nan=False)) < 40_000


@pytest.mark.parametrize("kind", KINDS)
def test_the_summary_has_a_row_for_every_metric_beside_the_champion(world: Maker, kind: str) -> None:
    here = world(kind)
    here.run(here.model(GOOD[kind]))
    alone = (here.evaluation / "summary.md").read_text().splitlines()
    here.promote(here.model(NOISY[kind]))
    here.run(here.model(GOOD[kind]), "job-2")
    data, lines = here.data(), (here.evaluation / "summary.md").read_text().splitlines()
    assert lines[:3] == ["## accepted", "", f"- {data['reasons'][0]}"]
    rows = {row[1]: row for row in (line.split("|") for line in lines if line.startswith("|"))}
    assert set(rows) == {" metric ", " :-- "} | {f" {name} " for name in data["metrics"]}
    for name, value in data["metrics"].items():
        assert rows[f" {name} "][2].startswith(f" {value:.4g} (")
        assert rows[f" {name} "][3] == f" {data['champion']['metrics'][name]:.4g} "
    assert [line.count("|") for line in alone if line.startswith("|")] == [3] * (len(data["metrics"]) + 2)


def test_an_equal_evaluation_is_reused_until_the_champion_changes(world: Maker) -> None:
    here = world("binary")
    folder = here.model(GOOD["binary"])
    assert not here.run(folder).reused
    assert here.run(folder, "job-2").reused
    here.promote(here.model(NOISY["binary"]))
    assert not here.run(folder, "job-3").reused
    assert here.run(folder, "job-4").reused
    assert here.data()["champion"]["version"] == 1


def test_one_class_in_the_holdout_is_refused_by_name(world: Maker) -> None:
    here = world("binary", columns=columns_of("binary", 1500) | {"_label": np.ones(1500)})
    result = here.run(here.model(GOOD["binary"]))
    assert verdict(result)["reasons"][0] == "roc_auc, which models are compared by, is undefined on the holdout."
    assert not verdict(result)["accepted"]
    assert here.data()["undefined"] == ["average_precision", "balanced_accuracy", "roc_auc"]
    assert "roc_auc" not in result.metrics
    assert here.data()["importance"] == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_answers_nan_is_refused(world: Maker, kind: str) -> None:
    columns = columns_of(kind, 1500)
    columns["x"] = np.where(np.arange(1500) == 700, np.nan, columns["x"])
    here = world(kind, columns=columns)
    result = here.run(here.model(GOOD[kind]))
    assert not verdict(result)["accepted"]
    assert result.metrics == {}
    assert sorted(here.data()["undefined"]) == sorted(metrics.names(kind))  # type: ignore[arg-type]


def test_a_slice_of_one_class_does_not_reach_its_floor(world: Maker) -> None:
    columns = columns_of("binary", 1500)
    columns["_label"] = np.where(np.array(columns["kind"]) == "p", 1.0, columns["_label"])
    rules = [{"column": "kind", "metric": "roc_auc", "floor": 0.1, "minimum_rows": 100}]
    here = world("binary", columns=columns, gate={"slices": rules, "resamples": 50})
    assert verdict(here.run(here.model(GOOD["binary"])))["reasons"][0] == (
        "roc_auc is undefined on the 450 rows with kind 'p', which does not reach its floor of 0.1."
    )


def test_too_few_rows_are_insufficient_data(world: Maker) -> None:
    here = world("binary", rows=60)
    assert verdict(here.run(here.model(GOOD["binary"])))["reasons"][0] == (
        "Insufficient data: the holdout has 60 labelled rows, and the gate asks for at least 200."
    )


def test_an_empty_holdout_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world("binary", rows=0)
    assert refusal(here, here.model(GOOD["binary"]), capsys, 3) == (
        "'holdout' must have rows. Got 0. Give a longer history, or other periods in 'split'."
    )


def test_a_row_without_a_label_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    columns = columns_of("regression", 300)
    columns["_label"] = np.where(np.arange(300) < 2, np.nan, columns["_label"])
    here = world("regression", columns=columns)
    assert refusal(here, here.model(GOOD["regression"]), capsys, 3) == (
        "'_label' must be known for every row of the holdout. Got '2 of 300 missing'. Run preprocess again."
    )


def test_weights_that_add_up_to_nothing_are_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world("binary", columns=columns_of("binary", 300) | {"_weight": np.zeros(300)})
    assert refusal(here, here.model(GOOD["binary"]), capsys, 3) == (
        "'_weight' must add up to more than 0. Got 0.0. Mend the case's weights column."
    )


def test_a_champion_whose_input_the_holdout_lacks_is_refused_by_name(
    world: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    here = world("binary")
    inputs = (("x", "number"), ("z", "string"), ("kind", "string"), ("old", "number"))
    here.promote(here.model(NOISY["binary"], inputs=inputs))
    assert refusal(here, here.model(GOOD["binary"]), capsys, 3) == (
        "'holdout' must have the input columns of the champion, version 1. Got 'without z (string), old (double)'. "
        "Keep these columns in the case until a model without them is champion."
    )


def test_a_champion_of_another_task_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world("binary")
    here.promote(here.model(GOOD["regression"], task="regression"))
    assert refusal(here, here.model(GOOD["binary"]), capsys, 5) == (
        "'champion' must be a binary model as the challenger is. Got 'regression'. Give the changed case another name."
    )


def test_a_champion_whose_model_is_gone_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world("binary")
    version = here.promote(here.model(NOISY["binary"]))
    shutil.rmtree(here.ports.registry.fetch("toy", version))
    assert refusal(here, here.model(GOOD["binary"]), capsys, 4).startswith(
        "'artifact' must be a directory with _manifest.json."
    )


def test_a_champion_that_names_no_bundle_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world("binary")
    here.promote(here.model(NOISY["binary"]), bundle="")
    assert refusal(here, here.model(GOOD["binary"]), capsys, 4) == (
        "toy version 1: 'bundle' must be named by the model's registry record. Got None. "
        "Roll back to a version that esteira registered."
    )


def test_a_gate_with_an_unknown_metric_is_refused_before_anything_is_scored(
    world: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    here = world("regression", gate={"floors": {"roc_auc": 0.5}})
    assert refusal(here, here.model(GOOD["regression"]), capsys, 2).startswith(
        "'gate.floors.roc_auc' must be a metric of a regression task"
    )
