"""A scorer opens only a model that is whole and belongs to the bundle, and scores one row as it scores many."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core import artifacts, bundle, model, scorer, skops_file
from components.core.errors import ArtifactError, FeatureError, ModelError
from components.core.model import Model
from components.core.scorer import Scorer, decide, frame, onnx_raw

CASE = """
name: toy
source: {path: toy.csv}
columns:
  id: {type: id}
  at: {type: timestamp}
  x: {type: number}
  kind: {type: string}
  late: {type: bool, known: label}
entity_id: [id]
event_time: {column: at}
label: {column: late, positive: "true"}
inputs: [x, kind]
model: {task: binary}
"""
FEATURES = """
import numpy as np
def features(columns):
    return {"half": (columns["x"] / 2).astype(np.float32), "kind": columns["kind"]}
"""
INPUTS = (("x", "number"), ("kind", "string"))
NAMES = (("half", "float32"), ("kind", "string"))
Writer = Callable[..., tuple[Path, str]]


def pipeline() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ColumnTransformer([("numbers", FunctionTransformer(), ["half"]), ("texts", codes, ["kind"])])
    made = Pipeline([("encode", encode), ("model", HistGradientBoostingClassifier(max_iter=20, random_state=1))])
    rng = np.random.default_rng(3)
    half = rng.normal(size=400).astype(np.float32)
    half[::7] = np.nan
    kind = rng.choice(np.array(["", "a", "ß\N{GRINNING FACE}", "b c"], dtype=object), 400)
    late = (np.nan_to_num(half) + (kind == "a") > 0.3).astype(int)
    return made.fit(frame({"half": half, "kind": kind}, NAMES), late)


def onnx_of(made: Any) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    for at, (name, step, _) in enumerate(made[0].transformers_):
        made[0].transformers_[at] = (name, step, [at])
    types = [("numbers", FloatTensorType([None, 1])), ("strings", StringTensorType([None, 1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own, about numpy's integers
        converted = to_onnx(
            made, initial_types=types, options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}
        )
    return bytes(converted.SerializeToString())


@pytest.fixture(scope="module")
def fitted() -> Any:
    return pipeline()


@pytest.fixture(scope="module")
def onnx(fitted: Any) -> bytes:
    import copy

    return onnx_of(copy.deepcopy(fitted))


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a model artifact; its folder and its bundle's digest."""

    def made(content: bytes, serve_with: str = "onnx", **change: Any) -> tuple[Path, str]:
        case = tmp_path / "toy"
        case.mkdir()
        (case / "case.yaml").write_text(CASE)
        (case / "features.py").write_text(FEATURES)
        built = bundle.build(case)
        root = tmp_path / "model"
        bundle.write(built, root / model.BUNDLE)
        name = model.ONNX if serve_with == "onnx" else model.SKOPS
        digest = sha256(content).hexdigest() if serve_with == "onnx" else skops_file.content_digest(content)
        described = replace(
            described_as(serve_with, model.identity(digest, INPUTS, built.digest), built.digest), **change
        )
        files = [
            artifacts.write_file(root, name, content),
            artifacts.write_file(root, model.FILE, described.to_json()),
        ]
        artifacts.publish(root, "model", files=files)
        return root, built.digest

    return made


def described_as(serve_with: Any, identity: str, digest: str) -> Model:
    return Model(
        identity=identity,
        case="toy",
        task="binary",
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        parameters={"max_iter": 20},
        inputs=INPUTS,
        features=NAMES,
        classes=("0", "1"),
        threshold=0.4,
        serve_with=serve_with,
        metrics={"roc_auc": 0.9},
        trained_from="2013-01-01T00:00:00Z",
        trained_to="2013-02-01T00:00:00Z",
        rows=400,
        data="d" * 64,
        bundle=digest,
        seed=1,
    )


ROWS = {
    "x": np.array([0.5, np.nan, -3.0, 1e30, 2.0]),
    "kind": np.array(["a", "", "never seen", "ß\N{GRINNING FACE}", "b c"], dtype=object),
}


def test_one_row_scores_as_it_does_among_many(write: Writer, onnx: bytes) -> None:
    scorer = Scorer.open(*write(onnx))
    many = scorer.predict(ROWS)
    for at in range(5):
        one = scorer.predict({name: values[at : at + 1] for name, values in ROWS.items()})
        assert one.score[0] == many.score[at]
        assert one.decision[0] == many.decision[at]


