import re
from pathlib import Path

from components.validate import anomalies
from components.validate.anomalies import Anomaly, plain
from components.validate.summary import Summary

README = Path(anomalies.__file__).with_name("README.md")


def types(*columns: Summary, reviewed: bool = True, ignored: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(a.column, a.type) for a in plain(columns, reviewed, ignored)]


def test_the_readme_lists_every_warning() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert dict(listed) == dict(anomalies.WARNINGS)


def test_a_type_that_nobody_listed_blocks() -> None:
    assert Anomaly("x", "A_TYPE_OF_A_LATER_RELEASE", "").blocking


def test_an_anomaly_reads_as_column_and_reason() -> None:
    assert str(Anomaly("city", "SCHEMA_NEW_COLUMN", "new")) == "city: new"
    assert str(Anomaly("", "DATASET_LOW_NUM_EXAMPLES", "few rows")) == "few rows"


def test_columns_with_values_have_no_anomaly() -> None:
    assert types(Summary("x", "number", 3, 1, zeros=2), Summary("t", "string", 3, 0, top=(("", 3),))) == []


def test_a_column_of_zeros_is_one() -> None:
    assert types(Summary("x", "number", 3, 1, zeros=3), Summary("b", "bool", 1, 0, zeros=1)) == [
        ("x", "ALL_ZERO"),
        ("b", "ALL_ZERO"),
    ]


def test_midnight_of_1970_is_no_zero() -> None:
    assert types(Summary("at", "timestamp", 3, 0, zeros=3)) == []


def test_a_column_without_a_value_is_one() -> None:
    assert types(Summary("x", "number", 0, 4), Summary("t", "string", 0, 4)) == [
        ("x", "ALL_MISSING"),
        ("t", "ALL_MISSING"),
    ]


def test_an_ignored_column_is_none() -> None:
    assert types(Summary("x", "number", 0, 4), ignored=("x",)) == []


def test_a_schema_that_nobody_reviewed_is_told_once() -> None:
    assert types(Summary("x", "number", 1, 0), reviewed=False) == [("", "NO_REVIEWED_SCHEMA")]
