"""Which stored rows count: those of each window's last writing, and once each what was appended to it since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.gcp.table_schema import KEY, OWN, ROW, TOKEN, WINDOW
from components.adapters.gcp.writings import APPENDED, GROWS, Last
from components.adapters.latest import latest

_LISTED = 500
"""Tokens that a read names to the service; of more windows, it reads all rows and leaves out what does not count."""


@dataclass(frozen=True)
class Counted:
    """`written` are all windows with a writing that counts; `window`: the one that is asked for."""

    written: Mapping[str, Last]
    grows: bool
    window: str | None = None

    @classmethod
    def of(cls, last: Mapping[str, Last], window: str | None = None) -> Counted:
        written = {name: one for name, one in last.items() if one.token and name != GROWS}
        return cls(written, GROWS in last, window)

    @property
    def chosen(self) -> dict[str, Last]:
        return {name: one for name, one in self.written.items() if self.window in (None, name)}

    def restriction(self) -> str:
        """For the service; what comes may be more. Empty: all rows."""
        tokens = [one.token for one in self.chosen.values()] + ([""] if self.grows else [])
        listed = ", ".join(f"'{token}'" for token in tokens)
        parts = [f"{TOKEN} IN ({listed})"] if len(tokens) <= _LISTED else []
        parts += [f"{WINDOW} = '{self.window}'"] if self.window is not None else []
        return " AND ".join(parts)

    def pick(self, rows: pa.Table) -> pa.Table | None:
        """Of the rows with our own columns those that count, in their order; None: some were replaced meanwhile."""
        rows = rows.filter(pa.array(self._live(rows)))
        written = pc.sum(pc.less(rows[ROW], APPENDED)).as_py() or 0
        if written != sum(one.rows for one in self.chosen.values()):
            return None
        rows = rows.sort_by([(WINDOW, "ascending"), (ROW, "ascending")])
        return latest(rows, [WINDOW, KEY]) if self.grows else rows

    def _live(self, rows: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows bear the token of their window."""
        windows = rows[WINDOW].combine_chunks().dictionary_encode()
        tokens = [self.written.get(name, Last()).token for name in windows.dictionary.to_pylist()]
        wanted = pa.array(tokens, pa.string()).take(windows.indices)
        return np.asarray(pc.equal(rows[TOKEN].combine_chunks(), wanted))


def view(rows: str, state: str) -> str:
    """The SELECT of the rows that count, over the two tables as SQL names them."""
    plain = f"SELECT * EXCEPT ({', '.join(OWN)})"
    # The appended ones apart: only they are compared with each other.
    tokens = f"SELECT name, MAX({TOKEN}) AS counted FROM {state} GROUP BY name"  # noqa: S608  # names by strict pattern
    return (
        f"{plain} FROM {rows} WHERE {ROW} < {APPENDED} AND {TOKEN} IN (SELECT {TOKEN} FROM {state}) "  # noqa: S608  # as above
        f"UNION ALL {plain.replace('*', 'r.*')} FROM {rows} AS r LEFT JOIN ({tokens}) AS s ON s.name = r.{WINDOW} "
        f"WHERE r.{ROW} >= {APPENDED} AND r.{TOKEN} = IFNULL(s.counted, '') "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY r.{WINDOW}, r.{KEY} ORDER BY r.{ROW} DESC) = 1"
    )
