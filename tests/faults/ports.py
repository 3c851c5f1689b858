"""Faults at every port and at every stage of a write, for a process that lives for one schedule."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from components.adapters.connect import Connected
from components.adapters.local import log
from components.core import artifacts

Kind = Literal["before", "after", "inside", "lost", "refused", "full", "filled", "wire"]
DRAWN: tuple[Kind, ...] = ("before", "after", "inside", "lost", "refused", "full", "filled")
KILLS: tuple[Kind, ...] = ("before", "after", "inside")
UNITS = ("calls", "stages", "room")
PORTS = ("blobs", "sources", "tables", "events", "registry", "endpoints", "tracking", "alerts", "jobs")
_STAGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock", "http.client.send"}
_ROOM = {"write", "open", "os.mkdir"}
"""What a full disk refuses."""


class Fault:
    """What happens to this process once.

    before, after
        SIGKILL before the n-th call of a port, or after it is done.
    inside
        SIGKILL at the n-th stage of what changes something: a file under `root` is opened, half written, renamed or
        removed, or a request's head or body is sent.
    lost, refused
        The n-th call of a port ends in a time-out, after it was done or before.
    full, filled
        The disk is full at the n-th stage that needs room; `filled`: and stays so.
    wire
        Nothing here: a proxy before the servers fails as a test tells it.
    """

    def __init__(self, kind: Kind | None, n: int, root: Path) -> None:
        self.kind, self.n, self._root = kind, n, f"{root}/"
        self._counted = memoryview(mmap.mmap(-1, 8 * len(UNITS))).cast("q")  # shared with this process's own forks

    @property
    def counts(self) -> dict[str, int]:
        """Of everything so far."""
        return dict(zip(UNITS, self._counted, strict=True))

    def _count(self, unit: str) -> int:
        place = UNITS.index(unit)
        now = self._counted[place] + 1  # two threads may count the same one; none is left out
        self._counted[place] = now
        return now

    @staticmethod
    def unit(kind: Kind) -> str:
        """What its n counts."""
        return {"inside": "stages", "full": "room", "filled": "room"}.get(kind, "calls")

    def install(self) -> None:
        """For the rest of this process's life."""
        for name in PORTS:
            self._wrap(name)
        sys.addaudithook(self._heard)
        for module in (artifacts, log):
            vars(module)["open"] = self._open
        # What SIGKILL leaves is what was written, whether or not a disk has it.
        os.fsync = lambda _: None

    def off(self) -> None:
        """From now on nothing fails any more."""
        self.kind = None

    def _wrap(self, name: str) -> None:
        inner = vars(Connected)[name].func
        made = cached_property(lambda ports: _Counted(inner(ports), self))
        made.__set_name__(Connected, name)
        setattr(Connected, name, made)

    def call(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        now = self._count("calls") == self.n  # a port may call another one
        if now and self.kind == "before":
            kill()
        if now and self.kind == "refused":
            raise TimeoutError("no answer, and nothing done")
        answer = method(*given, **named)
        if now and self.kind == "after":
            kill()
        if now and self.kind == "lost":
            raise TimeoutError("the answer was lost")
        return answer

    def stage(self, name: str) -> None:
        if self._count("stages") == self.n and self.kind == "inside":
            kill()
        if name not in _ROOM:
            return
        room = self._count("room")
        if (self.kind == "full" and room == self.n) or (self.kind == "filled" and room >= self.n):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _heard(self, event: str, about: tuple[Any, ...]) -> None:
        if event in _STAGES:
            if event in ("fcntl.flock", "http.client.send") or self._ours(about[0]):
                self.stage(event)
        elif event == "open" and int(about[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self._ours(about[0]):
            self.stage(event)

    def _ours(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._root)

    def _open(self, path: Path, mode: str = "r", **how: Any) -> Any:
        opened = open(path, mode, **how)  # noqa: SIM115  # the caller closes it
        return opened if mode in ("r", "rb", "a+b") else _Halved(opened, self)


class _Counted:
    """A port, or what a port gives to go on with."""

    def __init__(self, port: Any, fault: Fault) -> None:
        self._port, self._fault = port, fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*given: Any, **named: Any) -> Any:
            answer = self._fault.call(method, *given, **named)
            return _Counted(answer, self._fault) if name == "subscribe" else answer

        return call


class _Halved:
    """A file that takes what it is given in two parts."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self._file, self._fault = file, fault

    def write(self, data: bytes | memoryview) -> int:
        middle = len(data) // 2
        self._file.write(data[:middle])
        self._file.flush()
        self._fault.stage("write")
        self._file.write(data[middle:])
        return len(data)

    def __enter__(self) -> _Halved:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
