"""JSON lines as blocks: numbers as they are where a number is declared, all else as the text that CSV would hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from components.core.case import Column
from components.ingest.block import Block, located
from components.ingest.convert import RULES, as_text, shown
from components.ingest.dead_letter import Bad
from components.ingest.expand import Member
from components.ingest.records import Chunk, Framing, chunks


def blocks(member: Member, columns: Mapping[str, Column]) -> Iterator[Block]:
    """One block per chunk; a line that is no JSON object is malformed. Raises DataError as `records.chunks` does."""
    framing = Framing()
    for chunk in chunks(member.stream, framing, where=member.name):
        yield _block(chunk, framing.records(chunk), columns)


def _block(chunk: Chunk, records: list[tuple[int, int]], columns: Mapping[str, Column]) -> Block:
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int]] = []
    reasons: list[str] = []
    wrong: list[tuple[int, int]] = []
    for record in records:
        line = chunk.data[slice(*record)]
        if line.isspace():
            continue
        try:
            row = json.loads(line.decode())
            if not isinstance(row, dict):
                raise ValueError(f"a JSON {type(row).__name__}")
        except (ValueError, RecursionError) as error:
            reasons.append(f"'record' must be a JSON object. Got {shown(str(error))}.")
            wrong.append(record)
        else:
            rows.append(row)
            places.append(record)
    malformed = [Bad(line, raw, why) for (line, raw), why in zip(located(chunk, wrong), reasons, strict=True)]
    seen = set().union(*rows)
    faults: dict[int, str] = {}
    values = {n: _array(n, c, [row.get(n) for row in rows], faults) for n, c in columns.items() if n in seen}
    return Block(values, len(rows), lambda wanted: located(chunk, [places[i] for i in wanted]), malformed, faults)


def _array(name: str, column: Column, values: list[Any], faults: dict[int, str]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float} and column.type == "number":
        try:
            return pa.array(values, pa.float64())
        except pa.ArrowInvalid:  # an integer that float64 does not hold exactly
            pass
    if kinds <= {str}:
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:  # half of a surrogate pair
            pass
    return pa.array([_text(name, column, row, value, faults) for row, value in enumerate(values)], pa.string())


def _text(name: str, column: Column, row: int, value: Any, faults: dict[int, str]) -> str | None:
    try:
        if value is None or isinstance(value, dict | list):
            raise TypeError
        text = repr(value) if isinstance(value, float) and column.type == "number" else as_text(value)
        if text is not None:
            text.encode()
        return text
    except (TypeError, ValueError):
        if value is not None:
            faults.setdefault(row, f"{name!r} must {RULES[column.type]}. Got {shown(value)}.")
        return None
