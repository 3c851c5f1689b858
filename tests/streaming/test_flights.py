"""Real flights, some days of them with late and doubled messages: what the stream scored is what batch makes of it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.adapters import live
from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.core import artifacts, events, model
from components.core import bundle as bundles
from components.core.arrow import columns_of
from components.core.case import Case
from components.core.enrich import Enrichment
from components.core.profile import Profile
from components.step import Launch, fetch_bundle
from components.streaming.loop import Limits, Loop
from components.streaming.references import References
from components.streaming.rows import ANSWERED
from components.train.estimators import ENCODE, encoder, estimator
from components.train.export import to_onnx
from pipelines.launch import producer
from pipelines.launch.replay import Faults, schedule
from tests.evaluate.conftest import described_as

pytestmark = pytest.mark.slow

LATENESS = 600
DAYS = ("2013-09-02T00:00:00Z", "2013-09-06T00:00:00Z")


class Flights:
    """A launch of the case, its events of some days, and a small model of them as champion."""

    def __init__(self, launch: Launch, root: Path) -> None:
        self.profile, self.root, self.bundle = Profile.from_json(launch.profile), root, launch.bundle
        self.ports = Connected(self.profile)
        self.folder = fetch_bundle(self.ports, launch.bundle, root / "bundles")
        self.case: Case = bundles.read(self.folder, launch.bundle).case()
        self.rows = producer.read(self.case, self.ports, *map(events.instant, DAYS))

    def enrichment(self) -> Enrichment:
        """As preprocess has it: over sorted rows, without lateness."""
        return References(self.ports.sources, 0).enrichments({"": self.case})[""]

    def enriched(self, rows: pa.Table) -> pa.Table:
        """As preprocess folds it, in batches of rows sorted by time."""
        enrichment, state, made = self.enrichment(), None, []
        ordered = rows.sort_by([(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")])
        for start in range(0, ordered.num_rows, 700):
            state, batch = enrichment(state or enrichment.empty(), ordered.slice(start, 700))
            made.append(batch)
        return pa.concat_tables(made)

    def promote(self) -> int:
        from sklearn.pipeline import Pipeline

        from components.core.features import Transform

        rows = self.enriched(self.rows).filter(pc.is_valid(self.rows.column("arr_delay")))
        transform = Transform.load(self.folder, self.bundle, self.case.input_types())
        features = transform.apply(columns_of(rows, self.case.input_types()))
        names = tuple((n, "float32" if v.dtype == np.float32 else "string") for n, v in features.items())
        made = estimator(self.case.model.model_copy(update={"parameters": {"max_iter": 20}}))
        pipeline = Pipeline([(ENCODE, encoder(self.case.model, made, names)), ("estimator", made)])
        label = np.nan_to_num(np.asarray(rows.column("arr_delay"), dtype=np.float64)) > 15
        pipeline.fit(
            pa.table(
                {
                    n: pa.array(v).cast(pa.float64()) if k == "float32" else pa.array(v)
                    for (n, k), v in zip(names, features.values(), strict=True)
                }
            ),
            label,
        )
        content = to_onnx(pipeline, names)
        inputs = tuple(self.case.input_types().items())
        change: dict[str, Any] = {"case": "flights", "inputs": inputs, "features": names}
        change["identity"] = model.identity(sha256(content).hexdigest(), inputs, self.bundle)
        described = described_as("binary", content, self.bundle, change)
        root = self.root / "model"
        files = {f"{model.BUNDLE}/{p.name}": p.read_bytes() for p in sorted(self.folder.iterdir()) if p.is_file()}
        files |= {model.ONNX: content, model.FILE: described.to_json()}
        artifacts.publish(root, "model", files=[artifacts.write_file(root, n, data) for n, data in files.items()])
        version = self.ports.registry.register("flights", root, described.identity, {"bundle": self.bundle}).version
        pointer = self.ports.endpoints.pointer("flights")
        self.ports.endpoints.change(type(pointer)("flights", champion=version, generation=pointer.generation))
        return version


@pytest.fixture
def flights(make_launch: Callable[..., Launch], tmp_path: Path, flights_data: Path) -> Flights:
    return Flights(make_launch(), tmp_path)


def numbered(rows: pa.Table, arrived: pa.Table, landed: pa.Table) -> pa.Table:
    """The files' rows of the events that the stream took, with the arrival numbers that it logged."""

    def logged(name: str, of: pa.Table) -> pa.Array:
        places = pc.index_in(rows.column(events.ENTITY), value_set=of.column("_id").combine_chunks())
        return of.column(name).combine_chunks().take(places.combine_chunks())

    arrivals, label = logged(events.ARRIVAL, arrived), logged(events.ARRIVAL, landed)
    times = pc.if_else(pc.is_valid(label), rows.column(events.LABEL_TIME).combine_chunks(), None)
    for name, values in ((events.ARRIVAL, arrivals), (events.LABEL_ARRIVAL, label), (events.LABEL_TIME, times)):
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


