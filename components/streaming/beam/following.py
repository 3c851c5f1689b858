"""Which versions score: those that the pointer names, once the windows that they need have seen enough.

There is no log to read again, so a version with other windows than those that are kept begins to fill its own while
the versions before it score on. After its longest window and the lateness it knows all that an event may ask for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from components.adapters.ports import Pointer, Ports
from components.core.case import Case
from components.core.enrich import Enrichment, reach
from components.core.errors import EsteiraError, RunError
from components.streaming import served as versions
from components.streaming.judge import NEVER
from components.streaming.references import References
from components.streaming.served import Served
from components.streaming.steps import Steps

FOLLOW, RELOAD = 1.0, 30.0
"""Seconds between two looks at the pointer; at the reference tables, and at a version that did not load."""


@dataclass(frozen=True)
class Terms:
    """What is kept with the state, so that any worker goes on as the one before it would have."""

    champion: int | None = None
    challenger: int | None = None
    percent: int = 0
    begun: Mapping[str, int] = field(default_factory=dict)
    """By enrichment the largest message time before its first row."""


class Following:
    """The live versions of one case, looked up about once a second.

    Parameters
    ----------
    lateness
        Seconds.
    say
        Told what a person should know.
    """

    def __init__(self, ports: Ports, case: Case, lateness: int, say: Callable[[str], None]) -> None:
        self._ports, self._case, self._lateness, self._say = ports, case, lateness, say
        self._references = References(ports.sources, lateness)
        self._enrichments: dict[str, Enrichment] = {}
        self._wanted: Served | None = None
        self._scoring: Served | None = None
        self._spare: dict[str, Case] = {}
        self._looked = self._tried = self._read = -math.inf
        self._asked = -1
        self._said = ""

    def steps(self, terms: Terms, largest: int) -> tuple[Steps, Terms] | None:
        """The steps for the messages that come now, and the terms after them; None: they wait.

        `terms` are those after the messages before, and `largest` is the largest message time among these.
        """
        self._look()
        try:
            return self._chosen(terms, largest)
        except EsteiraError as error:
            self._tell(f"{error} Until then: events wait.")
            return None

    def _chosen(self, terms: Terms, largest: int) -> tuple[Steps, Terms] | None:
        wanted = self._wanted
        if wanted is None:
            if terms.champion is None:
                return None
            wanted = self._before(terms)
        begun = dict(terms.begun)
        for name in wanted.cases():
            begun.setdefault(name, NEVER if terms.champion is None else largest)
        alone = replace(wanted, challenger=None, percent=0)
        filled = (served for served in (wanted, alone) if self._filled(served, begun, largest))
        scoring = next(filled, None) or self._before(terms)
        spare = {name: case for name, case in self._spare.items() if name in terms.begun}
        enrichments = self._read_for(scoring, {**wanted.cases(), **spare})
        if scoring is not wanted:
            self._tell(f"{_told(wanted)}, once its windows are filled; until then {scoring.shown()}.")
        elif self._scoring is None or self._scoring.shown() != scoring.shown():
            self._tell(f"{_told(scoring)}.")
        self._scoring = scoring
        challenger = scoring.challenger.number if scoring.challenger is not None else None
        kept = {name: begun[name] for name in enrichments}
        after = Terms(scoring.champion.number, challenger, scoring.percent, kept)
        return Steps(self._case, self._lateness, scoring, enrichments), after

    def _filled(self, wanted: Served, begun: Mapping[str, int], largest: int) -> bool:
        """Whether all that a message may ask for, which is not late, came after its windows began."""
        late = self._lateness * 1_000_000
        return all(begun[n] == NEVER or largest > begun[n] + reach(c) + late for n, c in wanted.cases().items())

    def _before(self, terms: Terms) -> Served:
        """What scored the messages before."""
        pointer = Pointer(self._case.name, champion=terms.champion, challenger=terms.challenger, split=terms.percent)
        with _outside("registry"):
            return versions.follow(self._ports.registry, self._case, pointer, self._scoring)

    def _read_for(self, scoring: Served, cases: Mapping[str, Case]) -> dict[str, Enrichment]:
        """The enrichments of both; what cannot be read stays as it was, and what was never read is left out."""
        needed = {**scoring.cases(), **cases}
        now = time.monotonic()
        if now < self._read + RELOAD and needed.keys() <= self._enrichments.keys():
            return {name: self._enrichments[name] for name in needed}
        try:
            with _outside("references"):
                self._enrichments, self._read = self._references.enrichments(needed), now
        except EsteiraError as error:
            if not scoring.cases().keys() <= self._enrichments.keys():
                raise
            self._tell(f"{error} Until then: {scoring.shown()}.")
        return {name: self._enrichments[name] for name in needed if name in self._enrichments}

    def _look(self) -> None:
        """At the pointer: what it names is loaded before it is used, and what does not load is told."""
        now = time.monotonic()
        if now < self._looked + FOLLOW:
            return
        self._looked = now
        until = self._scoring.shown() if self._scoring is not None else "events wait"
        try:
            with _outside("pointer"):
                pointer = self._ports.endpoints.pointer(self._case.name)
        except EsteiraError as error:
            self._tell(f"{error} Until then: {until}.")
            return
        if pointer.champion is None:
            self._tell(f"{self._case.name} has no champion yet: events wait for the first one.")
            return
        if pointer.generation == self._asked and now < self._tried + RELOAD:
            return
        self._asked, self._tried = pointer.generation, now
        alone = replace(pointer, challenger=None, split=0)
        for asked in [pointer, alone] if pointer.challenger is not None else [pointer]:
            try:
                with _outside("registry"):
                    self._wanted = versions.follow(self._ports.registry, self._case, asked, self._wanted)
                break
            except EsteiraError as error:
                self._tell(f"{error} Until then: {until}.")
        if pointer.previous is not None:
            self._spare = self._spared(pointer.previous)

    def _spared(self, previous: int) -> dict[str, Case]:
        """Whose windows are filled on, so that a rollback takes effect at once."""
        try:
            with _outside("registry"):
                version = versions.load(self._ports.registry, self._case, previous)
        except EsteiraError:  # it scores nothing now: whoever makes it live is told
            return {}
        return {version.enrichment: version.case}

    def _tell(self, text: str) -> None:
        """Once, until there is something else to tell."""
        if text != self._said:
            self._said = text
            self._say(text)


@contextmanager
def _outside(name: str) -> Iterator[None]:
    """Whatever a client lets through, as ours: an error that ended the bundle would end it again for ever."""
    try:
        yield
    except EsteiraError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise RunError(name, "be readable", told, "It is looked at again soon.") from error


def _told(served: Served) -> str:
    return f"{served.shown()[0].upper()}{served.shown()[1:]}"
