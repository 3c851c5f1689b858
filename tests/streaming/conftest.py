"""The toy case as a stream: windows of events and of labels, a reference table, hand-made models, a log of messages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core import bundle
from components.core.case import Case
from components.core.profile import Profile
from components.step import Launch, fetch_bundle
from components.streaming import served
from components.streaming.loop import Limits, Loop, Status
from components.streaming.references import References
from components.streaming.served import Served
from components.streaming.steps import Steps
from tests.evaluate.conftest import case_yaml
from tests.toy import Toy

LATENESS = 60
START = 1_600_000_000
NAME = "toy"
TABLES = ("live_toy", "labels_toy", "dead_letter_toy")
CLOCK = ("_at", "_latency_ms")
PLAIN = ((-2.0, 2.0), (0.0, 0.0))
OTHER = ((-1.0, 1.0), (-0.5, 0.5))
FEATURES = """
import numpy as np
def features(columns):
    if (columns["x"] == 666).any():
        raise ValueError("x is 666")
    seen = columns["seen_sum_10min"] / 100 + columns["seen_count_2min"] / 100
    landed = np.where(np.isnan(columns["landed_mean_10min"]), 0, columns["landed_mean_10min"])
    level = np.where(np.isnan(columns["shop_level"]), 0, columns["shop_level"])
    return {
        "x": (columns["x"] + seen + level).astype(np.float32),
        "z": (columns["z"] + landed).astype(np.float32),
        "kind": columns["kind"],
    }
"""
COLUMNS = {
    "code": {"type": "id", "missing": False},
    "at": {"type": "timestamp", "missing": False},
    "x": {"type": "number"},
    "z": {"type": "number"},
    "kind": {"type": "string"},
    "lands": {"type": "number", "known": "label"},
    "y": {"type": "number", "known": "label"},
}
SECTIONS: dict[str, Any] = {
    "columns": COLUMNS,
    "label": {"column": "y", "above": 0, "matures": {"column": "at", "plus": {"lands": "seconds"}}},
    "references": {
        "shop": {
            "source": {"path": "shops.csv"},
            "columns": {"kind": {"type": "string"}, "level": {"type": "number"}},
            "by": {"kind": "kind"},
            "take": ["level"],
        }
    },
    "windows": {
        "seen": {"by": ["kind"], "over": ["2min", "10min"], "of": "z", "unit": 0.01, "compute": ["count", "sum"]},
        "landed": {"by": ["kind"], "over": ["10min"], "of": "y", "unit": 0.01, "compute": ["mean"], "known": "label"},
    },
    "streaming": {"lateness": f"{LATENESS}s"},
}
INPUTS = (
    *(("x", "number"), ("z", "number"), ("kind", "string"), ("shop_level", "number")),
    *((f"seen_{c}_{o}", "number") for o in ("2min", "10min") for c in ("count", "sum")),
    ("landed_mean_10min", "number"),
)
SHOPS = "kind,level\np,0.25\nq,-0.25\n"


@dataclass
class Stream:
    """One case's launch, models and log."""

    toy: Toy
    made: int = 0

    @property
    def ports(self) -> Connected:
        return self.toy.ports

    @property
    def profile(self) -> Profile:
        return Profile.from_json(self.toy.launch.profile)

    @property
    def log(self) -> Log:
        return Log(self.profile.path("events") / NAME)

    @property
    def case(self) -> Case:
        folder = fetch_bundle(self.ports, self.toy.launch.bundle, self.toy.root / "bundles")
        return bundle.read(folder, self.toy.launch.bundle).case()

    def register(self, weights: Sequence[Sequence[float]] = PLAIN) -> int:
        """A new version that is not live."""
        self.made += 1
        folder = self.toy.model(f"model-{self.made}", weights, inputs=INPUTS)
        identity = json.loads((folder / "model.json").read_bytes())["identity"]
        tags = {"bundle": self.toy.launch.bundle}
        return self.ports.registry.register(NAME, folder, identity, tags).version

    def point(self, champion: int | None, challenger: int | None = None, split: int = 0) -> None:
        pointer = self.ports.endpoints.pointer(NAME)
        self.ports.endpoints.change(replace(pointer, champion=champion, challenger=challenger, split=split))

    def served(self) -> Served:
        return served.follow(self.ports.registry, self.case, self.ports.endpoints.pointer(NAME), None)

    def steps(self) -> Steps:
        found = self.served()
        enrichments = References(self.ports.sources, LATENESS).enrichments(found.cases())
        return Steps(self.case, LATENESS, found, enrichments)

    def run(self, *, idle: float | None = 0.0, most: int | None = None, said: list[str] | None = None) -> Status:
        """A loop of its own, until all is read."""
        say = said.append if said is not None else lambda _: None
        return Loop(self.ports, self.log, self.case, LATENESS, say).run(Limits(idle, most))

    def tables(self) -> dict[str, pa.Table]:
        """All rows of each table by offset, without the clock's columns."""
        return {name: self.table(name) for name in TABLES}

    def table(self, name: str) -> pa.Table:
        if not self.ports.tables.windows(name):
            return pa.table({})
        found = self.ports.tables.read(name)
        return found.drop_columns([n for n in CLOCK if n in found.column_names]).sort_by("_arrival")


