"""What both releases of TFDV must say of the sample.

    PYTHONPATH=.:tests .venvs/validate/bin/python -m validate_environment.expected

writes the golden files in `tests/golden/validate` anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.core import artifacts
from components.validate import anomalies, measure, schema
from validate_environment.sample import GOLDEN, flights

EVENTS = GOLDEN / "events"


def statistics() -> Any:
    return measure.of_events(EVENTS, artifacts.read_manifest(EVENTS, "events"), flights())


def columns(of: Any) -> list[dict[str, Any]]:
    """The summaries without their quantiles, which a sketch may place within its error."""
    made = [asdict(s) for s in measure.summaries(of, measure.types(flights()))]
    return [{k: v for k, v in s.items() if k != "buckets"} for s in made]


def doctored(of: Any) -> Any:
    """A reviewed schema that the sample breaks in each way that a person states."""
    made = schema.first(flights(), of)
    features = {f.name: f for f in made.feature}
    domains = {d.name: d for d in made.string_domain}
    domains["origin"].value.remove("JFK")
    domains["carrier"].value.remove("AS")
    features["arr_delay"].presence.min_fraction = 1.0
    features["distance"].float_domain.max = 2000.0
    features["sched_arr_time"].float_domain.min = 500.0
    features["dep_delay"].type = schema_pb2.BYTES
    features["hour"].type = schema_pb2.INT
    made.feature.add(name="gate", type=schema_pb2.BYTES)
    made.feature.add(name="terminal", type=schema_pb2.BYTES).presence.min_count = 1
    made.feature.remove(features["tailnum"])
    return made


def told(of: Any) -> list[dict[str, Any]]:
    found = anomalies.judge(of, doctored(of))[0]
    return [{"column": a.column, "type": a.type, "blocking": a.blocking} for a in found]


def main() -> None:
    of = statistics()
    GOLDEN.joinpath("columns.json").write_text(json.dumps(columns(of), indent=1) + "\n")
    GOLDEN.joinpath("anomalies.json").write_text(json.dumps(told(of), indent=1) + "\n")
    GOLDEN.joinpath("schema.pbtxt").write_text(schema.render(schema.first(flights(), of), "flights"))


if __name__ == "__main__":
    main()
