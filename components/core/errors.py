"""The errors that Esteira raises, and the exit code that each becomes at the command line.

EsteiraError            1
├── CaseError           2   the case, a parameter or a file of the user's is not as it must be
│   └── FeatureError    2   features.py breaks a law of the transform
│       └── RowError    2   it refuses a row: without that, others of the batch may pass
├── DataError           3   the data does not fit the case, or too much of it is bad
│   └── SchemaError     3   rows have another type than their table
├── ArtifactError       4   an artifact, bundle or manifest is absent, altered or half-written
├── ModelError          5   training, conversion, or a model's files
│   └── ProofError      5   the exported model does not equal the trained one
├── ConflictError       6   somebody else changed it first, or it exists with other content
├── SetupError          7   an environment, server or credential is missing
└── RunError            8   a step of a run failed
"""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 120
_LONGEST = 400
"""Characters of a value, and of a name: a path may be long, and a client may call its keys as it likes."""


class EsteiraError(Exception):
    """One mistake, told so that the reader can mend it.

    Parameters
    ----------
    name
        The parameter, field, column or file at fault.
    rule
        What it must be, to follow the word "must".
    value
        What it was. Shown shortened; never pass a secret.
    remedy
        One sentence that says what to do.
    where
        The file, step or table in which it was found.
    """

    exit_code = 1

    def __init__(self, name: str, rule: str, value: object, remedy: str, *, where: str = "") -> None:
        self.name, self.rule, self.value, self.remedy, self.where = name, rule, value, remedy, where
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{shown(name, _LONGEST)} must {rule}. Got {shown(value)}. {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Beam and process pools pickle exceptions by their args, which here are not the constructor's.
        return _rebuild, (type(self), self.name, self.rule, shown(self.value), self.remedy, self.where)


def shown(value: object, most: int = _SHOWN) -> str:
    """The value as a message shows it: shortened, and never an error of its own."""
    try:
        text = repr(value)
    except RecursionError:  # JSON may nest a thousand levels deep
        text = f"a {type(value).__name__}, deeply nested"
    return text if len(text) <= most else text[: most - 1] + "…"


def _rebuild(kind: type[EsteiraError], name: str, rule: str, value: str, remedy: str, where: str) -> EsteiraError:
    return kind(name, rule, _Shown(value), remedy, where=where)


class _Shown(str):
    """A value that was already turned into its repr in another process."""

    def __repr__(self) -> str:
        return str(self)


def to_json(error: EsteiraError) -> dict[str, str]:
    """The error as texts, for a file between processes."""
    parts = {"name": error.name, "rule": error.rule, "value": shown(error.value), "remedy": error.remedy}
    return {"kind": type(error).__name__, **parts, "where": error.where}


def from_json(data: Mapping[str, str]) -> EsteiraError:
    """The inverse of `to_json`: of the same kind, with the same message."""
    kind = globals()[data["kind"]]
    return _rebuild(kind, data["name"], data["rule"], data["value"], data["remedy"], data["where"])


class CaseError(EsteiraError):
    exit_code = 2


class FeatureError(CaseError):
    pass


class RowError(FeatureError):
    pass


class DataError(EsteiraError):
    exit_code = 3


class SchemaError(DataError):
    pass


class ArtifactError(EsteiraError):
    exit_code = 4


class ModelError(EsteiraError):
    exit_code = 5


class ProofError(ModelError):
    pass


class ConflictError(EsteiraError):
    exit_code = 6


class SetupError(EsteiraError):
    exit_code = 7


class RunError(EsteiraError):
    exit_code = 8
