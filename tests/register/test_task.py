"""register: what becomes a version, and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.adapters.local.registry import MlflowRegistry
from components.core import artifacts
from components.core.errors import CaseError
from components.core.evaluated import Curve, Evaluation, Slice
from components.core.model import Model
from components.register import task
from components.step import Launch, Result
from tests.toy import NAME, Toy, toy

OTHER = ((-1.0, 1.0), (0.5, -0.5))


@pytest.fixture
def here(tmp_path: Path, make_launch: Callable[..., Launch]) -> Toy:
    return toy(tmp_path, make_launch)


def register(here: Toy, model: Path, evaluation: Path) -> Result:
    return task.run(here.launch, model=str(model), evaluation=str(evaluation))


def refusal(here: Toy, model: Path, evaluation: Path, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The message of a registration that must fail with this exit code and register nothing."""
    with pytest.raises(SystemExit) as caught:
        register(here, model, evaluation)
    assert caught.value.code == code
    assert here.ports.registry.versions(NAME) == []
    return capsys.readouterr().err.strip().removeprefix("[register] ")


def identity(model: Path) -> str:
    return Model.from_json((model / "model.json").read_bytes()).identity


def test_an_accepted_model_becomes_a_version_with_its_lineage(here: Toy) -> None:
    model = here.model("m")
    result = register(here, model, here.evaluation("e", model))
    assert result.parameters == {"version": "1", "resource": ""}
    assert result.summary == f"Version 1: {identity(model)[:12]}"
    [version] = here.ports.registry.versions(NAME)
    assert version.identity == identity(model)
    assert version.tags == {
        "bundle": here.launch.bundle,
        "data": "d" * 64,
        "run": "job-1",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "holdout.roc_auc": "0.9",
    }
    stored = here.ports.registry.fetch(NAME, 1)
    assert artifacts.verify(stored).digest == artifacts.read_manifest(model).digest


def test_the_registry_is_shown_what_the_version_reached(here: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int, Evaluation]] = []
    monkeypatch.setattr(MlflowRegistry, "evaluated", lambda _, *given: shown.append(given))
    model = here.model("m")
    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "thresholds": [1.0, 0.0]}
    slices = [{"column": "kind", "value": "p", "rows": 7, "metrics": {"roc_auc": [0.8, 0.7, 0.9], "f1": [None] * 3}}]
    evaluation = here.evaluation("e", model, roc=roc, slices=slices)
    register(here, model, evaluation)
    [(name, version, found)] = shown
    assert (name, version, found.task, found.metrics) == (NAME, 1, "binary", {"roc_auc": 0.9})
    assert found.id == artifacts.read_manifest(evaluation).digest
    assert found.roc == Curve(**roc)
    assert found.slices == (Slice("kind", "p", 7, {"roc_auc": 0.8}),)


