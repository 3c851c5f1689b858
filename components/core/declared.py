"""What a person declares in a case or a profile: strict, frozen, told in our words where it is wrong, and digested."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from components.core import complaints
from components.core.artifacts import canonical_json
from components.core.errors import CaseError

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DURATION = re.compile(r"([1-9][0-9]*)(s|min|h|d)")
T = TypeVar("T", bound=BaseModel)


def _identifier(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError("be an identifier: letters, digits and _, starting with a letter")
    return value


def duration(value: str) -> str:
    """The value, if it is a duration. Raises ValueError."""
    if not _DURATION.fullmatch(value):
        raise ValueError("be a whole number and a unit, such as 90s, 15min, 3h or 2d")
    return value


def seconds(duration: str) -> int:
    """'3h' -> 10800."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(duration)
    return int(match[1]) * _SECONDS[match[2]]


Name = Annotated[str, AfterValidator(_identifier)]
Duration = Annotated[str, AfterValidator(duration)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class _Told(str):
    """Words of ours, shown without quotes."""

    def __repr__(self) -> str:
        return str(self)


def validate(model: type[T], data: object, *, where: str, whole: bool = False) -> T:
    """`data` as `model`, with pydantic's first complaint told as a CaseError.

    `whole` is whether a rule over several keys is one of the file's, which says itself what was found.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = complaints.first(model, error)
        key, rule, value = first.key, first.rule, first.value
        if whole and not error.errors()[0]["loc"]:
            key, rule, value = "keys", f"agree: {rule}", _Told("keys that do not")
        raise CaseError(key, rule, value, first.remedy, where=where) from error


def digest(data: Any) -> str:
    """sha256 (64 hex) of the canonical JSON of `data`, or of a model's resolved text."""
    text = resolved_json(data) if isinstance(data, BaseModel) else canonical_json(data)
    return hashlib.sha256(text.encode()).hexdigest()


def resolved_json(model: BaseModel, sections: Collection[str] | None = None) -> str:
    """A model, or some of its sections, as JSON with every default written out.

    Keys stay in the order in which they were declared: it is the order of the columns everywhere after.
    """
    include = None if sections is None else set(sections)
    return json.dumps(model.model_dump(mode="json", include=include), separators=(",", ":"), ensure_ascii=False)


def section_digest(model: Strict, sections: Collection[str]) -> str:
    """One digest of the named top-level sections, resolved; what a step does not name does not touch its reuse."""
    return hashlib.sha256(resolved_json(model, sections).encode()).hexdigest()
