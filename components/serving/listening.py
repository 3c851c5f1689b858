"""Where clients come in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

BACKLOG = 2048
"""Clients that may wait to be accepted."""
DOORS = 16
"""libuv accepts one connection in a turn of the loop per descriptor. Under load a turn takes tens of milliseconds, and
with one descriptor the last of some hundred new clients waited seconds (seen); so the socket has several."""


async def listen(make: Callable[[], asyncio.Protocol], host: str, port: int) -> list[asyncio.Server]:
    """Servers of one listening socket; close them all. Port 0 takes a free one. Raises OSError."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(make, host, port, backlog=BACKLOG)]
    for one in servers[0].sockets:
        for _ in range(DOORS - 1):
            same = socket.socket(fileno=os.dup(one.fileno()))
            servers.append(await loop.create_server(make, sock=same, backlog=BACKLOG))
    return servers