def test_onnx_scores_as_scikit_learn_does(write: Writer, onnx: bytes, fitted: Any) -> None:
    scorer = Scorer.open(*write(onnx))
    expected = fitted.predict_proba(frame(scorer.features(ROWS), NAMES))
    made = scorer.predict(ROWS)
    np.testing.assert_allclose(made.score, expected[:, 1], atol=1e-6)
    assert made.score.dtype == np.float64
    assert list(made.decision) == ["1" if score >= 0.4 else "0" for score in expected[:, 1]]


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(width=32, allow_infinity=False),
            st.one_of(st.sampled_from(["", "a", "b c", "a\0", "A"]), st.text(st.characters(exclude_categories=["Cs"]))),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_number_and_any_text_score_as_in_scikit_learn_alone_or_together(
    rows: list[tuple[float, str]], onnx: bytes, fitted: Any
) -> None:
    half, kind = zip(*rows, strict=True)
    features = {"half": np.array(half, np.float32), "kind": np.array(kind, dtype=object)}
    raw = onnx_raw(onnx, ("half",), ("kind",))
    together = raw(features)
    np.testing.assert_allclose(together, fitted.predict_proba(frame(features, NAMES)), atol=1e-6)
    alone = [raw({name: values[at : at + 1] for name, values in features.items()})[0] for at in range(len(rows))]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_skops_model_scores_as_scikit_learn_does_to_the_bit(write: Writer, fitted: Any) -> None:
    scorer = Scorer.open(*write(skops_file.dumps(fitted), "skops"))
    expected = fitted.predict_proba(frame(scorer.features(ROWS), NAMES))
    np.testing.assert_array_equal(scorer.predict(ROWS).score, expected[:, 1])


def test_no_rows_give_no_predictions(write: Writer, onnx: bytes) -> None:
    made = Scorer.open(*write(onnx)).predict({name: values[:0] for name, values in ROWS.items()})
    assert made.score.shape == made.decision.shape == (0,)


def test_an_altered_model_is_refused(write: Writer, onnx: bytes) -> None:
    root, digest = write(onnx)
    (root / model.ONNX).write_bytes(onnx[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"'model.onnx' must have the sha256 of its manifest\. Got 'other bytes'"):
        Scorer.open(root, digest)


def test_another_bundle_than_the_models_is_refused(write: Writer, onnx: bytes) -> None:
    root, digest = write(onnx)
    with pytest.raises(ArtifactError) as caught:
        Scorer.open(root, "0" * 64)
    assert str(caught.value) == (
        f"{root}: 'bundle' must be {'0' * 64}. Got '{digest}'. "
        "Use the model of this bundle, or the bundle that its registry record names."
    )


def test_a_model_that_is_not_the_one_it_says_is_refused(write: Writer, onnx: bytes) -> None:
    root, digest = write(onnx, identity="f" * 64)
    with pytest.raises(ArtifactError, match="'identity' must be f{64}"):
        Scorer.open(root, digest)


def test_nothing_is_loaded_of_a_model_that_is_not_the_one_it_says(write: Writer) -> None:
    root, digest = write(b"no ONNX: loading it would say so", identity="f" * 64)
    with pytest.raises(ArtifactError, match="'identity' must be f{64}"):
        Scorer.open(root, digest)


def test_a_session_without_the_described_inputs_is_refused(write: Writer, onnx: bytes) -> None:
    root, digest = write(onnx, features=(("half", "float32"),))
    with pytest.raises(ModelError, match=r"'model.onnx' must take \['numbers'\]. Got \['numbers', 'strings'\]"):
        Scorer.open(root, digest)


def test_bytes_that_are_no_onnx_are_refused(write: Writer) -> None:
    with pytest.raises(ModelError, match=r"'model.onnx' must load in onnxruntime"):
        Scorer.open(*write(b"no onnx"))


@pytest.mark.parametrize("serve_with", ["onnx", "skops"])
def test_a_missing_feature_is_named(write: Writer, onnx: bytes, fitted: Any, serve_with: str) -> None:
    scorer = Scorer.open(*write(onnx if serve_with == "onnx" else skops_file.dumps(fitted), serve_with))
    with pytest.raises(FeatureError) as caught:
        scorer.predict_features({"half": np.zeros(1, np.float32)})
    assert str(caught.value) == "'kind' must be among the features. Got ['half']. Return it from features()."


@pytest.mark.parametrize("serve_with", ["onnx", "skops"])
def test_an_infinite_feature_is_named(write: Writer, onnx: bytes, fitted: Any, serve_with: str) -> None:
    scorer = Scorer.open(*write(onnx if serve_with == "onnx" else skops_file.dumps(fitted), serve_with))
    with pytest.raises(FeatureError) as caught:
        scorer.predict({**ROWS, "x": np.array([0.5, np.inf, 0.0, 0.0, 0.0])})
    assert str(caught.value) == (
        "features.py: 'half' must be finite or NaN. Got 'infinity'. Bound it, or make it missing (NaN)."
    )


def test_decisions_are_texts_of_the_task() -> None:
    binary = described_as("onnx", "", "")
    raw = np.array([[0.7, 0.3], [0.6, 0.4]], np.float32)
    assert list(decide(replace(binary, threshold=float(np.float32(0.4))), raw).decision) == ["0", "1"]
    multiclass = replace(binary, task="multiclass", threshold=None, classes=("x", "y"))
    made = decide(multiclass, raw)
    assert list(made.decision) == ["x", "x"]
    assert made.score.tolist() == raw[:, 0].astype(float).tolist()
    regression = decide(replace(binary, task="regression", threshold=None, classes=()), np.array([[1.5], [-2.0]]))
    assert list(regression.decision) == ["1.5", "-2.0"]
    assert regression.probabilities is None


def test_model_json_comes_back_as_it_was() -> None:
    described = described_as("onnx", "i" * 64, "b" * 64)
    assert Model.from_json(described.to_json()) == described


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "'format' must be 1. Got 2. Use the release that wrote it."),
        ({"odd": 1}, "'model.json' must have the keys of a model. Got ['odd']. Train the model again."),
        ({"inputs": [["x"]]}, "'model.json' must list names and types."),
    ],
)
def test_a_model_json_that_is_not_one_is_refused(change: dict[str, object], message: str) -> None:
    raw = json.loads(described_as("onnx", "", "").to_json()) | change
    with pytest.raises(ArtifactError) as caught:
        Model.from_json(json.dumps(raw).encode())
    assert str(caught.value).startswith(message)


