"""One cron notation: what it takes, what every target reads, and what it refuses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import cron, declared, operations
from components.core.errors import CaseError


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0 4 * * *", "0 4 * * *"),
        ("*/20 4 * * *", "0,20,40 4 * * *"),
        ("5 0-23 * * *", "5 * * * *"),
        ("0 4 * * MON-fri", "0 4 * * 1,2,3,4,5"),
        ("0 4 * * 7", "0 4 * * 0"),
        ("0 4 * * 5-7", "0 4 * * 0,5,6"),
        ("0 4 1,15 jan-mar *", "0 4 1,15 1,2,3 *"),
        ("0 4 29 2 *", "0 4 29 2 *"),
        ("  10-20/5   4 * *  * ", "10,15,20 4 * * *"),
    ],
)
def test_every_way_to_write_it_is_one(text: str, same: str) -> None:
    assert cron.canonical(text) == same


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0 4 * *", "have five fields"),
        ("0 0 4 * * *", "have five fields"),
        ("@daily", "have five fields"),
        ("60 4 * * *", "have its minute from 0 to 59: '60' is not"),
        ("0 24 * * *", "have its hour from 0 to 23: '24' is not"),
        ("0 4 0 * *", "have its day of month from 1 to 31: '0' is not"),
        ("0 4 * 13 *", "have its month from 1 to 12: '13' is not"),
        ("0 4 * * 8", "have its weekday from 0 to 7: '8' is not"),
        ("0 4 * * mo", "have its weekday from 0 to 7: 'mo' is not"),
        ("0 9-4 * * *", "have the hour's range in order: '9-4'"),
        ("*/0 4 * * *", "have steps of 1 or more, over * or a range, in the minute: '*/0'"),
        ("5/10 4 * * *", "have steps of 1 or more, over * or a range, in the minute: '5/10'"),
        ("0 4 L * *", "have its day of month from 1 to 31: 'l' is not"),
        ("0 4 ? * 1", "have its day of month of numbers, ranges, lists and steps: '?' is none"),
        ("0,, 4 * * *", "have its minute of numbers, ranges, lists and steps"),
        ("0 4 1 * 1", "name a day of month or a weekday, not both"),
        ("0 4 31 2,4 *", "name a day that its month has"),
    ],
)
def test_what_is_out_of_range_or_read_differently_somewhere_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        cron.canonical(text)


def test_the_case_names_the_key_the_rule_and_the_value() -> None:
    with pytest.raises(CaseError) as caught:
        declared.validate(operations.Schedule, {"cron": "61 4 * * *"}, where="case.yaml")
    assert str(caught.value) == (
        "case.yaml: 'cron' must have its minute from 0 to 59: '61' is not. Got '61 4 * * *'. Mend this key."
    )


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe/../Lisbon", "", "/etc/passwd"])
def test_a_time_zone_is_one_of_the_database(zone: str) -> None:
    with pytest.raises(CaseError, match="must be a time zone of the IANA database"):
        declared.validate(operations.Schedule, {"cron": "0 4 * * *", "time_zone": zone}, where="case.yaml")


def test_each_target_gets_its_own_notation() -> None:
    assert cron.six_fields("*/30 4 * * sun") == "0 0,30 4 * * 0"
    assert cron.with_zone("*/30 4 * * sun", "Europe/Lisbon") == "TZ=Europe/Lisbon 0,30 4 * * 0"


@given(
    st.lists(st.integers(0, 59), min_size=1, max_size=5),
    st.integers(0, 23),
    st.sampled_from(["*", "1-5", "0,6", "*/2"]),
)
def test_what_is_canonical_stays_so(minutes: list[int], hour: int, days: str) -> None:
    text = cron.canonical(f"{','.join(map(str, minutes))} {hour} * * {days}")
    assert cron.canonical(text) == text


@given(st.text(max_size=30))
def test_any_text_is_taken_or_refused_with_a_rule(text: str) -> None:
    try:
        told = cron.canonical(text)
    except ValueError as error:
        told = str(error)
    assert len(told.split()) == 5 or told.startswith(("have ", "name "))
