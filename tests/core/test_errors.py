"""Errors say where, what, the rule, the value and the remedy, and have an exit code of their own."""

from __future__ import annotations

import json
import pickle

from components.core import errors
from components.core.errors import DataError, EsteiraError


def kinds(base: type[EsteiraError] = EsteiraError) -> list[type[EsteiraError]]:
    """Those of the module: whoever imports the server has one more."""
    own = [child for child in base.__subclasses__() if child.__module__ == errors.__name__]
    return [base, *(kind for child in own for kind in kinds(child))]


def test_the_text_has_all_five_parts() -> None:
    error = DataError("rows", "be more than 0", 0, "Give more data.", where="events.csv")
    assert str(error) == "events.csv: 'rows' must be more than 0. Got 0. Give more data."


def test_a_long_value_is_shortened() -> None:
    assert len(str(DataError("a", "b", "x" * 10_000, "c"))) < 200


def test_a_long_name_is_shortened() -> None:
    assert len(str(DataError("x" * 10_000, "b", 0, "c"))) < 500


def test_a_value_that_nests_too_deep_to_be_shown_is_told_by_its_kind() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    error = DataError("a", "b", deep, "c")
    assert str(error) == "'a' must b. Got a list, deeply nested. c"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_survives_pickling_with_its_kind_and_text() -> None:
    for kind in kinds():
        error = kind("rows", "be more than 0", ["a", 1], "Give more data.", where="events.csv")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (kind, str(error))


def test_an_error_survives_a_file_with_its_kind_and_text() -> None:
    for kind in kinds():
        error = kind("rows", "be more than 0", ["a", 1], "Give more data.", where="events.csv")
        again = errors.from_json(json.loads(json.dumps(errors.to_json(error))))
        assert (type(again), str(again)) == (kind, str(error))


def test_the_tree_in_the_docstring_has_every_error_with_its_exit_code() -> None:
    told = errors.__doc__ or ""
    for kind in kinds():
        line = next(line for line in told.splitlines() if f" {kind.__name__} " in f" {line.strip('├─│└ ')} ")
        assert str(kind.exit_code) in line.split()
