"""The gate: may the challenger become champion? Numbers in, a verdict with its reasons out; nothing else.

Every comparison is written so that NaN fails it: a metric that the rows do not define is never good enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from components.core.errors import CaseError
from components.core.intervals import Estimate
from components.core.metrics import LESS_IS_BETTER, Task, names
from components.core.operations import Gate, SliceRule

UNDEFINED = Estimate(math.nan, math.nan, math.nan)
_NAMED = 12
"""So many slices of a rule are named: a verdict is to be read."""


@dataclass(frozen=True)
class Slice:
    """The rows of the holdout with one value of a column. Without metrics it had too few rows to be measured."""

    column: str
    value: str
    rows: int
    metrics: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Challenger minus champion in the main metric, paired, on the rows that neither was trained on."""

    version: int
    rows: int
    challenger: float
    champion: float
    difference: Estimate
    note: str = ""
    """Which rows, if not the whole holdout."""


@dataclass(frozen=True)
class Evidence:
    """What the gate judges. `same_as` is the champion's version if the challenger is that very model."""

    rows: int
    main: str
    metrics: Mapping[str, Estimate]
    slices: Sequence[Slice] = ()
    comparison: Comparison | None = None
    same_as: int | None = None


@dataclass(frozen=True)
class Verdict:
    """`unchanged`: the challenger is the champion, and there is nothing to do. Each reason is a sentence."""

    accepted: bool
    unchanged: bool
    reasons: tuple[str, ...]


def check(gate: Gate, task: Task, main: str, columns: Collection[str]) -> None:
    """Refuses a gate that evaluate cannot judge.

    Raises
    ------
    CaseError
        A metric is not one of the task's, or a slice's column is not in the holdout.
    """
    known = names(task)
    asked = {"model.metric": main} | {f"gate.floors.{name}": name for name in gate.floors}
    asked |= {f"gate.slices.{i}.metric": rule.metric for i, rule in enumerate(gate.slices)}
    for key, metric in asked.items():
        if metric not in known:
            raise CaseError(key, f"be a metric of a {task} task: {', '.join(known)}", metric, "Mend this key.")
    for i, rule in enumerate(gate.slices):
        if rule.column not in columns:
            remedy = "Name a column that is known with the event."
            raise CaseError(f"gate.slices.{i}.column", "be a column of the holdout", rule.column, remedy)


def decide(evidence: Evidence, gate: Gate) -> Verdict:
    """The verdict; on a refusal its causes come first."""
    if evidence.same_as is not None:
        reason = f"The model is the champion itself, version {evidence.same_as}: nothing changes."
        return Verdict(True, True, (reason,))
    judged = list(_judged(evidence, gate))
    failed = [reason for passed, reason in judged if not passed]
    held = [reason for passed, reason in judged if passed]
    return Verdict(not failed, False, (*failed, *held))


def _judged(evidence: Evidence, gate: Gate) -> Iterator[tuple[bool, str]]:
    if evidence.rows < gate.minimum_rows:
        yield False, _insufficient(f"the holdout has {evidence.rows:,} labelled rows", gate)
    main = evidence.metrics.get(evidence.main, UNDEFINED)
    if math.isnan(main.value) and evidence.main not in gate.floors:
        yield False, f"{evidence.main}, which models are compared by, is undefined on the holdout."
    for name, floor in gate.floors.items():
        estimate = evidence.metrics.get(name, UNDEFINED)
        yield (
            reaches(name, estimate.value, floor),
            f"{name} is {_shown(estimate, gate)}, {_place(name, estimate.value, floor)}.",
        )
    for rule in gate.slices:
        yield from _sliced(rule, [s for s in evidence.slices if s.column == rule.column])
    if evidence.comparison is not None:
        yield from _compared(evidence.main, evidence.comparison, gate)
    elif gate.floors or gate.slices:
        yield True, "There is no champion to compare with: the floors decide."
    else:
        yield True, "There is no champion to compare with, and the gate sets no floors: nothing was asked of the model."


