"""Each law of the transform, proven by a features.py that breaks it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

from components.core import bundle, case_file, laws
from components.core.columns import Columns, ColumnType
from components.core.errors import FeatureError
from components.core.features import Transform

FLIGHTS = Path(__file__).parents[2] / "pipelines" / "cases" / "flights"
TYPES: dict[str, ColumnType] = {"a": "number", "b": "number", "s": "string", "t": "timestamp", "f": "bool"}


def sample(rows: int = 300, seed: int = 0) -> Columns:
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=rows) * 100,
        "b": np.sort(random.normal(size=rows)),
        "s": np.array(["ß", "JFK", "LGA", ""], dtype=object)[random.integers(0, 4, rows)],
        "t": np.datetime64("2013-01-01", "us") + random.integers(0, 10**12, rows),
        "f": random.integers(0, 2, rows).astype(np.float64),
    }


def transform(body: str, tmp_path: Path) -> Transform:
    """The transform of a features.py with this text, as a bundle would give it."""
    text = "import numpy as np\n" + textwrap.dedent(body)
    files = {"features.py": text.encode()}
    built = bundle.Bundle(files, bundle.digest_of(files))
    bundle.write(built, tmp_path / "bundle")
    function = bundle.load(tmp_path / "bundle", built.digest).features
    return Transform(function, TYPES, files)


KEEPS = """
    EARLIEST = np.datetime64("2000-01-01", "us")
    CODES = {"JFK": 1.0, "LGA": 2.0}
    def features(columns):
        days = (columns["t"] - EARLIEST) / np.timedelta64(1, "D")
        ratio = columns["a"] / columns["b"]
        number = np.clip(columns["a"] + columns["b"], -1e6, 1e6)
        code = np.array([CODES.get(value, np.nan) for value in columns["s"]], dtype=np.float32)
        upper = np.array([value.upper() for value in columns["s"]], dtype=object)
        return {
            "days": days.astype(np.float32),
            "ratio": np.clip(ratio, -1e6, 1e6).astype(np.float32),
            "number": np.sqrt(np.abs(number)).astype(np.float32),
            "code": code,
            "upper": upper,
            "f": columns["f"].astype(np.float32),
        }
