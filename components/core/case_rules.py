"""What the parts of a case must be to each other: names declared, types that fit, and no label in sight of a row.

Each rule raises ValueError, which the case's validator tells as a CaseError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.core.case import Case


def check(case: Case) -> None:
    """Raises ValueError for the first rule that the case breaks."""
    _check_references(case)
    _check_unique(case)
    _check_moments(case)
    _check_own(case)
    _check_windows(case)
    _check_leaks(case)
    _check_kinds(case)


def _known(place: str, names: Iterable[str], among: Collection[str]) -> None:
    for name in names:
        if name not in among:
            raise ValueError(f"{place} names the column {name!r}, which is not declared")


def _check_unique(case: Case) -> None:
    counts = len(case.columns) + sum(len(r.take) for r in case.references.values())
    counts += sum(len(w.names(n)) for n, w in case.windows.items())
    if counts != len(case.enriched_types()):
        raise ValueError("two enriched columns have one name; rename a reference or a window")


def _check_moments(case: Case) -> None:
    own = case.columns
    moments = [("event_time", case.event_time)]
    if case.label.matures is not None:
        moments.append(("label.matures", case.label.matures))
    for place, moment in moments:
        _known(place, [moment.column, *moment.plus], own)
        if own[moment.column].type != "timestamp":
            raise ValueError(f"{place}.column must be a timestamp; {moment.column!r} is {own[moment.column].type}")
        for name in moment.plus:
            if own[name].type != "number":
                raise ValueError(f"{place}.plus adds numbers; {name!r} is {own[name].type}")


def _check_own(case: Case) -> None:
    own = case.columns
    _known("entity_id", case.entity_id, own)
    _known("require", case.require, own)
    _known("label", [case.label.column], own)
    if case.arrival is not None:
        _known("arrival", [case.arrival], own)
        if own[case.arrival].type not in ("number", "timestamp"):
            raise ValueError(f"arrival must be a number or timestamp; {case.arrival!r} is {own[case.arrival].type}")
    _known("inputs", case.inputs or (), case.enriched_types())
    if case.inputs is None and own[case.label.column].known != "label":
        raise ValueError(f"columns.{case.label.column} is the label, so it must say known: label")
    if case.model.weights.column is not None:
        _known("model.weights.column", [case.model.weights.column], own)


def _check_references(case: Case) -> None:
    for name, reference in case.references.items():
        place, table = f"references.{name}", reference.columns
        _known(f"{place}.by", reference.by, case.columns)
        _known(f"{place}.by", reference.by.values(), table)
        _known(f"{place}.take", reference.take, table)
        if (reference.time is None) != (reference.within is None):
            raise ValueError(f"{place} must give both 'time' and 'within', or neither")
        if reference.time is not None:
            _known(f"{place}.time", [reference.time], table)


def _check_windows(case: Case) -> None:
    own = case.columns
    for name, window in case.windows.items():
        _known(f"windows.{name}.by", window.by, own)
        if window.of is not None:
            _known(f"windows.{name}.of", [window.of], own)
            if window.known == "event" and own[window.of].known == "label":
                raise ValueError(f"windows.{name} adds {window.of!r}, known only with the label; set known: label")
        if window.known == "label" and case.label.matures is None:
            raise ValueError(f"windows.{name} waits for the label, so label.matures must say when it lands")


def _check_leaks(case: Case) -> None:
    """A row must not be looked up, timed or named by what is known only with its label."""
    places = [("event_time", (case.event_time.column, *case.event_time.plus)), ("entity_id", case.entity_id)]
    places += [(f"references.{name}.by", tuple(reference.by)) for name, reference in case.references.items()]
    places += [(f"windows.{name}.by", window.by) for name, window in case.windows.items()]
    event = case.event_types()
    for place, names in [*places, ("inputs", case.inputs or ())]:
        for name in names:
            if name not in event:
                raise ValueError(f"{place} leaks the label: {name!r} is known only when the label lands")


def _check_kinds(case: Case) -> None:
    """Types fit what is done with the columns."""
    own, texts, numbers = case.columns, ("string", "id"), ("number", "bool")
    for name, reference in case.references.items():
        for mine, theirs in reference.by.items():
            kinds = (own[mine].type, reference.columns[theirs].type)
            if kinds[0] != kinds[1] and not all(kind in texts for kind in kinds):
                raise ValueError(f"references.{name}.by compares {mine!r} ({kinds[0]}) with {theirs!r} ({kinds[1]})")
        if reference.time is not None and reference.columns[reference.time].type != "timestamp":
            raise ValueError(f"references.{name}.time must be a timestamp column; {reference.time!r} is none")
    for name, window in case.windows.items():
        if window.of is not None and own[window.of].type not in numbers:
            raise ValueError(f"windows.{name}.of adds numbers; {window.of!r} is {own[window.of].type}")
    label, kind = case.label, own[case.label.column].type
    if kind == "timestamp":
        raise ValueError(f"label.column must be a number, bool, string or id; {label.column!r} is {kind}")
    if kind in texts and (case.model.task == "regression" or label.above is not None):
        raise ValueError(f"label.column must be a number for a regression or 'above'; {label.column!r} is {kind}")
    if kind in texts and case.model.task == "binary" and label.positive is None:
        raise ValueError(f"label.positive must say which text of {label.column!r} counts as 1")
    weights = case.model.weights.column
    if weights is not None and own[weights].type not in numbers:
        raise ValueError(f"model.weights.column must be a number; {weights!r} is {own[weights].type}")
