"""predict: what the champion says of the rows, where it goes, and how far the watermark moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.adapters.local.blobs import FileBlobs
from components.adapters.local.tables import ParquetTables
from components.core import artifacts, shards, watermark
from components.core.errors import ConflictError
from components.predict import task
from components.step import Launch, Result
from tests import processes
from tests.predict import rival
from tests.toy import HOUR, NAME, Columns, Toy, columns, schema, toy, write_rows

TABLE = "predictions_toy"
STEEP = ((-4.0, 4.0), (0.0, 0.0))


class World:
    def __init__(self, made: Toy) -> None:
        self.toy, self.runs = made, 0

    @property
    def out(self) -> Path:
        """The predictions of the last run."""
        return self.toy.root / f"predictions-{self.runs}"

    def predict(self, given: Mapping[str, Any], label: Any = None, window: tuple[str, ...] = (), **how: str) -> Result:
        self.runs += 1
        root = write_rows(self.toy.root / f"score-{self.runs}", given, label=label, window=window)
        return self.again(root, **how)

    def again(self, score: Path | None = None, **how: str) -> Result:
        root = score or self.toy.root / f"score-{self.runs}"
        return task.run(self.toy.launch, score=str(root), predictions=str(self.out), **how)

    def rows(self) -> pa.Table:
        return shards.read_all(self.out, artifacts.verify(self.out, "predictions"))

    def table(self) -> pa.Table:
        return self.toy.ports.tables.read(TABLE)

    def watermark(self) -> str | None:
        name = watermark.path(NAME)
        return json.loads(self.toy.ports.blobs.read(name)[0])["to"] if self.toy.ports.blobs.exists(name) else None


Maker = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, make_launch: Callable[..., Launch]) -> Maker:
    return lambda kind="binary": World(toy(tmp_path, make_launch, kind))


@pytest.fixture
def live(world: Maker) -> World:
    """A binary toy whose first version is champion."""
    here = world()
    here.toy.promote(here.toy.model("one"))
    return here


def refusal(here: World, capsys: pytest.CaptureFixture[str], code: int, act: Callable[[], Result]) -> str:
    """The message of a run that must fail with this exit code and leave table and watermark as they are."""
    before, mark = here.toy.ports.tables.windows(TABLE), here.watermark()
    rows = here.table() if before else None
    with pytest.raises(SystemExit) as caught:
        act()
    assert caught.value.code == code
    assert here.toy.ports.tables.windows(TABLE) == before
    assert rows is None or here.table().equals(rows)
    assert here.watermark() == mark
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("[predict] ")


def two_months() -> Columns:
    """408 rows in January, 592 in February."""
    return columns(1000, seed=3, start="2021-01-15T00")


def only(given: Columns, rows: Sequence[int]) -> Columns:
    return {name: values[list(rows)] for name, values in given.items()}


def test_every_row_gets_the_champions_score_and_decision(live: World) -> None:
    given = two_months()
    result = live.predict(given)
    rows = live.rows()
    expected = 1 / (1 + np.exp(-4 * given["x"].astype(np.float32)))
    assert np.asarray(rows["score"]) == pytest.approx(expected, abs=1e-6)
    assert rows["decision"].to_pylist() == ["1" if score >= 0.5 else "0" for score in expected]
    assert rows["_entity"].to_pylist() == given["_entity"].tolist()
    assert np.asarray(rows["_label"]).tolist() == given["_label"].tolist()
    assert set(rows["version"].to_pylist()) == {1}
    assert (result.rows_in, result.rows_out) == (1000, 1000)
    assert result.summary == "1,000 rows by version 1 into the table predictions_toy"
    assert result.parameters == {"table": TABLE, "version": "1", "resource": ""}


def test_the_table_holds_the_same_rows_a_window_per_period(live: World) -> None:
    live.predict(two_months())
    assert live.table().equals(live.rows())
    assert live.toy.ports.tables.windows(TABLE) == ["2021-01", "2021-02"]
    counted = live.toy.ports.tables.query(f"SELECT version, count(*) AS n FROM {TABLE} GROUP BY version")
    assert counted.to_pylist() == [{"version": 1, "n": 1000}]


def test_the_same_rows_again_are_the_same_table(live: World) -> None:
    live.predict(two_months())
    before, digest = live.table(), artifacts.read_manifest(live.out).digest
    assert not live.again().reused
    assert live.table().equals(before)
    assert artifacts.read_manifest(live.out).digest == digest


def test_a_new_champion_scores_the_window_anew(live: World) -> None:
    live.predict(two_months())
    live.toy.promote(live.toy.model("two", STEEP))
    live.again()
    assert set(live.table()["version"].to_pylist()) == {2}
    assert live.table().num_rows == 1000


def test_a_window_inside_a_period_replaces_its_own_rows_only(live: World) -> None:
    given = two_months()
    live.predict(only(given, range(100)), window=("2021-01-15T00:00:00Z", "2021-01-19T04:00:00Z"))
    live.toy.promote(live.toy.model("two", STEEP))
    # Rows 90 to 99 are scored anew but for 95, which the source has taken back; 100 to 119 are new.
    late = only(given, [i for i in range(90, 120) if i != 95])
    live.predict(late, window=("2021-01-18T18:00:00Z", "2021-01-20T00:00:00Z"))
    table = live.table()
    assert table["_entity"].to_pylist() == [given["_entity"][i] for i in range(120) if i != 95]
    assert table["version"].to_pylist() == [1] * 90 + [2] * 29


@pytest.mark.slow
def test_predictions_of_one_period_at_once_lose_no_row(live: World, tmp_path: Path) -> None:
    """Four processes, six windows of ten hours each, of one month: every writing meets one of another's."""
    given = columns(240)
    hours = [str(hour) + "Z" for hour in np.datetime64("2021-01-01T00:00:00") + np.arange(0, 241) * HOUR]
    scores = [
        str(write_rows(tmp_path / f"at-{i}", only(given, range(i, i + 10)), window=(hours[i], hours[i + 10])))
        for i in range(0, 240, 10)
    ]
    calls = [(rival.predict, (replace(live.toy.launch, job=f"job-{i}"), scores[i::4])) for i in range(4)]
    assert processes.at_once(calls) == [60] * 4
    assert live.table()["_entity"].to_pylist() == given["_entity"].tolist()


