"""What every part of Vertex's contract server shares: its addresses, operations that take their time, pages, and filters."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from google.protobuf import any_pb2, empty_pb2, json_format
from google.protobuf.timestamp_pb2 import Timestamp

from tests.servers.http import Refused, Request
from tests.servers.vertex import rules

PROJECT, REGION = "esteira-test", "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
_PATH = re.compile(r"/(v1|v1beta1|ui)/projects/([^/]+)/locations/([^/:]+)/([^:]+)(?::(\w+))?")
_QUERY = {"$alt", "filter", "orderBy", "pageSize", "pageToken", "updateMask", "readMask"}


class Pending(Exception):
    """What an operation's work raises that is not done yet."""


@dataclass
class Operation:
    """Under way at each look while `left` is above 0; then it does its work, which may still be pending."""

    work: Callable[[], Any]
    left: int = 1
    done: dict[str, Any] | None = None
    undo: Callable[[], None] | None = None
    """What a cancellation does; None: it cannot be cancelled."""


@dataclass
class Service:
    """A request goes to the method that its path spells.

    POST …/models:upload is `_post_models_upload(request)`, GET …/models/7 is `_get_models_one(request, "7")`,
    POST …/models/7/evaluations:import is `_post_models_evaluations_import(request, "7")`. An operation is read under any path.
    """

    operations: dict[str, Operation] = field(default_factory=dict)
    forbidden: bool = False
    clock: float = field(default_factory=lambda: float(int(time.time())))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    queries: set[str] = field(default_factory=lambda: set(_QUERY))
    """The query parameters that the methods know; a part adds its own in __post_init__."""

    def __post_init__(self) -> None:
        """Of the parts, each calls the next."""

    def close(self) -> None:
        """Of the parts, each ends what it began and calls the next."""

    def refusal(self, refused: Refused) -> Any:
        return {"error": {"code": refused.status, "message": refused.message, "status": refused.reason}}

    def answer(self, request: Request) -> Any:
        if unknown := set(request.query) - self.queries:
            raise rules.invalid(f"Unknown query parameters {sorted(unknown)}")
        if self.forbidden:
            raise Refused(403, "PERMISSION_DENIED", "Permission 'aiplatform.pipelineJobs.list' denied")
        match = _PATH.fullmatch(unquote(request.path))  # ID@1 comes as ID%401
        if match is None:
            raise Refused(404, "NOT_FOUND", "no such method")
        _, project, region, rest, verb = match.groups()
        if project != PROJECT:
            raise Refused(403, "PERMISSION_DENIED", f"Permission denied on resource project {project}.")
        if region != REGION:
            raise Refused(404, "NOT_FOUND", f"Location {region} is not found or access is unauthorized.")
        parts = rest.split("/")
        names, ids = parts[::2], parts[1::2]
        if names[-1] == "operations":
            names, ids = names[-1:], ids[-1:]
        whole = ["one"] if len(ids) == len(names) else []
        name = "_" + "_".join([request.method.lower(), *names, *whole, *([verb] if verb else [])])
        method = getattr(self, name, None)
        if method is None:
            raise Refused(404, "NOT_FOUND", f"no method {name}")
        self.clock += 1
        return method(request, *ids)

    def begin(
        self, work: Callable[[], Any], under: str = PARENT, looks: int = 1, undo: Callable[[], None] | None = None
    ) -> Any:
        """An operation that does its work at the look after `looks` others.

        `work` gives a message, or raises Refused, or Pending for another look.
        """
        id = str(next(self.numbers))
        self.operations[id] = Operation(work, looks, undo=undo)
        return {"name": f"{under}/operations/{id}", "done": False}

    def _get_operations_one(self, request: Request, id: str) -> Any:
        found = self.there(self.operations, id, "Operation")
        name = request.path.partition("/projects/")[2]
        self.look(found)
        return {"name": f"projects/{name}", "done": found.done is not None, **(found.done or {})}

    def _post_operations_one_cancel(self, request: Request, id: str) -> Any:
        found = self.there(self.operations, id, "Operation")
        if found.undo is None:
            raise Refused(501, "UNIMPLEMENTED", "The operation cannot be cancelled.")
        if found.done is None:
            found.undo()
            found.done = {"error": {"code": 1, "message": "CANCELED"}}
        return {}

    def look(self, found: Operation) -> None:
        if found.done is not None:
            return
        if found.left > 0:
            found.left -= 1
            return
        with suppress(Pending):
            found.done = self._ended(found.work)

    def _ended(self, work: Callable[[], Any]) -> dict[str, Any]:
        try:
            message = work()
        except Refused as refused:
            codes = {"INVALID_ARGUMENT": 3, "NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7}
            codes |= {"RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9}
            return {"error": {"code": codes.get(refused.reason, 13), "message": refused.message}}
        wrapped = any_pb2.Any()
        wrapped.Pack(empty_pb2.Empty() if message is None else type(message).pb(message))
        return {"response": json_format.MessageToDict(wrapped, use_integers_for_enums=True)}

    def there(self, kept: dict[str, Any], id: str, kind: str) -> Any:
        if id not in kept:
            raise Refused(404, "NOT_FOUND", f"The {kind} {id} does not exist.")
        return kept[id]


def written(message: Any) -> dict[str, Any]:
    """A proto-plus message as REST carries it."""
    data: dict[str, Any] = json_format.MessageToDict(type(message).pb(message), use_integers_for_enums=True)
    return data


def page(found: list[Any], request: Request) -> tuple[list[Any], dict[str, str]]:
    size, start = int(request.query.get("pageSize", 0)) or 50, int(request.query.get("pageToken") or 0)
    more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
    return found[start : start + size], more


def labelled(message: Any, text: str) -> bool:
    """The filter, of which this server knows `labels.NAME="VALUE"` and `labels.NAME:*`."""
    if not text:
        return True
    match = re.fullmatch(r'labels\.([a-z0-9_-]+)(?:="([^"]*)"|:\*)', text)
    if match is None:
        raise rules.invalid(f"Invalid filter {text!r}")
    return match[1] in message.labels if match[2] is None else message.labels.get(match[1]) == match[2]


def snake(path: str) -> str:
    return re.sub(r"([A-Z])", lambda m: f"_{m[1].lower()}", path)


def moment(seconds: float) -> Any:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp
