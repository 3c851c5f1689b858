"""What preprocess publishes, in a real Beam job, and what it does with input that is bad."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.core import artifacts, events
from components.core.arrow import ARROW
from components.step import Result

from .conftest import Bench, parcel, parcels, rows_by_id

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Result]:
    """One run over five days of good parcels, which several tests read."""
    bench = Bench(tmp_path_factory.mktemp("plain"))
    rows = parcels(5)
    rows[200]["hours"] = None
    bench.give(rows)
    return bench, bench.run()


def test_periods_are_split_in_time_and_rows_without_a_label_left_out(bench: Bench) -> None:
    rows = parcels(5)
    for number in (3, 60, 100, 150, 200):
        rows[number]["hours"] = None
    bench.give(rows)
    result = bench.run()
    features, holdout, score = (bench.manifest(name) for name in ("features", "holdout", "score"))
    assert features.info["uses"] == {"2024-01-01": "train", "2024-01-02": "train", "2024-01-03": "validation"}
    assert [p.key for p in holdout.partitions] == ["2024-01-04"]
    assert [p.key for p in score.partitions] == ["2024-01-05"]
    assert (features.rows, holdout.rows, score.rows) == (48 * 3 - 3, 47, 48)
    counts = {"rows": 144, "outside": 0, "unlabelled": 3, "refused": 0, "written": 141}
    assert features.info["counts"] == counts
    assert (result.rows_in, result.rows_out) == (240, 236)
    expected = "95 rows for train, 46 rows for validation"
    assert result.summary.startswith(
        "94 rows for train, 47 rows for validation, 47 rows for holdout, 48 rows for score"
    )
    assert expected


def test_features_hold_float32_and_texts_and_no_null(plain: tuple[Bench, Result]) -> None:
    bench, _ = plain
    table = bench.read("features")
    names = ["weight", "fragile", "rain_mm", "sent_count_6h", "sent_mean_6h", "landed_count_1d", "hour", "city"]
    assert table.column_names == [*names, "_entity", "_event_time", "_label", "_weight"]
    kinds = [str(table.schema.field(name).type) for name in names]
    assert kinds == ["float"] * 7 + ["string"]
    assert [table.column(name).null_count for name in table.column_names] == [0] * 12
    assert set(table.column("_label").to_pylist()) == {0.0, 1.0}
    assert table.column("_entity").to_pylist() == [f"p{number}" for number in range(144)]


def test_holdout_and_score_hold_what_is_known_at_the_event(plain: tuple[Bench, Result]) -> None:
    bench, _ = plain
    known = ["id", "sent", "city", "weight", "fragile", "rain_mm", "sent_count_6h", "sent_mean_6h", "landed_count_1d"]
    identity = ["_entity", "_event_time", "_label", "_label_time", "_weight"]
    for name in ("holdout", "score"):
        assert set(bench.read(name).column_names) == {*known, *identity}
        assert bench.read(name).column_names[-5:] == identity
    assert rows_by_id(bench.read("score"), "_label", "_label_time")["p200"] == (None, None)
    label, lands = rows_by_id(bench.read("score"), "_label", "_label_time")["p198"]
    assert (label, lands) == (1.0, bench.read("score").column("_event_time")[6].as_py() + _hours(38))


def _hours(hours: int) -> Any:
    return pa.scalar(hours * 3600, pa.duration("s")).as_py()


def test_windows_and_joins_reach_into_the_periods_before(plain: tuple[Bench, Result]) -> None:
    """By hand: a city has a parcel every 90 minutes; at midnight of the third day it has had four in six hours."""
    bench, _ = plain
    found = rows_by_id(bench.read("features"), "sent_count_6h", "sent_mean_6h", "rain_mm", "landed_count_1d")
    assert found["p0"][0] == 0.0
    assert math.isnan(found["p0"][1])
    before = [96 - 3 * k for k in (1, 2, 3, 4)]
    mean = sum(round(number / 8 / 0.1) for number in before) * 0.1 / 4
    landed = sum(
        1 for number in range(0, 96, 3) if 24 <= (number + 2 * (number % 40)) / 2 < 48
    )  # half hours sent plus hours on the way
    assert found["p96"] == (4.0, np.float32(mean), 48 / 4, float(landed))
    assert landed > 5
    assert math.isnan(found["p98"][2]), "no rain is known of ß|é"


def test_a_label_that_lands_periods_later_is_seen_there(bench: Bench) -> None:
    rows = [parcel(number, hours=1.0, city="Porto") for number in range(48 * 5)]
    rows[0]["hours"] = 75.0
    bench.give(rows, shard_rows=7)
    bench.run()
    seen = rows_by_id(bench.read("holdout"), "landed_count_1d")
    plain = 48  # one lands every half hour
    assert seen["p150"] == (plain,), "p0 lands at the moment of p150"
    assert seen["p151"] == (plain + 1,)
    assert seen["p191"] == (plain + 1,)
    assert rows_by_id(bench.read("score"), "landed_count_1d")["p199"] == (plain,)


def test_equal_rows_have_equal_digests_however_sharded_and_on_one_worker_or_two(bench: Bench) -> None:
    rows = parcels()
    bench.give(rows)
    bench.run()
    digests = bench.digests()
    bench.give(list(reversed(rows)), shard_rows=5)
    bench.jobs = {"options": {"direct_num_workers": 2, "direct_running_mode": "multi_threading"}}
    assert bench.run().reused, "the events have the digest that they had"
    bench.case["split"]["train"] = 2  # says what it already was: another key, the same result
    bench.run()
    assert bench.digests() == digests


def test_a_second_run_is_reused_and_what_the_step_reads_misses(bench: Bench) -> None:
    bench.give(parcels())
    assert not bench.run().reused
    bench.case["model"]["seed"] = 3
    bench.case["description"] = "other"
    assert bench.run().reused
    bench.features += "\n"
    assert not bench.run().reused
    bench.case["label"]["above"] = 12
    assert not bench.run().reused
    assert not bench.run("predict").reused


def test_predict_scores_the_windows_rows_and_learns_from_none(bench: Bench) -> None:
    rows = parcels(3)
    bench.give(rows)
    bench.case["split"] = {"by": "day", "score": 1, "train": 1}
    window = ("2024-01-02T12:00:00Z", "2024-01-03T06:00:00Z")
    bench.give(rows, window=window)
    result = bench.run("predict")
    score = bench.read("score")
    assert score.column("_entity").to_pylist() == [f"p{number}" for number in range(72, 108)]
    assert rows_by_id(score, "sent_count_6h")["p72"] == (4.0,), "rows before the window are seen"
    for name in ("features", "holdout"):
        assert (bench.manifest(name).rows, bench.manifest(name).partitions) == (0, ())
    assert dict(bench.manifest("features").schema)["city"] == "string"
    assert result.summary == "36 rows for score"
    counts = {"rows": 96, "outside": 60, "unlabelled": 0, "refused": 0, "written": 36}
    assert bench.manifest("score").info["counts"] == counts


def test_predict_without_new_rows_succeeds_and_says_so(bench: Bench) -> None:
    bench.give(parcels(2), window=("2024-02-01T00:00:00Z", "2024-02-02T00:00:00Z"))
    assert bench.run("predict").summary == "No new rows."
    assert [bench.manifest(name).rows for name in ("features", "holdout", "score", "dead_letter")] == [0, 0, 0, 0]


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "a null number": ({"weight": None}, "written"),
    "NaN": ({"weight": math.nan}, "written"),
    "a null text": ({"city": None}, "written"),
    "an unseen category": ({"city": "Ũ\x00nseen 👩‍🚀"}, "written"),
    "ten megabytes": ({"city": "x" * 10_000_000}, "written"),
    "infinity": ({"weight": math.inf}, "refused"),
    "beyond float32": ({"weight": -1e300, "city": "ß|\\\ud7ff"}, "refused"),
    "no label": ({"hours": None}, "unlabelled"),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Day one has one row of each oddity, from p20 on."""
    bench = Bench(tmp_path_factory.mktemp("odd"))
    rows = parcels(4)
    for number, (change, _) in enumerate(ODD.values(), 20):
        rows[number] |= change
    bench.give(rows)
    bench.run()
    return bench


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_is_a_missing_one_or_goes_to_the_dead_letter(odd: Bench, name: str) -> None:
    entity, outcome = f"p{20 + list(ODD).index(name)}", ODD[name][1]
    assert (entity in odd.read("features").column("_entity").to_pylist()) == (outcome == "written")
    letters = [json.loads(raw)["id"] for raw in odd.read("dead_letter").column("raw").to_pylist()]
    assert (entity in letters) == (outcome == "refused")


