"""`model.skops`: the scikit-learn object, written and read without pickle.

Reading takes only types of an allow-list that stands here, never one that the file brings along, and stops before
a file that expands beyond a cap. The caller has verified the bytes against a hash.
"""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from typing import Any

from components.core.errors import ModelError

MAX_EXPANDED = 2 * 1024**3
"""Bytes that all members of a file may have together, unpacked."""
MAX_MEMBERS = 200_000

# Parts of fitted estimators that skops does not count among scikit-learn's own; each was read and holds data only.
ALLOWED = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
_REMEDY = "Train the model again with a release that you trust; a model of unknown origin is never loaded."


def dumps(estimator: Any) -> bytes:
    """The fitted estimator as the bytes of a `model.skops`. Raises ModelError where skops cannot hold it."""
    import skops.io

    try:
        data = bytes(skops.io.dumps(estimator, compression=zipfile.ZIP_DEFLATED, compresslevel=1))
    except (TypeError, NotImplementedError, AttributeError) as error:
        remedy = "Choose another estimator or parameter."
        raise ModelError("estimator", "be what skops can store", str(error), remedy) from error
    _check_types(data)
    return data


def loads(data: bytes) -> Any:
    """The estimator in verified bytes.

    Raises
    ------
    ModelError
        It is no skops file, holds a type outside the allow-list, or expands beyond the cap.
    """
    import skops.io

    _check_size(data)
    return skops.io.loads(data, trusted=_check_types(data))


def content_digest(data: bytes) -> str:
    """The sha256 of what the file holds; the bytes of equal models differ, for they carry times and addresses."""
    with zipfile.ZipFile(io.BytesIO(_check_size(data))) as archive:
        members = {name: sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name != "schema.json"}
        schema = json.loads(archive.read("schema.json"))
    order: dict[int, int] = {}
    text = json.dumps(_canonical(schema, members, order), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _canonical(node: Any, members: dict[str, str], order: dict[int, int]) -> Any:
    """The schema with addresses replaced by their order and member names by their content."""
    if isinstance(node, list):
        return [_canonical(item, members, order) for item in node]
    if not isinstance(node, dict):
        return members.get(node, node) if isinstance(node, str) else node
    plain = node.get("__loader__") in ("JsonNode", "TypeNode")  # shared or not as the interpreter likes
    result = {}
    for key, value in node.items():
        if key != "__id__":
            result[key] = _canonical(value, members, order)
        elif not plain:
            result[key] = order.setdefault(value, len(order))
    return result


def _check_size(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ModelError("model.skops", "be a skops file", str(error), _REMEDY) from error
    size = sum(info.file_size for info in infos)
    if size > MAX_EXPANDED or len(infos) > MAX_MEMBERS:
        raise ModelError("model.skops", f"expand to at most {MAX_EXPANDED} bytes", size, _REMEDY)
    return data


def _check_types(data: bytes) -> list[str]:
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(data=data)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelError("model.skops", "be a skops file", str(error), _REMEDY) from error
    for name in unknown:
        if name not in ALLOWED:
            raise ModelError("model.skops", "hold only types of the allow-list", name, _REMEDY)
    return list(unknown)
