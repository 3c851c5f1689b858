"""Calls in processes of their own: many at once, and one that dies in the middle.

The server that forks them has imported what is slow and opened nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

PRELOAD = (
    *("pytest", "hypothesis", "pyarrow.parquet", "onnxruntime", "components.step"),
    *("components.adapters.local.registry", "components.streaming.loop"),
)
_PATIENCE = 60.0
"""Seconds until all have begun; where one could not, none does."""
_SIDE_EFFECTS = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "fcntl.flock",
    "sqlite3.connect",
    "socket.connect",
}


def context(preload: Sequence[str] = PRELOAD) -> ForkServerContext:
    found = get_context("forkserver")
    found.set_forkserver_preload(list(preload))
    return found


def at_once(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """The results of the calls, begun together in a process each, in order; an error is a result too."""
    forks = context()
    barrier, results = forks.Barrier(len(calls), timeout=_PATIENCE), forks.SimpleQueue()
    running = [forks.Process(target=_call, args=(barrier, results, i, f, a)) for i, (f, a) in enumerate(calls)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    found = {}
    while not results.empty():
        place, result = results.get()
        found[place] = result
    return [found[i] for i in range(len(calls))]


def _call(barrier: Any, results: Any, place: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    try:
        results.put((place, call(*arguments)))
    except Exception as error:
        results.put((place, error))


def dies_at(n: int, call: Callable[..., Any], *arguments: Any) -> bool:
    """Calls in a process that SIGKILL ends at its n-th side effect (from 1) on the file system; whether it got there.

    A call that ends before, by itself and without an error, is no death.
    """
    process: ForkServerProcess = context().Process(target=_dying, args=(n, call, arguments))
    process.start()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"the call ended with {process.exitcode}")
    return process.exitcode == -signal.SIGKILL


def _dying(n: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    left = n

    def count(event: str, about: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _SIDE_EFFECTS or (event == "open" and _writes(about)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        call(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _writes(about: tuple[Any, ...]) -> bool:
    """Whether an `open` event (path, mode, flags) is for writing."""
    return bool(int(about[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
