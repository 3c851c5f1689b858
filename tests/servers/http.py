"""An HTTP server of the tests with a service behind it, which can be told to fail: before its work, or after."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    every: Mapping[str, list[str]] = field(default_factory=dict)
    """The query's values of each name, where one may stand several times."""

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, "INVALID_ARGUMENT", f"not JSON: {error}") from error


class Refused(Exception):
    """What the service answers instead."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Service(Protocol):
    def answer(self, request: Request) -> Any:
        """JSON data, or raises Refused."""
        ...

    def refusal(self, refused: Refused) -> Any:
        """The body of an error, as this API writes it."""
        ...


@dataclass
class Fault:
    """What happens to the next requests whose "METHOD PATH" matches.

    `status`: this answer instead of the work; 0: the connection ends without an answer, after the work if `done`.
    """

    match: str
    status: int = 0
    done: bool = True
    times: int = 1


@dataclass
class Server:
    """`seen` are the requests in order, faults among them."""

    service: Service
    port: int = 0
    seen: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def called(self, match: str) -> int:
        """How many requests' "METHOD PATH" match."""
        return sum(bool(re.search(match, f"{r.method} {r.path}")) for r in self.seen)

    def everything(self) -> str:
        """All that was sent here, as one text."""
        return "\n".join(f"{r.method} {r.path} {dict(r.query)} {r.body.decode()}" for r in self.seen)

    def fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.match, f"{request.method} {request.path}"):
                fault.times -= 1
                return fault
        return None


class _Queue(ThreadingHTTPServer):
    request_queue_size = 512
    """Who does not fit in is dropped by the kernel, and tries again ever later: 50 callers at once are more than 5."""


@contextmanager
def serving(service: Service, port: int = 0) -> Iterator[Server]:
    """On this port of the loopback address; 0: a free one."""
    server = Server(service)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer on a kept connection waits 40 ms

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

        def _any(self) -> None:
            place = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(place.query, keep_blank_values=True))
            every = parse_qs(place.query, keep_blank_values=True)
            request = Request(self.command, place.path, query, dict(self.headers), body, every)
            with server.lock:
                server.seen.append(request)
                fault = server.fault(request)
                if fault is not None and (fault.status or not fault.done):
                    status = fault.status
                    data = service.refusal(Refused(status, "UNAVAILABLE", "told to")) if status else None
                else:
                    status, data = self._work(request)
            if fault is not None and not fault.status:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._write(status, json.dumps(data).encode())

        def _work(self, request: Request) -> tuple[int, Any]:
            try:
                return 200, service.answer(request)
            except Refused as refused:
                return refused.status, service.refusal(refused)

        def _write(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any

    http = _Queue(("127.0.0.1", port), Handler)
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
