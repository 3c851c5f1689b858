import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.core import artifacts, shards
from components.core.case import Case
from components.core.errors import DataError
from components.validate import measure
from components.validate.summary import Summary
from validate_environment import expected
from validate_environment.sample import GOLDEN

Orders = Callable[..., pa.Table]


def summaries(case: Case, *tables: pa.Table) -> dict[str, Summary]:
    types = measure.types(case)
    return {s.name: s for s in measure.summaries(measure.statistics(tables, types), types)}


@pytest.fixture(scope="module")
def statistics() -> Any:
    return expected.statistics()


def test_the_flights_have_the_statistics_of_the_golden_file(statistics: Any) -> None:
    golden = json.loads((GOLDEN / "columns.json").read_text())
    found = json.loads(json.dumps(expected.columns(statistics)))
    for ours, theirs in zip(found, golden, strict=True):
        numbers = {k for k, v in theirs.items() if isinstance(v, float)}
        assert {k: v for k, v in ours.items() if k not in numbers} == {k: theirs[k] for k in theirs if k not in numbers}
        assert {k: ours[k] for k in numbers} == pytest.approx({k: theirs[k] for k in numbers}, rel=1e-12)


def test_counts_and_moments_are_those_of_the_rows(statistics: Any) -> None:
    rows = shards.read_all(expected.EVENTS, artifacts.read_manifest(expected.EVENTS, "events"))
    values = rows.column("arr_delay").drop_null().to_numpy()
    found = next(s for s in measure.summaries(statistics, {"arr_delay": "number"}))
    assert (found.present, found.missing, found.zeros) == (len(values), 5, int((values == 0).sum()))
    assert (found.least, found.most) == (values.min(), values.max())
    assert [found.mean, found.deviation] == pytest.approx([values.mean(), values.std()])


def test_the_quantiles_are_right_to_a_fifth_of_a_percent(statistics: Any) -> None:
    rows = shards.read_all(expected.EVENTS, artifacts.read_manifest(expected.EVENTS, "events"))
    for name in ("air_time", "distance", "time_hour"):
        column = rows.column(name).drop_null()
        values = np.sort(column.cast(pa.int64()).to_numpy().astype(float))
        buckets = measure.summaries(statistics, {name: "number"})[0].buckets
        reached = np.cumsum([b.rows for b in buckets]) / len(values)
        tolerance = 0.002 + 1 / len(values)
        low = np.searchsorted(values, [b.high for b in buckets], side="left") / len(values)
        high = np.searchsorted(values, [b.high for b in buckets], side="right") / len(values)
        assert np.all(reached >= low - tolerance)
        assert np.all(reached <= high + tolerance)


def test_however_the_rows_are_sharded_the_counts_are_equal(case: Case, orders: Orders) -> None:
    rows = orders()
    whole, parts = summaries(case, rows), summaries(case, rows.slice(0, 7), rows.slice(7, 60), rows.slice(67))
    for name, summary in whole.items():
        other = parts[name]
        assert (summary.present, summary.missing, summary.unique, summary.top, summary.zeros) == (
            other.present, other.missing, other.unique, other.top, other.zeros
        )  # fmt: skip
        assert (summary.least, summary.most) == (other.least, other.most)


def test_the_bytes_repeat_though_values_are_equally_frequent() -> None:
    names = pa.array([f"v{i % 3000}" for i in range(9000)])
    made = [measure.statistics([pa.table({"v": names})], {"v": "string"}) for _ in range(3)]
    assert len({s.SerializeToString(deterministic=True) for s in made}) == 1


def test_a_frequent_value_is_listed_among_thousands_of_rare_ones_and_those_are_not() -> None:
    names = ["often"] * 1000 + [f"v{i}" for i in range(9000)]
    types: dict[str, Any] = {"v": "string"}
    found = measure.summaries(measure.statistics([pa.table({"v": names})], types), types)[0]
    assert [value for value, _ in found.top] == ["often"]
    assert found.unique == 9001


def test_a_nan_is_missing_as_a_null_is(case: Case, orders: Orders) -> None:
    found = summaries(case, orders(late=[None, float("nan")] * 10 + [1.0] * 80))["late"]
    assert (found.present, found.missing, found.mean) == (80, 20, 1.0)


def test_a_bool_is_0_or_1(case: Case, orders: Orders) -> None:
    found = summaries(case, orders())["vip"]
    assert (found.present, found.missing, found.zeros, found.least, found.most) == (75, 25, 50, 0.0, 1.0)


def test_a_time_is_microseconds(case: Case, orders: Orders) -> None:
    found = summaries(case, orders())["at"]
    assert (found.least, found.most) == (1_357_000_000_000_000, 1_357_000_000_000_000 + 99 * 3_600_000_000)


@pytest.mark.parametrize("name", ["late", "city", "vip"])
def test_a_column_without_a_value_has_no_moments(case: Case, orders: Orders, name: str) -> None:
    found = summaries(case, orders(**{name: [None] * 100}))[name]
    assert (found.present, found.missing, found.mean, found.top, found.buckets) == (0, 100, None, (), ())


def test_infinities_do_not_break_the_statistics(case: Case, orders: Orders) -> None:
    found = summaries(case, orders(amount=[float("inf"), float("-inf")] + [1.0] * 98))["amount"]
    assert (found.present, found.most) == (100, float("inf"))


def test_an_artifact_with_other_columns_than_the_case_is_refused(case: Case, write_orders: Callable[..., Path]) -> None:
    root = write_orders()
    columns = {n: c for n, c in case.columns.items() if n != "vip"}
    other = case.model_copy(update={"columns": columns})
    with pytest.raises(DataError) as error:
        measure.of_events(root, artifacts.read_manifest(root, "events"), other)
    assert str(error.value) == (
        "events: 'vip' must be as the case declares it. Got 'vip: bool for none'. Run ingest again with this case."
    )
