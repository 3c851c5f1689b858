"""What a case says of cores and bytes: '0.5', '16G', '16Gi'."""

from __future__ import annotations

import re

_UNITS = {"M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": 2**30}
_SIZE = re.compile(r"([0-9]{1,9})(M|Mi|G|Gi)")


def bytes_of(text: str) -> int:
    """'2Gi' -> 2147483648. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2]]


def cores(text: str) -> str:
    """The text, if it is one. Raises ValueError, as the others here."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) <= 416:
        raise ValueError("be a number of cores above 0 and at most 416, such as 4 or 0.5")
    return text


def memory(text: str) -> str:
    return _between(text, "128M", "12000G")


def disk(text: str) -> str:
    return _between(text, "100G", "64000G")


def _between(text: str, least: str, most: str) -> str:
    if not _SIZE.fullmatch(text) or not bytes_of(least) <= bytes_of(text) <= bytes_of(most):
        raise ValueError(f"be a whole number and M, Mi, G or Gi, {least} to {most}")
    return text
