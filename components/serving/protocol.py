"""HTTP/1.1 over httptools: whole requests in, whole answers out, in order, with a limit on everything.

It stands in uvicorn's place because it was measured: `benchmarks/serving.py` also asks this very server with uvicorn's
HTTP (httptools, uvloop) in the place of this one, where each request has a task, a scope and two events. That takes 1.6
to 2.1 times the processor time of a request and answers 0.5 to 0.7 of the requests per second. What it does not speak,
it refuses: upgrades.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from components.serving import refusal
from components.serving.asked import JSON, Reply
from components.serving.exchange import Exchange
from components.serving.listener import Listener
from components.serving.refusal import Refused, long_body, long_head

HEAD = 16 * 1024
"""Bytes of the request line and headers."""
CONNECTIONS = 4096
PIPELINED = 64
"""Requests of one connection that wait for the one before them."""
HEAD_SECONDS = 10
BODY_SECONDS = 30
IDLE_SECONDS = 620
"""Longer than Google's load balancers keep a connection, so that they close it and no request meets a closed one."""
WRITE_SECONDS = 30
_LINGER_SECONDS = 2
"""How long the rest of a refused body is read and thrown away, so that the client sees the answer."""


class Connection(asyncio.Protocol):
    """One client. It reads requests one after the other and answers them in their order."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._reading = "idle"
        self._since = listener.tick
        self._got = 0
        self._whole = self._ended = self._eof = False
        self._writing = True
        self._refused: Refused | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's have another base
        self._listener.connections.add(self)
        self._reading = "head"
        if len(self._listener.connections) > CONNECTIONS:
            rule = f"be one of at most {CONNECTIONS} connections"
            self._refuse(Refused(503, "connection", rule, len(self._listener.connections), "Try again in a second."))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._listener.connections.discard(self)
        self._ended = True
        self._waiting.clear()

    def eof_received(self) -> bool:
        """A client that only stopped sending still gets its answers."""
        self._eof = True
        return not self._ended and (self._current is not None or bool(self._waiting))

    def pause_writing(self) -> None:
        self._writing = False
        self._since = self._listener.tick
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writing = True
        if len(self._waiting) < PIPELINED:
            self._transport.resume_reading()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._ended or self._refused is not None:
            return
        self._whole = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Over):
                raise
            self._refuse(error.__context__.refused)
        except httptools.HttpParserError as error:
            self._refuse(Refused(400, "request", "be HTTP/1.1", str(error), "Use an HTTP client."))
        else:
            if not self._whole:
                self._got += len(data)
                self._check_bytes()
        self._go_on()

    def _check_bytes(self) -> None:
        """What is around a body's bytes (chunks' sizes, trailers) may take as much as the body may, and no more."""
        if self._reading == "head" and self._got > HEAD:
            self._refuse(long_head(self._got, HEAD))
        elif self._reading == "body" and self._got > HEAD + 2 * self._listener.body:
            self._refuse(long_body(self._got, self._listener.body))

    def on_message_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._target = b""
        self._body: bytes | bytearray = b""
        self._begin("head")

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading == "head":  # a trailer comes after what a header decides
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        headers = self._headers
        size = sum(map(len, headers)) + sum(map(len, headers.values())) + len(self._target)
        if size > HEAD:
            raise _Over(long_head(size, HEAD))
        self._begin("body")
        if self._parser.should_upgrade():
            raise _Over(Refused(400, "upgrade", "not be asked for", "Upgrade", "Speak HTTP/1.1."))
        length = headers.get(b"content-length", b"0")
        if len(length) > 18 or int(length) > self._listener.body:
            raise _Over(long_body(length.decode("latin-1"), self._listener.body))
        if b"expect" in headers and headers[b"expect"].lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if not self._body:
            self._body = body
        else:
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += body
        if len(self._body) > self._listener.body:
            raise _Over(long_body(len(self._body), self._listener.body))

    def on_message_complete(self) -> None:
        first, self._whole = not self._whole, True
        self._reading, self._got = "idle", 0
        keep, body = self._parser.should_keep_alive(), bytes(self._body)
        exchange = Exchange(self.answer, self._parser.get_method(), self._target, self._headers, body, keep)
        if first and self._current is None and not self._waiting:
            self._current = exchange
            self._listener.handle(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) == PIPELINED:
                self._transport.pause_reading()

    def answer(self, exchange: Exchange, status: int, reply: Reply, headers: bytes) -> None:
        """Writes one answer and goes on to what came after its request."""
        if self._ended:
            return
        keep = exchange.keep and (bool(self._waiting) or not (self._listener.draining or self._eof))
        body = reply.body if exchange.method != b"HEAD" else b""
        head = self._listener.head(status, reply.kind)
        end = b"\r\n" if keep else b"connection: close\r\n\r\n"
        self._transport.write(b"".join([head, b"%d\r\n" % len(reply.body), reply.headers, headers, end, body]))
        self._since = self._listener.tick
        self._current = None
        if not keep:
            self._ended = True
            self._transport.close()
        elif self._refused is not None and not self._waiting:
            self._refuse(self._refused)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """To the request that waits, in a turn of its own: many that came at once hold up nobody else's."""
        if self._current is None and self._waiting and self._writing:
            if len(self._waiting) == PIPELINED:
                self._transport.resume_reading()
            self._current = self._waiting.popleft()
            asyncio.get_running_loop().call_soon(self._listener.handle, self._current)

    def look(self, tick: int) -> None:
        """Ends what has taken too long."""
        waited = tick - self._since
        if self._ended:
            if waited > _LINGER_SECONDS:
                self._transport.abort() if waited > WRITE_SECONDS else self._transport.close()
        elif not self._writing:
            if waited > WRITE_SECONDS:
                self._transport.abort()
        elif self._reading == "head" and waited > HEAD_SECONDS:
            self._refuse(Refused(408, "head", f"arrive within {HEAD_SECONDS} s", "part of it", "Send it at once."))
        elif self._reading == "body" and waited > BODY_SECONDS:
            self._refuse(Refused(408, "body", f"arrive within {BODY_SECONDS} s", "part of it", "Send it at once."))
        elif self._reading == "idle" and self._current is None and waited > IDLE_SECONDS:
            self._transport.close()

    def close_idle(self) -> None:
        if self._current is None and not self._waiting and self._reading != "body":
            self._transport.close()

    def _begin(self, reading: str) -> None:
        self._reading, self._since = reading, self._listener.tick

    def _refuse(self, refused: Refused) -> None:
        """Answers what is no whole request, after those before it, and reads no more of this client."""
        if self._ended:
            return
        if self._current is not None or self._waiting:
            self._refused = self._refused or refused
            return
        self._ended = True
        self._since = self._listener.tick
        self._listener.refused(refused.status)
        body = refusal.body(refused)
        retry = b"retry-after: 1\r\n" if refused.status == 503 else b""
        head = self._listener.head(refused.status, JSON)
        self._transport.write(b"".join([head, b"%d\r\n" % len(body), retry, b"connection: close\r\n\r\n", body]))
        if self._transport.can_write_eof():
            self._transport.write_eof()


class _Over(Exception):
    """Raised inside the parser's callbacks to stop it."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused
