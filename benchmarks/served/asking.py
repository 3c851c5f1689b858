"""Connections that ask at a steady pace, and judge every answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from served.kinds import HANG_UP, Kind
from served.servers import Server

RENEWED = 500
"""Requests after which a connection is made anew."""


@dataclass
class Seen:
    """What came of the requests."""

    kinds: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    predicted: int = 0
    wrong: int = 0
    told: list[str] = field(default_factory=list)
    """The first of the wrong ones."""
    times: list[float] = field(default_factory=list)
    """Since the last sample, milliseconds."""
    changes: int = 0

    def fault(self, text: str) -> None:
        self.wrong += 1
        if len(self.told) < 20:
            self.told.append(text)


Answer = tuple[int, dict[str, str], bytes]
"""The status, headers by lower-case name, and body."""


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answer:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body


async def ask_on(server: Server, draw: Iterator[Kind], seen: Seen, pace: Iterator[float], end: float) -> None:
    """One connection's requests after each other until `end`; a connection that the server ends is made anew."""
    host, port = server.address.removeprefix("http://").split("/")[0].split(":")
    while time.monotonic() < end:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for _ in range(RENEWED):
                await asyncio.sleep(max(0.0, next(pace) - time.monotonic()))
                if time.monotonic() >= end or not await _one(reader, writer, next(draw), seen):
                    break
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind, seen: Seen) -> bool:
    """Whether the connection stands for another request."""
    seen.kinds[kind.name] += 1
    if kind.name == HANG_UP:
        writer.write(kind.request)
        return False
    started = time.perf_counter()
    try:
        status, headers, body = await asyncio.wait_for(exchange(reader, writer, kind.request), 30)
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        seen.fault(f"{kind.name}: {type(error).__name__} {error}")
        return False
    seen.times.append((time.perf_counter() - started) * 1e3)
    if status != kind.status:
        seen.fault(f"{kind.name}: {status} instead of {kind.status}: {body[:200].decode(errors='replace')}")
    if kind.status == 200 and kind.rows:
        seen.predicted += 1
        seen.versions[headers.get("x-model-version", "unnamed")] += 1
        if kind.answered(json.loads(body)) != kind.rows:
            seen.fault(f"{kind.name}: {body[:200].decode(errors='replace')}")
    return headers.get("connection") != "close"
