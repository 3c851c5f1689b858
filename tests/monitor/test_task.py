"""monitor: what it calls drift, what it calls too little to say, and how good it finds the predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.core import artifacts, drift
from components.core.errors import ArtifactError
from components.monitor import show, task, window
from components.monitor.findings import Compared, Performance
from components.predict import task as predict
from components.step import Launch, Result
from tests.toy import Columns, Toy, columns, toy, write_rows


@dataclass
class World:
    toy: Toy
    runs: int = 0

    @property
    def monitoring(self) -> Path:
        return self.toy.root / f"run-{self.runs}" / "monitoring"

    def data(self) -> dict[str, Any]:
        manifest = artifacts.verify(self.monitoring, "monitoring")
        loaded: dict[str, Any] = json.loads(artifacts.read_named(self.monitoring, manifest, "monitoring.json"))
        return loaded

    def watch(self, given: Columns, label: pa.DataType | None = None) -> Result:
        """Predicts the rows and monitors them."""
        self.runs += 1
        root = self.monitoring.parent
        score, predictions = write_rows(root / "score", given, label=label), root / "predictions"
        predict.run(self.toy.launch, score=str(score), predictions=str(predictions))
        return self.again()

    def again(self) -> Result:
        root = self.monitoring.parent
        places = {name: str(root / name) for name in ("score", "predictions", "monitoring")}
        return task.run(self.toy.launch, **places)

    def column(self, name: str) -> dict[str, Any]:
        [found] = [c for c in self.data()["columns"] if c["name"] == name]
        return dict(found)


Maker = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, make_launch: Callable[..., Launch]) -> Maker:
    """A toy with a champion; the arguments are sections of its case."""

    def make(kind: str = "binary", **sections: Any) -> World:
        return World(toy(tmp_path, make_launch, kind, **{"gate": {"resamples": 50}} | sections))

    return make


@pytest.fixture
def live(world: Maker) -> World:
    here = world()
    here.toy.promote(here.toy.model("champion", metrics={"roc_auc": 0.95}))
    return here


def test_rows_of_the_same_distribution_do_not_drift(live: World) -> None:
    result = live.watch(columns(1500, seed=2))
    assert result.parameters == {"drift": "no drift"}
    assert {c["name"]: c["verdict"] for c in live.data()["columns"]} == dict.fromkeys(
        ("x", "z", "kind", "_score"), "no drift"
    )
    assert result.summary.startswith("No drift: in 4 of 4 columns; roc_auc 0.")
    assert result.rows_in == 1500


def test_a_shift_of_one_sigma_is_found_and_named(live: World) -> None:
    given = columns(1500, seed=2)
    result = live.watch(given | {"z": given["z"] + 1})
    assert result.parameters == {"drift": "drift"}
    assert live.data()["reason"] == "1 of 4 columns: z"
    assert live.column("z")["distance"] == pytest.approx(drift.ONE_SIGMA, abs=0.05)
    assert live.column("z")["ks"] == pytest.approx(0.38, abs=0.04)  # 2 Phi(1/2) - 1
    assert result.metrics["drifting_columns"] == 1


def test_a_category_that_training_never_saw_drifts(live: World) -> None:
    given = columns(1500, seed=2)
    live.watch(given | {"kind": np.where(np.arange(1500) % 3 == 0, "new", given["kind"])})
    assert live.column("kind")["verdict"] == "drift"


def test_a_column_that_has_gone_missing_drifts(live: World) -> None:
    live.watch(columns(1500, seed=2) | {"z": np.full(1500, np.nan)})
    assert (live.column("z")["verdict"], live.column("z")["missing"]) == ("drift", 1.0)


def test_the_scores_are_watched_too(live: World) -> None:
    given = columns(1500, seed=2)
    live.watch(given | {"x": given["x"] + 1})
    assert live.data()["reason"] == "2 of 4 columns: x, _score"


def test_however_the_rows_lie_in_shards_and_batches_the_finding_is_one(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = columns(1500, seed=2)
    live.watch(given)
    whole = live.data()
    monkeypatch.setattr(window, "BATCH", 7)
    live.again()
    assert live.data() == whole


def test_an_ignored_column_does_not_drift(world: Maker) -> None:
    here = world(monitoring={"ignore": ["z", "unheard_of"]})
    here.toy.promote(here.toy.model("champion"))
    given = columns(1500, seed=2)
    assert here.watch(given | {"z": given["z"] + 1}).parameters == {"drift": "no drift"}
    assert here.data()["ignored"] == ["z"]


def test_a_threshold_of_the_case_takes_the_place_of_the_calibrated_one(world: Maker) -> None:
    here = world(monitoring={"threshold": 0.01})
    here.toy.promote(here.toy.model("champion"))
    assert here.watch(columns(1500, seed=2)).parameters == {"drift": "drift"}
    assert {c["threshold"] for c in here.data()["columns"]} == {0.01}


def test_no_champion_is_insufficient_data(world: Maker) -> None:
    here = world()
    result = here.watch(columns(300))
    assert result.parameters == {"drift": "insufficient data"}
    assert result.summary == "Insufficient data: there is no champion"
    assert here.data()["columns"] == []


def test_no_rows_are_insufficient_data(live: World) -> None:
    result = live.watch(columns(0))
    assert result.summary == "Insufficient data: nothing was predicted"
    assert live.data()["rows"] == 0


@pytest.mark.parametrize("rows", [1, 199])
def test_few_rows_are_insufficient_data_however_far_off(live: World, rows: int) -> None:
    given = columns(rows)
    result = live.watch(given | {"z": given["z"] + 9})
    assert result.parameters == {"drift": "insufficient data"}
    why = f"{rows} rows in the window, 5000 in the baseline; it takes 200"
    assert live.data()["reason"] == why
    assert (live.monitoring / "index.html").read_text().count(why) == 5  # in the facts, and of each column
    assert live.data()["performance"] == {
        "metric": "roc_auc",
        "rows": rows,
        "value": None,
        "interval": None,
        "validation": 0.95,
    }


def test_performance_is_that_of_the_labelled_rows(live: World) -> None:
    given = columns(1500, seed=2)
    known = np.arange(1500) % 3 == 0
    late = given | {"_label": np.where(known, given["_label"], np.nan)}
    result = live.watch(late)
    found = live.data()["performance"]
    assert (found["metric"], found["rows"], found["validation"]) == ("roc_auc", 500, 0.95)
    assert found["value"] == pytest.approx(_auc(given["x"][known], given["_label"][known]))
    assert found["interval"][0] < found["value"] < found["interval"][1]
    assert result.metrics["roc_auc"] == found["value"]


def _auc(scores: Any, labels: Any) -> float:
    """Mann and Whitney (1947): the share of pairs that are in order."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    return float((positive[:, None] > negative[None, :]).mean())


