"""A new case from a data file: what is inferred, and what is refused."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core import bundle, case_file
from components.core.errors import CaseError
from pipelines.launch import infer
from pipelines.launch.initialize import Wishes, init


def rows(count: int = 400) -> list[dict[str, Any]]:
    """Sales over 400 days: an id, a time, numbers with gaps, a text, a bool and a price."""
    random = np.random.default_rng(3)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        {
            "sale_id": 1000 + i,
            "sold_at": (start + timedelta(days=i)).isoformat().replace("+00:00", "Z"),
            "size": round(float(random.normal(100, 20)), 1),
            "rooms": None if i % 7 == 0 else int(random.integers(1, 6)),
            "city": ["Porto", "São Paulo", "Lyon"][i % 3],
            "garden": bool(i % 2),
            "price": round(float(random.normal(2e5, 1e4))),
        }
        for i in range(count)
    ]


def as_jsonl(path: Path, data: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    return path


def as_csv(path: Path, data: list[dict[str, Any]]) -> Path:
    lines = [",".join(data[0])] + [",".join("" if v is None else str(v) for v in row.values()) for row in data]
    path.write_text("\n".join(lines) + "\n")
    return path


def as_parquet(path: Path, data: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(data), path)
    return path


def as_csv_gz(path: Path, data: list[dict[str, Any]]) -> Path:
    plain = as_csv(path.with_suffix(""), data)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [("d.jsonl", as_jsonl), ("d.csv", as_csv), ("d.parquet", as_parquet), ("d.csv.gz", as_csv_gz)],
)
def test_the_same_rows_give_the_same_case_in_any_format(name: str, write: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cases" / "houses"
    assert init(folder, write(tmp_path / name, rows()), Wishes("price")) == []
    made = case_file.load(folder)
    types = {column: found.type for column, found in made.columns.items()}
    assert types == {
        "sale_id": "id",
        "sold_at": "timestamp",
        "size": "number",
        "rooms": "number",
        "city": "string",
        "garden": "bool",
        "price": "number",
    }
    assert made.entity_id == ("sale_id",)
    assert made.event_time.column == "sold_at"
    assert (made.model.task, made.split.by) == ("regression", "month")
    assert made.columns["price"].known == "label"
    bundle.build(folder)


@pytest.mark.parametrize(
    ("label", "task", "positive"),
    [("garden", "binary", "true"), ("city", "multiclass", None), ("price", "regression", None)],
)
def test_the_task_follows_from_the_label(label: str, task: str, positive: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    init(folder, as_jsonl(tmp_path / "d.jsonl", rows()), Wishes(label))
    made = case_file.load(folder)
    assert (made.model.task, made.label.positive) == (task, positive)


def test_the_period_is_the_largest_of_which_there_are_six(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    init(folder, as_jsonl(tmp_path / "d.jsonl", rows(100)), Wishes("price"))
    assert case_file.load(folder).split.by == "week"


def test_a_column_that_cannot_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    data = [{**row, "tags": ["a"], "odd name": 1} for row in rows()]
    folder = tmp_path / "one"
    assert init(folder, as_jsonl(tmp_path / "d.jsonl", data), Wishes("price")) == ["tags", "odd name"]


def test_a_named_column_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    data = [{**row, "the price": row["price"]} for row in rows()]
    with pytest.raises(CaseError, match="whose name is letters, digits and _.*Rename the column in the file"):
        init(tmp_path / "one", as_jsonl(tmp_path / "d.jsonl", data), Wishes("the price"))


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        (Wishes("prize"), "'--label' must name a column of the file: sale_id, sold_at"),
        (Wishes("price", time="when"), "'--time' must name a column of the file"),
        (Wishes("price", ids=("key",)), "'--id' must name a column of the file"),
        (Wishes("sold_at"), "'--label' must hold numbers, two values, or at most 20 texts"),
    ],
)
def test_a_wrong_wish_is_refused_and_nothing_is_written(wishes: Wishes, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with pytest.raises(CaseError) as caught:
        init(folder, as_jsonl(tmp_path / "d.jsonl", rows()), wishes)
    assert text in str(caught.value)
    assert not folder.exists()


def test_data_without_a_time_is_refused_with_the_remedy(tmp_path: Path) -> None:
    data = [{k: v for k, v in row.items() if k != "sold_at"} for row in rows()]
    with pytest.raises(CaseError, match="'--time' must name a timestamp column.*add an ISO 8601 column"):
        init(tmp_path / "one", as_jsonl(tmp_path / "d.jsonl", data), Wishes("price"))


def test_a_case_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    data = as_jsonl(tmp_path / "d.jsonl", rows())
    init(folder, data, Wishes("price"))
    before = (folder / "case.yaml").read_text()
    with pytest.raises(CaseError, match="'CASE' must not exist yet"):
        init(folder, data, Wishes("size"))
    assert (folder / "case.yaml").read_text() == before


def test_rows_that_nothing_names_are_refused(tmp_path: Path) -> None:
    twice = [row for row in rows() for _ in range(2)]
    with pytest.raises(CaseError, match="'--id' must name columns that together are unique"):
        init(tmp_path / "one", as_jsonl(tmp_path / "d.jsonl", twice), Wishes("price"))


@pytest.mark.parametrize("name", ["data.xlsx", "data", "data.txt.gz"])
def test_a_format_that_is_none_of_ours_is_refused_by_its_ending(name: str) -> None:
    with pytest.raises(CaseError, match="'--data' must end in .csv, .jsonl, .ndjson or .parquet"):
        infer.format_of(Path(name))


def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(CaseError, match="'--data' must be readable as parquet"):
        init(tmp_path / "one", tmp_path / "d.parquet", Wishes("a"))
