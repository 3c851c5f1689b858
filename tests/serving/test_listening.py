from __future__ import annotations

import asyncio
import socket

import uvloop

from components.serving import listening

CLIENTS = 64


async def accepted_in(turns: int) -> int:
    """Of so many clients at once, how many the loop has accepted after these turns."""
    made: list[asyncio.Protocol] = []

    def make() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    servers = await listening.listen(make, "127.0.0.1", 0)
    address = servers[0].sockets[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(CLIENTS)]
    for _ in range(turns):
        await asyncio.sleep(0)
    found = len(made)
    for server in servers:
        server.close()
    for client in clients:
        client.close()
    await asyncio.sleep(0.05)
    return found


def test_a_busy_loop_accepts_many_clients_in_each_of_its_turns():
    assert uvloop.run(accepted_in(turns=8)) == CLIENTS


def test_what_listens_ends_with_the_last_of_its_servers():
    async def ended() -> None:
        servers = await listening.listen(asyncio.Protocol, "127.0.0.1", 0)
        address = servers[0].sockets[0].getsockname()
        for server in servers:
            server.close()
        await asyncio.sleep(0.05)
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return
        raise AssertionError("a client was let in")

    uvloop.run(ended())
