"""Values as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (336776, "336,776"),
        (-12, "−12"),
        (0.93112, "0.931"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (0.000123, "0.000123"),
        (1.3e-7, "1.3 × 10⁻⁷"),
        (-2.5e20, "−2.5 × 10²⁰"),
        (math.nan, "–"),
        (None, "–"),
        (True, "yes"),
        ("v7", "v7"),
    ],
)
def test_number(value: object, text: str) -> None:
    assert shown.number(value) == text


def test_padded_numbers_keep_their_zeros() -> None:
    assert [shown.number(v, padded=True) for v in (0.14, 12.0, 3, 0.0)] == ["0.140", "12.0", "3", "0"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.214, "0.21 s"),
        (1.2, "1.2 s"),
        (59.96, "1 min"),
        (73.4, "1 min 13 s"),
        (180, "3 min"),
        (3600, "1 h"),
        (7449, "2 h 4 min"),
        (3599.7, "1 h"),
        (None, "–"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert shown.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (312_000_000, "312 MB"), (999_700_000, "1 GB"), (1.42e9, "1.42 GB"), (None, "–")],
)
def test_size(count: float | None, text: str) -> None:
    assert shown.size(count) == text


def test_moment_is_told_in_utc() -> None:
    assert shown.moment(1_763_740_000) == "2025-11-21 15:46:40 UTC"
    assert shown.moment(1e300) == "–"


@pytest.mark.parametrize(
    ("values", "step", "texts"),
    [
        ([0, 2500, 5000, 7500, 10000], 2500, ["0", "2.5k", "5k", "7.5k", "10k"]),
        ([0, 500_000, 1_000_000], 500_000, ["0", "0.5M", "1M"]),
        ([-0.5, 0.0, 0.5], 0.5, ["−0.5", "0", "0.5"]),
        ([1000, 2000], 1000, ["1,000", "2,000"]),
        ([0.0, 1e-9], 1e-9, ["0", "1 × 10⁻⁹"]),
    ],
)
def test_ticks_of_one_axis_share_their_unit(values: list[float], step: float, texts: list[str]) -> None:
    assert shown.ticks(values, step) == texts


@given(st.text(st.characters(exclude_categories=())))
def test_escaped_text_can_be_written_and_holds_no_markup(text: str) -> None:
    escaped = shown.escape(text)
    escaped.encode()
    assert not set(escaped) & set("<>\"'\x00\u202e")
