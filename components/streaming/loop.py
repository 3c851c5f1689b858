"""The loop of one machine: read at the committed offset, step, write durably, commit. It follows the pointer.

Killed anywhere, it takes up at the committed offset: tables are cut back to it, and the state is rebuilt from earlier
messages without emitting a row.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.adapters.local.log import Log
from components.adapters.ports import Message, Ports
from components.core.case import Case
from components.core.enrich import reach
from components.core.errors import EsteiraError
from components.streaming import served as versions
from components.streaming.checkpoints import Checkpoints, Place
from components.streaming.judge import NEVER
from components.streaming.references import References
from components.streaming.served import Served
from components.streaming.sink import BUCKET, Sink, check_new
from components.streaming.state import State
from components.streaming.steps import Counts, Outputs, Steps

GROUP = "stream"
MOST = 500
"""Messages of one batch."""
PACE = 0.1
"""Seconds: a batch that is not full begins no sooner after the one before."""
FOLLOW, RELOAD = 1.0, 30.0
"""Seconds between two looks at the pointer; at the reference tables, and at a version that did not load."""
_IDLE = 0.02
_AGAIN = 8_192
"""Messages at once where a state is rebuilt."""


@dataclass(frozen=True)
class Status:
    """Where the loop stands. `counts` are of all time, `by_version` the predictions of this run."""

    offset: int
    counts: Counts
    read: int
    """Messages of this run."""
    behind: int
    """Messages that wait."""
    lag: float
    """Seconds that the oldest of them has waited."""
    seconds: float
    versions: str
    needed: int
    """The offset from which a restart reads."""
    by_version: dict[int, int]


@dataclass
class Limits:
    """When the loop ends: after so many idle seconds or messages, or after the batch in which it is told to."""

    idle: float | None = None
    most: int | None = None
    stopped: bool = False
    """Set by a signal's handler: a lock there could be one that the interrupted code holds."""
    failure: EsteiraError | None = None
    """Set by what feeds the log: the loop ends with it."""


