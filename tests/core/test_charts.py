"""Axes, charts, and the colours that they are drawn in."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import ROUTE
from components.core import blocks
from components.core.page import axes, drawn, plots, rows
from components.core.page.intervals import intervals
from components.core.page.route import route_file, route_svg
from components.core.page.theme import DARK, LIGHT, STATES
from tests.sample_runs import finished

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(10**6), 10**6))


@given(st.lists(NUMBERS, max_size=8), st.booleans())
def test_an_axis_rises_between_round_ends_that_hold_every_value(values: list[float | None], zero: bool) -> None:
    axis = axes.axis(values, zero=zero)
    marks = [mark for mark, _ in axis.ticks]
    assert axis.low < axis.high
    assert 2 <= len(marks) <= 9
    assert marks == sorted(set(marks))
    assert (marks[0], marks[-1]) == (axis.low, axis.high)
    known = [v for v in values if v is not None and math.isfinite(v)]
    held = [*known, 0.0] if zero else known
    room = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - room <= v <= axis.high + room for v in held if abs(v) < 1e300)
    assert all(0 <= axis.share(v) <= 100 for v in held)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.93], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([0.774, 0.9], ["0.75", "0.8", "0.85", "0.9"]),
        ([0, 40212], ["0", "10k", "20k", "30k", "40k", "50k"]),
        ([5.0, 5.0], ["4.5", "5", "5.5"]),
        ([], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_ticks_are_round(values: list[float], texts: list[str]) -> None:
    assert [text for _, text in axes.axis(values).ticks] == texts


@pytest.mark.parametrize(
    ("length", "texts"),
    [
        (49.1, ["0", "15", "30", "45 s"]),
        (1.0, ["0", "0.5", "1 s"]),
        (400, ["0", "2 min", "4 min", "6 min"]),
        (300_000, ["0", "24 h", "48 h", "72 h"]),
    ],
)
def test_ticks_of_time_are_those_of_a_clock(length: float, texts: list[str]) -> None:
    assert [text for _, text in axes.seconds(length).ticks] == texts


@given(st.floats(1e-6, 1e9))
def test_an_axis_of_time_has_few_ticks_within_its_length(length: float) -> None:
    marks = [mark for mark, _ in axes.seconds(length).ticks]
    assert 1 <= len(marks) <= 7
    assert 0 <= marks[-1] <= length * 1.001


def test_a_curve_breaks_where_a_value_is_missing() -> None:
    made = plots.lines(blocks.lines("t", {"a": ([0, 1, 2, 3, 4], [0, 1, math.nan, 3, 4])}, x="x", y="y"))
    assert made.count("<polyline") == 2
    assert made.count("<circle") == 4


def test_curves_name_what_they_show_for_who_does_not_see_them() -> None:
    made = plots.lines(blocks.lines("ROC", {"model": ([0, 1], [0, 0.9])}, x="fpr", y="tpr"))
    assert "<title>ROC</title><desc>model: 2 points, tpr from 0 to 0.9</desc>" in made
    assert 'role="img"' in made


def test_a_plot_with_a_diagonal_has_one_range_on_both_axes() -> None:
    made = plots.lines(blocks.lines("t", {"a": ([-3, 2], [-2, 1.5])}, x="x", y="y", diagonal=True))
    assert 'x1="0%" y1="100%" x2="100%" y2="0%" class="diagonal"' in made


def test_bars_of_a_histogram_are_as_high_as_their_counts() -> None:
    made = plots.histogram(blocks.histogram("t", [0, 1, 2, 3, 4], {"a": [1, 2, 4, 0]}))
    assert re.findall(r'height="([\d.]+)%"><title>', made) == ["25", "50", "100", "0"]


def test_two_samples_are_compared_by_their_shares() -> None:
    heights, unit = plots.shares({"a": [1, 3], "b": [None, 50]})
    assert (heights, unit) == ({"a": [25.0, 75.0], "b": [0.0, 100.0]}, "%")


def test_more_than_two_samples_are_stacked_as_counts() -> None:
    counts = {"train": [3, 0], "holdout": [1, 0], "score": [0, 2]}
    made = rows.categories(blocks.categories("t", ["2013-01", "2013-02"], counts))
    drawn = re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', made)
    assert drawn == [("0", "75"), ("75", "25"), ("100", "0"), ("0", "0"), ("0", "0"), ("0", "50")]
    assert re.findall(r'class="value">(\d)', made) == ["4", "2"]
    assert "2 <span><bdi>score</bdi></span>" in made


def test_open_or_unequal_bins_are_drawn_equally_wide_and_a_note_says_so() -> None:
    made = plots.histogram(blocks.histogram("t", [-math.inf, 1, 2, 100, math.inf], {"a": [1, 1, 1, 1]}))
    assert re.findall(r' width="([\d.]+)%" y', made) == ["25"] * 4
    assert "The bins are drawn equally wide" in made
    assert "−∞ to 1: 1" in made


def test_bars_start_at_zero_on_both_sides() -> None:
    made = rows.bars(blocks.bars("t", ["up", "down"], [3, -1]))
    assert re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%"', made) == [("25", "75"), ("0", "25")]


def test_a_missing_bar_is_told_by_a_dash() -> None:
    assert '<td class="value">–</td>' in rows.bars(blocks.bars("t", ["a", "b"], [1, math.nan]))


def test_a_short_unit_stands_at_each_value_and_a_long_one_once() -> None:
    assert '<td class="value">2 s</td>' in rows.bars(blocks.bars("t", ["a"], [2], unit="s"))
    assert rows.bars(blocks.bars("t", ["a", "b"], [2, 3], unit="ROC AUC")).count("ROC AUC") == 1


def test_an_interval_shows_value_ends_and_bar() -> None:
    row = {"name": "roc_auc", "value": 0.931, "low": 0.9, "high": 1.0, "bar": 0.8, "rows": 72640, "group": "all"}
    made = intervals(blocks.intervals("t", [row]))
    assert re.search(r'x1="50%" x2="100%" y1="50%" y2="50%" class="whisker"', made)
    assert re.search(r'x1="0%" x2="0%" y1="0" y2="100%" class="floor"', made)
    assert "<b>0.931</b> <span>0.900 to 1.00</span> <span>· bar 0.800</span>" in made
    assert "<small>72,640 rows</small>" in made


def test_rows_without_a_group_measure_unlike_things_and_have_an_axis_each() -> None:
    rmse, r2 = (
        {"name": n, "value": v, "low": v - w, "high": v + w} for n, v, w in (("rmse", 40, 1), ("r2", 0.8, 0.01))
    )
    assert re.findall(r'cx="([\d.]+)%"', intervals(blocks.intervals("t", [rmse, r2]))) == ["50", "50"]
    grouped = [{**r, "group": "same"} for r in (rmse, r2)]
    assert re.findall(r'cx="([\d.]+)%"', intervals(blocks.intervals("t", grouped))) == ["80", "1.6"]


@pytest.mark.parametrize(("value", "zero"), [(0.35, True), (0.9, False)])
def test_an_axis_of_its_own_reaches_to_zero_where_that_is_near(value: float, zero: bool) -> None:
    made = intervals(blocks.intervals("t", [{"name": "r2", "value": value, "low": value - 0.05, "high": value + 0.05}]))
    assert ('class="base"' in made) is zero


def test_many_rows_collapse_to_the_first_of_them() -> None:
    made = drawn.draw([blocks.table("t", ["n"], [[i] for i in range(60)])])
    assert "<details><summary>All 60 rows</summary>" in made
    assert made.count("<bdi>59</bdi>") == 1
    assert made.count("<bdi>14</bdi>") == 2
    assert made.count("<bdi>15</bdi>") == 1


def test_more_rows_than_a_page_bears_are_cut_and_counted() -> None:
    made = drawn.draw([blocks.table("t", ["n"], [[i] for i in range(5000)])])
    assert "400 of 5,000 rows" in made
    assert len(made) < 100_000


def test_a_column_of_numbers_is_aligned_right_although_some_are_missing() -> None:
    made = drawn.draw([blocks.table("t", ["a", "b"], [["x", 1.5], ["y", None]])])
    assert made.count('class="number"') == 3


def test_a_column_of_whole_numbers_shows_no_decimals_and_another_all_of_them() -> None:
    made = drawn.draw([blocks.table("t", ["a", "b"], [[20.0, 0.14], [5.0, 2.0]])])
    assert re.findall(r"<bdi>([\d.]+)</bdi>", made) == ["20", "0.140", "5", "2.00"]


def test_the_shade_of_a_confusion_matrix_is_the_share_of_its_row() -> None:
    made = drawn.draw([blocks.matrix("t", ["a", "b"], [[3, 1], [0, 0]])])
    assert re.findall(r"--share:([\d.]+)", made) == ["0.750", "0.250", "0.000", "0.000"]


def test_the_route_names_every_step_in_order_and_each_is_a_link() -> None:
    made = route_svg(ROUTE, finished().steps)
    assert tuple(re.findall(r'class="name">(\w+)<', made)) == ROUTE
    assert re.findall(r'href="#step-(\w+)"', made) == list(ROUTE)


def test_the_route_alone_is_a_file_that_needs_nothing_else() -> None:
    made = route_file(ROUTE)
    assert tuple(re.findall(r'class="name">(\w+)<', made)) == ROUTE
    assert 'xmlns="http://www.w3.org/2000/svg"' in made
    assert "<a " not in made
    ElementTree.fromstring(made)
    assert set(re.findall(r"var\((--[\w-]+)\)", made)) <= set(re.findall(r"(--[\w-]+):", made))


@given(st.lists(st.text(), max_size=14), st.integers(1, 10))
def test_any_route_is_drawn(route: list[str], columns: int) -> None:
    assert route_svg(route, {}, columns=columns).count('class="box"') == len(route)


def _luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


schemes = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])


@schemes
def test_text_has_contrast_on_every_ground(scheme: dict[str, str]) -> None:
    pairs = list(itertools.product(("ink", "muted", "link"), ("ground", "surface")))
    pairs += [(state, f"on-{state}") for state in STATES] + [("ink", "on-failed"), ("ink", "on-killed")]
    assert [p for p in pairs if _contrast(scheme[p[0]], scheme[p[1]]) < 4.5] == []


@schemes
def test_marks_have_contrast_on_their_card(scheme: dict[str, str]) -> None:
    marks = [f"s{i}" for i in range(plots.SERIES)] + list(STATES)
    assert [m for m in marks if _contrast(scheme[m], scheme["surface"]) < 3] == []


@schemes
def test_text_has_contrast_on_the_darkest_shade_of_a_matrix(scheme: dict[str, str]) -> None:
    shade = [int(v) for v in scheme["heat"].split()]
    ground = [int(scheme["surface"][i : i + 2], 16) for i in (1, 3, 5)]
    mixed = "#" + "".join(f"{round(0.42 * s + 0.58 * g):02x}" for s, g in zip(shade, ground, strict=True))
    assert _contrast(scheme["ink"], mixed) >= 4.5
