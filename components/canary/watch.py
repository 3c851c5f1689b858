"""What champion and challenger do while the canary lasts, read piece by piece as it comes."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa

from components.adapters.live import Live
from components.adapters.live_table import SERVERS, Changes, Collected, collect
from components.adapters.ports import Ports
from components.canary.labels import Labels
from components.canary.requests import OWN, Requests, counted, decisions, joined, requests
from components.core import canary_rules, inference
from components.core.arrow import columns_of, lacking
from components.core.canary import Rule
from components.core.canary_rules import NOTHING, Observed, Series
from components.core.case import Canary, Case, seconds
from components.core.columns import Array, ColumnType

CHAMPION, CHALLENGER = 0, 1
_MANY = 64
"""Windows of servers that stand by themselves at most."""


class Watch:
    """Reads the live table from the canary's start to its deadline. `poll` costs what is new."""

    def __init__(self, ports: Ports, case: Case, asked: Canary, versions: tuple[Live, Live], since: float) -> None:
        if versions[CHAMPION].scorer.model.task == "regression":  # a number hardly ever equals another
            asked = asked.model_copy(update={"agreement": None})
        self.versions, self.asked = versions, asked
        self.collected = Collected()
        self.lacking: list[str] = []
        """The champion's inputs that the challenger's requests do not hold, so that it cannot be asked."""
        self._ports, self._case, self._since = ports, case, since
        self._until = since + seconds(asked.deadline)
        inputs = dict(i for live in versions for i in live.scorer.model.inputs)
        self._types = case.event_types() | cast(dict[str, ColumnType], inputs)
        self._live = Changes(ports.tables, inference.table(case.name), since)
        self._labels = Labels(ports.tables, case.name, asked.quality) if asked.quality else None
        self._windows: dict[str, tuple[Requests, Requests]] = {}

    def poll(self) -> bool:
        """Takes in what was logged, and which labels landed, since the last call; whether there was something."""
        collect(self._ports.blobs, self._ports.tables, self._case.name, self._types, self.collected)
        changed = self._live.windows()
        for window in changed:
            rows = self._live.read(window, OWN, self._since)
            counts, version = counted(rows, self._until), np.asarray(rows.column("_version"))
            places = [np.flatnonzero(counts & (version == v.version)) for v in self.versions]
            champion, challenger = (rows.take(pa.array(at)) for at in places)

            def asked(at: Array, window: str = window, mine: Array = places[CHALLENGER]) -> Array | None:
                return self._champion_decides(window, mine[at])

            wanted = asked if self.asked.agreement is not None else None
            quality = self._labels is not None
            self._windows[window] = (
                requests(champion, labelled=quality), requests(challenger, wanted, labelled=quality)
            )  # fmt: skip
        self._fold()
        predicted = [r.rows for pair in self._windows.values() for r in pair]
        whole = not self.collected.waiting
        landed = self._labels is not None and self._labels.poll(predicted, whole=whole)
        return bool(changed) or landed

    def _fold(self) -> None:
        """Many small windows as one: those of servers are written once."""
        small = [window for window in self._windows if window.startswith(SERVERS)]
        if len(small) > _MANY:
            champions, challengers = zip(*(self._windows.pop(window) for window in small), strict=True)
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

    def _champion_decides(self, window: str, places: Array) -> Array | None:
        scorer = self.versions[CHAMPION].scorer
        types = cast(dict[str, ColumnType], dict(scorer.model.inputs))
        rows = self._live.read(window, ["_at", *types], self._since)
        self.lacking = lacking(scorer.model.inputs, {f.name: str(f.type) for f in rows.schema})
        if self.lacking:
            return None
        return decisions(scorer, columns_of(rows.take(pa.array(places)), types))
