"""A toy case whose version 1 is champion and whose version 2 is challenger, and traffic as servers and stream log it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.adapters import release
from components.adapters.local.registry import MlflowRegistry
from components.canary import task
from components.core import inference, live_rows
from components.core.arrow import ARROW
from components.step import Launch, Result
from tests.toy import NAME, PLAIN, Toy, toy

ALIKE, OPPOSITE = ((-3.0, 3.0), (0.0, 0.0)), ((2.0, -2.0), (0.0, 0.0))
"""Challengers: one decides as PLAIN does, the other never."""
SPREAD = 0.001
"""Seconds between two requests."""


@dataclass
class Traffic:
    """Requests of one version: how many, how long they take, which share fails, how they decide."""

    version: int
    count: int = 200
    ms: float = 4.0
    failing: float = 0.0
    status: int = 500
    """Of those that fail."""
    opposite: bool = False
    right: float | None = None
    """The share of decisions that a label will bear out; None: no label."""
    rows: int = 1
    named: bool = False
    """Whether the requests ask for the version outright."""
    after: float = 0.0
    """Seconds from the canary's start to the first request."""


@dataclass
class Canary:
    """The toy, its pointer's start, and what has been logged."""

    toy: Toy
    since: float = 0.0
    served: int = 0
    labels: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, weights: Sequence[Sequence[float]] = ALIKE, percent: int = 50) -> None:
        """Version 1 is champion, the model of these weights challenger."""
        for name, model in (("champion", PLAIN), ("challenger", weights)):
            version = self.toy.register(self.toy.model(name, model))
            if version == 1:
                release.promote(self.toy.ports, NAME, version, by="test", why="the first")
            else:
                change = release.begin_canary(self.toy.ports, NAME, version, percent, by="test", why="try it")
                self.since = change.after.at

    def lines(self, traffic: Traffic, seed: int = 0) -> list[dict[str, Any]]:
        """The log's lines, in order of time."""
        random = np.random.default_rng([seed, traffic.version])
        return [self._line(traffic, i, random) for i in range(traffic.count)]

    def _line(self, traffic: Traffic, i: int, random: np.random.Generator) -> dict[str, Any]:
        role = "champion" if traffic.version == 1 else "challenger"
        role = "named" if traffic.named else role
        took = float(traffic.ms * random.lognormal(0, 0.2))
        base = {
            "id": f"{traffic.version}-{self.served}-{i}",
            "at": self.since + traffic.after + SPREAD * (i + 1),
            "ms": took,
        }
        base |= {"version": traffic.version, "role": role}
        if random.random() < traffic.failing:
            return base | {"status": traffic.status}
        x = random.normal(size=traffic.rows)
        decisions = [str(int((value > 0) != traffic.opposite)) for value in x]
        if traffic.right is not None:
            hit = random.random() < traffic.right
            self.labels.append(
                {"_id": base["id"], "_label": float(decisions[0] == "1") if hit else float(decisions[0] != "1")}
            )
        inputs = [{"x": float(value), "z": 0.5, "kind": "p"} for value in x]
        score = [0.9 if d == "1" else 0.1 for d in decisions]
        return base | {"status": 200, "inputs": inputs, "score": score, "decision": decisions}

    def serve(self, *traffic: Traffic, server: str = "a", dropped: int = 0, also: Sequence[bytes] = ()) -> None:
        """One segment of a server's log with all of this traffic."""
        self.served += 1
        lines = sorted(
            (line for part in traffic for line in self.lines(part, self.served)), key=lambda line: line["at"]
        )
        data = [json.dumps(line).encode() for line in (*lines, {"dropped": dropped})]
        name = f"{inference.log_prefix(NAME)}{server}/{self.served:08d}.jsonl"
        self.toy.ports.blobs.write(name, b"\n".join([*also, *data]) + b"\n", generation=0)

    def stream(self, *traffic: Traffic, window: str = "stream-00000000") -> None:
        """The same traffic as the stream writes it."""
        data = b"\n".join(json.dumps(line).encode() for part in traffic for line in self.lines(part))
        rows = live_rows.parse(data, {"x": "number", "z": "number", "kind": "string"}).rows
        rows = rows.set_column(rows.schema.get_field_index("_source"), "_source", pa.array(["stream"] * rows.num_rows))
        self.toy.ports.tables.replace(inference.table(NAME), window, rows)

    def land(self, window: str = "00000000") -> None:
        """The labels of all traffic so far."""
        times = pa.array(np.arange(len(self.labels)) * 1_000_000).cast(ARROW["timestamp"])
        columns = {"_id": pa.array([row["_id"] for row in self.labels], pa.string()), "_label_time": times}
        columns |= {"_label": pa.array([row["_label"] for row in self.labels], pa.float64())}
        self.toy.ports.tables.replace(inference.labels_table(NAME), window, pa.table(columns))

    def run(self, version: str = "2", job: str = "job-1") -> Result:
        return task.run(self.toy.again(job).launch, version=version, canary=str(self.out(job)))

    def out(self, job: str = "job-1") -> Path:
        return self.toy.root / job / "canary"

    def found(self, job: str = "job-1") -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out(job) / "canary.json").read_bytes())
        return loaded

    def pointer(self) -> Any:
        return self.toy.ports.endpoints.pointer(NAME)


@pytest.fixture
def make(tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Canary]:
    """A canary of the toy case with these settings over defaults for tests."""
    monkeypatch.setattr(task, "INTERVAL", 0.02)
    monkeypatch.setattr(MlflowRegistry, "_project", lambda *_: None)  # the view for people; its tests are elsewhere

    def made(kind: str = "binary", **settings: Any) -> Canary:
        asked = {"requests": 100, "deadline": "60s", "error_rate": 0.05, "agreement": 0.8} | settings
        here = toy(tmp_path, make_launch, kind, canary=asked)
        return Canary(here)

    return made
