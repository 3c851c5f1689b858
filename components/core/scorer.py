"""Model and features to predictions: what batch, stream and server all call.

With ONNX it needs numpy and onnxruntime alone; scikit-learn is imported only for a model that says `serve_with: skops`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from components.core import artifacts, model
from components.core.columns import Array, Columns, ColumnType
from components.core.errors import ArtifactError, FeatureError, ModelError
from components.core.features import Transform, check_finite
from components.core.model import Model
from components.core.servable import SCORED

Raw = Callable[[Mapping[str, Array]], npt.NDArray[Any]]
"""Features (n rows) -> probabilities (n, k) of a classifier, or values (n,) of a regressor."""
_BINARY = np.array(["0", "1"], dtype=object)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of n rows.

    `score` (n,) float64 is the probability of the positive class, the predicted value, or the winning class's
    probability; `decision` (n,) object of str is "0" or "1", the number's repr, or the class;
    `probabilities` (n, k) float64 in the order of the model's classes, None for regression.
    """

    score: npt.NDArray[np.float64]
    decision: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float64] | None


class Scorer:
    """A model with its transform. Calls are independent of each other and may come from several threads."""

    def __init__(self, described: Model, transform: Transform, raw: Raw) -> None:
        self.model = described
        self._transform, self._raw = transform, raw

    @classmethod
    def open(cls, folder: Path, bundle: str) -> Scorer:
        """The model artifact in `folder`, with the code of its own bundle.

        Parameters
        ----------
        bundle
            The digest of the bundle whose code may run; it comes from outside the artifact.

        Raises
        ------
        ArtifactError
            A file is absent or altered, or the model belongs to another bundle.
        ModelError
            The model's files do not load.
        """
        manifest = artifacts.read_manifest(folder, "model")
        described = Model.from_json(artifacts.read_named(folder, manifest, model.FILE), where=str(folder))
        if described.bundle != bundle:
            remedy = "Use the model of this bundle, or the bundle that its registry record names."
            raise ArtifactError("bundle", f"be {bundle}", described.bundle, remedy, where=str(folder))
        name = model.ONNX if described.serve_with == "onnx" else model.SKOPS
        raw = served(described, artifacts.read_named(folder, manifest, name), where=str(folder))
        types = {name: cast(ColumnType, kind) for name, kind in described.inputs}
        return cls(described, Transform.load(folder / model.BUNDLE, bundle, types), raw)

    def features(self, columns: Columns) -> Columns:
        """The transform's columns of the model's input columns (n rows). Raises FeatureError."""
        return self._transform.apply(columns)

    def predict(self, columns: Columns) -> Predictions:
        """Predictions of the model's input columns (n rows), as `columns.columns_of` gives them."""
        onnx = self.model.serve_with == "onnx"  # whose call looks for infinities itself
        return self.predict_features(self._transform.shaped(columns) if onnx else self._transform.apply(columns))

    def predict_features(self, features: Mapping[str, Array]) -> Predictions:
        """Predictions of the transform's columns (n rows)."""
        return decide(self.model, self._raw(features))


def served(described: Model, data: bytes, *, where: str = "") -> Raw:
    """What scores: the ONNX session or the scikit-learn pipeline in verified bytes.

    Raises
    ------
    ArtifactError
        The bytes are not those that the model's identity names.
    ModelError
        They do not load, or do not take the features that the model describes.
    """
    if described.serve_with == "onnx":
        _check_identity(described, sha256(data).hexdigest(), where)
        return onnx_raw(data, described.numbers, described.strings)
    if find_spec("skops") is None:  # a server
        rule, remedy = "be onnx for a server, which has no scikit-learn", f"Serve another version; {SCORED}."
        raise ModelError("model.serve_with", rule, described.serve_with, remedy, where=where)
    from components.core import skops_file

    _check_identity(described, skops_file.content_digest(data), where)
    return sklearn_raw(skops_file.loads(data), described.features)


def _check_identity(described: Model, content: str, where: str) -> None:
    """Before anything is loaded."""
    found = model.identity(content, described.inputs, described.bundle)
    if found != described.identity:
        remedy = "Train the model again: its files do not belong together."
        raise ArtifactError("identity", f"be {described.identity}", found, remedy, where=where)


