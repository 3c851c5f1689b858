"""JSON that says one thing: one document in UTF-8, finite numbers, no key twice in an object."""

from __future__ import annotations

import json
from typing import Any

import orjson

from components.serving.refusal import Refused

_PLAIN = frozenset({int, float, type(None)})
_JSON = "Send one JSON document in UTF-8: numbers are finite, and no key stands twice in an object."


def loads(body: bytes) -> Any:
    """The document in `body`. Raises Refused where it is no strict JSON; `check_keys` sees keys that stand twice."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "body", "be JSON", _Told(str(error)), _JSON) from error


class _Told(str):
    """A parser's words, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def check_keys(body: bytes, data: Any) -> None:
    """Refuses an object in which a key stands twice: the parser keeps the last one without a word.

    Every key brings a colon, so equal counts of colons prove that no key was lost. Only where an escape could hide
    one, or the counts differ, is the body parsed by a slower parser that sees each pair.
    """
    try:
        if b"\\" in body or body.count(b":") != _colons(data):
            json.loads(body, object_pairs_hook=_pairs)
    except RecursionError as error:
        raise Refused(400, "body", "be nested less deep", _Told("hundreds of levels"), _JSON) from error


def _colons(data: Any) -> int:
    """How many colons the document has at least: one per key, and those inside texts."""
    if isinstance(data, str):
        return data.count(":")
    if isinstance(data, list):
        return sum(_colons(value) for value in data if type(value) not in _PLAIN)
    if isinstance(data, dict):
        inner = sum(_colons(value) for value in data.values() if type(value) not in _PLAIN)
        return len(data) + inner + "".join(data).count(":")
    return 0


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refused(400, twice, "stand once in its object", twice, "Send each key once.")
    return found
