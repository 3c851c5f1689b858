"""What travels between the job's transforms: messages, and rows by table, as Arrow IPC bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from components.adapters.ports import Message

_FIRST = b"first"
_MESSAGES = pa.schema({"data": pa.binary(), "attributes": pa.map_(pa.string(), pa.string()), "arrived": pa.int64()})


def of_messages(messages: Sequence[Message], first: int | None = None) -> bytes:
    """`first` is the offset of the first, where they come from a log."""
    attributes = [list(m.attributes.items()) for m in messages]
    columns = [[m.data for m in messages], attributes, [m.arrived for m in messages]]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _MESSAGES, strict=True)], schema=_MESSAGES)
    return _bytes(table if first is None else table.replace_schema_metadata({_FIRST: str(first).encode()}))


def messages(chunk: bytes) -> list[Message]:
    table = _table(chunk)
    columns = (table.column(name).to_pylist() for name in _MESSAGES.names)
    return [Message(data, dict(attributes), arrived) for data, attributes, arrived in zip(*columns, strict=True)]


def first(chunk: bytes) -> int | None:
    """The offset of the first message, or None where the messages have none."""
    found = (_table(chunk).schema.metadata or {}).get(_FIRST)
    return None if found is None else int(found)


def count(chunk: bytes) -> int:
    """Of messages."""
    return int(_table(chunk).num_rows)


def of_tables(tables: Mapping[str, pa.Table]) -> bytes:
    return _bytes(pa.table({name: pa.array([_bytes(rows)], pa.large_binary()) for name, rows in tables.items()}))


def tables(data: bytes) -> dict[str, pa.Table]:
    packed = _table(data)
    return {name: _table(packed.column(name)[0].as_py()) for name in packed.column_names}


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _table(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()
