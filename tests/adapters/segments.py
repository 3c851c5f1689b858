"""Servers' segments in stores of their own; other processes import it by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.adapters.live_table import Collected, Intake
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.tables import ParquetTables
from components.adapters.ports import Blobs, Tables

CASE, TABLE = "my-case", "live_my_case"
TYPES: Any = {"x": "number"}


class Here:
    def __init__(self, blobs: Blobs, tables: Tables) -> None:
        self.blobs, self.tables = blobs, tables
        self.intake = self.collector()

    def collector(self, types: Any = TYPES) -> Intake:
        """Another one, which knows nothing yet."""
        return Intake(self.blobs, self.tables, CASE, types)

    def write(self, server: str, number: int, *ids: str, dropped: int = 0, torn: bytes = b"", x: Any = 0.5) -> None:
        lines: list[dict[str, Any]] = [
            {"id": i, "at": 100.0 + number, "version": 1, "role": "champion", "status": 200, "ms": 1.0}
            | {"inputs": [{"x": x}], "score": [0.5], "decision": ["1"]}
            for i in ids
        ]
        data = b"".join(json.dumps(line).encode() + b"\n" for line in (*lines, {"dropped": dropped}))
        self.blobs.write(f"inference/{CASE}/{server}/{number:08d}.jsonl", data + torn, generation=0)

    def collect(self, intake: Intake | None = None, **options: int) -> Collected:
        """What was counted until now by who collects."""
        who = intake or self.intake
        who.collect(**options)
        return who.collected

    def ids(self) -> list[str]:
        return sorted(self.tables.read(TABLE)["_id"].to_pylist())

    def logged(self) -> list[str]:
        """The log's names by now, without the prefix."""
        return [name.removeprefix(f"inference/{CASE}/") for name in self.blobs.names("inference/")]


def local(root: Path) -> Here:
    return Here(FileBlobs(root / "blobs"), ParquetTables(root / "tables"))


def gather(root: Path) -> None:
    local(root).collect()
