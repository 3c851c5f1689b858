"""The table behind a source's address, which lineage shows."""

import pytest

from components.core import addresses


@pytest.mark.parametrize(
    ("address", "table"),
    [
        ("bigquery://p-1.raw.flights", "p-1.raw.flights"),
        ("data/flights.csv", ""),
        ("gs://bucket/flights/*.parquet", ""),
        (addresses.of_query("SELECT 1", {}), ""),
    ],
)
def test_an_address_names_a_table_or_none(address: str, table: str) -> None:
    assert addresses.table_of(address) == table


@pytest.mark.parametrize(
    ("address", "relative"),
    [("data/a.csv", True), ("a::b", True), ("/data/a.csv", False), ("gs://b/a.csv", False), ("file:///a.csv", False)],
)
def test_what_is_neither_a_url_nor_absolute_stands_under_the_sources(address: str, relative: bool) -> None:
    assert addresses.is_relative(address) is relative
