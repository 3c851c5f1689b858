"""What champion and challenger do while the canary lasts, read piece by piece as it comes."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import numpy as np
import pyarrow as pa

from components.adapters import live_table
from components.adapters.changes import Changes
from components.adapters.live import Live
from components.adapters.live_table import SERVERS, Collected, Intake, complete
from components.adapters.ports import Ports
from components.canary.labels import Labels
from components.canary.requests import OWN, Requests, counted, decisions, joined, requests
from components.core import canary_rules, inference
from components.core.arrow import columns_of, lacking
from components.core.canary import Rule
from components.core.canary_rules import NOTHING, Observed, Series
from components.core.case import Case
from components.core.columns import Array, ColumnType
from components.core.declared import seconds
from components.core.events import ARRIVAL
from components.core.operations import Canary

CHAMPION, CHALLENGER = 0, 1
_MANY = 64
"""Complete windows of servers that stand by themselves at most."""


class Watch:
    """Reads the live table from the canary's start to its deadline. `poll` costs what is new."""

    def __init__(self, ports: Ports, case: Case, asked: Canary, versions: tuple[Live, Live], since: float) -> None:
        if versions[CHAMPION].scorer.model.task == "regression":  # a number hardly ever equals another
            asked = asked.model_copy(update={"agreement": None})
        self.versions, self.asked = versions, asked
        self.lacking: list[str] = []
        """The champion's inputs that the challenger's requests do not hold, so that it cannot be asked."""
        self._since = since
        self._until = since + seconds(asked.deadline)
        models = [live.scorer.model for live in versions]
        self._inputs = cast(dict[str, ColumnType], dict(models[CHAMPION].inputs))
        self._intake = Intake(ports.blobs, ports.tables, case.name, live_table.types(case, models))
        self._live = Changes(ports.tables, inference.table(case.name), since, by="_at")
        self._labels = Labels(ports.tables, case.name, asked.quality) if asked.quality else None
        self._windows: dict[str, tuple[Requests, Requests]] = {}
        self._complete: set[str] = set()
        self._folded: set[str] = set()

    @property
    def collected(self) -> Collected:
        return self._intake.collected

    def poll(self, within: float = 0.0) -> bool:
        """Takes in what was logged, and which labels landed, since the last call; whether there was something.

        A backlog of the log is worked off for so many seconds, else a piece of it with each call.
        """
        self._intake.work_off(within)
        changed = [window for window in self._live.windows() if window not in self._folded]
        for window in changed:
            self._windows[window] = self._read(window)
        self._fold(changed)
        predicted = [r.rows for pair in self._windows.values() for r in pair]
        whole = not self.collected.waiting
        landed = self._labels is not None and self._labels.poll(predicted, whole=whole)
        return bool(changed) or landed

    def _read(self, window: str) -> tuple[Requests, Requests]:
        # At once: read a second time, somebody may have added rows.
        scored = self._inputs if self.asked.agreement is not None else {}
        rows = self._live.read(window, [*OWN, *scored], self._since).sort_by(ARRIVAL)  # a request's rows together
        if window.startswith(SERVERS) and complete(rows.column(ARRIVAL)):
            self._complete.add(window)
        counts, version = counted(rows, self._until), np.asarray(rows.column("_version"))
        champion, challenger = (rows.filter(pa.array(counts & (version == v.version))) for v in self.versions)
        quality = self._labels is not None

        def asked(at: Array) -> Array | None:
            return self._champion_decides(challenger.take(pa.array(at)))

        wanted = asked if self.asked.agreement is not None else None
        return requests(champion, labelled=quality), requests(challenger, wanted, labelled=quality)

    def _fold(self, changed: Collection[str]) -> None:
        """Many small windows as one: of those that are complete and lie still, as somebody else may be half done."""
        still = self._complete - self._folded - set(changed)
        if len(still) > _MANY and not self.collected.waiting:
            self._folded |= still
            parts = [self._windows.pop(window) for window in (SERVERS, *still) if window in self._windows]
            champions, challengers = zip(*parts, strict=True)
            self._windows[SERVERS] = (joined(champions), joined(challengers))

    def rules(self) -> list[Rule]:
        """The case's rules over all that was read."""
        return canary_rules.rules(self.asked, self.observed(CHAMPION), self.observed(CHALLENGER))

    def observed(self, which: int) -> Observed:
        """What one version did, in order of time."""
        mine, labels = self._of(which), self._labels
        if not mine:
            return Observed()
        whole = joined(mine)
        order = np.argsort(whole.at, kind="stable")
        at, failed, latency, alike = (v[order] for v in (whole.at, whole.failed, whole.latency, whole.alike))
        timed, compared = ~np.isnan(latency) & (whole.stream[order] == self._streamed()), ~np.isnan(alike)
        return Observed(
            Series(at, failed),
            Series(at[timed], latency[timed]),
            Series(at[compared], alike[compared]) if compared.any() else NOTHING,
            labels.labelled([whole.rows], self.versions[which].scorer.model) if labels is not None else None,
        )

    def _of(self, which: int) -> list[Requests]:
        return [pair[which] for pair in self._windows.values()]

    def _streamed(self) -> bool:
        """Whether most of the challenger's requests come by the stream, whose latency is unlike a server's."""
        mine = self._of(CHALLENGER)
        return 2 * sum(int(r.stream.sum()) for r in mine) > sum(len(r) for r in mine)

    def _champion_decides(self, rows: pa.Table) -> Array | None:
        self.lacking = lacking(self._inputs.items(), {f.name: str(f.type) for f in rows.schema})
        if self.lacking:
            return None
        return decisions(self.versions[CHAMPION].scorer, columns_of(rows, self._inputs))
