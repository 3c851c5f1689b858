"""The fitted pipeline as ONNX: one block of numbers and one of texts in, probabilities or values out.

Whoever scores hands over two arrays instead of one per feature, which takes a third of the time for one row. Trees are
exported in float32, which holds the features exactly; everything else computes in double. Equal pipelines give equal
bytes.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.errors import ModelError
from components.core.model import NUMBERS, STRINGS
from components.train.estimators import ENCODE, is_tree

_OPSET = {"": 18, "ai.onnx.ml": 3}
_REMEDY = "Choose another estimator or other parameters, or model.serve_with: skops where no server is needed."
Features = tuple[tuple[str, str], ...]


def to_onnx(pipeline: Any, features: Features) -> bytes:
    """The bytes of `model.onnx` for a fitted pipeline of `encode` (a ColumnTransformer) and an estimator.

    Raises
    ------
    ModelError
        A part of it has no converter, or onnxruntime does not run what came out.
    """
    import onnxruntime

    failure: Exception | None = None
    for double in (False,) if is_tree(pipeline[-1]) else (True, False):  # some operators exist in float32 only
        made = _converted(pipeline, features, double=double)
        _mend_trees(made.graph, pipeline[-1])
        _only(made.graph, made.graph.output[-1].name)
        data = _bytes(made)
        try:
            onnxruntime.InferenceSession(data, _quiet(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no base but this
            failure = error
        else:
            return data
    raise ModelError("model.onnx", "run in onnxruntime", str(failure), _REMEDY) from failure


def encoder_to_onnx(encode: Any, features: Features, *, like: bytes) -> bytes:
    """The first stage alone, in the precision of the model `like`: for the proof, to tell which stage differs."""
    import onnx
    from sklearn.pipeline import Pipeline

    taken = {node.name: node.type.tensor_type.elem_type for node in onnx.load_from_string(like).graph.input}
    double = taken.get(NUMBERS) == onnx.TensorProto.DOUBLE
    return _bytes(_converted(Pipeline([(ENCODE, encode)]), features, double=double))


def _quiet() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def _converted(pipeline: Any, features: Features, *, double: bool) -> Any:
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    numbers = [name for name, kind in features if kind == "float32"]
    strings = [name for name, kind in features if kind == "string"]
    number = DoubleTensorType if double else FloatTensorType
    types = [(NUMBERS, number([None, len(numbers)]))] if numbers else []
    types += [(STRINGS, StringTensorType([None, len(strings)]))] if strings else []
    by_place = _by_place(pipeline, [*numbers, *strings])
    options = {id(by_place[-1]): {"zipmap": False}} if hasattr(by_place[-1], "predict_proba") else None
    _register_imputer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own, about numpy's integers
            return skl2onnx.to_onnx(by_place, initial_types=types, options=options, target_opset=_OPSET)
    except (RuntimeError, ValueError, TypeError) as error:
        found = str(error).splitlines()[0]
        raise ModelError("estimator", "have a converter to ONNX", found, _REMEDY, where="train") from error


def _by_place(pipeline: Any, names: Sequence[str]) -> Any:
    """The pipeline with the columns of its first stage named by place in the blocks; its fitted parts are shared."""
    encode = copy.copy(pipeline[0])
    encode.transformers_ = [
        (name, step, [names.index(column) for column in columns]) for name, step, columns in encode.transformers_
    ]
    placed = copy.copy(pipeline)
    placed.steps = [(ENCODE, encode), *pipeline.steps[1:]]
    return placed


def _register_imputer() -> None:
    """A converter of SimpleImputer that works in double too: onnxruntime has its Imputer in float32 alone."""
    import skl2onnx
    from sklearn.impute import SimpleImputer

    def shape(operator: Any) -> None:
        width = len(operator.raw_operator.statistics_)
        operator.outputs[0].type = type(operator.inputs[0].type)([None, width])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        import onnx
        from skl2onnx.common.data_types import DoubleTensorType

        taken = operator.inputs[0]
        missing, fill = scope.get_unique_variable_name("missing"), scope.get_unique_variable_name("fill")
        kind = onnx.TensorProto.DOUBLE if isinstance(taken.type, DoubleTensorType) else onnx.TensorProto.FLOAT
        statistics = operator.raw_operator.statistics_
        container.add_initializer(fill, kind, [1, len(statistics)], statistics.tolist())
        container.add_node("IsNaN", [taken.full_name], missing, name=scope.get_unique_operator_name("IsNaN"))
        result = operator.outputs[0].full_name
        name = scope.get_unique_operator_name("Where")
        container.add_node("Where", [missing, fill, taken.full_name], result, name=name)

    skl2onnx.update_registered_converter(
        SimpleImputer, "EsteiraImputer", shape, convert, overwrite=True, parser=None, options=None
    )


def _mend_trees(graph: Any, estimator: Any) -> None:
    """Two things that skl2onnx 1.20 gets wrong of trees.

    It rounds HistGradientBoosting's thresholds to the nearest float32: one that lies between two neighbours may
    become the upper one, which then goes left. And it forgets where the trees of scikit-learn's forests send NaN.
    """
    nodes = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1:
        return
    attributes = {attribute.name: attribute for attribute in nodes[0].attribute}
    if hasattr(estimator, "_predictors"):
        trees = [tree.nodes for group in estimator._predictors for tree in group]
        thresholds = np.concatenate([np.where(t["is_leaf"], 0.0, t["num_threshold"]) for t in trees])
        _replace(attributes["nodes_values"].floats, _float32_below(thresholds).tolist())
        return
    found = getattr(estimator, "estimators_", [estimator])
    trees = [getattr(tree, "tree_", None) for tree in np.ravel(np.asarray(found, dtype=object))]
    if all(tree is not None for tree in trees):
        left = np.concatenate([tree.missing_go_to_left * (tree.children_left >= 0) for tree in trees])
        _replace(attributes["nodes_missing_value_tracks_true"].ints, left.tolist())


def _replace(field: Any, values: list[Any]) -> None:
    assert len(field) == len(values), f"{len(field)} nodes in ONNX, {len(values)} in scikit-learn"
    del field[:]
    field.extend(values)


def _float32_below(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above each value: x <= value says the same of every float32 x."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _only(graph: Any, output: str) -> None:
    """Keeps what leads to one output: onnxruntime computes every node, asked for or not."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    _keep(graph.node, reversed(kept))
    _keep(graph.output, [o for o in graph.output if o.name == output])
    _keep(graph.initializer, [i for i in graph.initializer if i.name in needed])


def _keep(field: Any, items: Iterable[Any]) -> None:
    kept = [copy.deepcopy(item) for item in items]
    del field[:]
    field.extend(kept)


def _bytes(made: Any) -> bytes:
    """Serialized without what names a tool or a moment, so that the bytes stand for the function alone."""
    made.producer_name, made.producer_version, made.doc_string = "esteira", "", ""
    made.graph.name, made.graph.doc_string = "model", ""
    _keep(made.opset_import, sorted(made.opset_import, key=lambda opset: str(opset.domain)))  # a set's order before
    return bytes(made.SerializeToString(deterministic=True))