def test_every_row_is_counted_once(odd: Bench) -> None:
    expected = {"rows": 96, "outside": 0, "unlabelled": 1, "refused": 2, "written": 93}
    assert odd.manifest("features").info["counts"] == expected
    assert odd.manifest("dead_letter").info["counts"] == expected | {"rows": 192, "written": 189}


def test_the_dead_letter_holds_the_row_its_place_and_the_reason(odd: Bench) -> None:
    first, second = odd.read("dead_letter").to_pylist()
    assert first["reason"].startswith("features.py: 'weight' must be finite or NaN. Got 'infinity'.")
    assert (first["source"], first["position"], first["step"]) == ("events/2024-01-01", 26, "preprocess")
    raw = json.loads(first["raw"])
    assert (raw["id"], raw["sent"], raw["fragile"]) == ("p25", "2024-01-01T12:30:00.000000Z", 0.0)
    assert raw["weight"] == "inf"
    raw = json.loads(second["raw"])
    assert (second["position"], raw["weight"], raw["city"]) == (27, -1e300, "ß|\\\ud7ff")


def test_missing_values_stay_missing(odd: Bench) -> None:
    found = rows_by_id(odd.read("features"), "weight", "city")
    assert [math.isnan(found[entity][0]) for entity in ("p20", "p21", "p22")] == [True, True, False]
    assert (found["p22"][1], len(found["p24"][1])) == ("", 10_000_000)


