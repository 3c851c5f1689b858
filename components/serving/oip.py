"""The Open Inference Protocol, version 2, over HTTP, with its binary tensor extension.

One tensor per input, of shape [n] or [n, 1]; out come `score` (FP64), `decision` (BYTES) and, of a classifier,
`probabilities` (FP64, a column per class). Missing is null in JSON data, NaN or an empty text in binary.

References
----------
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from components.core.columns import Columns
from components.serving.asked import About, Answers, Asked, Limits, Parsed, Reply
from components.serving.body import Input, Inputs
from components.serving.refusal import ABSENT, Refused
from components.serving.strict import check_keys
from components.serving.tensors import BOOL, BYTES, DATATYPES, FLOATS, TAKEN, as_bytes, binary_values, fits

OUTPUTS = ("score", "decision", "probabilities")
_REQUEST = {"id", "parameters", "inputs", "outputs"}
_INPUT = {"name", "shape", "datatype", "parameters", "data"}
_REMEDY = "See the model's metadata for its inputs."
_PLAIN, _FIELDS = itemgetter("name", "shape", "datatype", "data"), 4
_VALUES: dict[str, set[type]] = {"FP64": {int, float, type(None)}, BOOL: {bool, type(None)}, BYTES: {str, type(None)}}
"""What a flat JSON array of a usual tensor holds."""
_UNSUPPORTED = ("classification", "shared_memory_region", "sequence_id")


def ask(parsed: Parsed, inputs: Inputs, limits: Limits) -> Asked:
    """What an infer request asks. Raises Refused."""
    data = parsed.data
    tensors = data.get("inputs", ABSENT)
    plain = _plain(tensors, inputs, limits) if parsed.binary is None and type(tensors) is list else None
    # A plain tensor has four keys: without other colons, this many show that no key stands twice.
    if plain is None or parsed.text.count(b":") != len(data) + _FIELDS * len(tensors):
        check_keys(parsed.text, data)
    _only(data, _REQUEST, "body")
    if type(tensors) is not list or not tensors:
        raise Refused(400, "inputs", "be an array of tensors", tensors, _REMEDY)
    binary = bool(_parameters(data, "body").get("binary_data_output", False))
    write = partial(_write, _outputs(data.get("outputs"), binary))
    if plain is not None:
        return Asked(len(plain), write, values=plain, given=plain)
    columns, rows = _columns(tensors, parsed.binary or memoryview(b""), inputs, limits)
    return Asked(rows, write, columns)


def _plain(tensors: list[Any], inputs: Inputs, limits: Limits) -> list[list[Any]] | None:
    """The rows of tensors in their usual form: each input once, of the metadata's datatype, as a flat JSON array.

    None for another form and for whatever is at fault: `_columns` reads it one by one, and tells.
    """
    found: dict[str, list[Any]] = {}
    rows = -1
    try:
        for tensor in tensors:
            name, shape, datatype, data = _PLAIN(tensor)
            if rows < 0:
                rows = len(data)
            usual = len(tensor) == _FIELDS and datatype == DATATYPES[inputs.by_name[name].kind] and type(data) is list
            sizes = shape in ([rows], [rows, 1]) and type(shape[0]) is type(shape[-1]) is int
            if not (usual and sizes and len(data) == rows and _VALUES[datatype].issuperset(map(type, data))):
                return None
            found[name] = data
    except (KeyError, TypeError):
        return None
    if len(tensors) != len(found) or len(found) != len(inputs.names) or not 0 < rows <= limits.rows:
        return None
    return [list(row) for row in zip(*map(found.__getitem__, inputs.names), strict=True)]


def _only(data: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = next((key for key in data if key not in known), None)
    if unknown is not None:
        raise Refused(400, unknown, f"be one of {', '.join(sorted(known))}", unknown, "Leave it out.", where=where)


def _parameters(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = data.get("parameters", {})
    if type(found) is not dict:
        raise Refused(400, "parameters", "be an object", found, "Leave it out, or send an object.", where=where)
    for key in _UNSUPPORTED:
        if key in found:
            raise Refused(400, key, "not be asked for", found[key], "This server has no such extension.", where=where)
    return found


def _columns(tensors: list[Any], binary: memoryview, inputs: Inputs, limits: Limits) -> tuple[Columns, int]:
    found: Columns = {}
    rows = -1
    for at, tensor in enumerate(tensors):
        one = _input(tensor, at, inputs, found)
        length = _length(tensor, one.name, limits)
        if rows not in (-1, length):
            raise Refused(400, one.name, f"have {rows} rows, as the tensors before it", length, _REMEDY)
        rows = length
        size = _parameters(tensor, one.name).get("binary_data_size")
        if size is None:
            values = _json_values(tensor, one, rows)
        else:
            values, binary = binary_values(tensor, one, rows, size, binary)
        found[one.name] = inputs.column(one, values)
    for name in inputs.names:
        if name not in found:
            raise Refused(400, name, "be given as a tensor", ABSENT, _REMEDY, where="inputs")
    if len(binary):
        remedy = "Give each binary tensor its binary_data_size."
        raise Refused(400, "body", "end with the last tensor", f"{len(binary)} bytes more", remedy)
    return {name: found[name] for name in inputs.names}, rows


def _input(tensor: Any, at: int, inputs: Inputs, before: Columns) -> Input:
    where = f"inputs[{at}]"
    if type(tensor) is not dict:
        raise Refused(400, where, "be an object", tensor, _REMEDY)
    _only(tensor, _INPUT, where)
    name = tensor.get("name", ABSENT)
    one = inputs.by_name.get(name) if type(name) is str else None
    if one is None:
        raise Refused(400, "name", "be an input of the model", name, _REMEDY, where=where)
    if name in before:
        raise Refused(400, name, "be given once", "twice", _REMEDY, where=where)
    datatype = tensor.get("datatype", ABSENT)
    if type(datatype) is not str or datatype not in TAKEN[one.kind]:
        rule = f"be one of {', '.join(sorted(TAKEN[one.kind]))}: {name} is a {one.kind}"
        raise Refused(400, "datatype", rule, datatype, f"Send {DATATYPES[one.kind]}.", where=where)
    return one


def _length(tensor: Mapping[str, Any], name: str, limits: Limits) -> int:
    """n of the shape [n] or [n, 1]."""
    shape = tensor.get("shape", ABSENT)
    whole = type(shape) is list and all(type(size) is int and size > 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise Refused(400, "shape", "be [n] or [n, 1], with n from 1", shape, _REMEDY, where=name)
    if shape[0] > limits.rows:
        raise Refused(413, "shape", f"hold at most {limits.rows} rows", shape[0], "Send several requests.", where=name)
    length: int = shape[0]
    return length


def _json_values(tensor: Mapping[str, Any], one: Input, rows: int) -> Sequence[Any]:
    values = tensor.get("data", ABSENT)
    if type(values) is list and len(values) == rows and all(type(v) is list and len(v) == 1 for v in values):
        values = [value for (value,) in values]
    if type(values) is not list or len(values) != rows:
        shown = f"{len(values)} values" if type(values) is list else values
        raise Refused(400, "data", f"be an array of {rows} values", shown, _REMEDY, where=one.name)
    datatype = tensor["datatype"]
    for at, value in enumerate(values):
        if value is not None and not fits(value, datatype):
            raise Refused(400, one.name, f"be {datatype}", value, "Send null where it is missing.", where=f"row {at}")
    if datatype in ("FP16", "FP32"):  # to the value that the same tensor has in binary
        with np.errstate(over="ignore"):
            return np.array(values, dtype=FLOATS[datatype]).astype(np.float64).tolist()  # type: ignore[no-any-return]
    return values


def _outputs(asked: Any, binary: bool) -> tuple[tuple[str, bool], ...] | bool:
    """(name, whether binary) for each output asked for; without a list whether all are binary."""
    if asked is None:
        return binary
    if type(asked) is not list or not all(type(one) is dict for one in asked):
        raise Refused(400, "outputs", "be an array of objects", asked, "Leave it out for every output.")
    found = []
    for at, one in enumerate(asked):
        where = f"outputs[{at}]"
        _only(one, {"name", "parameters"}, where)
        name = one.get("name", ABSENT)
        if name not in OUTPUTS:
            raise Refused(400, "name", f"be one of {', '.join(OUTPUTS)}", name, _REMEDY, where=where)
        found.append((str(name), bool(_parameters(one, where).get("binary_data", binary))))
    return tuple(found)


def _write(outputs: tuple[tuple[str, bool], ...] | bool, identifier: str, about: About, answers: Answers) -> Reply:
    n = len(answers.score)
    made: dict[str, tuple[str, list[int], list[Any]]] = {
        "score": ("FP64", [n], answers.score),
        "decision": (BYTES, [n], answers.decision),
    }
    if answers.probabilities is not None:
        flat = [value for row in answers.probabilities for value in row]
        made["probabilities"] = ("FP64", [n, len(about.classes)], flat)
    asked = [(name, outputs) for name in made] if isinstance(outputs, bool) else list(outputs)
    tensors, pieces = [], []
    for name, binary in asked:
        if name not in made:
            raise Refused(400, name, "be an output of a classifier", name, "Leave it out.", where="outputs")
        datatype, shape, values = made[name]
        tensor: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
        if binary:
            pieces.append(as_bytes(datatype, values))
            tensor["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            tensor["data"] = values
        tensors.append(tensor)
    found = {"model_name": about.case, "model_version": str(about.version), "id": identifier, "outputs": tensors}
    head = orjson.dumps(found)
    if not pieces:
        return Reply(head)
    length = b"inference-header-content-length: %d\r\n" % len(head)
    return Reply(b"".join([head, *pieces]), b"application/octet-stream", length)


def metadata(case: str, versions: Sequence[int], inputs: Inputs, classes: Sequence[str]) -> dict[str, Any]:
    """The model's metadata as the protocol has it."""
    outputs = [
        {"name": "score", "datatype": "FP64", "shape": [-1]},
        {"name": "decision", "datatype": BYTES, "shape": [-1]},
    ]
    if classes:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]})
    given = [{"name": one.name, "datatype": DATATYPES[one.kind], "shape": [-1]} for one in inputs.all]
    found = {"name": case, "versions": [str(v) for v in versions], "platform": "onnxruntime_onnx"}
    return {**found, "inputs": given, "outputs": outputs}
