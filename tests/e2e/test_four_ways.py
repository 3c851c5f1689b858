"""One transform, four ways: batch, row by row, stream and HTTP give a row the same features, and the same prediction.

The rows are real flights of which some columns were changed to what does not come every day.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters import live
from components.adapters.ports import Message
from components.core import convert, events, json_rows
from components.core.arrow import arrow_schema, columns_of
from components.core.columns import Columns
from components.core.enrich import Enrichment
from components.core.scorer import Predictions, Scorer
from components.serving import oip, vertex
from components.serving.asked import Asked, Limits, Parsed, parse
from components.serving.body import Input, Inputs
from components.streaming import served
from components.streaming.references import References
from components.streaming.rows import ANSWERED
from components.streaming.state import State
from components.streaming.steps import Outputs, Steps
from components.train.proof import TOLERANCE
from tests.conftest import FLIGHTS, REPOSITORY
from tests.serving.conftest import TOKEN, Server, end, launched, start
from tests.streaming.test_flights import Flights, numbered

pytestmark = pytest.mark.slow

LATENESS = 10**8
"""Seconds: nothing is late, whatever the order."""
BASES = 100
DATATYPES = {"number": "FP64", "string": "BYTES", "id": "BYTES", "timestamp": "BYTES"}
Row = dict[str, Any]


@dataclass
class Recording:
    """A scorer that keeps what it made of the stream's chunks."""

    scorer: Scorer
    seen: list[Columns] = field(default_factory=list)

    @property
    def model(self) -> Any:
        return self.scorer.model

    def predict(self, columns: Columns) -> Predictions:
        self.seen.append(self.scorer.features(columns))
        return self.scorer.predict(columns)


class World(Flights):
    """The flights case with its ids among the inputs, a small model of it, and a server that serves it."""

    server: Server

    @cached_property
    def bases(self) -> list[Row]:
        """Real rows one after the other, as JSON could bring them."""
        ordered = self.rows.sort_by(events.EVENT_TIME).slice(1_000, BASES)
        rows = ordered.select(list(self.case.columns)).to_pylist()
        return [{n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()} for row in rows]

    @cached_property
    def scorer(self) -> Scorer:
        return live.load(self.ports.registry, "flights", 1).scorer

    def steps(self, scorer: Recording) -> Steps:
        found = served.follow(self.ports.registry, self.case, self.ports.endpoints.pointer("flights"), None)
        champion = replace(found.champion, live=replace(found.champion.live, scorer=scorer))  # type: ignore[arg-type]
        changed = replace(found, champion=champion)
        return Steps(
            self.case, LATENESS, changed, References(self.ports.sources, LATENESS).enrichments(changed.cases())
        )


@pytest.fixture(scope="module")
def world(flights_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("four-ways")
    folder = root / "case"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    case = yaml.safe_load((folder / "case.yaml").read_text())
    case["inputs"] += ["flight", "tailnum"]
    (folder / "case.yaml").write_text(yaml.safe_dump(case, sort_keys=False))
    code, names = (folder / "features.py").read_text(), '("carrier", "origin", "dest"'
    assert names in code
    (folder / "features.py").write_text(code.replace(names, f'{names}, "flight", "tailnum"'))
    made = World(launched(root, folder, REPOSITORY), root)
    made.promote()
    variables = {"ESTEIRA_CASE": "flights", "ESTEIRA_ROOT": made.profile.root, "ESTEIRA_TOKEN": TOKEN}
    made.server = start(root, variables | {"AIP_HTTP_PORT": "0", "ESTEIRA_HOST": "127.0.0.1", "ESTEIRA_DRAIN": "0.2"})
    try:
        made.server.until_ready()
        yield made
    finally:
        end(made.server)


TEXTS = st.sampled_from(
    ["", " ", "UA", "ua", "UA ", "never seen", "ß", "É", "E\u0301", "😀", "\u0000", "ﬃ", "x" * 300, "7"]
)
WILD = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = (
    st.none()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e6, 1e6)
    | st.sampled_from([0.0, -0.0, 5e-324, 1e-45, 16777217, 2**53 + 1, 2**60, 0.1 + 0.2, 3e38, 3.5e38, 1e300, -1.8e308])
)
MILD = st.integers(-40, 900) | st.floats(-40, 900) | st.sampled_from([-0.0, 1e-9, 59.999999])
TIMES = st.datetimes(datetime(2013, 8, 1), datetime(2013, 10, 1)).flatmap(
    lambda t: st.sampled_from([t.isoformat(), f"{t.isoformat()}Z", f"{t.isoformat()[:16]}+05:30", f" {t.date()} "])
)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "time_hour": TIMES,
    "minute": MILD,
    "hour": NUMBERS.filter(lambda v: v is not None),
    "carrier": TEXTS.filter(bool) | WILD,
    "origin": st.sampled_from(["JFK", "jfk", "XXX"]) | WILD,
    "dest": st.sampled_from(["LAX", "Lax", "\u00df"]) | WILD,
    "tailnum": st.none() | TEXTS | WILD | st.integers(-9, 2**53) | st.booleans(),
    "distance": NUMBERS.filter(lambda v: v is not None),
    "sched_arr_time": NUMBERS.filter(lambda v: v is not None),
    "dep_delay": MILD | st.none() | st.just(1e300),
    "air_time": MILD | st.none(),
    "arr_delay": MILD | st.none(),
}


