import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from components.core.case import Case
from components.validate import anomalies, measure, schema
from validate_environment import expected
from validate_environment.sample import GOLDEN

Orders = Callable[..., pa.Table]
Mend = Callable[[Any], object]

NO_CITY = ["Porto", "Lisboa", None, "Braga"] * 25


def statistics(case: Case, rows: pa.Table) -> Any:
    return measure.statistics([rows], measure.types(case))


@pytest.fixture
def judge(case: Case, orders: Orders, usual: Any) -> Callable[..., tuple[list[str], list[str]]]:
    """Types that block and types that warn, with their columns, of rows judged by a changed first schema of 100 orders."""

    def run(mend: Mend | None = None, **columns: Any) -> tuple[list[str], list[str]]:
        stated = schema.first(case, usual)
        if mend is not None:
            mend(stated)
        of = statistics(case, orders(**columns)) if columns else usual
        found = anomalies.judge(of, stated)[0]
        blocking, warning = ([f"{a.column} {a.type}" for a in found if a.blocking is b] for b in (True, False))
        return blocking, warning

    return run


def feature(stated: Any, name: str) -> Any:
    return next(f for f in stated.feature if f.name == name)


def test_the_flights_break_a_schema_as_the_golden_file_says() -> None:
    assert expected.told(expected.statistics()) == json.loads((GOLDEN / "anomalies.json").read_text())


def test_rows_that_fit_have_no_anomaly(judge: Callable[..., Any]) -> None:
    assert judge() == ([], [])


def test_a_null_in_a_required_column_blocks(judge: Callable[..., Any]) -> None:
    assert judge(amount=[None] + [1.0] * 99) == (["amount FEATURE_TYPE_LOW_FRACTION_PRESENT"], [])


def test_a_required_column_without_a_value_blocks(judge: Callable[..., Any]) -> None:
    assert judge(amount=[None] * 100) == (["amount FEATURE_TYPE_NOT_PRESENT"], [])


def test_a_column_of_the_schema_that_the_data_has_not_blocks(judge: Callable[..., Any]) -> None:
    assert judge(lambda s: s.feature.add(name="gate", type=1)) == (["gate SCHEMA_MISSING_COLUMN"], [])


def test_a_retired_column_may_be_absent(judge: Callable[..., Any]) -> None:
    assert judge(lambda s: s.feature.add(name="gate", type=1, lifecycle_stage="DEPRECATED")) == ([], [])


def test_a_column_that_the_schema_has_not_is_a_warning(judge: Callable[..., Any]) -> None:
    assert judge(lambda s: s.feature.remove(feature(s, "vip"))) == ([], ["vip SCHEMA_NEW_COLUMN"])


@pytest.mark.parametrize(("name", "kind"), [("amount", "INT"), ("city", "FLOAT"), ("late", "BYTES")])
def test_a_type_flip_blocks(judge: Callable[..., Any], name: str, kind: str) -> None:
    def flip(stated: Any) -> None:
        at = feature(stated, name)
        at.ClearField("domain")
        at.ClearField("distribution_constraints")
        at.type = at.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_name[kind].number

    assert judge(flip) == ([f"{name} UNEXPECTED_DATA_TYPE"], [])


def test_new_values_beyond_the_mass_block(judge: Callable[..., Any]) -> None:
    odd = [*NO_CITY[:90], *["Faro"] * 10]
    assert judge(city=odd) == (["city ENUM_TYPE_UNEXPECTED_STRING_VALUES"], [])


def test_new_values_within_the_mass_are_a_warning(judge: Callable[..., Any]) -> None:
    assert judge(city=[*NO_CITY[:98], "Faro", "Braga"]) == ([], ["city OUT_OF_DOMAIN"])


def test_a_value_out_of_a_reviewed_range_blocks(judge: Callable[..., Any]) -> None:
    def limit(stated: Any) -> None:
        feature(stated, "amount").float_domain.min = 10.0
        feature(stated, "amount").float_domain.max = 90.0

    assert judge(limit) == (["amount FLOAT_TYPE_BIG_FLOAT", "amount FLOAT_TYPE_SMALL_FLOAT"], [])


def test_too_few_rows_for_the_schema_block(judge: Callable[..., Any]) -> None:
    def ask(stated: Any) -> None:
        stated.dataset_constraints.min_examples_count = 1000

    assert judge(ask) == ([" DATASET_LOW_NUM_EXAMPLES"], [])


def test_infinities_block_only_where_the_schema_forbids_them(judge: Callable[..., Any]) -> None:
    infinite = [float("inf")] + [1.0] * 99

    def forbid(stated: Any) -> None:
        feature(stated, "amount").float_domain.disallow_inf = True

    assert judge(amount=infinite) == ([], [])
    assert judge(forbid, amount=infinite) == (["amount FLOAT_TYPE_HAS_INF"], [])


@pytest.mark.parametrize("kind", ["previous", "serving"])
def test_a_comparator_measures_only_against_its_own_reference(
    case: Case, orders: Orders, usual: Any, kind: str
) -> None:
    stated = schema.first(case, usual)
    name = {"previous": "drift_comparator", "serving": "skew_comparator"}[kind]
    getattr(feature(stated, "city"), name).infinity_norm.threshold = 0.1
    getattr(feature(stated, "amount"), name).jensen_shannon_divergence.threshold = 0.1
    now = statistics(case, orders(city=["Porto"] * 100, amount=[1000.0] * 100))
    assert anomalies.judge(now, stated) == ([], [])
    found, distances = anomalies.judge(now, stated, **{kind: usual})
    assert [(a.column, a.type, a.blocking) for a in found] == [
        ("amount", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", False),
        ("city", "COMPARATOR_L_INFTY_HIGH", False),
    ]
    assert [(d.column, d.kind, d.measure, d.threshold) for d in distances] == [
        ("amount", {"previous": "drift", "serving": "skew"}[kind], "jensen shannon divergence", 0.1),
        ("city", {"previous": "drift", "serving": "skew"}[kind], "l infty", 0.1),
    ]
    assert distances[1].value == pytest.approx(2 / 3)
    assert anomalies.judge(usual, stated, **{kind: usual})[0] == []


def test_ignored_columns_are_judged_on_neither_side(case: Case, orders: Orders, usual: Any) -> None:
    stated = schema.first(case, usual)
    feature(stated, "late").presence.min_fraction = 1.0
    of = statistics(case, orders(late=[None] * 100))
    assert [a.column for a in anomalies.judge(of, stated)[0]] == ["late"]
    assert anomalies.judge(of, stated, ignored={"late"})[0] == []
    assert len(of.datasets[0].features) == len(stated.feature) == 6


def test_every_warning_is_a_type_of_tfdv_or_ours() -> None:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    ours = {"OUT_OF_DOMAIN", "ALL_MISSING", "ALL_ZERO", "NO_REVIEWED_SCHEMA"}
    known = set(anomalies_pb2.AnomalyInfo.Type.keys())
    assert set(anomalies.WARNINGS) - known == ours
