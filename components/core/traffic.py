"""Which version a request goes to: a stable hash of its id, so that a retry meets the same model."""

from __future__ import annotations

from hashlib import blake2b

_STEPS = 10_000


def challenged(identifier: str, challenger: int, percent: int) -> bool:
    """Whether the request called `identifier` goes to version `challenger`, which gets `percent` of the traffic.

    The version is part of the hash: another challenger meets other requests first.
    """
    if percent <= 0:
        return False
    digest = blake2b(f"{challenger}/{identifier}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _STEPS < percent * (_STEPS // 100)
