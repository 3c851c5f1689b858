"""A toy case with the artifacts that stand between its steps: models whose answers are known, over the real ports.

The features x and z are numbers and `kind` is a text; the label follows x.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components import step
from components.adapters.connect import Connected
from components.core import artifacts, drift, model, scorer, shards
from components.core.arrow import ARROW
from components.core.model import Model
from components.core.profile import Profile
from components.step import Launch
from tests.evaluate.conftest import case_yaml, described_as, onnx_of

NAME = "toy"
FEATURES = """
import numpy as np
def features(columns):
    return {"x": columns["x"].astype(np.float32), "z": columns["z"].astype(np.float32), "kind": columns["kind"]}
"""
PLAIN = ((-2.0, 2.0), (0.0, 0.0))
"""The softmax of 4 x: its probability is above one half where x is above 0."""
HOUR = np.timedelta64(1, "h")
Columns = dict[str, Any]


def columns(rows: int, seed: int = 0, start: str = "2021-01-01T00") -> Columns:
    """Enriched rows, one an hour, of a binary case: x and z are normal, kind is p, q or missing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    times = np.datetime64(start, "us") + np.arange(rows) * HOUR
    return {
        "x": x,
        "z": random.normal(size=rows),
        "kind": random.choice(np.array(["p", "q", None], dtype=object), size=rows, p=[0.6, 0.3, 0.1]),
        "_entity": np.array([f"{start}-{i:05d}" for i in range(rows)], dtype=object),
        "_event_time": times,
        "_label": (x + random.normal(size=rows) / 2 > 0).astype(float),
        "_label_time": times + HOUR,
        "_weight": np.ones(rows),
    }


def schema(label: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            *(("x", pa.float64()), ("z", pa.float64()), ("kind", pa.string())),
            *(("_entity", pa.string()), ("_event_time", ARROW["timestamp"])),
            *(("_label", label), ("_label_time", ARROW["timestamp"]), ("_weight", pa.float64())),
        ]
    )


def write_rows(root: Path, given: Mapping[str, Any], *, window: Sequence[str] = (), label: Any = None) -> Path:
    """The columns as an artifact of kind "enriched" with a partition per month, of small shards; NaN is null."""
    made = schema(label or pa.float64())
    table = pa.table([pa.array(given[f.name], type=f.type, from_pandas=True) for f in made], schema=made)
    months = np.asarray(given["_event_time"]).astype("datetime64[M]")
    parts = []
    for month in sorted(set(months)):
        writer = shards.PartitionWriter(root, str(month), made, time="_event_time", shard_rows=500)
        writer.write(table.filter(pa.array(months == month)))
        parts.append(writer.close())
    ends = [min(months), max(months) + 1] if len(months) else [np.datetime64("2021-01")] * 2
    named = list(window) or [f"{end}-01T00:00:00Z" for end in ends]
    artifacts.publish(root, "enriched", schema=made, partitions=parts, info={"window": named})
    return root


@dataclass
class Toy:
    """A launch of the case under `root`, and what its steps hand over."""

    root: Path
    launch: Launch
    kind: str = "binary"

    @property
    def ports(self) -> Connected:
        return Connected(Profile.from_json(self.launch.profile))

    def again(self, job: str) -> Toy:
        """The same launch as another run."""
        return replace(self, launch=replace(self.launch, job=job))

    def model(self, name: str, weights: Sequence[Sequence[float]] = PLAIN, **change: Any) -> Path:
        """A model artifact of the launch's bundle, whose baseline are 5,000 rows."""
        root, source = self.root / name, step.fetch_bundle(self.ports, self.launch.bundle, self.root / "bundles")
        content = onnx_of(self.kind, weights)
        described = described_as(self.kind, content, self.launch.bundle, change)
        files = {f"{model.BUNDLE}/{p.name}": p.read_bytes() for p in sorted(source.iterdir()) if p.is_file()}
        files |= {model.ONNX: content, model.FILE: described.to_json(), model.BASELINE: baseline(described, content)}
        written = [artifacts.write_file(root, path, data) for path, data in files.items()]
        artifacts.publish(root, "model", files=written)
        return root

    def evaluation(
        self, name: str, model_root: Path, *, accepted: bool = True, champion: int | None = None, **change: Any
    ) -> Path:
        """An evaluation of that model, beside that champion."""
        root, identity = self.root / name, Model.from_json((model_root / model.FILE).read_bytes()).identity
        reason = "Every floor is reached." if accepted else "roc_auc is 0.5, below its floor 0.8."
        body: dict[str, Any] = {"accepted": accepted, "reasons": [reason], "model": identity}
        body |= {"champion": champion and {"version": champion}, "metrics": {"roc_auc": 0.9}} | change
        file = artifacts.write_file(root, "evaluation.json", json.dumps(body).encode())
        artifacts.publish(root, "evaluation", files=[file])
        return root

    def register(self, model_root: Path) -> int:
        """The model's version."""
        described = Model.from_json((model_root / model.FILE).read_bytes())
        return self.ports.registry.register(NAME, model_root, described.identity, {"bundle": described.bundle}).version

    def promote(self, model_root: Path) -> int:
        """Registers the model and makes it champion; its version."""
        version = self.register(model_root)
        pointer = self.ports.endpoints.pointer(NAME)
        self.ports.endpoints.change(replace(pointer, champion=version, previous=pointer.champion))
        return version


def baseline(described: Model, content: bytes) -> bytes:
    """5,000 rows of the same distribution as `columns` gives."""
    given = columns(5000, seed=1)
    features = {name: given[name].astype(np.float32) for name in ("x", "z")}
    found = scorer.decide(described, scorer.onnx_raw(content, ("x", "z"), ())(features))
    kinds = {"kind": np.array([value or "" for value in given["kind"]], dtype=object)}
    return json.dumps(drift.baseline(features | kinds, found.score)).encode()


def toy(root: Path, make_launch: Callable[..., Launch], kind: str = "binary", **sections: Any) -> Toy:
    """A new toy under `root`; `sections` are those of its case.yaml."""
    folder = root / "case"
    folder.mkdir()
    (folder / "case.yaml").write_text(case_yaml(kind, **sections))
    (folder / "features.py").write_text(FEATURES)
    return Toy(root, make_launch(folder, root), kind)
