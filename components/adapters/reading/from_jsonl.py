"""JSON lines as blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.adapters.reading.block import Bad, Block, located
from components.adapters.reading.expand import Member
from components.adapters.reading.records import Chunk, Framing, chunks
from components.core import json_rows
from components.core.case import Column
from components.core.convert import shown


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
    values, faults = json_rows.arrays(rows, columns)
    return Block(values, len(rows), lambda wanted: located(chunk, [places[i] for i in wanted]), malformed, faults)