def test_a_period_that_is_never_free_is_a_conflict(
    live: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_rows, writings = ParquetTables.replace, []

    def raced(self: ParquetTables, table: str, window: str, rows: pa.Table, *, after: str | None = None) -> None:
        writings.append(window)
        replace_rows(self, table, window, rows)
        replace_rows(self, table, window, rows, after=after)

    monkeypatch.setattr(ParquetTables, "replace", raced)
    with pytest.raises(SystemExit) as caught:
        live.predict(columns(10), purpose="predict")
    assert caught.value.code == 6
    assert len(writings) == 10
    assert (
        "predictions_toy: '2021-01' must be free to change. Got '10 attempts'. "
        "Run again when no other prediction runs." in capsys.readouterr().err
    )
    assert live.watermark() is None


def test_labels_that_have_landed_since_replace_missing_ones(live: World) -> None:
    given = columns(300)
    live.predict(given | {"_label": np.full(300, np.nan)})
    assert live.table()["_label"].null_count == 300
    live.predict(given)
    assert live.table()["_label"].null_count == 0
    assert live.table().num_rows == 300


@pytest.mark.parametrize(
    ("how", "moves"),
    [
        ({"purpose": "predict"}, True),
        ({"purpose": "train"}, False),
        ({}, False),
        ({"purpose": "predict", "start": "2021-01-15"}, False),
        ({"purpose": "predict", "stop": "2021-02-15"}, False),
    ],
)
def test_only_a_scheduled_prediction_moves_the_watermark(live: World, how: dict[str, str], moves: bool) -> None:
    live.predict(two_months(), window=("2021-01-15T00:00:00Z", "2021-02-25T16:00:00Z"), **how)
    assert live.watermark() == ("2021-02-25T16:00:00Z" if moves else None)
    assert live.table().num_rows == 1000


def test_the_watermark_never_moves_back(live: World) -> None:
    live.predict(columns(10), window=("2021-01-01T00:00:00Z", "2021-06-01T00:00:00Z"), purpose="predict")
    live.predict(columns(10), window=("2021-01-01T00:00:00Z", "2021-02-01T00:00:00+01:00"), purpose="predict")
    assert live.watermark() == "2021-06-01T00:00:00Z"


def test_another_prediction_at_the_same_time_does_not_lose_the_watermark(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FileBlobs.write
    rivals = iter(["2021-02-01T00:00:00Z", "2021-03-01T00:00:00Z"])

    def raced(self: FileBlobs, name: str, data: bytes, *, generation: int | None = None) -> int:
        if name == watermark.path(NAME) and (to := next(rivals, None)):
            write(self, name, json.dumps({"to": to}).encode())
        return write(self, name, data, generation=generation)

    monkeypatch.setattr(FileBlobs, "write", raced)
    live.predict(columns(10), window=("2021-01-01T00:00:00Z", "2021-06-01T00:00:00Z"), purpose="predict")
    assert live.watermark() == "2021-06-01T00:00:00Z"


def test_a_watermark_that_is_never_free_is_a_conflict(
    live: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = FileBlobs.write

    def taken(self: FileBlobs, name: str, data: bytes, *, generation: int | None = None) -> int:
        if name == watermark.path(NAME):
            raise ConflictError(name, "be there", None, "")
        return write(self, name, data, generation=generation)

    monkeypatch.setattr(FileBlobs, "write", taken)
    with pytest.raises(SystemExit) as caught:
        live.predict(columns(10), purpose="predict")
    assert caught.value.code == 6
    assert (
        "'watermark' must be free to move. Got 'watermarks/toy.json'. Run again when no other prediction runs."
        in capsys.readouterr().err
    )


def test_without_a_champion_there_is_nothing_to_predict(world: Maker) -> None:
    here = world()
    result = here.predict(columns(10), purpose="predict")
    assert result.summary == "Nothing to predict: there is no champion"
    assert here.rows().num_rows == 0
    assert here.toy.ports.tables.windows(TABLE) == []
    assert here.watermark() is None


def test_no_new_rows_are_a_success_that_says_so(live: World) -> None:
    result = live.predict(columns(0), purpose="predict")
    assert result.summary == "Nothing to predict: no new rows"
    assert (result.rows_in, result.rows_out) == (0, 0)
    assert artifacts.verify(live.out, "predictions").rows == 0
    assert live.watermark() is None


def test_a_period_without_rows_is_a_window_without_rows(live: World) -> None:
    root = write_rows(live.toy.root / "score-0", columns(10))
    kind = schema(pa.float64())
    empty = shards.PartitionWriter(root, "2021-02", kind, time="_event_time").close()
    manifest = artifacts.read_manifest(root)
    artifacts.publish(root, "enriched", schema=kind, partitions=[*manifest.partitions, empty], info=manifest.info)
    assert live.again(root).rows_out == 10
    assert live.toy.ports.tables.windows(TABLE) == ["2021-01", "2021-02"]
    assert live.table().num_rows == 10


def test_rows_without_a_column_that_the_champion_takes_are_refused(
    live: World, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = schema(pa.float64()).remove(1)
    root = live.toy.root / "score-0"
    artifacts.publish(root, "enriched", schema=kind, info={"window": ["2021-01-01T00:00:00Z"] * 2})
    assert refusal(live, capsys, 3, lambda: live.again(root)) == (
        "'score' must have the input columns of the champion, version 1. Got 'without z (double)'. "
        "Keep these columns in the case until a model without them is champion."
    )


def test_a_row_that_cannot_be_scored_leaves_the_table_of_the_other_periods(
    live: World, capsys: pytest.CaptureFixture[str]
) -> None:
    given = two_months()
    live.predict(given)
    given["x"][-1] = np.inf
    assert "'x' must" in refusal(live, capsys, 2, lambda: live.predict(given | {"z": -given["z"]}, purpose="predict"))


def test_the_watermark_waits_for_the_tables_write(live: World, capsys: pytest.CaptureFixture[str]) -> None:
    place = live.toy.ports.profile.path("tables")
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")
    with pytest.raises(SystemExit):
        live.predict(columns(10), purpose="predict")
    assert live.watermark() is None
    assert "Error" in capsys.readouterr().err


def test_a_champion_that_was_altered_is_refused(live: World, capsys: pytest.CaptureFixture[str]) -> None:
    (live.toy.ports.registry.fetch(NAME, 1) / "model.onnx").write_bytes(b"other")
    assert "must have the sha256 of its manifest" in refusal(live, capsys, 4, lambda: live.predict(columns(10)))


def test_a_champion_whose_record_names_no_bundle_is_refused(world: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    here = world()
    model = here.toy.model("one")
    here.toy.ports.registry.register(NAME, model, "a" * 64, {})
    here.toy.ports.endpoints.change(replace(here.toy.ports.endpoints.pointer(NAME), champion=1))
    assert refusal(here, capsys, 4, lambda: here.predict(columns(10))) == (
        "toy version 1: 'bundle' must be named by the model's registry record. Got None. "
        "Roll back to a version that esteira registered."
    )


@pytest.mark.parametrize(
    ("kind", "weights", "label"),
    [
        ("multiclass", ((-3.0, 0.0, 3.0), (0.0, 0.0, 0.0)), pa.string()),
        ("regression", ((1.0,), (0.0,)), pa.float64()),
    ],
)
def test_other_tasks_decide_by_class_or_by_number(world: Maker, kind: str, weights: Any, label: Any) -> None:
    here = world(kind)
    here.toy.promote(here.toy.model("one", weights))
    given = columns(100)
    labels = np.array([None, "a"] * 50, dtype=object) if kind == "multiclass" else given["x"]
    here.predict(given | {"_label": labels}, label)
    rows, x = here.rows(), given["x"].astype(np.float32)
    assert rows.schema.field("_label").type == label
    if kind == "multiclass":
        assert rows["decision"].to_pylist() == ["c" if value > 0 else "a" for value in x]
        assert pc.min(rows["score"]).as_py() > 1 / 3
        assert rows["_label"].null_count == 50
    else:
        assert rows["decision"].to_pylist() == [repr(float(value)) for value in x]
        assert np.asarray(rows["score"]).tolist() == x.astype(np.float64).tolist()


def test_a_cases_table_has_a_name_that_sql_takes() -> None:
    assert task.table_name("late-flights-2") == "predictions_late_flights_2"
