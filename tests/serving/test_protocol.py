"""The limits of the protocol that are times, and its answers to hostile clients: with a clock that the test moves."""

from __future__ import annotations

from typing import Any, cast

from components.serving import protocol
from components.serving.asked import Reply
from components.serving.exchange import Exchange
from components.serving.protocol import Connection, Listener

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = self.aborted = self.ended = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Client:
    """One connection to a listener that answers when the test says so."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.refused: list[int] = []
        self.listener = Listener(self.exchanges.append, 1000, self.refused.append)
        self.transport = Transport()
        self.connection = self.connect(self.transport)

    def connect(self, transport: Transport) -> Connection:
        made = self.listener.connection()
        made.connection_made(cast(Any, transport))
        return made

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.listener.beat()


def test_a_head_that_does_not_end_is_a_408():
    client = Client()
    client.connection.data_received(b"GET / HT")
    client.pass_seconds(protocol.HEAD_SECONDS)
    assert not client.transport.written
    client.pass_seconds(1)
    assert client.transport.written.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert client.transport.ended
    assert client.refused == [408]


def test_a_client_that_says_nothing_is_sent_away():
    client = Client()
    client.pass_seconds(protocol.HEAD_SECONDS + 1)
    assert client.refused == [408]


def test_a_body_that_does_not_end_is_a_408_however_slowly_it_comes():
    client = Client()
    client.connection.data_received(HEAD + b"a")
    for _ in range(protocol.BODY_SECONDS):
        client.pass_seconds(1)
        client.connection.data_received(b"")
    assert not client.refused
    client.pass_seconds(1)
    assert client.refused == [408]
    assert not client.exchanges


def test_a_slow_answer_is_waited_for_and_an_idle_connection_closed_late():
    client = Client()
    client.connection.data_received(HEAD + b"body")
    client.pass_seconds(protocol.IDLE_SECONDS * 2)
    assert not client.transport.closed
    client.exchanges[0].reply(200, Reply(b"{}"))
    client.pass_seconds(protocol.IDLE_SECONDS)
    assert not client.transport.closed
    client.pass_seconds(1)
    assert client.transport.closed


def test_the_rest_of_a_refused_body_is_thrown_away_and_then_the_client():
    client = Client()
    client.connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
    assert client.transport.written.startswith(b"HTTP/1.1 413 ")
    client.connection.data_received(b"x" * 5000)
    assert client.refused == [413]
    assert not client.transport.closed
    client.pass_seconds(4)
    assert client.transport.closed


def test_a_client_that_reads_nothing_is_dropped():
    client = Client()
    client.connection.data_received(HEAD + b"body")
    client.connection.pause_writing()
    assert not client.transport.reading
    client.pass_seconds(protocol.WRITE_SECONDS + 1)
    assert client.transport.aborted


def test_pipelined_requests_beyond_the_limit_wait_in_the_client():
    client = Client()
    client.connection.data_received((HEAD + b"body") * (protocol.PIPELINED + 1))
    assert len(client.exchanges) == 1
    assert not client.transport.reading


def test_a_connection_too_many_gets_a_503(monkeypatch: Any):
    monkeypatch.setattr(protocol, "CONNECTIONS", 1)
    client = Client()
    second = Transport()
    client.connect(second)
    assert second.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after: 1\r\n" in second.written
    assert client.refused == [503]


def test_draining_closes_after_the_answer_and_idle_connections_at_once():
    client = Client()
    client.connection.data_received(HEAD + b"body")
    idle = Transport()
    client.connect(idle)
    client.listener.draining = True
    client.listener.close_idle()
    assert (idle.closed, client.transport.closed) == (True, False)
    client.exchanges[0].reply(200, Reply(b"{}"))
    assert b"connection: close\r\n" in client.transport.written
    assert client.transport.closed


def test_an_answer_to_a_client_that_is_gone_is_no_error():
    client = Client()
    client.connection.data_received(HEAD + b"body")
    client.connection.connection_lost(None)
    client.exchanges[0].reply(200, Reply(b"{}"))
    assert client.transport.written == b""
    assert client.listener.connections == set()