"""


def test_a_transform_that_keeps_the_laws_is_told_which(tmp_path: Path) -> None:
    kept = laws.check(transform(KEEPS, tmp_path), sample())
    assert kept == list(laws.LAWS)


def test_the_flights_keep_the_laws(tmp_path: Path) -> None:
    built = bundle.build(FLIGHTS)
    bundle.write(built, tmp_path)
    loaded = Transform.load(tmp_path, built.digest, case_file.load(FLIGHTS).case().input_types())
    random = np.random.default_rng(0)
    columns: Columns = {}
    for name, kind in loaded.types.items():
        if kind == "timestamp":
            columns[name] = np.datetime64("2013-01-01", "us") + random.integers(0, 10**13, 500)
        elif kind == "string":
            columns[name] = np.array(["EWR", "ß", ""], dtype=object)[random.integers(0, 3, 500)]
        else:
            columns[name] = np.where(random.random(500) < 0.1, np.nan, random.normal(size=500) * 1000)
    assert laws.check(loaded, columns) == list(laws.LAWS)


ALONE = "must give a row alone the bits that it has among others. Got "
NULLS = "must take a batch of missing values. Got "
WHOLE = "must hold no whole numbers beyond 2^24: float32 rounds them. Got "
RESULTS = {
    # name: (what features returns for 'x', the message about 'x')
    "median over rows": ("(a - np.median(a)).astype('f4')", ALONE),
    "neighbour": ("np.roll(a, 1).astype('f4')", ALONE),
    "largest so far": ("np.maximum.accumulate(np.nan_to_num(f)).astype('f4')", ALONE),
    "unique": ("np.unique(s, return_inverse=True)[1].astype('f4')", ALONE),
    "width of str": ("np.char.upper(s.astype(str)).astype(object)", ALONE),
    "dtype by content": (
        "f.astype('f4') if np.isnan(a).any() else s",
        ALONE + "'another column or dtype'. Return the same columns, with the same dtypes, whatever the rows.",
    ),
    "infinite among others": ("(b + (rows > 99) * np.inf).astype('f4')", ALONE + "'infinity'. Work row by row: "),
    "equal rows": (
        "np.full(rows, 1 < rows < 10 and len(set(s)) == 1 and s[0] != '').astype('f4')",
        "must give each row of equal rows the bits of one. Got ",
    ),
    "size of a chunk": (
        "np.full(rows, 10 < rows < 300).astype('f4')",
        "must give rows in chunks the bits of the whole. Got 'np.float32(0.0) and np.float32(1.0) for one row'. ",
    ),
    "order": (
        "np.full(rows, rows > 300 and b[0] > b[1]).astype('f4')",
        "must give rows in another order the same bits. ",
    ),
    "rank": (
        "a.argsort().argsort().astype('f4')",
        NULLS + "'np.float32(0.0) and np.float32(1.0) for one row'. Work row",
    ),
    "count of rows": (
        "np.full(rows, rows, 'f4')",
        NULLS + "'np.float32(1.0) and np.float32(5.0) for one row'. Work row",
    ),
    "null in str": (
        "np.array([v or None for v in s], dtype=object)",
        NULLS + "'sequence item 0: expected str instance, NoneType found'. NaN, NaT and '' stand for missing: let them",
    ),
    "ids as numbers": (
        "np.where(np.isnan(f), np.nan, 2**24 + 2 + 0 * f).astype('f4')",
        WHOLE + "16777218.0. Make it a text (a category), or a difference or ratio that is small.",
    ),
    "epoch seconds": ("(columns['t'].astype(np.int64) // 10**6).astype('f4')", WHOLE),
    "float64": ("a", "must be float32, or object of str. Got 'float64'. "),
    "<U": ("s.astype('U9')", "must be float32, or object of str. Got '<U9'. "),
    "length": ("a[:1].repeat(3).astype('f4')", "must have one value per row: 1. Got (3,). Work row by row."),
}
BODIES = {
    # name: (the whole of features.py, the message)
    "nulls raise": (
        """
        def features(columns):
            assert not np.isnan(columns["a"]).all()
            return {"x": columns["f"].astype("f4")}
        """,
        f"'features' {NULLS}'AssertionError: '. NaN, NaT and '' stand for missing: let them pass.",
    ),
    "other columns": (
        """
        def features(columns):
            return {f"x{min(len(columns['f']), 6)}": columns["f"].astype("f4")}
        """,
        f"'x1' {NULLS}'another column or dtype'. Return the same columns, with the same dtypes, whatever the rows.",
    ),
    "writes into its inputs": (
        """
        def features(columns):
            columns["a"] *= 0.5
            return {"x": columns["f"].astype("f4")}
        """,
        "'a' must stay as it was: features must not write into its inputs. Got 'changed values'. Copy the column first.",
    ),
    "counter": (
        """
        calls = []
        def features(columns):
            if len(columns["a"]) > 99:
                calls.append(1)
            return {"x": np.full(len(columns["a"]), max(1, len(calls) - 1), "f4")}
        """,
        "'x' must give a batch the same bits again. Got 'np.float32(1.0) and np.float32(2.0) for one row'. Keep nothing",
    ),
    "state of the first batch": (
        """
        seen = {}
        def features(columns):
            if not np.isnan(columns["b"]).all():
                seen.setdefault("most", np.nanmax(columns["b"]))
            return {"x": (columns["f"] + seen.get("most", np.nan)).astype("f4")}
        """,
        "'x' must not depend on what was computed before. Got ",
    ),
    "clock": (
        "import time\ndef features(columns): ...",
        "'features.py' must use no clock, no random numbers and no files. ",
    ),
    "sum over an axis": (
        "def features(columns): np.stack(list(columns.values())).sum(axis=0)",
        "'features.py' must add columns in written order. Got ",
    ),
}


def returning(expression: str) -> str:
    return f"""
        def features(columns):
            a, b, f, s = (columns[name] for name in "abfs")
            rows = len(a)
            return {{"x": {expression}}}
        """


BROKEN = BODIES | {name: (returning(result), f"'x' {message}") for name, (result, message) in RESULTS.items()}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_law_is_refused_with_its_name_and_the_column(broken: str, tmp_path: Path) -> None:
    body, message = BROKEN[broken]
    with pytest.raises(FeatureError) as caught:
        laws.check(transform(body, tmp_path), sample())
    assert str(caught.value).startswith(f"features.py: {message}")


def test_rows_that_the_transform_refuses_are_left_out(tmp_path: Path) -> None:
    body = "def features(columns):\n    return {'x': np.array([float(v or 'nan') for v in columns['s']], 'f4')}\n"
    columns = sample()
    columns["s"] = np.array([str(i / 8) if i % 7 else "odd" for i in range(300)], dtype=object)
    assert laws.check(transform(body, tmp_path), columns) == list(laws.LAWS)


def test_a_transform_that_refuses_every_row_is_refused(tmp_path: Path) -> None:
    body = "def features(columns):\n    return {'x': np.array([float(v or 'nan') for v in columns['s']], 'f4')}\n"
    columns = {**sample(), "s": np.full(300, "odd", dtype=object)}
    with pytest.raises(FeatureError, match="'features' must give columns without an error"):
        laws.check(transform(body, tmp_path), columns)


def test_a_sample_without_rows_is_checked_on_generated_ones(tmp_path: Path) -> None:
    assert laws.check(transform(KEEPS, tmp_path), sample(0)) == list(laws.LAWS)
    body, _ = BROKEN["neighbour"]
    with pytest.raises(FeatureError, match="must give a row alone the bits that it has among others"):
        laws.check(transform(body, tmp_path / "other"), sample(0))


def test_a_column_that_is_no_input_is_named_with_those_that_are(tmp_path: Path) -> None:
    body = "def features(columns):\n    return {'a': columns['typo'].astype(np.float32)}\n"
    with pytest.raises(FeatureError) as caught:
        laws.check(transform(body, tmp_path), sample())
    assert "must ask only for its inputs. Got 'typo'. The inputs are a, b, s, t, f." in str(caught.value)
