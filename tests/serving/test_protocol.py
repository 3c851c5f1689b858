"""The limits of the protocol that are times, and its answers to hostile clients: with a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from components.serving import protocol
from components.serving.asked import Reply
from components.serving.exchange import Exchange
from components.serving.listener import Listener
from components.serving.protocol import Connection

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
        made = Connection(self.listener)
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


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Request-Id: mine\r\n\r\n"


def test_a_trailer_changes_no_header():
    client = Client()
    client.connection.data_received(CHUNKED + b"4\r\nbody\r\n0\r\nX-Request-Id: another\r\nAuthorization: a\r\n\r\n")
    assert client.exchanges[0].headers[b"x-request-id"] == b"mine"
    assert b"authorization" not in client.exchanges[0].headers


@pytest.mark.parametrize("piece", [b"x: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
def test_trailers_without_end_are_a_413(piece: bytes):
    client = Client()
    client.connection.data_received(CHUNKED + b"0\r\nname: ")
    sent = 0
    while not client.refused and sent < 10 * protocol.HEAD:
        client.connection.data_received(piece)
        sent += len(piece)
    assert client.refused == [413]
    assert sent <= protocol.HEAD + 2 * 1000 + len(piece)


def test_a_body_is_whole_however_many_pieces_it_comes_in():
    client = Client()
    client.connection.data_received(CHUNKED)
    for letter in b"four":
        client.connection.data_received(b"1\r\n%c\r\n" % letter)
    client.connection.data_received(b"0\r\n\r\n")
    assert client.exchanges[0].body == b"four"
    assert type(client.exchanges[0].body) is bytes


def test_what_came_before_in_one_piece_does_not_count_for_the_next_head():
    client = Client()
    client.listener.body = 2 * protocol.HEAD
    long = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % client.listener.body
    client.connection.data_received(long + b"x" * client.listener.body + b"GET / HT")
    assert client.refused == []


def test_a_head_that_comes_in_pieces_is_bounded():
    client = Client()
    client.connection.data_received(b"GET / HTTP/1.1\r\nx: ")
    for _ in range(17):
        client.connection.data_received(b"y" * 1000)
    assert client.refused == [431]


def test_a_broken_request_waits_for_the_answer_to_the_one_before_it():
    client = Client()
    client.connection.data_received(HEAD + b"body" + b"\x00 no HTTP \r\n\r\n")
    assert client.transport.written == b""
    client.exchanges[0].reply(200, Reply(b"{}"))
    answers = client.transport.written.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"400"]
    assert client.transport.ended


def test_what_follows_a_last_request_is_not_answered():
    client = Client()
    client.connection.data_received(HEAD.replace(b"Host: a", b"Connection: close") + b"body" + HEAD)
    client.exchanges[0].reply(200, Reply(b"{}"))
    assert client.transport.written.startswith(b"HTTP/1.1 200 ")
    assert client.transport.written.count(b"HTTP/1.1 ") == 1


def test_many_requests_at_once_have_a_turn_of_the_loop_each():
    async def turns() -> list[int]:
        client = Client()

        def handle(exchange: Exchange) -> None:
            client.exchanges.append(exchange)
            exchange.reply(200, Reply(b"{}"))

        client.listener.handle = handle
        client.connection.data_received(b"GET /docs HTTP/1.1\r\n\r\n" * 3)
        counts = []
        for _ in range(3):
            counts.append(len(client.exchanges))
            await asyncio.sleep(0)
        client.connection.pause_writing()
        client.connection.data_received(b"GET /docs HTTP/1.1\r\n\r\n" * 2)
        await asyncio.sleep(0)
        counts.append(len(client.exchanges))
        client.connection.resume_writing()
        for _ in range(2):
            await asyncio.sleep(0)
        return [*counts, len(client.exchanges)]

    assert asyncio.run(turns()) == [1, 2, 3, 4, 5]
