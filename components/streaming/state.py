"""What the steps remember between two batches: immutable, and Arrow IPC between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from components.streaming.judge import NEVER, Seen

_SEEN, _LARGEST = "", b"largest"


@dataclass(frozen=True)
class State:
    """`windows` are the rows that later ones may see (`core.enrich`), by enrichment."""

    seen: Seen
    windows: Mapping[str, pa.Table] = field(default_factory=dict)

    @classmethod
    def nothing(cls, largest: int = NEVER) -> State:
        return cls(Seen.nothing(largest))

    def to_bytes(self) -> bytes:
        tables = {_SEEN: self.seen.ids, **self.windows}
        packed = pa.table(
            {"name": list(tables), "rows": pa.array([_ipc(t) for t in tables.values()], pa.large_binary())}
        )
        return _ipc(packed.replace_schema_metadata({_LARGEST: str(self.seen.largest).encode()}))

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        packed = pa.ipc.open_stream(data).read_all()
        tables = {
            name: pa.ipc.open_stream(rows).read_all()
            for name, rows in zip(*(packed.column(n).to_pylist() for n in ("name", "rows")), strict=True)
        }
        return cls(Seen(tables.pop(_SEEN), int(packed.schema.metadata[_LARGEST])), tables)


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