@pytest.mark.parametrize("year", [1970, 2100])
def test_years_far_away_are_good_years(bench: Bench, year: int) -> None:
    shift = events.instant(f"{year}-01-01") - events.instant("2024-01-01")
    bench.give([{**row, "sent": row["sent"] + shift} for row in parcels(4)])
    bench.run()
    assert [p.key for p in bench.manifest("holdout").partitions] == [f"{year}-01-03"]
    assert rows_by_id(bench.read("features"), "hour", "sent_count_6h")["p60"] == (6.0, 4.0)


def test_too_many_refused_rows_publish_the_dead_letter_alone(bench: Bench) -> None:
    rows = parcels(5)
    for number in range(20, 60):
        rows[number]["weight"] = math.inf
    bench.give(rows)
    code, message = bench.fails()
    assert code == 3
    expected = "preprocess: 'rows' must be refused by the transform for at most 10.000% of them. Got 'at least 37 of 240'. The "
    assert message.startswith(expected)
    assert bench.published() == ["dead_letter"]
    # 24 of 240 are allowed: the first day's 25th says that it is hopeless.
    assert bench.read("dead_letter").column("position").to_pylist() == [*range(21, 46), *range(1, 13)]


def test_a_transform_that_raises_whatever_it_gets_is_refused_before_the_job(bench: Bench) -> None:
    bench.features = FAILS
    bench.give(parcels(5))
    code, message = bench.fails()
    assert code == 2
    assert message.startswith("features.py: 'features' must give columns without an error. Got \"KeyError: 'none'\".")
    assert bench.published() == []


FAILS = "def features(columns):\n    return {'x': columns['none']}\n"