@dataclass(frozen=True)
class Drawn:
    """Rows by entity order, the messages about them in any order, and where the stream cuts these."""

    rows: list[Row]
    messages: list[Message]
    cuts: list[int]
    slices: int


@st.composite
def drawn(draw: st.DrawFn, bases: Sequence[Row]) -> Drawn:
    rows: list[Row] = []
    messages: list[Message] = []
    begin = draw(st.integers(0, len(bases) - 12))
    for number in range(draw(st.integers(1, 3)) * 4):
        changed = draw(st.fixed_dictionaries({}, optional=CHANGES))
        flight: Any = draw(st.sampled_from([7000 + number, float(7000 + number), f"ß {number}", f"{number}\u0301"]))
        row = {**bases[begin + number], **changed, "flight": flight}
        rows.append(row)
        messages.append(Message(json.dumps(row, ensure_ascii=draw(st.booleans())).encode(), {"kind": "event"}))
        if draw(st.booleans()):
            messages.append(Message(json.dumps(row).encode(), {"kind": "label"}))
    order = draw(st.permutations(messages))
    return Drawn(rows, order, draw(st.lists(st.integers(0, len(order)), max_size=6)), draw(st.integers(1, 4)))


def streamed(world: World, some: Drawn) -> tuple[Outputs, Columns]:
    """What the stream writes, and the features of the rows that it scored, both in the order of arrival."""
    scorer = Recording(world.scorer)
    steps, state, made = world.steps(scorer), State.nothing(), []
    for begin, stop in pairwise([0, *sorted(some.cuts), len(some.messages)]):
        state, outputs = steps(state, some.messages[begin:stop], begin)
        made.append(outputs)
    whole = [pa.concat_tables([getattr(o, n) for o in made]) for n in ("live", "labels", "letters")]
    return Outputs(*whole, counts=sum((o.counts for o in made[1:]), made[0].counts)), joined(scorer.seen)


