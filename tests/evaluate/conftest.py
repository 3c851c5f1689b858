"""A small case with hand-made ONNX models, so that what each model answers is known, and the real ports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from components import step
from components.adapters.connect import Connected
from components.core import artifacts, bundle, model, shards
from components.core.arrow import ARROW
from components.core.model import Model
from components.core.profile import Profile
from components.evaluate import task
from components.step import Launch, Result

FEATURES = """
import numpy as np
def features(columns):
    return {name: columns[name].astype(np.float32) for name in ("x", "z")}
"""
CLASSES: dict[str, tuple[str, ...]] = {"binary": ("0", "1"), "multiclass": ("a", "b", "c"), "regression": ()}
SCHEMA = pa.schema(
    [
        *(("x", ARROW["number"]), ("z", ARROW["number"]), ("kind", ARROW["string"]), ("code", ARROW["id"])),
        *(("_entity", pa.string()), ("_event_time", ARROW["timestamp"])),
    ]
)


def case_yaml(kind: str, **sections: Any) -> str:
    label: dict[str, Any] = {"column": "y"} | ({"above": 0} if kind == "binary" else {})
    columns: dict[str, Any] = {
        "code": {"type": "id"},
        "at": {"type": "timestamp"},
        "x": {"type": "number"},
        "z": {"type": "number"},
        "kind": {"type": "string"},
        "y": {"type": "string" if kind == "multiclass" else "number", "known": "label"},
    }
    case = {
        "name": "toy",
        "source": {"path": "toy.csv"},
        "columns": columns,
        "entity_id": ["code"],
        "event_time": {"column": "at"},
        "label": label,
        "inputs": ["x", "z", "kind"],
        "model": {"task": kind},
        "gate": {"resamples": 50},
    }
    return yaml.safe_dump(case | sections)


def onnx_of(kind: str, weights: Sequence[Sequence[float]]) -> bytes:
    """weights (2, k): the softmax of k classes, or k = 1 numbers, over the features x and z."""
    matrix = np.array(weights, dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["numbers", "w"], ["raw"])]
    if kind != "regression":
        nodes.append(helper.make_node("Softmax", ["raw"], ["probabilities"], axis=1))
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [None, matrix.shape[1]])
    taken = helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph(nodes, "toy", [taken], [output], [numpy_helper.from_array(matrix, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


@dataclass
class World:
    """One case's launch, holdout, models and registry under `root`."""

    root: Path
    launch: Launch
    kind: str
    made: list[Path] = field(default_factory=list)
    job: str = "job-1"

    @property
    def ports(self) -> Connected:
        return Connected(Profile.from_json(self.launch.profile))

    @property
    def holdout(self) -> Path:
        return self.root / "holdout"

    @property
    def evaluation(self) -> Path:
        """Of the last run."""
        return self.root / "runs" / self.job / "evaluation"

    def data(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.evaluation / "evaluation.json").read_bytes())
        return loaded

    def model(self, weights: Sequence[Sequence[float]], bundle_folder: Path | None = None, **change: Any) -> Path:
        """A model artifact of the case's bundle, or of another."""
        source = bundle_folder or step.fetch_bundle(self.ports, self.launch.bundle, self.root / "bundles")
        digest = json.loads((source / bundle.MANIFEST).read_bytes())["digest"]
        folder = self.root / f"model-{len(self.made)}"
        self.made.append(folder)
        content = onnx_of(change.get("task", self.kind), weights)
        described = described_as(self.kind, content, digest, change)
        files = [
            artifacts.write_file(folder, f"{model.BUNDLE}/{p.name}", p.read_bytes())
            for p in sorted(source.iterdir())
            if p.is_file()
        ]
        files += [
            artifacts.write_file(folder, model.ONNX, content),
            artifacts.write_file(folder, model.FILE, described.to_json()),
        ]
        artifacts.publish(folder, "model", files=files)
        return folder

    def promote(self, folder: Path, **tags: str) -> int:
        """Registers a model and makes it champion; its version."""
        described = Model.from_json((folder / model.FILE).read_bytes())
        given = {"bundle": described.bundle} | tags
        version = self.ports.registry.register("toy", folder, described.identity, given).version
        pointer = self.ports.endpoints.pointer("toy")
        self.ports.endpoints.change(
            type(pointer)("toy", champion=version, generation=pointer.generation, by="test", why="test")
        )
        return version

    def run(self, folder: Path, job: str = "job-1") -> Result:
        self.job = job
        launch = Launch(job, self.launch.bundle, self.launch.operations, self.launch.profile)
        return task.run(launch, model=str(folder), holdout=str(self.holdout), evaluation=str(self.evaluation))


