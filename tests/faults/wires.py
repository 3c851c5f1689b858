"""What fails between Google's adapters and their servers, at requests that are counted: over HTTP, and over gRPC."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Self

import grpc

from tests.adapters.gcp.proxy import Fault, Proxy, google_error

TIMES = 3
"""A wire fails so often."""
CALL = 60.0
"""Seconds that a call behind a wire may take."""
_ACTIONS: tuple[Callable[[], Fault], ...] = (
    lambda: Fault("", "lose"),
    lambda: Fault("", "refuse"),
    lambda: Fault("", "cut"),
    lambda: Fault("", "instead", **google_error(503, "backendError", "told to")),
    lambda: Fault("", "answer", **google_error(503, "backendError", "told to")),
    lambda: Fault("", "answer", **google_error(429, "rateLimitExceeded", "told to")),
)


class Places:
    """Of the first `among` requests, TIMES ones, by a seed."""

    def __init__(self, seed: int, among: int) -> None:
        self.chance = random.Random(seed)
        self.wanted = set(self.chance.sample(range(1, among + 1), TIMES))
        self.count = 0
        self.struck: list[str] = []
        """What was asked for at those that came."""

    def strikes(self, request: str) -> bool:
        """Whether this request, which is counted, is one of them. Its caller holds a lock."""
        self.count += 1
        if self.count in self.wanted:
            self.struck.append(request)
        return self.count in self.wanted


class Wire(Proxy):
    """Loses, refuses, cuts and answers in the service's place."""

    def __init__(self, upstream: str, seed: int, among: int) -> None:
        super().__init__(upstream)
        self.places = Places(seed, among)

    @property
    def address(self) -> str:
        return f"http://{self.at}"

    def chosen(self, request: str) -> Fault | None:
        with self._lock:
            return self.places.chance.choice(_ACTIONS)() if self.places.strikes(request) else None


class GrpcWire:
    """The same for gRPC: UNAVAILABLE before the call is made, or after."""

    def __init__(self, upstream: str, seed: int, among: int) -> None:
        self._upstream, self.places = upstream, Places(seed, among)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(self._upstream, options)
        self._server = grpc.server(futures.ThreadPoolExecutor(8), [_Every(self._pass)], options=options)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def _pass(self, method: str, asked: Iterator[bytes], context: Any) -> Iterator[bytes]:
        with self._lock:
            strikes = self.places.strikes(method)
            done = strikes and self.places.chance.random() < 0.5
        if strikes and not done:
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
        metadata = [(k, v) for k, v in context.invocation_metadata() if k.startswith("x-goog-")]
        try:
            for answer in self._channel.stream_stream(method)(asked, timeout=CALL, metadata=metadata):
                if not done:
                    yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if done:
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to, and it is done")


def wire(upstream: str, seed: int, among: int) -> Wire | GrpcWire:
    """Before the server at this address, as a profile names it: one with a scheme speaks HTTP, one without gRPC."""
    scheme, _, at = upstream.rpartition("://")
    return Wire(at, seed, among) if scheme else GrpcWire(at, seed, among)


class _Every(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types here
    """Messages of any method, as bytes."""

    def __init__(self, passed: Callable[[str, Iterator[bytes], Any], Iterator[bytes]]) -> None:
        self._passed = passed

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            lambda asked, context: self._passed(details.method, asked, context)
        )
