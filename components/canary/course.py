"""The course of one canary: when to judge, and what to say of it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.canary.findings import Look, Watched
from components.canary.watch import CHALLENGER, CHAMPION, Watch
from components.core import canary, declared
from components.core.canary import Rule, Verdict
from components.core.operations import Canary
from components.core.shown import duration

_QUIET = 10.0
"""Seconds after which counts are told although there was nothing to judge."""
_BACKLOG = 300.0
"""Seconds for which a backlog of the log is worked off after the deadline. The newest segments come first, so what is
left then is mostly of before the canary."""


class Course:
    """Judges whenever a rule has reached its next look, and at the deadline."""

    def __init__(self, watch: Watch, asked: Canary, say: Callable[[str], None]) -> None:
        self._watch, self._say, self._confidence = watch, say, asked.confidence
        self._deadline = float(declared.seconds(asked.deadline))
        self._looks: list[Look] = []
        self._verdict = Verdict("wait", ())
        self._reached: object = None
        self._said = 0.0

    def look(self, seconds: float) -> Verdict:
        """The verdict at a moment, in seconds since the canary began."""
        expired = seconds >= self._deadline  # before the log is read: what came by the deadline counts
        fresh = self._watch.poll(_BACKLOG if expired else 0.0)
        if not (fresh or expired or self._reached is None):
            return self._verdict
        rules = self._watch.rules()
        reached = canary.progress(rules)
        if reached != self._reached or expired:
            self._verdict, self._reached = canary.decide(rules, self._confidence, expired=expired), reached
            self._looks.append(Look(seconds, self._verdict.findings))
        elif seconds < self._said + _QUIET:
            return self._verdict
        self._said = seconds
        self._say(_told(rules, self._verdict, seconds))
        return self._verdict

    def watched(self, seconds: float) -> Watched:
        """All that was seen until a moment."""
        watch = self._watch
        observed = (watch.observed(CHAMPION), watch.observed(CHALLENGER))
        return Watched(seconds, self._deadline, self._confidence, observed, self._looks, watch.collected, watch.lacking)


def _told(rules: Sequence[Rule], verdict: Verdict, seconds: float) -> str:
    parts = []
    for rule, found in zip(rules, verdict.findings, strict=True):
        count = f"{min(rule.fewest, rule.needed):,} of {rule.needed:,}"
        parts.append(f"{found.name} {count if found.state == 'waiting' else found.state}")
    return f"{duration(seconds)}: {', '.join(parts)}"
