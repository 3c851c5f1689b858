"""The page of the statistics: pure, over the summaries in the golden file and over made-up ones."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import report
from components.core.blocks import Block
from components.validate import page
from components.validate.anomalies import Anomaly, Distance
from components.validate.page import Findings
from components.validate.summary import Bucket, Summary

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "validate"


def buckets(values: Any, count: int = 50) -> tuple[Bucket, ...]:
    edges = np.quantile(np.asarray(values, float), np.linspace(0, 1, count + 1), method="lower")
    return tuple(
        Bucket(a, b, len(values) / count) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    )


@pytest.fixture
def flights() -> list[Summary]:
    """The sample's columns: what the golden file says, with quantiles made up from it."""
    found = json.loads((GOLDEN / "columns.json").read_text())
    made = []
    for column in found:
        column["top"] = tuple((value, count) for value, count in column["top"])
        numeric = column["mean"] is not None
        made.append(
            Summary(**column, buckets=buckets([column["least"], column["median"], column["most"]]) if numeric else ())
        )
    return made


def titles(blocks: list[Block]) -> list[str]:
    return [str(b["title"]) for b in blocks]


def titled(blocks: list[Block], title: str) -> Block:
    return next(b for b in blocks if b["title"] == title)


def test_the_flights_page_has_a_table_per_kind_and_a_picture_per_column(flights: list[Summary]) -> None:
    made = page.report(Findings(flights, periods=[("2013-01", 439)]), page.drawn(flights))
    assert titles(made)[:5] == ["Anomalies", "Rows by period", "Numbers", "Times", "Texts"]
    assert set(titles(made)[5:]) == {c.name for c in flights} - {"flight"}
    html = report.page("Statistics of flights", made)
    assert "Not shown" not in html
    assert html == report.page("Statistics of flights", made)


def test_a_report_stays_small(flights: list[Summary]) -> None:
    made = page.report(Findings(flights), page.drawn(flights, most=12))
    assert len(json.dumps(made)) < 30_000
    assert len(titles(made)) <= 16


def test_what_is_named_first_is_drawn_when_not_all_can_be(flights: list[Summary]) -> None:
    assert page.drawn(flights, ["time_hour", "dest"], 3) == ["time_hour", "dest", "minute"]


def test_identifiers_and_columns_without_values_are_not_drawn() -> None:
    columns = [
        Summary("key", "id", 3, 0, unique=3, top=(("a", 1),)),
        Summary("none", "number", 0, 3),
        Summary("city", "string", 3, 0, unique=1, top=(("Porto", 3),)),
    ]
    assert page.drawn(columns) == ["city"]


def test_what_blocks_stands_above_what_warns() -> None:
    found = [Anomaly("a", "ALL_ZERO", "zero"), Anomaly("b", "UNEXPECTED_DATA_TYPE", "text")]
    assert titled(page.report(Findings(anomalies=found), []), "Anomalies")["rows"] == [
        ["blocks", "b", "text"],
        ["warning", "a", "zero"],
    ]


def test_that_nothing_is_wrong_is_said() -> None:
    assert titled(page.report(Findings(), []), "Anomalies")["text"] == "none found"


def test_distances_stand_with_their_thresholds() -> None:
    made = page.report(Findings(distances=[Distance("city", "drift", "l infty", 0.25, 0.1)]), [])
    assert titled(made, "Distance from the reference")["rows"] == [["city", "drift", "l infty", 0.25, 0.1]]


def test_of_many_periods_the_newest_are_shown() -> None:
    made = page.report(Findings(periods=[(f"{i:04d}", i) for i in range(100)]), [])
    bars = titled(made, "Rows by period, the newest 60 of 100")
    assert (bars["names"][0], bars["names"][-1], bars["values"][-1]) == ("0040", "0099", 99.0)


def test_a_time_reads_as_a_date() -> None:
    column = Summary("at", "timestamp", 2, 0, 0.0, 86_400e6, -1.0, 0.0, 1.4e15)
    rows = titled(page.report(Findings([column]), []), "Times")["rows"]
    assert rows == [
        ["at", 0.0, "1970-01-01 00:00", "1 days", "1969-12-31 23:59", "1970-01-01 00:00", "2014-05-13 16:53"]
    ]


def test_a_time_beyond_the_calendar_is_still_shown() -> None:
    assert page.moment(1e20) == "1e+20 us"


def test_what_is_not_finite_is_left_blank() -> None:
    column = Summary(
        "x", "number", 2, 0, math.nan, math.nan, -math.inf, 0.0, math.inf, buckets=(Bucket(-math.inf, math.inf, 2),)
    )
    made = page.report(Findings([column]), ["x"])
    assert titled(made, "Numbers")["rows"] == [["x", 0.0, 0.0, None, None, None, 0.0, None]]
    assert titled(made, "x")["counts"] == {"rows": [0.0]}


def test_a_long_text_is_cut() -> None:
    column = Summary("x", "string", 1, 0, unique=1, top=(("v" * 500, 1),))
    assert titled(page.report(Findings([column]), ["x"]), "x")["names"] == ["v" * 39 + "…"]


def test_small_whole_numbers_have_a_bin_each() -> None:
    edges, counts, trimmed = page.bins(buckets([5] * 20 + [6] * 30 + [7] * 50))
    assert edges == [4.5, 5.5, 6.5, 7.5]
    assert counts == pytest.approx([20, 30, 50], abs=2)
    assert not trimmed


def test_a_long_tail_is_not_drawn() -> None:
    edges, counts, trimmed = page.bins(buckets([i / 7 for i in range(980)] + [1e6] * 5))
    assert trimmed
    assert edges[-1] < 200
    assert sum(counts) == pytest.approx(985 * 0.96, rel=0.02)


@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-50, 50).map(float), min_size=1, max_size=200))
def test_bins_keep_every_row_that_is_drawn(values: list[float]) -> None:
    made = buckets(values)
    edges, counts, trimmed = page.bins(made)
    assert edges == sorted(set(edges))
    assert len(counts) == len(edges) - 1 <= page.BINS
    outermost = made[0].rows + made[-1].rows if trimmed else 0.0
    assert len(values) - outermost - 1e-6 <= sum(counts) <= len(values) + 1e-6