@pytest.fixture
def stream(tmp_path: Path, make_launch: Callable[..., Launch]) -> Stream:
    """A stream without a champion and with an empty log."""
    return make_stream(tmp_path, make_launch)


def make_stream(root: Path, make_launch: Callable[..., Launch], **sections: Any) -> Stream:
    folder = root / "case"
    folder.mkdir()
    inputs = [name for name, _ in INPUTS]
    (folder / "case.yaml").write_text(case_yaml("binary", **(SECTIONS | {"inputs": inputs} | sections)))
    (folder / "features.py").write_text(FEATURES)
    (root / "shops.csv").write_text(SHOPS)
    return Stream(Toy(root, make_launch(folder, root)))


def event(number: int, second: float, *, label: float | None = None, **changes: Any) -> Message:
    """An event `second` seconds after the start; with `label` its label's message, which lands so much later."""
    row: dict[str, Any] = {
        "code": f"c{number}",
        "at": str(np.datetime64(START * 1_000_000 + round(second * 1e6), "us")) + "Z",
        "x": number % 7 / 7 - 0.4,
        "z": number % 5 - 2.0,
        "kind": ["p", "q", None][number % 3],
    }
    kind = {}
    if label is not None:
        row |= {"y": number % 4 - 1.5, "lands": label}
        kind = {"kind": "label"}
    return Message(json.dumps(row | changes).encode(), kind)


def messages(count: int, seed: int = 0, *, bad: float = 0.02, late: float = 0.05, twice: float = 0.1) -> list[Message]:
    """Events a few seconds apart, each followed by its label later; some late beyond measure, some sent again."""
    rng = random.Random(seed)
    sent: list[tuple[float, int, Message]] = []
    for number in range(count):
        second = number * 5.0 + rng.random() * 4
        delay = rng.uniform(0, LATENESS * 0.8) if rng.random() < 0.3 else 0.0
        if rng.random() < late:
            delay = rng.uniform(LATENESS * 1.5, LATENESS * 4)
        lands = rng.uniform(1, 400)
        of = [(second + delay, event(number, second)), (second + lands, event(number, second, label=lands))]
        if rng.random() < twice:
            of.append((of[0][0] + rng.uniform(0, LATENESS), of[0][1]))
        if rng.random() < bad:
            of.append((second, Message(rng.choice([b"{", b"[1]", b'{"code": "a"}', b"\xff", b'{"x": "much"}']))))
        sent += [(at, rng.randrange(2**30), message) for at, message in of]
    return [message for _, _, message in sorted(sent, key=lambda one: one[:2])]


def offsets(table: pa.Table) -> list[int]:
    found: list[int] = table.column("_arrival").to_pylist()
    return found
