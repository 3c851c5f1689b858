"""JSON as the columns of a model's inputs: by the declared type, to the same value as batch gives.

A number is a number, never its text; an integer is exact to 2^53 as float64 is everywhere. Ids and texts are texts, and
whole numbers as the text that CSV would hold. Times are ISO 8601. null is missing, and so is an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_, itemgetter
from typing import Any

import numpy as np

from components.core.columns import MISSING, Array, Columns, ColumnType
from components.core.values import RULES, as_text, instant
from components.serving.refusal import ABSENT, Refused

_NOTHING = type(None)
_NUMBERS = frozenset({int, float, _NOTHING})
_BITS = frozenset({bool, int, float, _NOTHING})
_TEXTS = frozenset({str})
_NAT = np.iinfo(np.int64).min
_REMEDY = "See /openapi.json for the inputs and their types."


@dataclass(frozen=True)
class Input:
    """A column that the model takes. Where `missing` is false, a null is refused as batch refuses the row."""

    name: str
    kind: ColumnType
    missing: bool = True
    description: str = ""


class Inputs:
    """The columns that one model version takes, in order."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.all = tuple(inputs)
        self.names = tuple(i.name for i in inputs)
        self.by_name = {i.name: i for i in inputs}
        self._expected = self.by_name.keys()
        numbers = [i for i, one in enumerate(inputs) if one.kind == "number"]
        self._numbers = [(i, inputs[i]) for i in numbers]
        self._number_names = [one.name for _, one in self._numbers]
        self._others = [(i, one) for i, one in enumerate(inputs) if one.kind != "number"]
        needed = [row for row, (_, one) in enumerate(self._numbers) if not one.missing]
        self._needed = slice(None) if len(needed) == len(numbers) else needed
        self._any_needed = bool(needed)
        getter: Callable[[Any], Any] = itemgetter(*self.names)
        self._pick = getter if len(self.names) > 1 else lambda row: (getter(row),)

    def rows(self, instances: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """n rows, each an object by input or an array in the inputs' order: the values of each in that order.

        Raises
        ------
        Refused
            A row has another width, or an unknown or a missing column; it is named.
        """
        width = len(self.names)
        first = type(instances[0])
        if first is dict:
            try:
                rows = [self._pick(row) for row in instances]
            except (KeyError, TypeError, IndexError):
                rows = []
            if len(rows) != len(instances) or any(len(row) != width for row in instances):
                raise self._misshapen(instances, dict)
            return rows
        if first is not list or any(type(row) is not list or len(row) != width for row in instances):
            raise self._misshapen(instances, list if first is list else None)
        return instances

    def columns(self, rows: Iterable[Sequence[Any]]) -> Columns:
        """n rows, as `rows` gives them, as one column per input. Raises Refused for a value of another type."""
        values = list(zip(*rows, strict=True))
        made: Columns = {}
        if self._numbers:
            block = self._block([values[i] for i, _ in self._numbers])
            made = dict(zip(self._number_names, block, strict=True))
        for i, one in self._others:
            made[one.name] = self.column(one, values[i])
        return made

    def _block(self, values: list[tuple[Any, ...]]) -> Array:
        """All number inputs at once, (k, n) float64."""
        for column in values:
            if not _NUMBERS.issuperset(map(type, column)):
                at = values.index(column)
                raise _wrong(self._numbers[at][1], column, lambda value: type(value) not in _NUMBERS)
        block: Array = np.array(values, dtype=np.float64) + 0.0  # one zero: -0.0 + 0.0 is 0.0
        if self._any_needed and np.isnan(block[self._needed]).any():
            at = next(r for r, (_, one) in enumerate(self._numbers) if not one.missing and np.isnan(block[r]).any())
            raise _absent(self._numbers[at][1], np.isnan(block[at]))
        return block

    def column(self, one: Input, values: Sequence[Any]) -> Array:
        """n JSON values as the column of an input, (n,) of its type's dtype. Raises Refused, naming the row."""
        made = _TO[one.kind](one, values)
        if not one.missing:
            lost = made == "" if made.dtype == object else made != made
            if lost.any():
                raise _absent(one, lost)
        return made

    def _misshapen(self, instances: Sequence[Any], kind: type | None) -> Refused:
        """The first row that has not the inputs' shape."""
        width = len(self.names)
        for at, row in enumerate(instances):
            where = f"row {at}"
            if kind is None or not isinstance(row, kind):
                rule = "be an object by input, or an array in the inputs' order, as the first one"
                return Refused(400, where, rule, row, _REMEDY)
            if isinstance(row, list) and len(row) != width:
                return Refused(400, where, f"have {width} values", f"{len(row)} values", _REMEDY)
            if isinstance(row, dict) and row.keys() != self._expected:
                return self._keys(row, where)
        raise AssertionError("every row has its shape")

    def _keys(self, row: Mapping[str, Any], where: str) -> Refused:
        for name in self.names:
            if name not in row:
                return Refused(400, name, "be given; null where it is missing", ABSENT, _REMEDY, where=where)
        unknown = next(name for name in row if name not in self.by_name)
        return Refused(400, unknown, "be an input of the model", unknown, _REMEDY, where=where)


def rows_of(columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """One JSON object per row, as a client could have sent them."""
    texts = [_json(values) for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]


def _json(values: Array) -> list[Any]:
    if values.dtype == object:
        return [value or None for value in values.tolist()]
    if values.dtype.kind == "M":
        return [None if text == "NaT" else f"{text}Z" for text in np.datetime_as_string(values).tolist()]
    return [None if value != value else value for value in values.tolist()]


def _number(one: Input, values: Sequence[Any]) -> Array:
    if not _NUMBERS.issuperset(map(type, values)):
        raise _wrong(one, values, lambda value: type(value) not in _NUMBERS)
    made: Array = np.array(values, dtype=np.float64) + 0.0
    if np.isinf(made).any():
        raise _wrong(one, values, lambda value: value in (np.inf, -np.inf))
    return made


def _bool(one: Input, values: Sequence[Any]) -> Array:
    def wrong(value: Any) -> bool:
        return type(value) not in _BITS or (value is not None and value == value and value not in (0, 1))

    if any(map(wrong, values)):
        raise _wrong(one, values, wrong)
    return np.array(values, dtype=np.float64) + 0.0


def _text(one: Input, values: Sequence[Any]) -> Array:
    made = np.empty(len(values), dtype=object)
    made[:] = values if _TEXTS.issuperset(map(type, values)) else [_as_text(one, values, v) for v in values]
    return made


def _as_text(one: Input, values: Sequence[Any], value: Any) -> str:
    try:
        if isinstance(value, dict | list):
            raise ValueError(value)
        return "" if value is None else as_text(value) or ""
    except ValueError as error:
        raise _wrong(one, values, partial(is_, value)) from error


def _timestamp(one: Input, values: Sequence[Any]) -> Array:
    made = []
    for value in values:
        try:
            made.append(instant(value.strip()) if value else _NAT if value is None or value == "" else _no(value))
        except (ValueError, AttributeError) as error:
            raise _wrong(one, values, partial(is_, value)) from error
    return np.array(made, dtype=np.int64).view("datetime64[us]")


def _no(value: object) -> int:
    raise ValueError(value)


_TO: dict[ColumnType, Callable[[Input, Sequence[Any]], Array]] = {
    "number": _number,
    "bool": _bool,
    "string": _text,
    "id": _text,
    "timestamp": _timestamp,
}
assert set(_TO) == set(MISSING)


def _wrong(one: Input, values: Sequence[Any], is_wrong: Callable[[Any], bool]) -> Refused:
    at, value = next((at, value) for at, value in enumerate(values) if is_wrong(value))
    return Refused(400, one.name, RULES[one.kind], value, f"It is a {one.kind}. {_REMEDY}", where=f"row {at}")


def _absent(one: Input, lost: Array) -> Refused:
    where = f"row {int(np.flatnonzero(lost)[0])}"
    return Refused(400, one.name, "be there: the case takes no row without it", None, _REMEDY, where=where)
