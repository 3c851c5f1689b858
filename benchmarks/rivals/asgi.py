"""Our server as an ASGI application: routes, validation, scoring and log are the same, HTTP is uvicorn's.

    python benchmarks/rivals/asgi.py    # told by the environment as `python -m components.serving` is

httptools and uvloop, without an access log and headers of its own: the fastest set-up that uvicorn has.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from components.serving import __main__ as server
from components.serving.app import App
from components.serving.asked import Reply
from components.serving.exchange import Exchange
from components.serving.log import InferenceLog
from components.serving.settings import Settings
from components.serving.versions import Versions

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """Hands each whole request to `app`, and its answer back."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        answered = asyncio.get_running_loop().create_future()

        def answer(_: Exchange, status: int, reply: Reply, headers: bytes) -> None:
            answered.set_result((status, reply, headers))

        method, headers = scope["method"].encode(), dict(scope["headers"])
        self._app.handle(Exchange(answer, method, scope["raw_path"], headers, body, keep=True))
        status, reply, lines = await answered
        own = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(reply.body))]
        more_own = [tuple(line.split(b": ", 1)) for line in (reply.headers + lines).split(b"\r\n") if line]
        await send({"type": "http.response.start", "status": status, "headers": own + more_own})
        await send({"type": "http.response.body", "body": reply.body})


class Uvicorn(uvicorn.Server):
    """uvicorn raises the signal that ended it once more, before the log is at its end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.handle_exit, signal.SIGTERM, None)
        yield


async def serve(settings: Settings, versions: Versions, log: InferenceLog | None) -> None:
    """In the place of our server's own `serve`."""
    app = App(settings, versions, log)
    config = uvicorn.Config(
        Application(app),
        settings.host,
        settings.port,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
    )
    await Uvicorn(config).serve()
    app.calls.close()


if __name__ == "__main__":
    server.serve = serve
    server.main()  # which runs it on uvloop, as ours
