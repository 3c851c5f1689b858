"""The messages of Kubeflow Pipelines' API v2beta1 that a caller may send, strictly: its generated client takes anything."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.servers.http import Refused

INT64 = "int64"
"""As JSON carries it: a text or a number."""
TIME = "time"
ANY = "any"

VERSION_REFERENCE = {"pipeline_id": str, "pipeline_version_id": str}
RUNTIME_CONFIG = {"parameters": dict, "pipeline_root": str}
RUN = {
    "experiment_id": str,
    "display_name": str,
    "description": str,
    "pipeline_spec": dict,
    "pipeline_version_reference": VERSION_REFERENCE,
    "runtime_config": RUNTIME_CONFIG,
    "service_account": str,
}
TRIGGER = {
    "cron_schedule": {"start_time": TIME, "end_time": TIME, "cron": str},
    "periodic_schedule": {"start_time": TIME, "end_time": TIME, "interval_second": INT64},
}
RECURRING_RUN = RUN | {
    "max_concurrency": INT64,
    "trigger": TRIGGER,
    "mode": {"ENABLE", "DISABLE"},
    "no_catchup": bool,
    "namespace": str,
}
EXPERIMENT = {"display_name": str, "description": str, "namespace": str}
PIPELINE = {"display_name": str, "name": str, "description": str, "namespace": str}
PREDICATE = {"operation": {"EQUALS"}, "key": str, "string_value": str}
FILTER = {"predicates": [PREDICATE]}


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)


def check(data: Any, schema: Any, where: str) -> Any:
    """The data, if every field of it is of the schema."""
    if isinstance(schema, dict):
        if not isinstance(data, dict):
            raise invalid(f"{where} is no object")
        for name, value in data.items():
            if name not in schema:
                raise invalid(f'unknown field "{where}.{name}"')
            check(value, schema[name], f"{where}.{name}")
    elif isinstance(schema, list):
        if not isinstance(data, list):
            raise invalid(f"{where} is no list")
        for i, one in enumerate(data):
            check(one, schema[0], f"{where}[{i}]")
    elif isinstance(schema, set):
        if data not in schema:
            raise invalid(f"{where} is {data!r}, none of {sorted(schema)}")
    elif schema == INT64:
        if isinstance(data, bool) or not re.fullmatch(r"-?\d+", str(data)):
            raise invalid(f"{where} is no int64")
    elif schema == TIME:
        if not isinstance(data, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", data):
            raise invalid(f"{where} is no time")
    elif not isinstance(data, schema):
        raise invalid(f"{where} is no {schema.__name__}")
    return data


def wanted(text: str, keys: set[str]) -> list[tuple[str, str]]:
    """The predicates of a filter as (key, value)."""
    if not text:
        return []
    try:
        data = json.loads(text)
    except ValueError as error:
        raise invalid(f"the filter is no JSON: {error}") from error
    found = [(one["key"], one["string_value"]) for one in check(data, FILTER, "filter")["predicates"]]
    for key, _ in found:
        if key not in keys:
            raise invalid(f"no filter by {key}")
    return found


_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def cron(text: str) -> None:
    """Six fields, as robfig's parser with seconds takes them."""
    parts = text.split()
    if len(parts) != 6:
        raise invalid(f"Expected exactly 6 fields, found {len(parts)}: {text!r}")
    for part, (low, high) in zip(parts, _RANGES, strict=True):
        numbers = [int(number) for number in re.findall(r"\d+", part)]
        if not re.fullmatch(r"[\d,*/?-]+", part) or any(not low <= number <= high for number in numbers):
            raise invalid(f"The Schedule cron is invalid: {part!r}")
