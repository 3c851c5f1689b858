"""The names that every implementation of a port takes, and no other: none can leave its store."""

from __future__ import annotations

import re
from collections.abc import Iterable

from components.core.errors import ArtifactError, CaseError

_TABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WINDOW = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,99}")
_MODEL = re.compile(r"[a-z][a-z0-9-]{0,39}")
_IDENTITY = re.compile(r"[0-9a-f]{64}")
ALIASES = ("champion", "challenger", "previous")
"""Of a model's versions: the pointer's projection."""


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


def checked_model(name: str) -> str:
    """The name of a registered model. Raises CaseError."""
    if not _MODEL.fullmatch(name):
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        raise CaseError("model", rule, name, "Use the case's name.", where="registry")
    return name


def checked_identity(identity: str) -> str:
    """A model's identity. Raises ArtifactError."""
    if not _IDENTITY.fullmatch(identity):
        raise ArtifactError("identity", "be 64 hexadecimal digits", identity, "Train the model again.")
    return identity


def checked_aliases(aliases: Iterable[str]) -> None:
    """Raises ArtifactError for one that a pointer does not have."""
    for alias in aliases:
        if alias not in ALIASES:
            raise ArtifactError("alias", f"be one of {', '.join(ALIASES)}", alias, "Use one of these.")


def unknown_version(name: str, version: int) -> ArtifactError:
    """The error for a version that a registry does not have."""
    return ArtifactError("version", f"be a registered version of {name!r}", version, "See `esteira models list`.")
