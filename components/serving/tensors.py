"""The datatypes of Open Inference tensors, and tensors as bytes: row after row, little-endian.

References
----------
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.core.columns import ColumnType
from components.serving.body import Input
from components.serving.refusal import Refused

_BITS = (8, 16, 32, 64)
_SIGNED = {f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in _BITS}
_INTEGERS = _SIGNED | {f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in _BITS}
FLOATS = {f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in _BITS[1:]}
BOOL, BYTES = "BOOL", "BYTES"
TAKEN: dict[ColumnType, frozenset[str]] = {
    "number": frozenset({*_INTEGERS, *FLOATS}),
    "bool": frozenset({BOOL, *_INTEGERS, *FLOATS}),
    "string": frozenset({BYTES, *_INTEGERS}),
    "id": frozenset({BYTES, *_INTEGERS}),
    "timestamp": frozenset({BYTES}),
}
DATATYPES: dict[ColumnType, str] = {
    "number": "FP64",
    "bool": BOOL,
    "string": BYTES,
    "id": BYTES,
    "timestamp": BYTES,
}
"""The one that the model's metadata names."""
_REMEDY = "See the model's metadata for its inputs."


def fits(value: Any, datatype: str) -> bool:
    if datatype == BYTES:
        return type(value) is str
    if datatype == BOOL:
        return type(value) is bool
    if datatype in FLOATS:
        return type(value) in (int, float)
    bounds = np.iinfo(_INTEGERS[datatype])
    return type(value) is int and bounds.min <= value <= bounds.max


def binary_values(
    tensor: Mapping[str, Any], one: Input, rows: int, size: Any, binary: memoryview
) -> tuple[Sequence[Any], memoryview]:
    """The tensor's values, and the bytes after it."""
    if type(size) is not int or not 0 <= size <= len(binary) or "data" in tensor:
        rule = f"be at most the {len(binary)} bytes left, without data beside it"
        raise Refused(400, "binary_data_size", rule, size, "Send the tensors in the order of inputs.", where=one.name)
    raw, rest = binary[:size], binary[size:]
    datatype = tensor["datatype"]
    if datatype == BYTES:
        return _texts(raw, one, rows), rest
    dtype = np.dtype(np.uint8) if datatype == BOOL else (_INTEGERS | FLOATS)[datatype]
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


def as_bytes(datatype: str, values: list[Any]) -> bytes:
    if datatype == BYTES:
        texts = [text.encode() for text in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(values, dtype=np.float64).tobytes()