def joined(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def read(world: World, rows: Sequence[Row]) -> pa.Table:
    """The rows as ingest reads them, with `events.schema`; those that are none are left out."""
    arrays, faults = json_rows.arrays(rows, world.case.columns)
    columns = {}
    for name, column in world.case.columns.items():
        columns[name], _ = convert.convert(arrays.get(name, pa.nulls(len(rows), pa.string())), column.type)
    kept = pa.array([at not in faults for at in range(len(rows))])
    table = pa.table(columns, schema=arrow_schema({n: c.type for n, c in world.case.columns.items()}))
    return events.derive(table.filter(kept), world.case)[0]


def folded(enrichment: Enrichment, rows: pa.Table, size: int) -> pa.Table:
    """The rows enriched in batches of `size`, in the order of event time."""
    state, made = enrichment.empty(), []
    ordered = rows.sort_by([(events.EVENT_TIME, "ascending"), (events.ENTITY, "ascending")])
    for begin in range(0, ordered.num_rows, size):
        state, batch = enrichment(state, ordered.slice(begin, size))
        made.append(batch)
    return pa.concat_tables(made)


def taken(enriched: pa.Table, live: pa.Table) -> pa.Table:
    """The rows that the stream scored, in its order."""
    found = enriched.filter(pc.is_in(enriched.column(events.ARRIVAL), live.column(events.ARRIVAL).combine_chunks()))
    found = found.sort_by(events.ARRIVAL)
    assert found.column(events.ENTITY).to_pylist() == live.column("_id").to_pylist()
    return found


def same(found: Columns, expected: Columns, way: str) -> None:
    """To the bit, the sign of zero and what is missing included."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, (way, name)
        if values.dtype == object:
            assert found[name].tolist() == values.tolist(), (way, name)
        else:
            assert found[name].tobytes() == values.tobytes(), (way, name)


@dataclass(frozen=True)
class Way:
    """What n rows were to one of the four."""

    features: Columns
    score: Sequence[float]
    decision: Sequence[str]

    @classmethod
    def of(cls, scorer: Scorer, columns: Columns) -> Way:
        found = scorer.predict(columns)
        return cls(scorer.features(columns), found.score.tolist(), found.decision.tolist())


def by_row(world: World, enriched: pa.Table) -> Way:
    """Each row asked alone."""
    types = world.case.input_types()
    ones = [Way.of(world.scorer, columns_of(enriched.slice(at, 1), types)) for at in range(enriched.num_rows)]
    scores, decisions = ([getattr(one, n)[0] for one in ones] for n in ("score", "decision"))
    return Way(joined([one.features for one in ones]), scores, decisions)


def by_vertex(world: World, rows: list[Row]) -> Way:
    body = {"instances": rows}
    answer = world.server.ask("/predict", body)
    assert answer.status == 200, answer.body
    told = answer.json()["predictions"]
    return Way(understood(world, vertex.ask, body), [p["score"] for p in told], [p["decision"] for p in told])


def by_oip(world: World, rows: list[Row]) -> Way:
    columns = {n: [row[n] for row in rows] for n in rows[0]}
    kinds = {n: DATATYPES[kind] for n, kind in world.case.input_types().items()}
    tensors = [{"name": n, "shape": [len(rows)], "datatype": kinds[n], "data": v} for n, v in columns.items()]
    answer = world.server.ask("/v2/models/flights/infer", {"inputs": tensors})
    assert answer.status == 200, answer.body
    told = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    return Way(understood(world, oip.ask, {"inputs": tensors}), told["score"], told["decision"])


def understood(world: World, ask: Callable[[Parsed, Inputs, Limits], Asked], body: Row) -> Columns:
    """The features of what the server's own parser makes of a body: the server tells none."""
    inputs = Inputs([Input(name, kind) for name, kind in world.case.input_types().items()])
    asked = ask(parse(json.dumps(body).encode(), None), inputs, Limits())
    return world.scorer.features(asked.columns if asked.columns is not None else inputs.columns(asked.values))


def as_sent(enriched: pa.Table, names: Sequence[str]) -> list[Row]:
    """Enriched rows as a client would send them."""
    rows = enriched.select(names).to_pylist()
    return [{n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()} for row in rows]


def test_batch_row_by_row_stream_and_http_agree_on_every_feature_and_prediction(world: World) -> None:
    types, enrichment = world.case.input_types(), world.enrichment()
    met = Counter[str]()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(some=drawn(world.bases))
    def check(some: Drawn) -> None:
        outputs, features = streamed(world, some)
        live = outputs.live.filter(pc.equal(outputs.live.column("_status"), ANSWERED))
        if not live.num_rows:
            return
        rows = numbered(read(world, some.rows), outputs.live, outputs.labels)
        batch, single = (taken(folded(enrichment, rows, size), live) for size in (some.slices, 1))
        expected = Way.of(world.scorer, columns_of(batch, types))
        ways = {
            "row by row": by_row(world, single),
            "stream": Way(features, live.column("_score").to_pylist(), live.column("_decision").to_pylist()),
            "Vertex": by_vertex(world, as_sent(batch, list(types))),
            "Open Inference": by_oip(world, as_sent(batch, list(types))),
        }
        for name, way in ways.items():
            same(way.features, expected.features, name)
            np.testing.assert_allclose(way.score, expected.score, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
            assert list(way.decision) == list(expected.decision), name
        met["rows"] += live.num_rows
        met["in windows"] += pc.sum(pc.greater(batch.column("origin_departures_count_3h"), 0)).as_py()

    check()
    assert met["rows"] > 50
    assert met["in windows"] > 0
