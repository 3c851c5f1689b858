"""The laws of the transform: what makes `features(columns)` the same in batch, row by row, in the stream and over HTTP.

A row's features are a function of that row alone: not of its neighbours, their number or order, of what was computed
before, of the clock or of chance. Each law runs the function on the same rows put differently and requires the same
columns, dtypes and bits (any NaN equals any other). What a run rarely shows is sought in the source (`core.purity`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core import bundle, purity
from components.core.columns import Array, Columns, ColumnType
from components.core.errors import FeatureError, RowError
from components.core.features import Transform, null_columns

LAWS = (
    "no clock, no chance, no files",
    "sums in written order",
    "missing values",
    "inputs unchanged",
    "the same again",
    "a row alone",
    "equal rows",
    "chunks",
    "another order",
    "no state",
    "whole numbers",
)
MOST_ROWS = 2000
"""Rows of the sample that are looked at."""
ALONE = 64
"""Rows of it that are also run one by one."""
GENERATED = 64
_BATCHES = 8
_LARGEST = 2.0**24

_POOL: Mapping[ColumnType, Array] = {
    "number": np.array([np.nan, 0.0, -0.0, 1.0, -1.0, 0.1, 1e-310, -273.15, 65504.5, 1e300, -1e300]),
    "bool": np.array([np.nan, 0.0, 1.0]),
    "string": np.array(
        ["", "ß", "ﬁ", "İ", "ǆ", "é", "é", "👩‍🚀", "سلام", " ", "\x00", "null", "x" * 300], dtype=object
    ),
    "timestamp": np.array(
        ["NaT", "1969-12-31T23:59:59.999999", "1970-01-01", "2000-02-29T12:00", "2100-02-28T23:59:59.5", "1900-01-01"],
        dtype="datetime64[us]",
    ),
}

_ALONE = "give a row alone the bits that it has among others"
_ROW_BY_ROW = "Work row by row: no reduction over rows, sort, rank, unique, or matmul of stacked columns."
_NO_STATE = "Keep nothing between calls, and use no clock and no random numbers."


def check(transform: Transform, columns: Columns, seed: int = 0) -> list[str]:
    """Holds the transform to every law, on the sample `columns` and on rows made from it; the laws that it keeps.

    Rows of the sample that the transform refuses are left out, as preprocess leaves them out.

    Raises
    ------
    FeatureError
        A law is broken; it names the law and, where there is one, the column.
    """
    random = np.random.default_rng(seed)
    purity.check(transform.sources)
    _check_nulls(transform)
    rows, real = _rows(transform, columns, random)
    made = _check_unchanged(transform, rows)
    _same("give a batch the same bits again", made, transform.apply(rows), _NO_STATE)
    for law, order in _arrangements(len(next(iter(rows.values()))), random):
        _check_arranged(transform, rows, made, law, order)
    _check_anew(transform, rows, made)
    _check_whole_numbers({name: values[:real] for name, values in made.items()})
    return list(LAWS)


def _check_nulls(transform: Transform) -> None:
    law = "take a batch of missing values"
    try:
        alone, many = (transform.apply(null_columns(transform.types, rows)) for rows in (1, 5))
    except RowError as error:
        key = error.__cause__.args[0] if isinstance(error.__cause__, KeyError) and error.__cause__.args else ""
        if isinstance(key, str) and key and key not in transform.types:  # a missing text would have been ''
            rule, remedy = "ask only for its inputs", f"The inputs are {', '.join(transform.types)}."
            raise FeatureError("features", rule, key, remedy, where=transform.where) from error
        remedy = "NaN, NaT and '' stand for missing: let them pass."
        raise FeatureError(error.name, law, str(error.value), remedy, where=transform.where) from error
    _same(law, _taken(alone, np.zeros(5, np.int64)), many, _ROW_BY_ROW)


def _rows(transform: Transform, columns: Columns, random: np.random.Generator) -> tuple[Columns, int]:
    """The rows to look at, the sample's first, and how many of these there are; rows that it refuses left out."""
    given = {name: columns[name] for name in transform.types if name in columns}
    count = len(next(iter(given.values())))
    sample = _taken(given, np.sort(random.permutation(count)[:MOST_ROWS]))
    kept = transform.sift(sample)
    if kept.features is None and count:
        transform.apply(_taken(sample, np.zeros(1, np.int64)))
    sample = _taken(sample, kept.taken)
    odd = _generated(transform.types, sample, random)
    odd = _taken(odd, transform.sift(odd).taken)
    return {name: np.concatenate([values, odd[name]]) for name, values in sample.items()}, len(kept.taken)


def _generated(types: Mapping[str, ColumnType], sample: Columns, random: np.random.Generator) -> Columns:
    """Rows of the sample with some of their values missing, extreme or odd."""
    made = null_columns(types, GENERATED)
    for name, kind in types.items():
        if len(sample[name]):
            made[name] = sample[name][random.integers(0, len(sample[name]), GENERATED)].copy()
        at = np.flatnonzero(random.random(GENERATED) < 0.3)
        pool = _POOL["string" if kind == "id" else kind]
        made[name][at] = pool[random.integers(0, len(pool), len(at))]
    return made


