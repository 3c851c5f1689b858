"""The chain of steps from messages to rows of tables: (state, batch) -> (state, outputs), the same in any runner.

Nothing here reads a file or a socket, and no row depends on the clock. Any chunking of the same messages gives the same
rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa

from components.adapters.ports import Message
from components.core import inference
from components.core.arrow import columns_of
from components.core.case import Case
from components.core.enrich import Enrichment
from components.core.events import ARRIVAL, iso
from components.streaming import rows as tables
from components.streaming.decode import OFFSET, TIME, Decoder, Letter
from components.streaming.judge import Judged, judge
from components.streaming.score import score
from components.streaming.served import Served
from components.streaming.state import State


@dataclass(frozen=True)
class Counts:
    """read = good + dead_letter + late + duplicate, always. `labels` are those of the good ones."""

    read: int = 0
    good: int = 0
    dead_letter: int = 0
    late: int = 0
    duplicate: int = 0
    labels: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Outputs:
    """Rows for the three tables, in offset order, without the clock's columns.

    `spent` are the seconds that each version took to score its share.
    """

    live: pa.Table
    labels: pa.Table
    letters: pa.Table
    counts: Counts
    spent: Mapping[int, float] = field(default_factory=dict)

    @staticmethod
    def names(case: str) -> tuple[str, str, str]:
        """The tables' names."""
        return inference.table(case), inference.labels_table(case), inference.dead_letter_table(case)

    def stamped(self, case: str, at: float, latency: float) -> dict[str, pa.Table]:
        """The rows by table name, with the clock's columns: seconds since 1970, and milliseconds for the whole batch.

        No version's latency holds what another took: one that is slow shows by itself.
        """
        total = sum(self.spent.values())
        own = {number: latency - 1e3 * (total - seconds) for number, seconds in self.spent.items()}
        latencies = [own[number] for number in self.live.column("_version").to_pylist()]
        made = (tables.stamped(self.live, at, latencies), self.labels, tables.stamped(self.letters, at))
        return dict(zip(self.names(case), made, strict=True))


class Steps:
    """The steps of one case with the versions that are served now.

    Parameters
    ----------
    case
        By which messages are decoded and judged.
    lateness
        Seconds.
    enrichments
        One for each of the served versions' (`Version.enrichment`), with this lateness.
    """

    def __init__(self, case: Case, lateness: int, served: Served, enrichments: Mapping[str, Enrichment]) -> None:
        self.case, self.served = case, served
        self._lateness, self._enrichments = lateness * 1_000_000, enrichments
        self._decode = Decoder(case)

    def __call__(self, state: State, messages: Sequence[Message], first: int) -> tuple[State, Outputs]:
        """The state after the messages at the offsets from `first` on, and what they give."""
        decoded = self._decode(messages, first)
        seen, judged = judge(state.seen, decoded.rows, self._lateness)
        good = decoded.rows.filter(pa.array(judged.good))
        windows, enriched = {}, {}
        happened = good.column(ARRIVAL).is_valid()
        for name, enrichment in self._enrichments.items():
            windows[name], made = enrichment(self._window(state, name), good)
            enriched[name] = made.filter(happened)
        live, refused, spent = self._scored(enriched, messages, first)
        letters = [*decoded.letters, *_late(judged, decoded.rows, messages, first), *refused]
        late, duplicate = int(judged.late.sum()), int(judged.duplicate.sum())
        counts = Counts(
            read=len(messages),
            good=good.num_rows - len(refused),
            dead_letter=len(decoded.letters) + len(refused),
            late=late,
            duplicate=duplicate,
            labels=good.num_rows - live.num_rows,
        )
        landed = tables.landed(self.case, good.filter(good.column(ARRIVAL).is_null()))
        return State(seen, windows), Outputs(live, landed, tables.buried(letters), counts, spent)

    def remember(self, state: State, messages: Sequence[Message], first: int) -> State:
        """The state after the messages, without their outputs: for what was written before a restart."""
        decoded = self._decode(messages, first)
        seen, judged = judge(state.seen, decoded.rows, self._lateness)
        good = decoded.rows.filter(pa.array(judged.good))
        return State(seen, {n: e.remember(self._window(state, n), good) for n, e in self._enrichments.items()})

    def _window(self, state: State, name: str) -> pa.Table:
        return state.windows[name] if name in state.windows else self._enrichments[name].empty()

    def _scored(
        self, enriched: Mapping[str, pa.Table], messages: Sequence[Message], first: int
    ) -> tuple[pa.Table, list[Letter], dict[int, float]]:
        """The predictions of all versions in offset order, what their transforms refused, and the seconds of each."""
        made, refused, spent = [], [], {}
        for role, version, at in self.served.shares(next(iter(enriched.values()))):
            events = enriched[version.enrichment]
            events = events if len(at) == events.num_rows else events.take(pa.array(at))
            begun = time.perf_counter()
            found = score(version.live.scorer, columns_of(events, version.inputs), events.num_rows)
            spent[version.number] = time.perf_counter() - begun
            offsets = events.column(OFFSET).to_pylist() if found.refused else []
            for row, reason in found.refused.items():
                raw = messages[offsets[row] - first].data
                refused.append(Letter(offsets[row], raw, f"version {version.number}: {reason}", "features"))
            made.append(tables.live(events, found, version, role))
        live = made[0] if len(made) == 1 else pa.concat_tables(made, promote_options="default").sort_by(ARRIVAL)
        return live, refused, spent


def _late(judged: Judged, rows: pa.Table, messages: Sequence[Message], first: int) -> list[Letter]:
    """Kept aside, with when they would have been in time."""
    found = []
    for row in np.flatnonzero(judged.late).tolist():
        offset, time = rows.column(OFFSET)[row].as_py(), rows.column(TIME)[row].as_py()
        limit = iso(int(judged.limits[row]))
        reason = f"'time' must be at least {limit}, the newest before it less the lateness. Got {iso(time)}."
        found.append(Letter(offset, messages[offset - first].data, reason, "late"))
    return found