def test_an_evaluation_that_cannot_be_shown_takes_no_version_away(here: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CaseError("metrics", "be of the schema", "others", "Mend it.")

    monkeypatch.setattr(MlflowRegistry, "evaluated", refuse)
    model = here.model("m")
    result = register(here, model, here.evaluation("e", model))
    assert result.parameters == {"version": "1", "resource": ""}
    told = "; its evaluation is not shown: 'metrics' must be of the schema. Got 'others'. Mend it."
    assert result.summary == f"Version 1: {identity(model)[:12]}{told}"


def test_a_refused_model_is_shown_to_nobody(here: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MlflowRegistry, "evaluated", lambda *_: pytest.fail("shown"))
    model = here.model("m")
    register(here, model, here.evaluation("e", model, accepted=False))


def test_the_same_model_keeps_its_version_in_every_later_run(here: Toy) -> None:
    model = here.model("m")
    evaluation = here.evaluation("e", model)
    register(here, model, evaluation)
    result = register(here.again("job-2"), model, evaluation)
    assert result.parameters == {"version": "1", "resource": ""}
    assert result.summary == f"Version 1, as before: {identity(model)[:12]}"
    assert len(here.ports.registry.versions(NAME)) == 1


def test_another_model_is_the_next_version(here: Toy) -> None:
    for number, weights in enumerate([((-2.0, 2.0), (0.0, 0.0)), OTHER], 1):
        model = here.model(f"m{number}", weights)
        assert register(here, model, here.evaluation(f"e{number}", model)).parameters == {
            "version": str(number),
            "resource": "",
        }


def test_a_refused_model_is_not_registered_and_it_says_why(here: Toy) -> None:
    model = here.model("m")
    result = register(here, model, here.evaluation("e", model, accepted=False))
    assert result.parameters == {"version": "", "resource": ""}
    assert result.summary == "Nothing registered, the gate refused: roc_auc is 0.5, below its floor 0.8."
    assert here.ports.registry.versions(NAME) == []


def test_registration_moves_no_traffic(here: Toy) -> None:
    model = here.model("m")
    register(here, model, here.evaluation("e", model))
    assert here.ports.endpoints.pointer(NAME).champion is None


def test_an_evaluation_of_another_model_is_no_approval(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    model, other = here.model("m"), here.model("n", OTHER)
    message = refusal(here, model, here.evaluation("e", other), capsys, 5)
    start = f"'model' must be the one that was evaluated, {identity(other)}. Got '{identity(model)}'."
    assert message == f"{start} Evaluate the model that is to be registered."


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "baseline.json"])
def test_an_altered_file_is_refused(here: Toy, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = here.model("m")
    evaluation = here.evaluation("e", model)
    (model / name).write_bytes((model / name).read_bytes() + b" ")
    message = refusal(here, model, evaluation, capsys, 4)
    assert f"{name!r} must have the sha256 of its manifest. Got 'other bytes'." in message


def test_files_that_do_not_belong_together_are_refused(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    model, other = here.model("m"), here.model("n", OTHER)
    evaluation = here.evaluation("e", model)
    manifest = artifacts.read_manifest(model)
    swapped = artifacts.write_file(model, "model.onnx", (other / "model.onnx").read_bytes())
    kept = [file for file in manifest.files if file.path != "model.onnx"]
    artifacts.publish(model, "model", files=[*kept, swapped])
    assert f"'identity' must be {identity(model)}." in refusal(here, model, evaluation, capsys, 4)


def test_a_model_of_another_bundle_is_refused(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    model = here.model("m", bundle="b" * 64)
    message = refusal(here, model, here.evaluation("e", model), capsys, 4)
    assert f"'bundle' must be {here.launch.bundle}. Got '{'b' * 64}'." in message


def test_a_bundle_that_was_swapped_is_refused(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    model = here.model("m")
    evaluation = here.evaluation("e", model)
    manifest = artifacts.read_manifest(model)
    evil = artifacts.write_file(model, "bundle/features.py", b"def features(columns):\n    raise SystemExit\n")
    kept = [file for file in manifest.files if file.path != "bundle/features.py"]
    artifacts.publish(model, "model", files=[*kept, evil])
    assert f"'bundle' must have the digest {here.launch.bundle}." in refusal(here, model, evaluation, capsys, 4)


def test_an_evaluation_that_is_none_approves_nothing(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    model = here.model("m")
    message = refusal(here, model, here.evaluation("e", model, reasons=None), capsys, 4)
    assert "'evaluation.json' must be an evaluation." in message


@pytest.mark.parametrize("accepted", ["true", 1, None])
def test_only_true_is_an_approval(here: Toy, accepted: Any) -> None:
    model = here.model("m")
    evaluation = here.evaluation("e", model)
    body = json.loads((evaluation / "evaluation.json").read_bytes()) | {"accepted": accepted}
    file = artifacts.write_file(evaluation, "evaluation.json", json.dumps(body).encode())
    artifacts.publish(evaluation, "evaluation", files=[file])
    assert register(here, model, evaluation).parameters == {"version": "", "resource": ""}
