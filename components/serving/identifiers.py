"""Names for requests that bring none."""

from __future__ import annotations

import os


class Identifiers:
    """Random UUIDs (version 4), many from one reading of the system's randomness."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        try:
            return self._left.pop()  # asked rather than looked at first: the thread takes some too
        except IndexError:
            text = os.urandom(16 * 256).hex()
            self._left = [_uuid4(text[i : i + 32]) for i in range(32, len(text), 32)]
            return _uuid4(text[:32])


def _uuid4(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