def test_no_label_at_all_leaves_drift_alone(live: World) -> None:
    result = live.watch(columns(1500, seed=2) | {"_label": np.full(1500, np.nan)})
    assert result.parameters == {"drift": "no drift"}
    assert live.data()["performance"]["rows"] == 0
    assert "roc_auc" not in result.metrics


def test_labels_of_one_class_give_no_number(live: World) -> None:
    result = live.watch(columns(1500, seed=2) | {"_label": np.ones(1500)})
    assert result.summary == "No drift: in 4 of 4 columns; roc_auc is undefined on 1,500 labelled rows"
    assert live.data()["performance"]["value"] is None
    assert "roc_auc" not in result.metrics


def test_of_many_labelled_rows_an_even_part_is_judged(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "LABELLED", 400)
    monkeypatch.setattr(window, "BATCH", 333)
    given = columns(1500, seed=2)
    live.watch(given)
    every = slice(None, None, 4)
    assert live.data()["performance"]["rows"] == 375
    assert live.data()["performance"]["value"] == pytest.approx(_auc(given["x"][every], given["_label"][every]))


@pytest.mark.parametrize(
    ("kind", "weights", "metric"),
    [("multiclass", ((-3.0, 0.0, 3.0), (0.0, 0.0, 0.0)), "log_loss"), ("regression", ((1.0,), (0.0,)), "rmse")],
)
def test_other_tasks_have_their_own_metric(world: Maker, kind: str, weights: Any, metric: str) -> None:
    here = world(kind)
    here.toy.promote(here.toy.model("champion", weights))
    given = columns(600, seed=2)
    if kind == "multiclass":
        labels, label = np.array(["a", "b", "c"], dtype=object)[np.digitize(given["x"], [-0.5, 0.5])], pa.string()
        labels[::2] = None
    else:
        labels, label = np.where(np.arange(600) % 2, given["x"] + 0.5, np.nan), pa.float64()
    here.watch(given | {"_label": labels}, label)
    found = here.data()["performance"]
    assert (found["metric"], found["rows"]) == (metric, 300)
    if kind == "regression":
        assert found["value"] == pytest.approx(0.5, abs=1e-6)


def test_the_version_that_predicted_is_judged_although_another_is_champion_by_now(live: World) -> None:
    live.watch(columns(600, seed=2))
    live.toy.promote(live.toy.model("next", ((-1.0, 1.0), (0.0, 0.0))))
    live.again()
    assert live.data()["version"] == 1


def test_it_is_never_reused(live: World) -> None:
    live.watch(columns(300, seed=2))
    assert not live.again().reused


def test_a_baseline_that_was_altered_is_refused(live: World, capsys: pytest.CaptureFixture[str]) -> None:
    live.watch(columns(300, seed=2))
    folder = live.toy.ports.registry.fetch("toy", 1)
    (folder / "baseline.json").write_text("{}")
    with pytest.raises(SystemExit) as caught:
        live.again()
    assert caught.value.code == ArtifactError.exit_code
    assert "'baseline.json' must have the sha256 of its manifest. Got 'other bytes'." in capsys.readouterr().err


def test_the_page_draws_every_block(live: World) -> None:
    given = columns(1500, seed=2)
    result = live.watch(given | {"z": np.where(np.arange(1500) % 2, given["z"] + 3, np.nan)})
    page = (live.monitoring / "index.html").read_text()
    assert "Not shown" not in page
    assert "why not judged" not in page
    assert page.count('<svg class="plot"') + page.count("<table") >= 6
    assert "Missing: 0 % in the baseline, 50 % now." in page
    assert len(json.dumps(result.report)) < 50_000


def test_many_drifting_columns_are_named_in_one_line() -> None:
    found = [drift.ColumnDrift(f"c{i}", "drift", "", 500, 0.0, 0.5) for i in range(20)]
    compared = Compared(1, "", "", found, {}, {}, (), Performance("roc_auc", 0, None, None))
    assert show.summary(task._judged(compared, 500)) == "Drift: 20 of 20 columns: c0, c1, c2, c3, c4, c5, c6, c7 …"
