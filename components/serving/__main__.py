"""`python -m components.serving`: the server, told by its environment (`settings`), until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from functools import partial

import onnxruntime
import uvloop

from components.adapters.live import Live
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Models
from components.adapters.recorded_models import RecordedModels
from components.core.errors import EsteiraError
from components.core.scorer import Scorer
from components.serving import settings as configuration
from components.serving import stores
from components.serving.app import App
from components.serving.listener import Listener
from components.serving.listening import listen
from components.serving.log import SECONDS, InferenceLog, server_name
from components.serving.protocol import CONNECTIONS, Connection
from components.serving.say import say
from components.serving.settings import Fixed, Settings
from components.serving.standing import Standing
from components.serving.versions import Follower, State, Versions, opened

_SECONDS = {False: SECONDS, True: 5.0}
"""Between two segments of the log, by whether they go to Cloud Storage, where each write costs."""
GRACE = 30.0
"""Seconds that accepted requests have after the end of listening."""


async def serve(settings: Settings, versions: Versions, log: InferenceLog | None) -> None:
    """Listens until SIGTERM or SIGINT, and returns once what was accepted is answered."""
    loop = asyncio.get_running_loop()
    app = App(settings, versions, log)
    listener = Listener(app.handle, settings.limits.body, app.refused)
    app.connections = lambda: len(listener.connections)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    servers = await listen(partial(Connection, listener), settings.host, settings.port)
    beat = loop.create_task(_beat(listener))
    port = servers[0].sockets[0].getsockname()[1]
    say("INFO", "listening", host=settings.host, port=port, ready=app.ready)
    await stopping.wait()
    say("INFO", "stopping")
    app.draining = listener.draining = True
    await asyncio.sleep(settings.drain)
    for server in servers:
        server.close()
    await _until_answered(listener)
    beat.cancel()
    app.calls.close()


async def _beat(listener: Listener) -> None:
    while True:
        await asyncio.sleep(1)
        listener.beat()


async def _until_answered(listener: Listener) -> None:
    deadline = asyncio.get_running_loop().time() + GRACE
    while listener.connections and asyncio.get_running_loop().time() < deadline:
        listener.close_idle()
        await asyncio.sleep(0.02)
    if listener.connections:
        say("WARNING", "ended before every answer", connections=len(listener.connections))


def _fixed(fixed: Fixed, case: str) -> State:
    folder = stores.model(fixed.at)
    scorer = Scorer.open(folder, fixed.bundle)
    found = Live(fixed.version, folder, scorer)
    return State(opened(case or scorer.model.case, fixed.version, lambda: found))


def _log(settings: Settings, versions: Versions) -> InferenceLog:
    served = versions.state.champion
    case = served.case if served is not None else settings.case
    return InferenceLog(stores.blobs(settings.log), case, server_name(), _SECONDS[stores.cloud(settings.log)])


def _follower(settings: Settings, versions: Versions) -> Follower | Standing | None:
    """Who looks at the pointer, which stands beside the log."""
    served, fixed = versions.state.champion, settings.fixed
    if fixed is not None and served is not None and settings.log:
        return Standing(versions, served.case, fixed.version, PointerEndpoints(stores.blobs(settings.log)))
    if settings.root is not None:
        blobs = stores.blobs(str(settings.root / "blobs"))
        models: Models = RecordedModels(blobs) if settings.recorded else MlflowRegistry(settings.root / "registry")
        return Follower(versions, settings.case, models, PointerEndpoints(blobs))
    return None


def _more_files() -> None:
    """As many descriptors as connections need, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 256
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def main() -> None:
    settings = configuration.read(os.environ)
    onnxruntime.disable_telemetry_events()
    versions, log = Versions(), None
    follower: Follower | Standing | None = None
    if settings.fixed is not None:
        versions.replace(_fixed(settings.fixed, settings.case))
    if settings.log:
        log = _log(settings, versions)
        log.start()
    follower = _follower(settings, versions)
    if follower is not None:
        follower.start()
    _more_files()
    sys.setswitchinterval(0.0005)  # a large request's thread must not hold up the loop
    gc.collect()
    gc.freeze()  # what was imported is never garbage: later collections need not look at it
    try:
        uvloop.run(serve(settings, versions, log))
    finally:
        if follower is not None:
            follower.stop()
        if log is not None:
            log.close()
    say("INFO", "stopped")


if __name__ == "__main__":
    try:
        main()
    except EsteiraError as error:
        say("ERROR", str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        say("ERROR", f"the server does not start: {error}")
        os._exit(1)  # a version that is being loaded in its thread would abort the interpreter's own end