def _check_unchanged(transform: Transform, rows: Columns) -> Columns:
    before = {name: values.copy() for name, values in rows.items()}
    try:
        made = transform.apply(rows)
    except RowError as error:  # the parts passed when the rows were sifted
        raise FeatureError(error.name, _ALONE, str(error.value), _ROW_BY_ROW, where=transform.where) from error
    for name, values in rows.items():
        if _differs(before[name], values).any():
            law = "stay as it was: features must not write into its inputs"
            raise FeatureError(name, law, "changed values", "Copy the column first.", where=transform.where)
    return _taken(made, np.arange(len(next(iter(made.values())))))


def _arrangements(rows: int, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """Batches of positions to run apart from the whole, with the law that each is to show."""
    odd = np.arange(max(0, rows - GENERATED), rows)
    for at in np.unique(np.concatenate([odd, random.integers(0, max(rows, 1), min(rows, ALONE))])):
        yield _ALONE, np.array([at])
    for at in random.integers(0, max(rows, 1), min(rows, _BATCHES)):
        yield "give each row of equal rows the bits of one", np.full(9, at)
    cuts = np.sort(random.integers(0, rows + 1, _BATCHES))
    for chunk in np.split(np.arange(rows), cuts):
        if len(chunk):
            yield "give rows in chunks the bits of the whole", chunk
    yield "give rows in another order the same bits", random.permutation(rows)


def _check_arranged(transform: Transform, rows: Columns, made: Columns, law: str, order: Array) -> None:
    try:
        other = transform.apply(_taken(rows, order))
    except RowError as error:
        raise FeatureError(error.name, law, str(error.value), _ROW_BY_ROW, where=transform.where) from error
    _same(law, _taken(made, order), other, _ROW_BY_ROW)


def _check_anew(transform: Transform, rows: Columns, made: Columns) -> None:
    """A second copy of the module, with another past, gives the same."""
    if not transform.sources:
        return
    files = {**transform.sources, "anew.py": b""}
    copy = bundle.Bundle(files, bundle.digest_of(files))
    with tempfile.TemporaryDirectory() as temporary:
        bundle.write(copy, Path(temporary))
        try:
            module = bundle.load(Path(temporary), copy.digest)
        finally:
            for name in [n for n in sys.modules if n.startswith(f"esteira_case_{copy.digest}")]:
                del sys.modules[name]
    other = Transform(module.features, transform.types)
    law = "not depend on what was computed before"
    last = np.arange(len(next(iter(rows.values()))))[-1:]
    for order in (last, np.arange(len(next(iter(rows.values()))))):
        _same(law, _taken(made, order), other.apply(_taken(rows, order)), _NO_STATE)


def _check_whole_numbers(made: Columns) -> None:
    for name, values in made.items():
        if values.dtype != np.float32:
            continue
        known = values[np.isfinite(values)]
        if len(known) and (np.abs(known) > _LARGEST).any() and (known == np.rint(known)).all():
            law = "hold no whole numbers beyond 2^24: float32 rounds them"
            remedy = "Make it a text (a category), or a difference or ratio that is small."
            raise FeatureError(name, law, float(known[np.abs(known) > _LARGEST][0]), remedy, where="features.py")


def _taken(columns: Columns, order: Array) -> Columns:
    return {name: values[order] for name, values in columns.items()}


def _same(law: str, expected: Columns, found: Columns, remedy: str) -> None:
    """Refuses unless both have the same columns in the same order, dtypes and bits."""
    kinds, others = ([(n, v.dtype.str) for n, v in columns.items()] for columns in (expected, found))
    if kinds != others:
        odd = next(((a or b) for a, b in zip([*kinds, None], [*others, None], strict=False) if a != b), ("features",))
        remedy = "Return the same columns, with the same dtypes, whatever the rows."
        raise FeatureError((odd or ("features",))[0], law, "another column or dtype", remedy, where="features.py")
    for name, values in expected.items():
        differ = np.flatnonzero(_differs(values, found[name]))
        if len(differ):
            at = int(differ[0])
            shown = f"{values[at]!r} and {found[name][at]!r} for one row"
            raise FeatureError(name, law, shown, remedy, where="features.py")


def _differs(left: Array, right: Array) -> npt.NDArray[np.bool_]:
    """Where two columns of equal dtype differ in their bits; NaN equals NaN, whatever its payload."""
    if left.dtype == object:
        return np.fromiter((a != b for a, b in zip(left, right, strict=True)), np.bool_, len(left))
    both_nan = (left != left) & (right != right)
    bits = f"u{left.dtype.itemsize}"
    unequal: npt.NDArray[np.bool_] = (left.view(bits) != right.view(bits)) & ~both_nan
    return unequal