def test_a_broken_law_comes_back_from_the_worker_as_it_was_raised(bench: Bench) -> None:
    bench.features = FEATURES_BY_RANK
    bench.give(parcels(5))
    code, message = bench.fails()
    assert code == 2
    assert message.startswith("features.py: 'x' must give a row alone the bits that it has among others. Got ")
    assert bench.published() == []


FEATURES_BY_RANK = """
import numpy as np
def features(columns):
    order = np.lexsort((columns["weight"],)).astype(np.float32)
    return {"x": np.where(np.isnan(columns["weight"]), np.float32(0), order)}
"""


def test_a_split_without_a_label_is_refused(bench: Bench) -> None:
    rows = parcels(5)
    for row in rows[96:144]:
        row["hours"] = None
    bench.give(rows)
    assert bench.fails() == (
        3,
        "preprocess: 'validation' must have at least one row with a label. Got 'none in 2024-01-03'. Give labelled rows, "
        "or other periods in 'split'.",
    )
    assert bench.published() == ["dead_letter"]


def test_too_few_periods_are_refused(bench: Bench) -> None:
    bench.give(parcels(3))
    code, message = bench.fails()
    assert (code, bench.published()) == (3, [])
    assert message.startswith("'events' must reach over at least 4 complete periods of one day. Got '3: 2024-01-01")


def test_an_altered_shard_is_refused(bench: Bench) -> None:
    manifest = bench.give(parcels(5))
    shard = bench.path("events") / manifest.partitions[2].shards[0].path
    shard.write_bytes(shard.read_bytes().replace(b"Porto", b"porto", 1)[:-1] + b"\x00")
    code, message = bench.fails()
    assert code == 4
    assert message.endswith(
        "'2024-01-03/00000.parquet' must have the sha256 of its manifest. Got 'other bytes'. Delete the directory and run "
        "the step again."
    )
    assert bench.published() == []


def test_a_label_of_another_row_is_seen_only_once_it_has_landed(bench: Bench) -> None:
    """The leakage check: with other labels from a moment on, nothing published of the rows up to it changes."""
    rows = parcels(5)
    bench.give(rows)
    bench.run()
    before = {name: bench.read(name) for name in ("features", "holdout", "score")}
    moment = rows[120]["sent"]
    for row in rows:
        if row["hours"] is not None and row["sent"] + row["hours"] * 3_600_000_000 >= moment:
            row["hours"] = (moment - row["sent"]) / 3_600_000_000 + 7 if row["sent"] < moment else row["hours"] + 3
    bench.give(rows)
    bench.run()
    for name, table in before.items():
        early = pa.compute.less_equal(
            table.column("_event_time"), pa.scalar(moment, pa.int64()).cast(ARROW["timestamp"])
        )
        kept = [column for column in table.column_names if column not in ("_label", "_label_time")]
        was, now = (t.filter(early).select(kept) for t in (table, bench.read(name)))
        for column in kept:
            np.testing.assert_array_equal(np.asarray(was.column(column)), np.asarray(now.column(column)), column)
    changed = bench.read("score").column("landed_count_1d").to_pylist()
    assert changed != before["score"].column("landed_count_1d").to_pylist(), "later rows do see other labels"


def test_the_report_says_what_each_period_became(plain: tuple[Bench, Result]) -> None:
    bench, result = plain
    shown = result.report["blocks"]
    facts = dict(shown[0]["items"])
    assert facts["features"] == 8
    assert facts["laws kept"].startswith("no clock, no chance, no files, sums in written order, missing values")
    table = next(block for block in shown if block["type"] == "table")
    assert [row[:5] for row in table["rows"]][2:4] == [
        ["2024-01-03", "validation", 48, 0, 0],
        ["2024-01-04", "holdout", 48, 0, 0],
    ]
    assert all(0 < row[5] < 1 for row in table["rows"])
    assert artifacts.read_manifest(bench.path("features")).info["uses"]["2024-01-01"] == "train"