class Loop:
    """Streams one case over one log.

    Parameters
    ----------
    case
        By which messages are decoded: its name is the topic's and the pointer's.
    lateness
        Seconds.
    say
        Told what a person should know.
    report
        Told the status after each batch, and about once a second without one.
    """

    def __init__(
        self,
        ports: Ports,
        log: Log,
        case: Case,
        lateness: int,
        say: Callable[[str], None],
        report: Callable[[Status], None] = lambda _: None,
    ) -> None:
        self._ports, self._log, self._case, self._lateness = ports, log, case, lateness
        self._say, self._report = say, report
        self._references = References(ports.sources, lateness)
        names = list(Outputs.names(case.name))
        self._offset, note = log.committed(GROUP)
        if not note:
            check_new(ports.tables, names, str(log.folder))
            log.commit(GROUP, self._offset, {"counts": asdict(Counts())})  # from now on the tables' windows are its own
        self._counts = Counts(**note.get("counts", {}))
        self._checkpoints = Checkpoints.of(note.get("checkpoints", []), self._offset)
        self._largest = int(note.get("largest", NEVER))
        self._state = State.nothing(self._largest)
        self._sink = Sink(ports, names, self._offset)
        self._steps: Steps | None = None
        self._keep = 0
        self._asked = -1
        self._said = ""
        self._read, self._by_version = 0, Counter[int]()
        self._ends: deque[tuple[int, float]] = deque()
        self._started = time.monotonic()

    def run(self, limits: Limits) -> Status:
        """Until it is stopped or a limit is reached; the last status."""
        follow = reload = idle_since = time.monotonic()
        while not limits.stopped and (limits.most is None or self._read < limits.most):
            if limits.failure is not None:
                raise limits.failure
            begun = time.monotonic()
            if begun >= follow:
                again = begun >= reload
                reload = begun + RELOAD if again else reload
                follow = begun + FOLLOW
                self._follow(again)
                self._report(self.status())
            messages = self._pull(limits) if self._steps is not None else []
            if messages:
                self._batch(messages)
                self._report(self.status())
                idle_since = time.monotonic()
                if len(messages) < MOST:
                    time.sleep(max(0.0, begun + PACE - idle_since))
            else:
                if limits.idle is not None and begun - idle_since >= limits.idle:
                    break
                time.sleep(_IDLE)
        return self.status()

    def status(self) -> Status:
        end, now = self._log.end, time.monotonic()
        if not self._ends or self._ends[-1][0] < end:
            self._ends.append((end, now))
        while self._ends and self._ends[0][0] <= self._offset:
            self._ends.popleft()
        lag = now - self._ends[0][1] if self._ends else 0.0
        shown = self._steps.served.shown() if self._steps is not None else "no champion yet"
        behind, seconds = end - self._offset, now - self._started
        return Status(
            *(self._offset, self._counts, self._read, behind, lag, seconds, shown),
            # Before a version is loaded nobody knows how far back its windows go.
            needed=self._begin()[0] if self._steps is not None else self._log.first,
            by_version=dict(sorted(self._by_version.items())),
        )

    def _pull(self, limits: Limits) -> list[Message]:
        """What there is, of one bucket of the tables."""
        most = min(MOST, BUCKET - self._offset % BUCKET)
        if limits.most is not None:
            most = min(most, limits.most - self._read)
        return self._log.read(self._offset, most)

    def _batch(self, messages: list[Message]) -> None:
        assert self._steps is not None
        pulled = time.time()
        state, outputs = self._steps(self._state, messages, self._offset)
        now = time.time()
        rows = outputs.stamped(self._case.name, now, (now - pulled) * 1000)
        self._sink.write(self._offset, rows)
        checkpoints = self._checkpoints.passed(self._offset, self._largest, self._keep, self._lateness * 1_000_000)
        counts, offset, largest = self._counts + outputs.counts, self._offset + len(messages), state.seen.largest
        note: dict[str, Any] = {"counts": asdict(counts), "largest": largest, "checkpoints": checkpoints.places}
        self._log.commit(GROUP, offset, note)
        self._state, self._checkpoints, self._counts = state, checkpoints, counts
        self._offset, self._largest = offset, largest
        self._read += len(messages)
        self._by_version.update(outputs.live.column("_version").to_pylist())

    def _follow(self, again: bool) -> None:
        """Looks at the pointer; what it names is loaded before it is used, and what does not load is told."""
        known = self._steps.served if self._steps is not None else None
        until = known.shown() if known is not None else "events wait"
        try:
            pointer = self._ports.endpoints.pointer(self._case.name)
        except (EsteiraError, OSError) as error:
            self._tell(f"{_sentence(error)} Until then: {until}.")
            return
        if pointer.champion is None:
            self._tell(f"{self._case.name} has no champion yet: events wait for the first one.")
            return
        if pointer.generation == self._asked and not again:
            return
        self._asked = pointer.generation
        alone = replace(pointer, challenger=None, split=0)
        for wanted in [pointer, alone] if pointer.challenger is not None else [pointer]:
            try:
                served = versions.follow(self._ports.registry, self._case, wanted, known)
                self._use(served)
            except (EsteiraError, OSError) as error:
                self._tell(f"{_sentence(error)} Until then: {until}.")
            else:
                return

    def _use(self, served: Served) -> None:
        enrichments = self._references.enrichments(served.cases())
        steps = Steps(self._case, self._lateness, served, enrichments)
        self._keep = max(map(reach, served.cases().values())) + self._lateness * 1_000_000
        if self._steps is None or not enrichments.keys() <= self._state.windows.keys():
            self._state = self._rebuilt(steps)
        if self._steps is None or self._steps.served.shown() != served.shown():
            self._tell(f"{served.shown()[0].upper()}{served.shown()[1:]}, from offset {self._offset:,} on.")
        self._steps = steps

    def _rebuilt(self, steps: Steps) -> State:
        """The state at the offset, from the messages before it."""
        offset, largest = self._begin()
        state = State.nothing(largest)
        while offset < self._offset:
            messages = self._log.read(offset, min(_AGAIN, self._offset - offset))
            state = steps.remember(state, messages, offset)
            offset += len(messages)
        return state

    def _begin(self) -> Place:
        place = self._checkpoints.begin(self._largest, self._keep, self._lateness * 1_000_000)
        return place if place is not None else (self._log.first, NEVER)

    def _tell(self, text: str) -> None:
        """Once, until there is something else to tell."""
        if text != self._said:
            self._said = text
            self._say(text)


def _sentence(error: Exception) -> str:
    """Ours are sentences already."""
    return str(error) if isinstance(error, EsteiraError) else f"{error}."
