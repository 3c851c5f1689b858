"""The canary's policy: may a challenger that has live traffic take the champion's place? Observations in, verdict out.

Promotion is judged once per rule, on a sample of fixed size: everything that came until both versions had the samples
that the rule needs. Every rule must pass, each at the whole `confidence` (an intersection-union test), so that a
challenger that is worse than one limit allows is promoted in at most 1 - confidence of all cases.

An abort may come sooner, and later, at looks of growing sample size. They share 1 - confidence: a rule spends of its
part 1 / (k (k + 1)) at its k-th look, which adds up to the part however many looks there are.

What is not finite passes nothing, and neither do too few samples: at the deadline they are "insufficient data".

References
----------
Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling. Technometrics 24, 295-300.
Lan, K. K. G. and DeMets, D. L. (1983). Discrete sequential boundaries for clinical trials. Biometrika 70, 659-663.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.core.bounds import Bounds
from components.core.ranking import Floats

State = Literal["promote", "abort", "wait"]
FIRST, GROWTH = 20, 1.5
"""The first look's samples, and by how much each look has more than the one before."""


@dataclass(frozen=True)
class Finding:
    """One rule's word. What is not known is NaN."""

    name: str
    state: Literal["passed", "failed", "waiting"]
    needed: int
    """Samples of each version that the rule looks at."""
    samples: tuple[int, int]
    """Of champion and challenger by now."""
    values: tuple[float, float]
    """What champion and challenger show."""
    effect: float
    """How they differ: a difference, a ratio, or for agreement the share itself."""
    low: float
    high: float
    """Its one-sided limits, each at the case's confidence."""
    bound: float
    """The limit that decided, at the look's own confidence."""
    limit: float
    reason: str


@dataclass(frozen=True)
class Verdict:
    state: State
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence per rule; what failed comes first."""
        if not self.findings:
            return ("No rule of the canary applies to this model, so nothing can earn its promotion.",)
        order = ("failed", "waiting", "passed")
        return tuple(f.reason for f in sorted(self.findings, key=lambda f: order.index(f.state)))


@dataclass(frozen=True)
class Rule:
    """One question. `bounds` answers it from the first so many samples of champion and challenger."""

    name: str
    limit: float
    worse: Literal["above", "below"]
    """On which side of the limit the effect is bad."""
    needed: int
    times: tuple[Floats, Floats]
    """Of the samples of champion and challenger; the champion's are empty where it is not asked."""
    bounds: Callable[[int, int, float], Bounds]
    told: Callable[[Bounds], str]
    """What both show, as a clause that ends with the effect's name, such as "the ratio"."""
    write: Callable[[float], str]
    """The effect with its unit."""
    both: bool = True

    @property
    def samples(self) -> tuple[int, int]:
        return len(self.times[0]), len(self.times[1])

    @property
    def fewest(self) -> int:
        """The samples of the version that has fewer."""
        return min(self.samples) if self.both else self.samples[1]

    def first(self, count: int, confidence: float) -> Bounds:
        """From all that came until each version had `count` samples."""
        asked = self.times if self.both else self.times[1:]
        until = max(float(at[count - 1]) for at in asked)
        champion, challenger = (int(np.searchsorted(at, until, side="right")) for at in self.times)
        return self.bounds(champion, challenger, confidence)


def size(look: int) -> int:
    """The samples of each version at the look-th look (from 1)."""
    return math.ceil(FIRST * GROWTH ** (look - 1))


def looks(samples: int) -> int:
    """How many looks this many samples have reached."""
    found = 0
    while size(found + 1) <= samples:
        found += 1
    return found


def progress(rules: Sequence[Rule]) -> tuple[tuple[int, bool], ...]:
    """What a verdict can depend on: while it stays the same, so does the verdict."""
    return tuple((looks(rule.fewest), rule.fewest >= rule.needed) for rule in rules)


def decide(rules: Sequence[Rule], confidence: float, *, expired: bool = False) -> Verdict:
    """The verdict by now. `expired`: the deadline has passed, and what still waits is insufficient data."""
    part = (1 - confidence) / max(len(rules), 1)
    findings = tuple(_judged(rule, confidence, part, expired) for rule in rules)
    states = {finding.state for finding in findings}
    if "failed" in states or not findings:
        return Verdict("abort", findings)
    return Verdict("wait" if "waiting" in states else "promote", findings)


def _judged(rule: Rule, confidence: float, part: float, expired: bool) -> Finding:
    look, ready = looks(rule.fewest), rule.fewest >= rule.needed
    if look:
        certain = 1 - part / (look * (look + 1))
        harm = rule.first(size(look), certain)
        bound = harm.low if rule.worse == "above" else harm.high
        if bound > rule.limit if rule.worse == "above" else bound < rule.limit:
            shown = rule.first(size(look), confidence)
            return _finding(rule, "failed", shown, bound, _verdict(rule, harm, bound, certain, "is"))
    if ready:
        found = rule.first(rule.needed, confidence)
        bound = found.high if rule.worse == "above" else found.low
        passed = bound <= rule.limit if rule.worse == "above" else bound >= rule.limit
        reason = _verdict(rule, found, bound, confidence, "is" if passed else "may be")
        return _finding(rule, "passed" if passed else "failed", found, bound, reason)
    shown = rule.first(size(look), confidence) if look else Bounds(*[math.nan] * 5)
    return _finding(rule, "failed" if expired else "waiting", shown, math.nan, _lacking(rule, expired))


def _finding(
    rule: Rule, state: Literal["passed", "failed", "waiting"], found: Bounds, bound: float, reason: str
) -> Finding:
    values = (found.champion, found.challenger)
    ends = (found.effect, found.low, found.high)
    return Finding(rule.name, state, rule.needed, rule.samples, values, *ends, bound, rule.limit, reason)


def _verdict(rule: Rule, found: Bounds, bound: float, confidence: float, verb: str) -> str:
    """What both show, and on which side of the limit the effect's bound lies; "may be" where that is not certain."""
    if not math.isfinite(bound):
        return f"{rule.told(found)} is undefined on these samples, which does not meet the limit of {_limit(rule)}."
    beyond = bound > rule.limit if rule.worse == "above" else bound < rule.limit
    words = {"is": ("at most", "at least"), "may be": ("as much as", "as little as")}[verb]
    end = f"{verb} {words[0] if bound == found.high else words[1]} {rule.write(bound)}"
    certain = f"{100 * confidence:.5g} % confidence"
    return f"{rule.told(found)} {end} ({certain}), {'beyond' if beyond else 'within'} the limit of {_limit(rule)}."


def _limit(rule: Rule) -> str:
    return rule.write(rule.limit)


def _lacking(rule: Rule, expired: bool) -> str:
    parts = zip(("champion", "challenger"), rule.samples, strict=True)
    told = " and ".join(f"{count:,} of the {name}" for name, count in parts if rule.both or name == "challenger")
    if not expired:
        return f"{rule.name}: {told} so far, of {rule.needed:,} samples."
    return f"Insufficient data for {rule.name}: {told} by the deadline, and {rule.needed:,} samples are asked for."