def onnx_raw(data: bytes, numbers: tuple[str, ...], strings: tuple[str, ...]) -> Raw:
    """An onnxruntime session over one block of numbers (n, k) and one of texts (n, m).

    One thread: servers and workers scale by processes, and one row gains nothing from a pool.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that share no base but this
        raise ModelError(model.ONNX, "load in onnxruntime", str(error), "Train the model again.") from error
    taken = {node.name: node.type for node in session.get_inputs()}
    blocks = [(name, names) for name, names in ((model.NUMBERS, numbers), (model.STRINGS, strings)) if names]
    if set(taken) != {name for name, _ in blocks}:
        raise ModelError(model.ONNX, f"take {[n for n, _ in blocks]}", sorted(taken), "Train the model again.")
    kinds: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    plan = [(name, _block(names, np.dtype(kinds[taken[name]]))) for name, names in blocks]
    outputs = [session.get_outputs()[-1].name]
    run = session.run

    def raw(features: Mapping[str, Array]) -> npt.NDArray[Any]:
        feed = {name: block(features) for name, block in plan}
        if numbers and np.count_nonzero(np.isinf(feed[model.NUMBERS])):  # for one row half the time of any()
            check_finite(features)
        result: npt.NDArray[Any] = run(outputs, feed)[0]
        return result

    return raw


def _block(names: tuple[str, ...], dtype: np.dtype[Any]) -> Callable[[Mapping[str, Array]], npt.NDArray[Any]]:
    """What lays the columns called `names` (n rows each) side by side, (n, k), contiguous."""
    pick = itemgetter(*names) if len(names) > 1 else lambda features: (features[names[0]],)

    def block(features: Mapping[str, Array]) -> npt.NDArray[Any]:
        try:
            columns = pick(features)
        except KeyError:
            columns = _named(features, names)  # which says what is absent
        rows = len(columns[0])
        if rows == 1:  # the path of a server: one call instead of one per column
            return np.concatenate(columns, dtype=dtype)[np.newaxis]
        return np.stack(columns, axis=1, out=np.empty((rows, len(names)), dtype))

    return block


def _named(features: Mapping[str, Array], names: Iterable[str]) -> list[Array]:
    try:
        return [features[name] for name in names]
    except KeyError as error:
        remedy = "Return it from features()."
        raise FeatureError(str(error.args[0]), "be among the features", sorted(features), remedy) from error


def sklearn_raw(pipeline: Any, features: tuple[tuple[str, str], ...]) -> Raw:
    """A fitted scikit-learn pipeline over a frame of the features."""
    call = getattr(pipeline, "predict_proba", None) or pipeline.predict

    def raw(columns: Mapping[str, Array]) -> npt.NDArray[Any]:
        result: npt.NDArray[Any] = call(frame(columns, features))
        return result

    return raw


def frame(columns: Mapping[str, Array], features: tuple[tuple[str, str], ...]) -> Any:
    """The features as the Arrow table that scikit-learn's pipeline is fitted on and asked with.

    Numbers as float64, which holds every float32: a linear model would compute in float32 otherwise.
    """
    import pyarrow as pa

    types = {"float32": pa.float64(), "string": pa.string()}
    taken = zip(features, _named(columns, [name for name, _ in features]), strict=True)
    return pa.table({name: pa.array(values).cast(types[kind]) for (name, kind), values in taken})


def decide(described: Model, raw: npt.NDArray[Any]) -> Predictions:
    """Scores and decisions from what the model gives: (n, k) probabilities, or (n,) or (n, 1) values."""
    values = raw.astype(np.float64)
    if described.task == "regression":
        score = values.reshape(-1)
        decision = np.empty(len(score), dtype=object)
        decision[:] = [repr(value) for value in score.tolist()]
        return Predictions(score, decision, None)
    if described.threshold is not None:
        score = values[:, 1]
        return Predictions(score, _BINARY[(score >= described.threshold).astype(np.intp)], values)
    winner = values.argmax(axis=1)
    classes = np.array(described.classes, dtype=object)
    return Predictions(values[np.arange(len(values)), winner], classes[winner], values)
