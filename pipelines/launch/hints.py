"""The next command, as a person can give it."""

from __future__ import annotations

import shlex


def esteira(words: str, profile: str) -> str:
    """`esteira WORDS`, over the profile that the command before it was given; the built-in one needs no name."""
    return f"esteira {words}" + ("" if profile == "local" else f" --profile {shlex.quote(profile)}")
