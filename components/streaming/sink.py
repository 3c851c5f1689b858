"""The tables that the stream writes: one window per 8,192 offsets, to which each batch is appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Ports, Tables
from components.core.errors import SetupError
from components.core.events import ARRIVAL
from components.core.inference import DEAD_LETTER
from components.streaming.letters import bury

BUCKET = 8_192
_PREFIX = "stream-"


def window(offset: int) -> str:
    """The name of the window that holds the rows of this offset."""
    return f"{_PREFIX}{offset // BUCKET:08d}"


def check_new(tables: Tables, names: Sequence[str], log: str) -> None:
    """For a reader that has committed nothing: what it would take out must not have come from a log that was lost.

    Raises
    ------
    SetupError
        A table holds windows of offsets.
    """
    for name in names:
        there = [found for found in tables.windows(name) if found.startswith(_PREFIX)]
        if there:
            rule = f"be the log that {name} was written from: its reader has committed nothing"
            remedy = f"Restore the log with its groups, or move {', '.join(names)} away to begin anew."
            raise SetupError("log", rule, f"{len(there)} windows up to {there[-1]}", remedy, where=log)


class Sink:
    """Rows are named by their number: what is appended again is there once.

    What stands in the tables from `committed` on was written by a reader that ended before it committed: it is taken
    out first, as the same offsets come again and may give other rows.
    """

    def __init__(self, ports: Ports, names: Sequence[str], committed: int) -> None:
        self._ports = ports
        for name in names:
            for found in ports.tables.windows(name):
                if found.startswith(_PREFIX) and found >= window(committed):
                    self._trim(name, found, committed)

    def _trim(self, name: str, found: str, committed: int) -> None:
        rows = self._ports.tables.read(name, window=found)
        kept = rows.filter(pc.less(rows.column(ARRIVAL), committed))
        if kept.num_rows < rows.num_rows:
            self._ports.tables.replace(name, found, kept)

    def write(self, offset: int, rows: Mapping[str, pa.Table]) -> None:
        """The rows by table, of offsets from `offset` on in one bucket; durable once it has returned."""
        write(self._ports, window(offset), rows)


def write(ports: Ports, window: str, rows: Mapping[str, pa.Table]) -> None:
    """Adds the rows, by table, to a window; then the dead letters among them go to their topic, if there is one."""
    for name, more in rows.items():
        if more.num_rows:
            ports.tables.append(name, window, more, key=ARRIVAL)
    for name, more in rows.items():
        if name.startswith(DEAD_LETTER):
            bury(ports.events, name.removeprefix(DEAD_LETTER), more)
