"""Which process of this machine a run belongs to: its number alone may be another's by now."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def mark(pid: int | None = None) -> str:
    """HOST:PID:START of a living process, None for this one; empty where there is none or its start is not told."""
    number = os.getpid() if pid is None else pid
    try:
        start = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{socket.gethostname()}:{number}:{start}"


def alive(marked: str) -> int | None:
    """The number of the marked process, if it lives on this machine."""
    host, _, rest = marked.rpartition(":")[0].rpartition(":")
    number = int(rest) if rest.isdigit() and host else 0
    return number if marked and number and mark(number) == marked else None


def elsewhere(marked: str) -> bool:
    """Whether this machine cannot know: another's process, or none marked."""
    return not marked or marked.rsplit(":", 2)[0] != socket.gethostname()
