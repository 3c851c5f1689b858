"""What pydantic complains of in a file of the user's, told for a person: examples in place of patterns."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PREFIX = re.compile(r"Value error, |[A-Z]\w* should ")
"""Of pydantic's messages: Input should, String should, Tuple should, and so on."""
_KEY = "[key]"
"""The last part of a place where a mapping's own key is wrong."""
_NEAR = 0.7
"""From this likeness on (difflib's, 0 to 1) one key is taken for another, misspelt."""
Place = Sequence[str | int]


@dataclass(frozen=True)
class Complaint:
    """The parts of an EsteiraError."""

    key: str
    rule: str
    value: Any
    remedy: str


def first(model: type[BaseModel], error: ValidationError) -> Complaint:
    """The first complaint; of a key that is missing because it is misspelt, the misspelt one."""
    found = error.errors()
    chosen = next((one for one in found[1:] if _misspells(model, one, found[0])), found[0])
    more = len(found) - (1 if chosen is found[0] else 2)
    place = [part for part in chosen["loc"] if part != _KEY]
    key = ".".join(str(part) for part in place) or model.__name__
    value = chosen["input"] if chosen["type"] != "missing" else None
    if isinstance(value, dict):
        value = f"keys {', '.join(map(str, value))}"
    meant = _meant(model, chosen)
    remedy = "Mend this key" + (f"; {more} more after it." if more else ".")
    return Complaint(key, _rule(model, chosen), value, f"Did you mean {meant}? {remedy}" if meant else remedy)


def _rule(model: type[BaseModel], one: ErrorDetails) -> str:
    if one["type"] == "extra_forbidden":
        return "not be there: it is no key of this section"
    if one["type"] == "missing":
        return "be given"
    example = _example(model, one["loc"]) if one["type"] == "string_pattern_mismatch" else ""
    return f"be such as {example}" if example else _PREFIX.sub("", one["msg"])


def _misspells(model: type[BaseModel], one: ErrorDetails, absent: ErrorDetails) -> bool:
    beside = one["loc"][:-1] == absent["loc"][:-1]
    return absent["type"] == "missing" and beside and _meant(model, one) == absent["loc"][-1]


def _meant(model: type[BaseModel], one: ErrorDetails) -> str:
    """The key of the section that an unknown one is near to; empty: none."""
    if one["type"] != "extra_forbidden":
        return ""
    from difflib import get_close_matches

    known = _section(model, one["loc"][:-1])[0].model_fields
    return next(iter(get_close_matches(str(one["loc"][-1]), known, 1, _NEAR)), "")


def _section(model: type[BaseModel], place: Place) -> tuple[type[BaseModel], bool]:
    """The model at a place, and whether a mapping's key follows there: a name of the user's, which is no field."""
    named = False
    for part in place:
        field = None if named else model.model_fields.get(str(part))
        named = field is not None and _is_mapping(field.annotation)
        model = next(models_in(field.annotation), model) if field is not None else model
    return model, named


def _is_mapping(annotation: Any) -> bool:
    return any(typing.get_origin(one) is dict for one in (annotation, *typing.get_args(annotation)))


def _example(model: type[BaseModel], place: Place) -> str:
    """A valid value, as the field there gives one; empty: it gives none."""
    known = [part for part in place if part != _KEY]
    if _KEY in place:  # of schedules.NAME: the key's type is the mapping's first
        field = _section(model, known[:-2])[0].model_fields.get(str(known[-2]))
        keys = typing.get_args(field.annotation)[0] if field is not None else None
        found = [one for one in getattr(keys, "__metadata__", ()) if isinstance(one, FieldInfo)]
    else:
        section, named = _section(model, place[:-1])
        field = None if named else section.model_fields.get(str(place[-1]))
        found = [field] if field is not None else []
    example = str(found[0].examples[0]) if found and found[0].examples else ""
    return f"{example}, or empty" if example and found[0].default == "" else example


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that stand anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)
