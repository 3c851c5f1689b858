"""What does not fit the schema: which anomalies stop the run, and which are only shown.

What the schema states stops the run, whatever TFDV's type for it is. The types in `WARNINGS` are only shown: they say
that the data moved, which the gate and monitor judge by its effect, or that the schema was not told of something yet.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from components.validate.summary import Summary

WARNINGS = {
    "SCHEMA_NEW_COLUMN": "a column that the schema does not have",
    "SEMANTIC_DOMAIN_UPDATE": "values that would fit a narrower kind, such as URLs",
    "SCHEMA_TRAINING_SERVING_SKEW": "training and serving differ, without a threshold in the schema",
    "COMPARATOR_CONTROL_DATA_MISSING": "the reference has no such column",
    "COMPARATOR_TREATMENT_DATA_MISSING": "the column that is compared has no values",
    "COMPARATOR_L_INFTY_HIGH": "drift or skew of categories over the schema's threshold",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": "drift or skew over the schema's threshold",
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": "drift or skew of counts over the schema's threshold",
    "COMPARATOR_LOW_NUM_EXAMPLES": "far fewer rows than the reference",
    "COMPARATOR_HIGH_NUM_EXAMPLES": "far more rows than the reference",
    "OUT_OF_DOMAIN": "values outside the domain, within the share that min_domain_mass leaves them",
    "ALL_MISSING": "a column without a value in any row",
    "ALL_ZERO": "a number column that is zero in every row",
    "NO_REVIEWED_SCHEMA": "the case has no schema.pbtxt, so the schema was inferred from the very data that it judges",
}
"""The types that are only shown, and what each means; the last four are ours."""

_OUTSIDE = "ENUM_TYPE_UNEXPECTED_STRING_VALUES"


@dataclass(frozen=True, order=True)
class Anomaly:
    """One thing that does not fit. `column` is empty where it concerns the whole."""

    column: str
    type: str
    text: str

    @property
    def blocking(self) -> bool:
        return self.type not in WARNINGS

    def __str__(self) -> str:
        return f"{self.column}: {self.text}" if self.column else self.text


@dataclass(frozen=True, order=True)
class Distance:
    """How far a column is from the reference, by a comparator of the schema."""

    column: str
    kind: str
    """drift (from the last training) or skew (from what was trained on)."""
    measure: str
    value: float
    threshold: float


def judge(
    statistics: Any, schema: Any, *, previous: Any = None, serving: Any = None, ignored: Collection[str] = ()
) -> tuple[list[Anomaly], list[Distance]]:
    """What TFDV says of the statistics against the schema, sorted.

    Parameters
    ----------
    previous, serving
        The statistics that `drift_comparator` and `skew_comparator` measure against; None: they measure nothing.
    ignored
        Columns left out on both sides.
    """
    statistics, schema = _without(statistics, schema, ignored)
    said = _validate(statistics, schema, previous, serving)
    found = _anomalies(said)
    held = {(a.column, a.type) for a in found}
    found += [a for a in _absent(statistics, schema) if (a.column, a.type) not in held]
    strict = _strict(schema)
    if strict is not None:
        more = [a for a in _anomalies(_validate(statistics, strict, None, None)) if a.type == _OUTSIDE]
        found += [Anomaly(a.column, "OUT_OF_DOMAIN", a.text) for a in more if (a.column, a.type) not in held]
    return sorted(found), sorted(_distances(said))


def plain(columns: Sequence[Summary], reviewed: bool, ignored: Collection[str] = ()) -> list[Anomaly]:
    """What the statistics show without a schema."""
    found = []
    if not reviewed:
        text = "there is no reviewed schema; run `esteira schema CASE`"
        found.append(Anomaly("", "NO_REVIEWED_SCHEMA", text))
    for column in columns:
        if column.name in ignored:
            continue
        if not column.present:
            found.append(Anomaly(column.name, "ALL_MISSING", f"no value in any of {column.rows:,} rows"))
        elif column.type in ("number", "bool") and column.zeros == column.present:
            found.append(Anomaly(column.name, "ALL_ZERO", f"zero in all of {column.present:,} rows"))
    return found


def _validate(statistics: Any, schema: Any, previous: Any, serving: Any) -> Any:
    from components.validate.measure import tfdv

    return tfdv().validate_statistics(statistics, schema, previous_statistics=previous, serving_statistics=serving)


def _without(statistics: Any, schema: Any, ignored: Collection[str]) -> tuple[Any, Any]:
    if not ignored:
        return statistics, schema
    left, rest = type(statistics)(), type(schema)()
    left.CopyFrom(statistics)
    rest.CopyFrom(schema)
    features = left.datasets[0].features
    kept = [f for f in features if f.path.step[0] not in ignored]
    stated = [f for f in schema.feature if f.name not in ignored]
    del features[:], rest.feature[:]
    features.extend(kept)
    rest.feature.extend(stated)
    return left, rest


def _anomalies(said: Any) -> list[Anomaly]:
    reasons = [(name, reason) for name, info in said.anomaly_info.items() for reason in info.reason]
    reasons += [("", reason) for reason in said.dataset_anomaly_info.reason]
    return [Anomaly(name, _type(reason), _text(reason)) for name, reason in reasons]


def _type(reason: Any) -> str:
    field = type(reason).DESCRIPTOR.fields_by_name["type"]
    value = field.enum_type.values_by_number.get(reason.type)
    return str(value.name) if value is not None else f"TYPE_{reason.type}"


def _text(reason: Any) -> str:
    words = f"{reason.short_description}: {reason.description}".strip(": ")
    return (words or _type(reason).replace("_", " ").lower()).rstrip(". ")


def _absent(statistics: Any, schema: Any) -> list[Anomaly]:
    """Columns of the schema that the data does not have; TFDV is silent where the schema asks for no presence."""
    there = {feature.path.step[0] for feature in statistics.datasets[0].features}
    live = schema.DESCRIPTOR.fields_by_name["feature"].message_type.fields_by_name["lifecycle_stage"].enum_type
    stages = {live.values_by_name[name].number for name in ("UNKNOWN_STAGE", "PRODUCTION", "BETA")}
    text = "the schema has this column and the data has not"
    return [
        Anomaly(f.name, "SCHEMA_MISSING_COLUMN", text)
        for f in schema.feature
        if f.name not in there and f.lifecycle_stage in stages and not f.deprecated
    ]


def _strict(schema: Any) -> Any:
    """The schema with every domain's mass at 1; None where that changes nothing."""
    strict = type(schema)()
    strict.CopyFrom(schema)
    loose = [f for f in strict.feature if f.HasField("distribution_constraints")]
    for feature in loose:
        feature.distribution_constraints.min_domain_mass = 1.0
    return strict if loose else None


def _distances(said: Any) -> list[Distance]:
    return [
        Distance(info.path.step[0], kind, _measure(m), m.value, m.threshold)
        for info in said.drift_skew_info
        for kind, measured in (("drift", info.drift_measurements), ("skew", info.skew_measurements))
        for m in measured
    ]


def _measure(measurement: Any) -> str:
    field = type(measurement).DESCRIPTOR.fields_by_name["type"]
    return str(field.enum_type.values_by_number[measurement.type].name).replace("_", " ").lower()
