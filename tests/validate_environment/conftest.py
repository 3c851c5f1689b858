"""A small case with each type of column, its rows as events, and runs of validate over them."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from components.core import declared, events
from components.core.case import Case
from components.step import Launch
from components.validate import measure
from validate_environment.sample import FLIGHTS, write

if importlib.util.find_spec("tensorflow_data_validation") is None:
    collect_ignore_glob = ["test_*.py"]  # the other environments: `make test` runs this folder in validate's own
else:
    with warnings.catch_warnings():  # of the libraries that it imports: once, here, and nowhere else
        warnings.simplefilter("ignore")
        importlib.import_module("tensorflow_data_validation")

ORDERS: dict[str, Any] = {
    "name": "orders",
    "source": {"path": "orders.csv"},
    "columns": {
        "id": {"type": "id", "missing": False},
        "at": {"type": "timestamp", "missing": False},
        "amount": {"type": "number", "missing": False},
        "city": {"type": "string"},
        "vip": {"type": "bool"},
        "late": {"type": "number", "known": "label"},
    },
    "entity_id": ["id"],
    "event_time": {"column": "at"},
    "label": {"column": "late"},
    "model": {"task": "regression", "estimator": "sklearn.linear_model.Ridge"},
}
HOUR = 3_600_000_000
START = 1_357_000_000_000_000


@pytest.fixture(scope="session")
def case() -> Case:
    return declared.validate(Case, ORDERS, where="orders")


@pytest.fixture(scope="session")
def orders(case: Case) -> Callable[..., pa.Table]:
    """100 orders as events, an hour apart; columns replaced by keyword with 100 values."""

    def make(**columns: Any) -> pa.Table:
        rows = {
            "id": [f"o{i}" for i in range(100)],
            "at": [START + i * HOUR for i in range(100)],
            "amount": [float(i) for i in range(100)],
            "city": ["Porto", "Lisboa", None, "Braga"] * 25,
            "vip": [True, False, None, False] * 25,
            "late": [float(i % 7) for i in range(100)],
        } | columns
        own = [f for f in events.schema(case) if not f.name.startswith("_")]
        table = pa.table({f.name: pa.array(rows[f.name], _stored(f.type)).cast(f.type) for f in own})
        return events.derive(table, case)[0]

    return make


@pytest.fixture(scope="session")
def usual(case: Case, orders: Callable[..., pa.Table]) -> Any:
    """The statistics of 100 orders."""
    return measure.statistics([orders()], measure.types(case))


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


@pytest.fixture
def write_orders(orders: Callable[..., pa.Table], tmp_path: Path) -> Callable[..., Path]:
    """Writes orders as an events artifact called `name`; its folder."""

    def make(name: str = "events", *, purpose: str = "train", rows: int = 100, **columns: Any) -> Path:
        root = tmp_path / name
        write(root, orders(**columns).slice(0, rows), purpose=purpose, shard_rows=30)
        return root

    return make


@pytest.fixture
def orders_folder(tmp_path: Path) -> Path:
    """A folder of the case, to which a test may add a `schema.pbtxt`."""
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "case.yaml").write_text(yaml.safe_dump(ORDERS, sort_keys=False))
    shutil.copy(FLIGHTS / "features.py", folder / "features.py")
    return folder


@pytest.fixture
def launch_orders(make_launch: Callable[..., Launch], orders_folder: Path) -> Callable[..., Launch]:
    """The launch of a run called `job` of the case, with `schema` (text) as its reviewed schema."""

    def make(job: str = "job-1", *, schema: str | None = None) -> Launch:
        if schema is not None:
            (orders_folder / "schema.pbtxt").write_text(schema)
        return make_launch(orders_folder, job=job)

    return make
