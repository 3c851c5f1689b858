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


def check_new(tables: Tables, names: Sequence[str], log: str, since: str = window(0), number: int = 0) -> None:
    """What a reader has yet to write must not stand there: it came from a log that was lost, or from elsewhere.

    Parameters
    ----------
    since
        The window of `number`, the first offset that no reader of this log can have written. It and those after it hold
        nothing from there on.

    Raises
    ------
    SetupError
        A table holds such rows.
    """
    prefix = since.rstrip("0123456789")
    for name in names:
        there = [found for found in tables.windows(name) if found.startswith(prefix) and found >= since]
        if there[:1] == [since] and not _holds(tables, name, since, number):
            del there[0]
        if there:
            why = f"it ends at {number:,}" if number else "its reader has committed nothing"
            remedy = f"Restore the log with its groups, or move {', '.join(names)} away to begin anew."
            rule = f"be the log that {name} was written from: {why}"
            raise SetupError("log", rule, f"{len(there)} windows up to {there[-1]}", remedy, where=log)


def _holds(tables: Tables, name: str, window: str, number: int) -> bool:
    """Whether there are rows from this number on."""
    numbers = tables.read(name, window=window, columns=[ARRIVAL]).column(ARRIVAL)
    return bool(pc.any(pc.greater_equal(numbers, number)).as_py())


class Sink:
    """Rows are named by their number: what is appended again is there once.

    What stands in the tables from `committed` on was written by a reader that ended before it committed: it is taken
    out first, as the same offsets come again and may give other rows.
    """

    def __init__(self, ports: Ports, names: Sequence[str], committed: int) -> None:
        self._ports = ports
        cut_back(ports.tables, names, window(committed), committed)

    def write(self, offset: int, rows: Mapping[str, pa.Table]) -> None:
        """The rows by table, of offsets from `offset` on in one bucket; durable once it has returned."""
        write(self._ports, window(offset), rows)


def cut_back(tables: Tables, names: Sequence[str], since: str, committed: int) -> None:
    """Takes the rows from the number `committed` on out of the window `since` and those after it."""
    prefix = since.rstrip("0123456789")
    for name in names:
        for found in tables.windows(name):
            if found.startswith(prefix) and found >= since:
                rows = tables.read(name, window=found)
                kept = rows.filter(pc.less(rows.column(ARRIVAL), committed))
                if kept.num_rows < rows.num_rows:
                    tables.replace(name, found, kept)


def write(ports: Ports, window: str, rows: Mapping[str, pa.Table]) -> None:
    """Adds the rows, by table, to a window; then the dead letters among them go to their topic, if there is one."""
    for name, more in rows.items():
        if more.num_rows:
            ports.tables.append(name, window, more, key=ARRIVAL)
    for name, more in rows.items():
        if name.startswith(DEAD_LETTER):
            bury(ports.events, name.removeprefix(DEAD_LETTER), more)
