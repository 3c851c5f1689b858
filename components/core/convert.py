"""Values of a source as a declared type: whole columns at once, and one by one only where a column has a bad value.

What a value becomes never depends on its neighbours: the slow path gives what the fast one would.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.arrow import ARROW
from components.core.columns import ColumnType
from components.core.values import RULES as RULES
from components.core.values import as_text, instant, iso

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?(?:nan(?:\([a-z0-9_]*\))?|(inf(?:inity)?))", re.ASCII | re.IGNORECASE)
_WORDS = {"true": True, "false": False, "1": True, "0": False}

Mask = npt.NDArray[np.bool_]
Converted = tuple[pa.Array, Mask | None]
"""The typed values (n,), null where missing or bad, and which are bad (None: none is)."""


class Unsuited(Exception):
    """No value of this Arrow type can be of the declared type."""


def convert(values: pa.Array, kind: ColumnType) -> Converted:
    """`values` (n,) as the declared type: NaN, an empty text and null are missing, an infinity is bad.

    Raises
    ------
    Unsuited
        The Arrow type does not fit, whatever the values.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), ARROW[kind]), None
    bad: Mask | None = None
    if _is_text(values.type):
        values, bad = _utf8(values)
    typed, worse = _TO[kind](values)
    return typed, worse if bad is None else bad if worse is None else bad | worse


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )


def _utf8(values: pa.Array) -> Converted:
    """Bytes or text as text; an empty one is missing, whatever the format says of it."""
    bad = None
    try:
        texts = values.cast(pa.string())
    except pa.ArrowInvalid:
        texts, bad = _each(values, lambda value: value.decode(), pa.string())
    if pc.any(pc.equal(texts, "")).as_py():
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    return texts, bad


def _each(values: pa.Array, read: Callable[[Any], Any], kind: pa.DataType) -> Converted:
    """Each distinct value through `read`, in which a ValueError or OverflowError says that it is bad."""
    encoded = values.dictionary_encode()
    results, faults = [], []
    for value in encoded.dictionary.to_pylist():
        try:
            results.append(read(value))
            faults.append(False)
        except (ValueError, OverflowError):
            results.append(None)
            faults.append(True)
    bad = pc.fill_null(pa.array(faults, pa.bool_()).take(encoded.indices), False)
    return pa.array(results, kind).take(encoded.indices), np.asarray(bad)


def _number(values: pa.Array) -> Converted:
    kind, bad = values.type, None
    if pa.types.is_string(kind):
        try:
            typed = values.cast(pa.float64())
        except pa.ArrowInvalid:
            typed, bad = _each(values, _read_number, pa.float64())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        typed = values.cast(pa.float64(), safe=False)
    else:
        raise Unsuited
    numbers = np.asarray(pc.fill_null(typed, float("nan"))) + 0.0  # one zero: -0.0 + 0.0 is 0.0
    infinite = np.isinf(numbers)
    if infinite.any():
        bad = infinite if bad is None else bad | infinite
    return pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers)), bad


def _read_number(text: str) -> float:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    word = _NO_NUMBER.fullmatch(text)
    if word is None:
        raise ValueError(text)
    return float("inf" if word[1] else "nan")


def _bool(values: pa.Array) -> Converted:
    kind = values.type
    if pa.types.is_boolean(kind):
        return values, None
    if pa.types.is_string(kind):
        try:
            return values.cast(pa.bool_()), None
        except pa.ArrowInvalid:
            return _each(values, _read_word, pa.bool_())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _each(values, _read_bit, pa.bool_())
    raise Unsuited


def _read_word(text: str) -> bool:
    word = _WORDS.get(text.strip().lower())
    if word is None:
        raise ValueError(text)
    return word


def _read_bit(value: float) -> bool | None:
    if value != value:
        return None
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _timestamp(values: pa.Array) -> Converted:
    kind, target = values.type, ARROW["timestamp"]
    if pa.types.is_string(kind):
        for zone in (target, pa.timestamp("us")):  # all with an offset, or all without
            try:
                return values.cast(zone).cast(target), None
            except pa.ArrowInvalid:
                continue
        typed, bad = _each(values, lambda text: instant(text.strip()), pa.int64())
        return typed.cast(target), bad
    if pa.types.is_date(kind):
        return values.cast(pa.timestamp("us")).cast(target), None
    if pa.types.is_timestamp(kind):
        plain = pa.timestamp("us", tz=kind.tz)
        cut = pc.CastOptions(plain, allow_time_truncate=True)
        return pc.cast(values, options=cut).cast(target), None
    raise Unsuited


def _text(values: pa.Array) -> Converted:
    kind = values.type
    if pa.types.is_string(kind):
        return values, None
    if pa.types.is_integer(kind):
        return values.cast(pa.string()), None
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _each(values, as_text, pa.string())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _each(_timestamp(values)[0].cast(pa.int64()), iso, pa.string())
    raise Unsuited


_TO: dict[ColumnType, Callable[[pa.Array], Converted]] = {
    "number": _number,
    "bool": _bool,
    "timestamp": _timestamp,
    "string": _text,
    "id": _text,
}


def shown(value: object, most: int = 120) -> str:
    """A value for a reason, shortened; bytes as the text that they are, if they are one."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            value = value.decode()
    text = value.isoformat() if isinstance(value, dt.datetime | dt.date) else repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
