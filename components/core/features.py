"""The user's `features(columns)`, held to its contract: the same function in batch, stream and server.

It gets the case's inputs as numpy columns of equal length (`core.columns`) and returns columns of that length: float32
with NaN for missing, or str without null. What it must not do besides is checked by `core.laws`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from components.core import bundle
from components.core.columns import DTYPES, MISSING, Array, Columns, ColumnType
from components.core.errors import CaseError, FeatureError, RowError

_FLOAT32 = np.dtype(np.float32)
_OBJECT = np.dtype(object)


@dataclass(frozen=True)
class Sifted:
    """The rows that the transform took: their features (None where it took none), their positions, and the others'."""

    features: Columns | None
    taken: Array
    refused: list[tuple[int, str]]
    """(position, reason), by position."""


@dataclass(frozen=True)
class Transform:
    """A case's loaded features function.

    Parameters
    ----------
    function
        `features` of the case's features.py.
    types
        The model's inputs by name, in order.
    sources
        The text of the bundle's Python files by path, for the laws that are read rather than run.
    where
        What an error names as its place.
    """

    function: Callable[[Columns], Columns]
    types: Mapping[str, ColumnType]
    sources: Mapping[str, bytes] = field(default_factory=dict)
    where: str = "features.py"

    @classmethod
    def load(cls, folder: Path, digest: str, types: Mapping[str, ColumnType]) -> Transform:
        """The transform of the bundle in `folder`, which must have this digest, over inputs of these types.

        Raises
        ------
        ArtifactError
            The bundle is not the one that the digest names.
        CaseError
            features.py does not import, or has no function `features`.
        """
        found = bundle.read(folder, digest)
        function = getattr(bundle.load(folder, digest), "features", None)
        if not callable(function):
            remedy = "Write def features(columns): and return the columns."
            raise CaseError("features", "be a function in features.py", function, remedy, where="features.py")
        sources = {name: data for name, data in found.files.items() if name.endswith(".py")}
        return cls(function, types, sources)

    def apply(self, columns: Columns) -> Columns:
        """The features of n rows: float32 (n,) and object-of-str (n,) columns, in the function's order.

        `columns` holds at least the inputs, each with the dtype of its type; others are not passed on.

        Raises
        ------
        FeatureError
            An input or a returned column is not as it must be; it is named.
        RowError
            The function raised, or a value is null or infinite: other rows of the batch may be good.
        """
        result = self.shaped(columns)
        check_finite(result, where=self.where)
        return result

    def shaped(self, columns: Columns) -> Columns:
        """`apply` without the look for infinities: for the scorer, which lays the numbers side by side anyway."""
        given, rows = self._inputs(columns)
        try:
            with np.errstate(all="ignore"):
                result = self.function(given)
        except Exception as error:  # the user's code may raise anything; told as theirs, with the cause kept
            rule = "give columns without an error"
            shown = f"{type(error).__name__}: {error}"
            raise RowError("features", rule, shown, "Mend it, or the row.", where=self.where) from error
        self._check(result, rows)
        return result

    def outputs(self) -> dict[str, ColumnType]:
        """The features by name, in order, as "number" (float32) or "string"; asked of one all-null row."""
        made = self.apply(null_columns(self.types, 1))
        return {name: "number" if values.dtype == _FLOAT32 else "string" for name, values in made.items()}

    def sift(self, columns: Columns, *, most: int | None = None) -> Sifted:
        """`apply`, with the rows at fault found by halving and left out; stops after more than `most` of them.

        Raises
        ------
        FeatureError
            A returned column has a wrong name, dtype or length: no row is at fault.
        """
        pieces: list[tuple[Array, Columns]] = []
        refused: list[tuple[int, str]] = []
        rows = len(next(iter(columns.values()))) if columns else 0
        stack = [np.arange(rows)] if rows else []
        while stack and (most is None or len(refused) <= most):
            at = stack.pop()
            try:
                part = columns if len(at) == rows else {name: values[at] for name, values in columns.items()}
                pieces.append((at, self.apply(part)))
            except RowError as error:
                if len(at) == 1:
                    refused.append((int(at[0]), str(error)))
                else:
                    stack += [at[len(at) // 2 :], at[: len(at) // 2]]
        if not pieces:
            return Sifted(None, np.arange(0), refused)
        taken = np.concatenate([at for at, _ in pieces])
        names = list(pieces[0][1])
        for _, part in pieces:
            if list(part) != names:
                raise self._error(
                    "features", "return the same columns for every batch", list(part), f"Not only {names}."
                )
        return Sifted({n: np.concatenate([part[n] for _, part in pieces]) for n in names}, taken, refused)

    def _inputs(self, columns: Columns) -> tuple[Columns, int]:
        given: Columns = {}
        rows = -1
        for name, kind in self.types.items():
            values = columns.get(name)
            if values is None or values.dtype != DTYPES[kind] or len(values) != rows:
                if values is None or values.dtype != DTYPES[kind] or rows >= 0:
                    shown = "absent" if values is None else f"{values.dtype} of {values.shape}"
                    rule = f"be an input column of dtype {DTYPES[kind]}, as long as the others"
                    raise self._error(name, rule, shown, "Give every input by its declared type.")
                rows = len(values)
            given[name] = values
        return given, rows

    def _check(self, result: object, rows: int) -> None:
        if not isinstance(result, dict) or not result:
            raise self._error("features", "return a dict of columns", result, "Return {name: array, ...}.")
        texts: Columns = {}
        shape = (rows,)
        for name, values in result.items():
            if not _is_name(name):
                rule = "be named by an identifier that does not start with _"
                raise self._error(str(name), rule, name, "Rename the feature.")
            kind = values.dtype if type(values) is np.ndarray and values.shape == shape else None
            if kind is _FLOAT32:  # as a rule: comparing types costs more than all else here
                continue
            if kind == _OBJECT:
                texts[name] = values
            elif kind != _FLOAT32:
                raise self._misshapen(name, values, rows)
        self._check_texts(texts)

    def _misshapen(self, name: str, values: object, rows: int) -> FeatureError:
        if not isinstance(values, np.ndarray):
            return self._error(name, "be a numpy array", type(values).__name__, "Return arrays only.")
        if values.dtype not in (_FLOAT32, _OBJECT):
            remedy = "Use .astype(np.float32) for numbers, .astype(object) for texts."
            return self._error(name, "be float32, or object of str", str(values.dtype), remedy)
        return self._error(name, f"have one value per row: {rows}", values.shape, "Work row by row.")

    def _check_texts(self, made: Columns) -> None:
        for name, values in made.items():
            try:
                "".join(values.tolist()).encode()  # one pass finds a value that is no str, or no Unicode text
            except (TypeError, UnicodeEncodeError) as error:
                rule = "hold only texts, with '' for missing"
                raise RowError(name, rule, str(error), "Map null to ''.", where=self.where) from error

    def _error(self, name: str, rule: str, value: object, remedy: str) -> FeatureError:
        return FeatureError(name, rule, value, remedy, where=self.where)


def check_finite(made: Mapping[str, Array], *, where: str = "features.py") -> None:
    """Raises RowError, naming the feature, where a number of features that are otherwise right is infinite."""
    numbers = {name: values for name, values in made.items() if values.dtype == _FLOAT32}
    # One call over all columns: for a single row thirty calls would cost more than the features.
    if numbers and np.isinf(np.concatenate(list(numbers.values()))).any():
        name = next(n for n, values in numbers.items() if np.isinf(values).any())
        raise RowError(name, "be finite or NaN", "infinity", "Bound it, or make it missing (NaN).", where=where)


@lru_cache(maxsize=4096)
def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and name[0] != "_"


def null_columns(types: Mapping[str, ColumnType], rows: int) -> Columns:
    """Input columns in which every value is missing."""
    return {name: np.full(rows, MISSING[kind], dtype=DTYPES[kind]) for name, kind in types.items()}
