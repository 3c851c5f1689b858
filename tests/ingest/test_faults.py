"""What holds whatever the rows, and however a run ends."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.core import artifacts, shards
from components.core.errors import ArtifactError
from components.step import Launch
from tests import processes
from tests.ingest import killed
from tests.ingest.conftest import HEADER, Desk, csv_of, jsonl_of, order, parquet_of

WHOLE_RUNS = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes of whole runs
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

IDS = st.sampled_from(["a", "b", "c", "d", "", "7", "é|\\", "NA"])
TIMES = st.sampled_from(
    ["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-02T05:00+01:00", "2024-01-03T23:30", "soon", "", "1800-01-01"]
)
NUMBERS = st.sampled_from(["1", "-2.5", "", "NA", "1e3", "inf", "nan", "x", "1_0"])
RECORDS = st.tuples(IDS, TIMES, NUMBERS, st.sampled_from(["Porto", '"a\nb"', '"say ""hi"""', "\u2028", ""]))
GARBAGE = st.sampled_from(["a,b\n", ",,,,,,,,\n", "\n", "x\n"])


@WHOLE_RUNS
@given(
    records=st.lists(RECORDS, max_size=25),
    garbage=st.lists(GARBAGE, max_size=3),
    purpose=st.sampled_from([{}, {"purpose": "predict"}, {"start": "2024-01-01T12:00", "stop": "2024-01-03"}]),
)
def test_every_record_is_counted_once(
    desk: Desk, records: list[tuple[str, ...]], garbage: list[str], purpose: dict[str, str]
):
    desk.case["source"]["bad_ratio"] = 1.0
    desk.case["require"] = ["amount"]
    lines = [",".join([*record, "true", "1"]) + "\n" for record in records]
    sure = "sure,2024-01-02T00:00:00Z,1,Porto,true,0\nlast,2024-01-03T23:59:00Z,1,Porto,true,0\n"
    desk.put("orders.csv", HEADER + "".join(lines) + "".join(garbage) + sure)
    desk.job = f"{desk.job}x"
    desk.run(**purpose)
    counts = desk.counts
    assert counts["read"] == len(records) + sum(text != "\n" for text in garbage) + 2
    assert counts["read"] == sum(counts.values()) - counts["read"]
    assert counts["good"] == desk.manifest().rows
    assert counts["dead_letter"] == desk.manifest("dead_letter").rows
    raw = Counter(row["raw"].decode() + "\n" for row in desk.rows("dead_letter"))
    assert raw <= Counter([*lines, *garbage])


ORDERS = st.lists(
    st.builds(
        order,
        st.integers(0, 3 * 1440),
        id=st.text("ab|é", min_size=1, max_size=3),
        amount=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        city=st.none() | st.text('a",\n\r é', max_size=4).filter(lambda text: text != ""),
        vip=st.none() | st.booleans(),
        late=st.none() | st.integers(-(2**53), 2**53),
    ),
    max_size=20,
)


@WHOLE_RUNS
@given(rows=ORDERS)
def test_one_digest_of_the_same_rows_whatever_the_format(desk: Desk, rows: list[dict[str, Any]]):
    rows = [*rows, order(1439, id="sure", amount=0.5), order(4 * 1440 - 1, id="last", amount=0.5)]
    found = set()
    for name, write in (("csv", csv_of), ("jsonl", jsonl_of), ("parquet", parquet_of)):
        desk.put(f"orders.{name}", write(rows))
        desk.case["source"]["path"] = f"orders.{name}"
        desk.job = f"{desk.job}x"
        found.add(desk.run().parameters["snapshot"])
        assert desk.counts["dead_letter"] == 0
    assert len(found) == 1


@WHOLE_RUNS
@given(rows=st.permutations([order(n) for n in range(0, 1440, 97)] + [order(1439)]), cut=st.integers(1, 14))
def test_one_digest_of_the_same_rows_in_any_order_and_files(desk: Desk, rows: list[dict[str, Any]], cut: int):
    desk.put("all/orders.csv", csv_of(sorted(rows, key=lambda row: row["at"])))
    desk.case["source"]["path"] = "all"
    desk.job = f"{desk.job}x"
    whole = desk.run().parameters["snapshot"]
    desk.put("parts/1.csv", csv_of(rows[:cut]))
    desk.put("parts/2.csv", csv_of(rows[cut:]))
    desk.case["source"]["path"] = "parts"
    desk.job = f"{desk.job}x"
    assert desk.run().parameters["snapshot"] == whole


@pytest.mark.slow
def test_killed_anywhere_it_leaves_the_old_state_or_the_new(desk: Desk):
    desk.put("orders.csv", csv_of([order(n) for n in range(0, 3 * 1440, 10)]) + b"x,soon,,,,\n")
    desk.case["references"] = {
        "places": {
            "source": {"path": "places.csv"},
            "columns": {"name": {"type": "string"}, "size": {"type": "number"}},
            "by": {"city": "name"},
            "take": ["size"],
        }
    }
    desk.put("places.csv", "name,size\nPorto,3\n")
    launch = desk.launch()
    desk.run(launch)
    whole = {name: desk.manifest(name).digest for name in ("events", "references", "dead_letter")}
    point, dead, published = 1, True, Counter[str]()
    while dead:
        point += 4  # an atomic write has three side effects, so each of them gets its turn
        fresh = Launch(f"job-{point}", launch.bundle, launch.operations, _anew(launch, desk.root / f"root-{point}"))
        out = desk.root / f"killed-{point}"
        dead = processes.dies_at(point, killed.ingest, fresh, str(out))
        for name, digest in whole.items():
            try:
                assert artifacts.verify(out / name, name).digest == digest
                published[name] += 1
            except ArtifactError:
                assert not (out / name / artifacts.MANIFEST).exists()
        killed.ingest(fresh, str(out))
        assert {name: artifacts.verify(out / name, name).digest for name in whole} == whole
    assert point > 60
    assert 0 < published["events"] < point


def _anew(launch: Launch, root: Path) -> str:
    """The launch's profile with a root of its own, in which its bundle stands."""
    profile = json.loads(launch.profile)
    (root / "blobs").mkdir(parents=True)
    for kind in ("bundles", "operations"):
        (root / "blobs" / kind).symlink_to(Path(profile["root"]) / "blobs" / kind)
    return json.dumps(profile | {"root": str(root)})


@pytest.mark.slow
def test_the_flights_of_2013(desk: Desk, make_launch: Any, flights_data: Path):
    launch = make_launch()
    desk.run(launch)
    assert desk.counts == {
        "read": 336_776,
        "good": 328_432,
        "dead_letter": 0,
        "duplicate": 0,
        "dropped": 8_255,
        "incomplete": 89,
        "outside": 0,
    }
    assert [p.key for p in desk.manifest().partitions] == [f"2013-{month:02}" for month in range(1, 13)]
    assert {file.path: file.rows for file in desk.manifest("references").files} == {
        "airport.parquet": 1_458,
        "weather.parquet": 26_115,
    }
    table = shards.read_all(desk.place("events"), desk.manifest())
    # Of the 1,175 that never arrived, one left after the year's end.
    assert table.column("arr_delay").null_count == table.column("_label_time").null_count == 1_174
    assert table.column("_entity").slice(0, 1).to_pylist() == ["2013-01-01T10:00:00Z|UA|1545"]