def test_text_that_is_no_json_is_no_model() -> None:
    with pytest.raises(ArtifactError, match=r"'model.json' must be a JSON object"):
        Model.from_json(b"{")


def test_the_identity_changes_with_content_inputs_and_bundle() -> None:
    first = model.identity("a", INPUTS, "b")
    assert first == model.identity("a", INPUTS, "b")
    others = {
        model.identity("c", INPUTS, "b"),
        model.identity("a", INPUTS[::-1], "b"),
        model.identity("a", INPUTS, "c"),
    }
    assert len(others - {first}) == 3


def test_where_scikit_learn_is_not_installed_a_skops_model_is_refused_with_what_scores_it(
    write: Writer, fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, digest = write(skops_file.dumps(fitted), "skops")
    monkeypatch.setattr(scorer, "find_spec", {}.get)
    with pytest.raises(ModelError) as caught:
        Scorer.open(root, digest)
    assert str(caught.value) == (
        f"{root}: 'model.serve_with' must be onnx for a server, which has no scikit-learn. Got 'skops'. "
        "Serve another version; `esteira run CASE predict` and `esteira stream CASE` score with it."
    )


def test_equal_skops_models_have_equal_content_though_their_bytes_differ() -> None:
    first, second = skops_file.dumps(pipeline()), skops_file.dumps(pipeline())
    assert first != second
    assert skops_file.content_digest(first) == skops_file.content_digest(second)


def test_a_skops_model_with_another_parameter_has_other_content(fitted: Any) -> None:
    import copy

    other = copy.deepcopy(fitted)
    other[-1].max_iter = 21
    digests = {skops_file.content_digest(skops_file.dumps(made)) for made in (fitted, other)}
    assert len(digests) == 2


def test_a_pickle_named_skops_is_refused() -> None:
    import pickle

    with pytest.raises(ModelError, match=r"'model.skops' must be a skops file"):
        skops_file.loads(pickle.dumps({"a": 1}))


def test_a_skops_file_with_a_type_outside_the_list_is_refused() -> None:
    import skops.io

    with pytest.raises(ModelError) as caught:
        skops_file.loads(skops.io.dumps(zipfile.ZipInfo))
    assert str(caught.value) == (
        "'model.skops' must hold only types of the allow-list. Got 'zipfile.ZipInfo'. "
        "Train the model again with a release that you trust; a model of unknown origin is never loaded."
    )


def test_a_skops_file_that_expands_beyond_the_cap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * 10_000_000)
    assert len(sink.getvalue()) < 20_000
    monkeypatch.setattr(skops_file, "MAX_EXPANDED", 1_000_000)
    with pytest.raises(ModelError, match=r"'model.skops' must expand to at most 1000000 bytes. Got 10000000"):
        skops_file.loads(sink.getvalue())
