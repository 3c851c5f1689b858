"""A server in front of an emulator that loses, cuts or changes answers as it is told; everything else passes."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
FOREVER = 10**9


@dataclass
class Fault:
    """What happens to requests whose "METHOD path?query body" matches.

    lose: it is done, and the answer never comes. refuse: it is not done, and no answer comes. cut: half of its body
    arrives. answer: it is not done, and `status` with `body` is the answer. instead: it is done, and the same. alter:
    the answer's body goes through `change`.
    """

    match: str
    action: Literal["lose", "refuse", "cut", "answer", "instead", "alter"]
    times: int = 1
    skip: int = 0
    """Matching requests that pass before."""
    status: int = 503
    body: bytes = b"{}"
    change: Callable[[bytes], bytes] = bytes
    then: Callable[[], object] = lambda: None
    """Called after it, before the client can know."""
    hits: int = 0


class _Queue(ThreadingHTTPServer):
    request_queue_size = 512
    """Who does not fit in is dropped by the kernel, and tries again ever later."""


@dataclass
class Proxy:
    upstream: str
    """host:port."""
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._server = _Queue(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.at = f"127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, match: str, action: Any, **settings: Any) -> Fault:
        self.faults.append(Fault(match, action, **settings))
        return self.faults[-1]

    def count(self, match: str) -> int:
        return sum(1 for request in self.seen if re.search(match, request, re.DOTALL))

    def chosen(self, request: str) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            for fault in self.faults:
                if re.search(fault.match, request, re.DOTALL):
                    if fault.skip:
                        fault.skip -= 1
                    elif fault.hits < fault.times:
                        fault.hits += 1
                        return fault
        return None


def google_error(status: int, reason: str, message: str) -> dict[str, Any]:
    """As Google's JSON APIs answer: keywords of a fault."""
    inner = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return {"status": status, "body": json.dumps({"error": inner}).encode()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shown = f"{self.command} {self.path} {body[:4000].decode(errors='replace')}"
        fault = self.proxy.chosen(shown)
        action = fault.action if fault else ""
        if fault and action in ("refuse", "cut"):
            if action == "cut":
                self._cut(body)
            fault.then()
            self.close_connection = True
            return
        status, headers, answer = (503, [], b"") if action == "answer" else self._forward(body)
        if fault:
            fault.then()
            if action == "lose":
                self.close_connection = True
                return
            if action in ("answer", "instead"):
                status, headers, answer = fault.status, [("Content-Type", "application/json")], fault.body
            if action == "alter":
                answer = fault.change(answer)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        host, _, port = self.proxy.upstream.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _cut(self, body: bytes) -> None:
        host, _, port = self.proxy.upstream.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            lines = [f"{self.command} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items()), "", ""]
            upstream.sendall("\r\n".join(lines).encode() + body[: len(body) // 2])

    def log_message(self, format: str, *args: object) -> None:
        pass
