"""A task that is told to end is told once: what it then cleans up, such as a job in the cloud, no second signal ends.

A terminal's Ctrl-C reaches the task itself, and the launcher's SIGTERM follows it within milliseconds.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def once() -> Iterator[None]:
    """The first of SIGINT and SIGTERM raises KeyboardInterrupt; later ones do nothing until the block has ended.

    In the main thread only. Where SIGINT is ignored, as in a script's background, it stays so.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]

    def end(number: int, _: FrameType | None) -> None:
        for one in heard:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt(f"signal {number}")

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
