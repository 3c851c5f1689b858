"""What changed from one schema to another, a line per column and aspect."""

from __future__ import annotations

from typing import Any

_SHOWN = 10
"""The most values of a domain that a line names."""


def changes(old: Any, new: Any) -> list[str]:
    """Lines such as `carrier: domain: + ZZ`, in the order of the new schema's columns, then the removed ones."""
    before = {feature.name: feature for feature in old.feature}
    after = {feature.name: feature for feature in new.feature}
    lines = []
    for name, feature in after.items():
        if name not in before:
            lines.append(f"{name}: added: {', '.join(f'{k} {v}' for k, v in _aspects(feature).items())}")
            continue
        was, now = _aspects(before[name]), _aspects(feature)
        told = [(k, was.get(k, "none"), now.get(k, "none")) for k in sorted(was.keys() | now.keys())]
        lines += [f"{name}: {aspect}: {a} -> {b}" for aspect, a, b in told if a != b]
        lines += _values(name, _domain(old, before[name]), _domain(new, feature))
    return lines + [f"{name}: removed" for name in before if name not in after]


def _aspects(feature: Any) -> dict[str, str]:
    """Each field of a feature that is set, by its name; the values of a domain apart."""
    return {
        field.name: _told(field, value)
        for field, value in feature.ListFields()
        if field.name not in ("name", "string_domain")
    }


def _told(field: Any, value: Any) -> str:
    from google.protobuf import text_format

    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    if field.name == "presence":
        return f"in at least {100 * value.min_fraction:g} % of the rows" if value.min_fraction else "in some row"
    if hasattr(value, "ListFields"):
        return str(text_format.MessageToString(value, as_one_line=True)) or "set"
    return str(value)


def _domain(schema: Any, feature: Any) -> list[str]:
    if feature.WhichOneof("domain_info") == "string_domain":
        return list(feature.string_domain.value)
    return [value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value]


def _values(name: str, old: list[str], new: list[str]) -> list[str]:
    parts = []
    for sign, some in (("+", sorted(set(new) - set(old))), ("-", sorted(set(old) - set(new)))):
        if some:
            rest = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
            parts.append(f"{sign} {', '.join(some[:_SHOWN])}{rest}")
    return [f"{name}: values: {' '.join(parts)}"] if parts else []