def described_as(kind: Any, content: bytes, digest: str, change: Mapping[str, Any]) -> Model:
    inputs = change.get("inputs", (("x", "number"), ("z", "number"), ("kind", "string")))
    values: dict[str, Any] = {
        "identity": model.identity(sha256(content).hexdigest(), inputs, digest),
        "case": "toy",
        "task": kind,
        "estimator": "sklearn.linear_model.LogisticRegression",
        "parameters": {},
        "inputs": inputs,
        "features": (("x", "float32"), ("z", "float32")),
        "classes": CLASSES[change.get("task", kind)],
        "threshold": 0.5 if change.get("task", kind) == "binary" else None,
        "serve_with": "onnx",
        "metrics": {},
        "trained_from": "2020-01-01T00:00:00Z",
        "trained_to": "2020-12-31T23:00:00Z",
        "rows": 100,
        "data": "d" * 64,
        "bundle": digest,
        "seed": 0,
    }
    return Model(**values | dict(change))


def columns_of(kind: str, n: int, seed: int = 0) -> dict[str, Any]:
    """n hourly rows from 2021 on: the label follows x; z is noise; kind is p, q, or missing in one row of ten."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    noisy = x + rng.normal(size=n) / 2
    labels: Any = noisy
    if kind == "binary":
        labels = (noisy > 0).astype(float)
    elif kind == "multiclass":
        labels = np.array(["a", "b", "c"], dtype=object)[np.digitize(noisy, [-0.5, 0.5])]
    return {
        "x": x,
        "z": rng.normal(size=n),
        "kind": [("p", "q", "q", None)[(i % 10 > 2) + (i % 10 > 5) + (i % 10 > 8)] for i in range(n)],
        "code": [f"c{i}" for i in range(n)],
        "_entity": [f"c{i}" for i in range(n)],
        "_event_time": np.datetime64("2021-01-01T00", "us") + np.arange(n) * np.timedelta64(1, "h"),
        "_label": labels,
        "_weight": np.ones(n),
    }


def write_holdout(root: Path, kind: str, columns: Mapping[str, Any], parts: int = 2) -> Path:
    """The columns as an artifact of several partitions, of small shards."""
    label = ARROW["string" if kind == "multiclass" else "number"]
    schema = pa.schema([*SCHEMA, ("_label", label), ("_label_time", ARROW["timestamp"]), ("_weight", pa.float64())])
    columns = {"_label_time": columns["_event_time"], **columns}
    schema = pa.schema([f for f in schema if f.name in columns])
    table = pa.table({f.name: pa.array(columns[f.name], from_pandas=f.name != "_label").cast(f.type) for f in schema})
    artifacts.clear(root)
    made = []
    size = -(-table.num_rows // parts)
    for i in range(parts):
        writer = shards.PartitionWriter(root, f"2021-{i + 1:02d}", schema, time="_event_time", shard_rows=700)
        writer.write(table.slice(i * size, size))
        made.append(writer.close())
    artifacts.publish(root, "enriched", schema=schema, partitions=made)
    return root


Maker = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path, make_launch: Callable[..., Launch]) -> Maker:
    """A world of a task; `columns` is the holdout, else `rows` made ones; other arguments are sections of the case."""

    def make(
        kind: str = "binary", *, rows: int = 1500, columns: Mapping[str, Any] | None = None, **sections: Any
    ) -> World:
        folder = tmp_path / "case"
        folder.mkdir(exist_ok=True)
        (folder / "case.yaml").write_text(case_yaml(kind, **sections))
        (folder / "features.py").write_text(FEATURES)
        made = World(tmp_path, make_launch(folder, tmp_path), kind)
        write_holdout(made.holdout, kind, columns_of(kind, rows) if columns is None else columns)
        return made

    return make


GOOD: dict[str, list[list[float]]] = {
    "binary": [[-2.0, 2.0], [0.0, 0.0]],
    "multiclass": [[-3.0, 0.0, 3.0], [0.0, 0.0, 0.0]],
    "regression": [[1.0], [0.0]],
}
NOISY: dict[str, list[list[float]]] = {
    "binary": [[-2.0, 2.0], [1.0, -1.0]],
    "multiclass": [[-3.0, 0.0, 3.0], [2.0, 0.0, 0.0]],
    "regression": [[1.0], [0.7]],
}
"""What leans on the noise column z too, and so is worse."""
