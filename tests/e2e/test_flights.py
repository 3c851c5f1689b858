"""The main job as a user runs it: the command line in a folder with data, on every 40th real flight."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components import ROUTE
from pipelines.launch import environments
from pipelines.launch.run import ROUTES
from tests.conftest import FLIGHTS
from tests.e2e.conftest import Ran, esteira, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("flights")]


@pytest.fixture(scope="module")
def second(home: Path, first: Ran) -> Ran:
    """The same again."""
    return run(home)


def test_the_first_run_does_every_step_and_makes_a_champion(first: Ran) -> None:
    assert first.code == 0
    assert first.states() == dict.fromkeys(ROUTE, "done")
    verdict = json.loads(first.record["steps"]["evaluate"]["parameters"]["verdict"])
    assert verdict["accepted"]
    assert first.record["steps"]["deploy"]["parameters"]["champion"] == "1"


def test_rows_are_accounted_for_from_step_to_step(first: Ran) -> None:
    steps = first.record["steps"]
    assert steps["ingest"]["rows_in"] == 8420
    assert 8000 < steps["ingest"]["rows_out"] < 8420
    assert steps["validate"]["rows_in"] == steps["ingest"]["rows_out"] == steps["preprocess"]["rows_in"]
    assert 0 < steps["predict"]["rows_out"] < steps["train"]["rows_in"] < steps["preprocess"]["rows_in"]


def test_the_report_is_one_page_that_names_every_step_and_needs_no_network(first: Ran) -> None:
    page = Path(first.record["report_page"]).read_text()
    assert all(step in page for step in ROUTE)
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_the_same_again_reuses_what_it_may_and_keeps_the_champion(second: Ran) -> None:
    states = second.states()
    for step in ("ingest", "validate", "preprocess", "train"):
        assert states[step] == "reused"
    for step in ("register", "deploy", "predict", "monitor", "notify"):
        assert states[step] == "done"
    assert second.record["steps"]["deploy"]["parameters"]["champion"] == "1"


def test_a_second_run_leaves_one_version_and_one_window_of_predictions(home: Path, second: Ran) -> None:
    rows = json.loads(esteira(home, "models", "list", "flights", "--json").stdout)
    assert [(row["version"], row["live"]) for row in rows] == [(1, "champion")]
    assert second.record["steps"]["predict"]["rows_out"] is not None


def test_both_runs_are_listed_the_newest_first(home: Path, first: Ran, second: Ran) -> None:
    listed = json.loads(esteira(home, "runs", "list", "--json").stdout)
    assert [record["job"] for record in listed[:2]] == [second.record["job"], first.record["job"]]
    shown = json.loads(esteira(home, "runs", "show", first.record["job"], "--json").stdout)
    assert shown["steps"].keys() == first.record["steps"].keys()


def test_a_changed_features_file_misses_from_preprocess_on_and_the_gate_compares(home: Path, second: Ran) -> None:
    assert second.code == 0
    case = home / "cases" / "flights"
    shutil.copytree(FLIGHTS, case, ignore=shutil.ignore_patterns("__pycache__"))
    code = (case / "features.py").read_text()
    (case / "features.py").write_text(code.replace('"distance": columns["distance"],', ""))
    third = run(home)
    states = third.states()
    assert (states["ingest"], states["preprocess"], states["train"]) == ("reused", "done", "done")
    reasons = " ".join(json.loads(third.record["steps"]["evaluate"]["parameters"]["verdict"])["reasons"])
    assert "champion" in reasons


def test_an_altered_artifact_is_made_again(home: Path, second: Ran) -> None:
    altered = 0
    for path in (home / ".esteira" / "blobs" / "reuse").glob("*.json"):
        outputs = json.loads(path.read_text())["outputs"]
        if "model" in outputs:
            (Path(outputs["model"]["path"]) / "model.json").write_text("{}")
            altered += 1
    assert altered
    again = run(home, FLIGHTS)
    assert again.states()["train"] == "done"
    assert again.states()["preprocess"] == "reused"


def test_predict_scores_what_is_new_once(home: Path, second: Ran) -> None:
    one = run(home, pipeline="predict")
    assert one.code == 0
    assert set(one.states()) == set(ROUTES["predict"])
    assert one.record["steps"]["predict"]["rows_out"] > 0
    two = run(home, pipeline="predict")
    assert two.code == 0
    assert two.record["steps"]["predict"]["rows_out"] == 0


def test_a_refused_model_leaves_the_champion_and_predicts_with_it(home: Path, second: Ran) -> None:
    case = home / "cases" / "strict"
    shutil.copytree(FLIGHTS, case, ignore=shutil.ignore_patterns("__pycache__"))
    text = (case / "case.yaml").read_text()
    (case / "case.yaml").write_text(text.replace("roc_auc: 0.85", "roc_auc: 0.9999").replace("seed: 7", "seed: 8"))
    before = json.loads(esteira(home, "models", "list", "flights", "--json").stdout)
    refused = run(home, case)
    assert refused.code == 0
    assert not json.loads(refused.record["steps"]["evaluate"]["parameters"]["verdict"])["accepted"]
    assert refused.record["steps"]["predict"]["rows_out"] > 0
    assert json.loads(esteira(home, "models", "list", "flights", "--json").stdout) == before


def test_a_failed_step_is_told_with_its_error_and_the_exit_handler_still_runs(home: Path, second: Ran) -> None:
    case = home / "cases" / "broken"
    shutil.copytree(FLIGHTS, case, ignore=shutil.ignore_patterns("__pycache__"))
    text = (case / "case.yaml").read_text()
    (case / "case.yaml").write_text(text.replace("carrier: {type: string", "carrier: {type: number"))
    failed = run(home, case)
    assert failed.code == 8
    states = failed.states()
    assert (states["ingest"], states["notify"]) == ("failed", "done")
    assert "train" not in states
    assert "'carrier' must be a finite number" in failed.record["steps"]["ingest"]["error"]
    assert "must be a finite number" in Path(failed.record["report_page"]).read_text()


def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(home: Path) -> None:
    done = esteira(home, "run", "fligths", check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "esteira: 'CASE' must be a folder with a case.yaml: cases/fligths or "
        f"{environments.HOME}/pipelines/cases/fligths. Got 'fligths'. Make one with `esteira init NAME --data FILE`."
    ]