def reaches(metric: str, value: float, floor: float) -> bool:
    """value >= floor, or <= where less is better; False for NaN."""
    return value <= floor if metric in LESS_IS_BETTER else value >= floor


def _sliced(rule: SliceRule, slices: Sequence[Slice]) -> Iterator[tuple[bool, str]]:
    large = [(s, s.metrics.get(rule.metric, UNDEFINED).value) for s in slices if s.rows >= rule.minimum_rows]
    missed = [(s, value) for s, value in large if not reaches(rule.metric, value, rule.floor)]
    for s, value in missed[:_NAMED]:
        place = _place(rule.metric, value, rule.floor)
        yield False, f"{rule.metric} is {number(value)} on the {s.rows:,} rows with {rule.column} {s.value!r}, {place}."
    if missed[_NAMED:]:
        yield False, f"{len(missed) - _NAMED} more slices by {rule.column} miss {number(rule.floor)} in {rule.metric}."
    small = [s.value for s in slices if s.rows < rule.minimum_rows]
    rest = f" Not judged, being smaller: {_listed(small)}." if small else ""
    size = f"{rule.minimum_rows:,} rows"
    if not large:
        yield True, f"No slice by {rule.column} has {size}, so none is judged by {rule.metric}.{rest}"
    elif not missed:
        worst, value = (max if rule.metric in LESS_IS_BETTER else min)(large, key=lambda pair: pair[1])
        every = f"Of the {len(large)} slices by {rule.column} with at least {size}, the worst is {worst.value!r}"
        yield True, f"{every}: {rule.metric} {number(value)}, {_place(rule.metric, value, rule.floor)}.{rest}"
    elif rest:
        yield True, rest.strip()


def _compared(main: str, comparison: Comparison, gate: Gate) -> Iterator[tuple[bool, str]]:
    if comparison.note:
        yield True, comparison.note
    if comparison.rows < gate.minimum_rows:
        left = f"{comparison.rows:,} rows are left to compare with champion version {comparison.version}"
        yield False, _insufficient(left, gate)
        return
    difference = comparison.difference
    worse = -difference.high if main in LESS_IS_BETTER else difference.low
    passed = worse >= -gate.tolerance
    end = number(difference.high if main in LESS_IS_BETTER else difference.low, signed=True)
    told = "within" if passed else "beyond"
    yield (
        passed,
        f"On the same {comparison.rows:,} rows champion version {comparison.version} has {main} "
        f"{number(comparison.champion)} and the challenger {number(comparison.challenger)}: the difference is "
        f"{_shown(difference, gate, signed=True)}, and its worse end {end} is {told} the tolerance of "
        f"{number(gate.tolerance)}.",
    )


def _insufficient(what: str, gate: Gate) -> str:
    return f"Insufficient data: {what}, and the gate asks for at least {gate.minimum_rows:,}."


def _place(metric: str, value: float, floor: float) -> str:
    less = metric in LESS_IS_BETTER
    bound = f"its {'ceiling' if less else 'floor'} of {number(floor)}"
    if math.isnan(value):
        return f"which does not reach {bound}"
    if reaches(metric, value, floor):
        return f"at or {'below' if less else 'above'} {bound}"
    return f"{'above' if less else 'below'} {bound}"


def _shown(estimate: Estimate, gate: Gate, *, signed: bool = False) -> str:
    value = number(estimate.value, signed=signed)
    if math.isnan(estimate.low):
        return value
    low, high = number(estimate.low, signed=signed), number(estimate.high, signed=signed)
    return f"{value} ({gate.confidence * 100:g} % interval {low} to {high})"


def number(value: float, *, signed: bool = False) -> str:
    """At most five significant digits; NaN is 'undefined'."""
    if math.isnan(value):
        return "undefined"
    return f"{value:+.5g}" if signed else f"{value:.5g}"


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    return ", ".join(repr(v) for v in values[:_NAMED]) + more