def bits(column: pa.ChunkedArray) -> list[Any]:
    flat = column.combine_chunks()
    if pa.types.is_floating(flat.type):
        return list(np.asarray(flat.fill_null(np.nan)).view(np.int64))
    return list(flat.to_pylist())


def test_what_the_stream_saw_and_scored_is_what_batch_makes_of_the_logged_arrivals(flights: Flights) -> None:
    version = flights.promote()
    faults = Faults(late=0.2, duplicates=0.1, bad=0.01, seed=5)
    plan = schedule(flights.rows, flights.case, LATENESS * 1_000_000, faults)
    log = Log(flights.profile.path("events") / "flights")
    log.append(list(plan))
    status = Loop(flights.ports, log, flights.case, LATENESS, lambda _: None).run(Limits(idle=0.0))
    assert {n: getattr(status.counts, n) for n in plan.verdicts()} == plan.verdicts()
    assert status.counts.late > 20

    arrived, landed = (flights.ports.tables.read(name) for name in ("live_flights", "labels_flights"))
    assert set(arrived.column("_status").to_pylist()) == {ANSWERED}
    rows = numbered(flights.rows, arrived, landed)
    whole = flights.enriched(rows)
    batch = whole.filter(pc.is_valid(whole.column(events.ARRIVAL))).sort_by(events.ARRIVAL)
    streamed = arrived.sort_by(events.ARRIVAL)
    assert batch.num_rows == streamed.num_rows > 3_000
    for name in flights.case.input_types():
        assert bits(batch.column(name)) == bits(streamed.column(name)), name

    scorer = live.load(flights.ports.registry, "flights", version).scorer
    types = flights.case.input_types()
    features, again = (scorer.features(columns_of(table, types)) for table in (batch, streamed))
    assert all(
        a.tobytes() == b.tobytes() for a, b in zip(features.values(), again.values(), strict=True) if a.dtype != object
    )
    found = scorer.predict(columns_of(batch, types))
    assert found.score.tobytes() == np.asarray(streamed.column("_score")).tobytes()
    assert found.decision.tolist() == streamed.column("_decision").to_pylist()

    # The arrival numbers matter: by their times alone the rows would have seen others.
    by_time = flights.enriched(flights.rows)
    both = by_time.filter(pc.is_in(by_time.column(events.ENTITY), value_set=arrived.column("_id").combine_chunks()))
    ordered = both.sort_by(events.ENTITY), streamed.sort_by("_id")
    name = "origin_departures_count_1h"
    assert bits(ordered[0].column(name)) != bits(ordered[1].column(name))


def test_the_flights_case_writes_labels_as_training_reads_them(flights: Flights) -> None:
    flights.promote()
    plan = schedule(flights.rows, flights.case, LATENESS * 1_000_000)
    log = Log(flights.profile.path("events") / "flights")
    log.append(list(plan))
    Loop(flights.ports, log, flights.case, LATENESS, lambda _: None).run(Limits(idle=0.0))
    labels = flights.ports.tables.read("labels_flights")
    late = dict(
        zip(flights.rows.column(events.ENTITY).to_pylist(), flights.rows.column("arr_delay").to_pylist(), strict=True)
    )
    assert labels.num_rows == plan.counts()["labels"]
    found = zip(labels.column("_id").to_pylist(), labels.column("_label").to_pylist(), strict=True)
    assert all(label == float(late[name] > 15) for name, label in found)
