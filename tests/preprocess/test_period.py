"""The work on one period, without Beam: in one batch, row by row, and from what a kill left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.core import bundle, case_file, features, shards
from components.core.columns import Columns, ColumnType
from components.preprocess import period, plan
from components.preprocess.period import Worker
from components.preprocess.plan import Element, Spec
from components.step import Launch

from .conftest import Bench, Row, parcel

FLIGHTS = Path(__file__).parents[2] / "pipelines" / "cases" / "flights"
TEXTS = st.sampled_from(["", "EWR", "ß", "ﬁ", "İ", "e\u0301", "é", "👩‍🚀", "a|b\\", "\x00", "x" * 70]) | st.text(
    max_size=5
)
NUMBERS = st.floats(-1e30, 1e30)
ODD: dict[ColumnType, np.ndarray[Any, Any]] = {
    "number": np.array([np.nan, 0.0, -0.0, 2359.0, 1e-310, -1e30, 0.1]),
    "string": np.array(["", "EWR", "ß", "ﬁ", "İ", "e\u0301", "👩‍🚀", "a|b\\", "\x00", "x" * 70], dtype=object),
    "timestamp": np.array(["NaT", "1970-01-01", "1969-12-31T23:59:59.999999", "2100-02-28"], dtype="datetime64[us]"),
}


def spec_of(bench: Bench, launch: Launch, out: str) -> Spec:
    paths = {name: str(bench.path(f"{out}/{name}")) for name in ("features", "holdout", "score", "job")}
    paths |= {name: str(bench.path(name)) for name in ("events", "references")}
    return Spec(launch.bundle, launch.profile, **paths, start=-(10**17), stop=10**17, most_refused=10**6)


def outcome_of(bench: Bench, element: Element, out: str) -> period.Outcome:
    scratch = bench.path(f"{out}/scratch")
    scratch.mkdir(parents=True, exist_ok=True)
    return Worker(spec_of(bench, bench.launch(), out), scratch).work(element)


@st.composite
def days(draw: st.DrawFn) -> list[Row]:
    """A day of parcels with odd cities and numbers; the first at least is good."""
    rows = [parcel(0)]
    for number in range(1, draw(st.integers(1, 15))):
        change: dict[str, Any] = {
            "sent": rows[0]["sent"] + draw(st.integers(0, 47)) * 1_800_000_000,
            "city": draw(st.none() | TEXTS),
            "weight": draw(st.none() | NUMBERS | st.just(np.inf)),
            "fragile": draw(st.none() | st.booleans()),
            "hours": draw(st.none() | st.integers(0, 30).map(float)),
        }
        rows.append(parcel(number) | {"id": f"{number}{change['city']}", **change})
    return rows


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=days(), shard_rows=st.integers(1, 9))
@pytest.mark.slow
def test_a_period_in_one_batch_is_the_period_row_by_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, rows: list[Row], shard_rows: int
) -> None:
    element = Element("2024-01-01", "train")
    bench.give(rows)
    whole = outcome_of(bench, element, "whole")
    bench.give(rows, shard_rows=shard_rows)
    with monkeypatch.context() as patch:
        patch.setattr(period, "BATCH", 1)
        single = outcome_of(bench, element, "single")
    assert single.partition.digest == whole.partition.digest
    assert single.refused.digest == whole.refused.digest
    assert single.counts == whole.counts
    assert whole.counts["rows"] == len(rows) == sum(n for name, n in whole.counts.items() if name != "rows")


def odd_flights(types: dict[str, ColumnType], rows: int, seed: int) -> Columns:
    """Half of the values are odd, the others any number, text or time."""
    random = np.random.default_rng(seed)
    columns: Columns = {}
    for name, kind in types.items():
        pool = ODD[kind]
        columns[name] = pool[random.integers(0, len(pool), rows)]
        if kind != "string":
            plain = random.normal(size=rows) * 10.0 ** random.integers(-3, 6)
            times = random.integers(-(10**16), 10**16, rows).astype("datetime64[us]")
            columns[name] = np.where(random.random(rows) < 0.5, columns[name], plain if kind == "number" else times)
    return columns


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> features.Transform:
    folder = tmp_path_factory.mktemp("bundle")
    built = bundle.build(FLIGHTS)
    bundle.write(built, folder)
    return features.Transform.load(folder, built.digest, case_file.load(FLIGHTS).case().input_types())


def bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 as integers, with one NaN."""
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_the_flights_features_of_a_batch_are_those_of_its_rows(
    transform: features.Transform, rows: int, seed: int
) -> None:
    columns = odd_flights(dict(transform.types), rows, seed)
    sifted = transform.sift(columns)
    assert sifted.features is not None or sifted.refused
    for place, at in enumerate(sifted.taken):
        alone = transform.apply({name: values[at : at + 1] for name, values in columns.items()})
        assert sifted.features is not None
        for name, values in sifted.features.items():
            assert values.dtype == alone[name].dtype
            same = (
                values[place] == alone[name][0] if values.dtype == object else bits(values)[place] == bits(alone[name])
            )
            assert same, name


def test_a_plan_names_the_shards_that_windows_reach_into(bench: Bench) -> None:
    rows = [parcel(number, hours=1.0, weight=1.0) for number in range(48 * 4)]
    rows[0]["hours"] = 80.0
    manifest = bench.give(rows, shard_rows=24)
    made = plan.elements(bench.parsed(), bench.path("events"), manifest, "predict")
    first, second = (f"{key}/0000{i}.parquet" for key, i in (("2024-01-01", 0), ("2024-01-01", 1)))
    assert [element.before for element in made][:2] == [(), (("2024-01-01", first), ("2024-01-01", second))]
    assert ("2024-01-01", first) in made[3].before, "p0 lands 80 hours later, in the fourth day"
    assert ("2024-01-01", second) not in made[3].before
    assert not any(element.laws for element in made)
    bench.case |= {"windows": {}, "inputs": ["city", "rain_mm"]}
    made = plan.elements(bench.parsed(), bench.path("events"), manifest, "predict")
    assert [element.before for element in made] == [()] * 4


def test_an_element_and_an_outcome_survive_json(bench: Bench) -> None:
    element = Element("2024-01-01", "train", (("2023-12-31", "2023-12-31/00000.parquet"),), True)
    assert Element.from_json(element.to_json()) == element
    bench.give([parcel(number) for number in range(48)])
    outcome = outcome_of(bench, replace(element, before=()), "out")
    assert period.Outcome.from_json(json.loads(outcome.to_json())) == outcome
    assert shards.read_shard(bench.path("out/features"), outcome.partition.shards[0]).num_rows == 48
