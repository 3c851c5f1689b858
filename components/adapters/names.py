"""The names that every implementation of a port takes, and no other: none can leave its store."""

from __future__ import annotations

import re

from components.core.errors import ArtifactError, CaseError

_TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WINDOW = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,99}")


def checked_blob(name: str) -> str:
    """The name of a blob. Raises ArtifactError."""
    if not name or any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in name.split("/")):
        raise ArtifactError("blob", "be a relative name without '..'", name, "Use names such as runs/JOB/run.json.")
    return name


def is_table(name: str) -> bool:
    return _TABLE.fullmatch(name) is not None


def checked_table(table: str) -> str:
    """The name of a table. Raises CaseError."""
    if not is_table(table):
        rule = "be lower-case letters, digits and _, at most 63, starting with a letter"
        raise CaseError("table", rule, table, "Use a name such as predictions_flights.")
    return table


def checked_window(window: str, table: str) -> str:
    """The name of a table's window. Raises CaseError."""
    if not _WINDOW.fullmatch(window):
        rule = "be letters, digits and _.:+-, at most 100"
        raise CaseError("window", rule, window, "Use a period's key, or its start.", where=table)
    return window
