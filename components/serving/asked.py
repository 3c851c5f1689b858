"""One request for predictions, from either protocol, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from components.core.columns import Columns
from components.serving.refusal import Refused
from components.serving.strict import loads

JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """`operations.serving` of the case."""

    body: int = 1_500_000
    """Bytes of a request's body."""
    rows: int = 1_024
    queue: int = 256
    """Requests accepted and not yet answered."""


@dataclass(slots=True)
class Answers:
    """Of n rows: the scores, the decisions, and per class the probabilities (None for regression)."""

    score: list[float]
    decision: list[str]
    probabilities: list[list[float]] | None


@dataclass(slots=True)
class Reply:
    """A body, its type, and header lines that end in CR LF."""

    body: bytes
    kind: bytes = JSON
    headers: bytes = b""


@dataclass(slots=True)
class Parsed:
    """A request's JSON document, and the binary tensors behind it."""

    text: bytes
    data: dict[str, Any]
    binary: memoryview | None


@dataclass(slots=True)
class Asked:
    """n rows of a model's inputs, as columns or as values not yet looked at, and how their answers are written."""

    rows: int
    write: Callable[[str, About, Answers], Reply]
    """(the request's id, who answers, the answers) -> what is sent."""
    columns: Columns | None = None
    values: Sequence[Sequence[Any]] = ()
    """Where there are no columns yet: of each row, in the inputs' order."""
    given: Sequence[Any] = ()
    """And the rows as they came, objects or arrays."""


@dataclass(frozen=True, slots=True)
class About:
    """Who answers."""

    case: str
    version: int
    classes: tuple[str, ...]


def parse(body: bytes, header: int | None) -> Parsed:
    """The document in a request's body; `header` is its length where binary tensors follow.

    Raises
    ------
    Refused
        The length is not within the body, or the document is no strict JSON or no object.
    """
    text, binary = body, None
    if header is not None:
        if not 0 < header <= len(body):
            remedy = "Send the length of the JSON in bytes."
            raise Refused(400, "Inference-Header-Content-Length", f"be from 1 to {len(body)}", header, remedy)
        text, binary = body[:header], memoryview(body)[header:]
    data = loads(text)
    if type(data) is not dict:
        raise Refused(400, "body", "be an object", data, "See /docs for an example.")
    return Parsed(text, data, binary)
