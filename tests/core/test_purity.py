"""What the source of a transform must not name."""

from __future__ import annotations

import pytest

from components.core import purity
from components.core.errors import FeatureError


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import time", "import time"),
        ("from random import gauss", "import random"),
        ("import urllib.request", "import urllib.request"),
        ("X = np.random.default_rng", "random"),
        ("X = np.datetime64('now')", "datetime64('now')"),
        ("X = __import__('datetime').date.today()", "today()"),
        ("X = open('/dev/null')", "open()"),
        ("X = np.loadtxt(['1'])", "loadtxt()"),
    ],
)
def test_a_clock_chance_or_a_file_is_refused_with_its_line(line: str, found: str) -> None:
    source = f"import numpy as np\n{line}\n".encode()
    with pytest.raises(FeatureError) as caught:
        purity.check({"helper.py": source})
    expected = (
        f"helper.py: 'helper.py' must use no clock, no random numbers and no files. Got {f'{found} in line 2'!r}. "
    )
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("X = np.stack([a, b]).sum(axis=0)", "sum()"),
        ("X = np.nanmean(a)", "nanmean()"),
        ("X = a @ b", "@"),
        ("a @= b", "@"),
        ("X = np.add.reduce(a)", "add.reduce()"),
    ],
)
def test_a_sum_over_an_axis_is_refused_with_its_line(line: str, found: str) -> None:
    with pytest.raises(FeatureError) as caught:
        purity.check({"features.py": f"import numpy as np\n{line}\n".encode()})
    shown = repr(f"{found} in line 2")
    expected = (
        f"features.py: 'features.py' must add columns in written order. Got {shown}. A sum over an axis differs between"
    )
    assert str(caught.value).startswith(expected)


def test_what_is_of_one_rows_values_passes() -> None:
    lines = [
        "import datetime, functools, math, statistics",
        "from . import helper",
        "X = sum([a, b, c])",
        "X = functools.reduce(add, [a, b])",
        "X = statistics.mean([1, 2])",
        "X = np.datetime64('2000-01-01')",
        "X = a.max()",
    ]
    purity.check({"features.py": "\n".join(lines).encode()})
