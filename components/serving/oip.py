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

from components.core.columns import Columns, ColumnType
from components.serving.asked import About, Answers, Asked, Limits, Parsed, Reply
from components.serving.body import Input, Inputs, check_keys
from components.serving.refusal import ABSENT, Refused

_BITS = (8, 16, 32, 64)
_SIGNED = {f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in _BITS}
_INTEGERS = _SIGNED | {f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in _BITS}
_FLOATS = {f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in _BITS[1:]}
_BOOL, _BYTES = "BOOL", "BYTES"
OUTPUTS = ("score", "decision", "probabilities")
TAKEN: dict[ColumnType, frozenset[str]] = {
    "number": frozenset({*_INTEGERS, *_FLOATS}),
    "bool": frozenset({_BOOL, *_INTEGERS, *_FLOATS}),
    "string": frozenset({_BYTES, *_INTEGERS}),
    "id": frozenset({_BYTES, *_INTEGERS}),
    "timestamp": frozenset({_BYTES}),
}
DATATYPES: dict[ColumnType, str] = {
    "number": "FP64",
    "bool": _BOOL,
    "string": _BYTES,
    "id": _BYTES,
    "timestamp": _BYTES,
}
"""The one that the model's metadata names."""
_REQUEST = {"id", "parameters", "inputs", "outputs"}
_INPUT = {"name", "shape", "datatype", "parameters", "data"}
_REMEDY = "See the model's metadata for its inputs."
_PLAIN, _FIELDS = itemgetter("name", "shape", "datatype", "data"), 4
_VALUES: dict[str, set[type]] = {"FP64": {int, float, type(None)}, _BOOL: {bool, type(None)}, _BYTES: {str, type(None)}}
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
            values, binary = _binary_values(tensor, one, rows, size, binary)
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
        if value is not None and not _fits(value, datatype):
            raise Refused(400, one.name, f"be {datatype}", value, "Send null where it is missing.", where=f"row {at}")
    if datatype in ("FP16", "FP32"):  # to the value that the same tensor has in binary
        with np.errstate(over="ignore"):
            return np.array(values, dtype=_FLOATS[datatype]).astype(np.float64).tolist()  # type: ignore[no-any-return]
    return values


def _fits(value: Any, datatype: str) -> bool:
    if datatype == _BYTES:
        return type(value) is str
    if datatype == _BOOL:
        return type(value) is bool
    if datatype in _FLOATS:
        return type(value) in (int, float)
    bounds = np.iinfo(_INTEGERS[datatype])
    return type(value) is int and bounds.min <= value <= bounds.max


def _binary_values(
    tensor: Mapping[str, Any], one: Input, rows: int, size: Any, binary: memoryview
) -> tuple[Sequence[Any], memoryview]:
    """The tensor's values, and the bytes after it."""
    if type(size) is not int or not 0 <= size <= len(binary) or "data" in tensor:
        rule = f"be at most the {len(binary)} bytes left, without data beside it"
        raise Refused(400, "binary_data_size", rule, size, "Send the tensors in the order of inputs.", where=one.name)
    raw, rest = binary[:size], binary[size:]
    datatype = tensor["datatype"]
    if datatype == _BYTES:
        return _texts(raw, one, rows), rest
    dtype = np.dtype(np.uint8) if datatype == _BOOL else (_INTEGERS | _FLOATS)[datatype]
    if size != rows * dtype.itemsize:
        raise Refused(
            400, "binary_data_size", f"be {rows * dtype.itemsize}", size, "Send row after row.", where=one.name
        )
    return np.frombuffer(raw, dtype=dtype).tolist(), rest


def _texts(raw: memoryview, one: Input, rows: int) -> list[str]:
    """Each text after its length in 4 bytes, little-endian."""
    found: list[str] = []
    at = 0
    while at + 4 <= len(raw) and len(found) < rows:
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if end > len(raw):
            break
        try:
            found.append(str(raw[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            value = bytes(raw[at + 4 : end])
            raise Refused(400, one.name, "be UTF-8 text", value, _REMEDY, where=f"row {len(found)}") from error
        at = end
    if at != len(raw) or len(found) != rows:
        rule = f"hold {rows} texts, each after its length in 4 bytes"
        raise Refused(400, "binary data", rule, f"{len(raw)} bytes", _REMEDY, where=one.name)
    return found


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
        "decision": (_BYTES, [n], answers.decision),
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
            pieces.append(_raw(datatype, values))
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


def _raw(datatype: str, values: list[Any]) -> bytes:
    if datatype == _BYTES:
        texts = [text.encode() for text in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(values, dtype=np.float64).tobytes()


def metadata(case: str, versions: Sequence[int], inputs: Inputs, classes: Sequence[str]) -> dict[str, Any]:
    """The model's metadata as the protocol has it."""
    outputs = [
        {"name": "score", "datatype": "FP64", "shape": [-1]},
        {"name": "decision", "datatype": _BYTES, "shape": [-1]},
    ]
    if classes:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]})
    given = [{"name": one.name, "datatype": DATATYPES[one.kind], "shape": [-1]} for one in inputs.all]
    found = {"name": case, "versions": [str(v) for v in versions], "platform": "onnxruntime_onnx"}
    return {**found, "inputs": given, "outputs": outputs}
