"""What the soak asks: good requests of both protocols and bad ones of every kind, each with the status it must get."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from served.servers import Server, by_open_inference
from served.trained import NAME, rows

HANG_UP = "hangs up in the middle"
_GOOD = {"instances": [[0.1, 5, 50, 500]]}


@dataclass(frozen=True)
class Kind:
    """A request, how often it is drawn, and what it must get: `status`, and for `rows` as many predictions."""

    name: str
    weight: float
    status: int
    request: bytes
    rows: int = 0
    answered: Callable[[Any], int] = len
    """How many predictions an answer holds."""


def kinds(server: Server) -> list[Kind]:
    """The good ones are 94 of 100."""
    predict, infer = "/predict", f"/v2/models/{NAME}/infer"

    def post(path: str, body: object, *, token: str = server.token, length: int | None = None) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        size = len(data) if length is None else length
        return _head("POST", path, token, f"Content-Type: application/json\r\nContent-Length: {size}\r\n") + data

    def bad(name: str, status: int, request: bytes) -> Kind:
        return Kind(name, 0.5, status, request)

    def vertex(answer: Any) -> int:
        return len(answer["predictions"])

    def tensors(answer: Any) -> int:
        return int(answer["outputs"][0]["shape"][0])

    many = {"instances": rows(64).tolist()}
    large = {"instances": rows(1000).tolist()}
    row = by_open_inference(server).body([0.1, 5.0, 50.0, 500.0])
    return [
        Kind("one row", 60, 200, post(predict, _GOOD), 1, vertex),
        Kind("64 rows", 10, 200, post(predict, many), 64, vertex),
        Kind("1,000 rows", 1, 200, post(predict, large), 1000, vertex),
        Kind("one row, Open Inference", 20, 200, post(infer, row), 1, tensors),
        Kind("health", 2, 200, _head("GET", "/health", "")),
        Kind("metrics", 1, 200, _head("GET", "/metrics", server.token)),
        bad("no JSON", 400, post(predict, b'{"instances": [')),
        bad("no instances", 400, post(predict, {})),
        bad("wrong width", 400, post(predict, {"instances": [[1, 2, 3]]})),
        bad("text for a number", 400, post(predict, {"instances": [["a", 2, 3, 4]]})),
        bad("NaN", 400, post(predict, b'{"instances": [[NaN, 2, 3, 4]]}')),
        bad("deeply nested", 400, post(predict, b"[" * 100_000)),
        bad("too many rows", 413, post(predict, {"instances": [[1, 2, 3, 4]] * 1025})),
        bad("too long", 413, post(predict, b"", length=2_000_000)),
        bad("no token", 401, post(predict, _GOOD, token="")),
        bad("wrong token", 401, post(predict, _GOOD, token="another")),
        bad("unknown route", 404, post("/nowhere", _GOOD)),
        bad("wrong method", 405, _head("GET", predict, server.token)),
        bad("no HTTP", 400, b"\x16\x03\x01\x02\x00 hello\r\n\r\n"),
        bad(HANG_UP, 0, post(predict, b'{"instances', length=500)),
    ]


def _head(method: str, path: str, token: str, more: str = "") -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{more}\r\n".encode()
