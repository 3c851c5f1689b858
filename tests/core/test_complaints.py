"""What is wrong in a case or a profile is told with an example, and with the key that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from components.core import complaints
from components.core.case_file import CaseFile
from components.core.declared import validate
from components.core.errors import CaseError
from components.core.profile import Profile

VERTEX = {"project": "my-project", "region": "europe-west1", "pipeline_root": "gs://my-bucket/runs"}


def told(data: dict[str, Any]) -> str:
    with pytest.raises(CaseError) as caught:
        validate(Profile, data, where="profile")
    return str(caught.value)


def shaped(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[Any]:
    """Every field with a pattern under a model, as a case of a test."""
    seen.add(model)
    for name, field in model.model_fields.items():
        patterns = [found for one in field.metadata if (found := getattr(one, "pattern", None))]
        if patterns:
            yield pytest.param(patterns[0], field.examples, id=f"{model.__name__}.{name}")
        for inner in complaints.models_in(field.annotation):
            if inner not in seen:
                yield from shaped(inner, seen)


@pytest.mark.parametrize(("pattern", "examples"), [*shaped(Profile, set()), *shaped(CaseFile, set())])
def test_every_key_with_a_pattern_has_an_example_that_it_takes(pattern: str, examples: list[str] | None) -> None:
    assert examples
    assert all(example and re.search(pattern, example) for example in examples)


def test_a_wrong_region_is_told_by_a_right_one() -> None:
    text = told({"vertex": {**VERTEX, "region": "Europe West"}})
    assert text == "profile: 'vertex.region' must be such as europe-west1. Got 'Europe West'. Mend this key."


def test_a_key_that_may_be_left_out_is_told_that_it_may_be_empty() -> None:
    text = told({"cloud_run": {"region": "Europe West"}})
    assert "'cloud_run.region' must be such as europe-west1, or empty. Got 'Europe West'." in text


def test_a_wrong_name_of_a_schedule_is_told_by_a_right_one() -> None:
    with pytest.raises(ValidationError) as caught:
        CaseFile.model_validate({"schedules": {"Every night": {"cron": "0 4 * * *"}}})
    found = [one for one in caught.value.errors() if one["type"] == "string_pattern_mismatch"]
    alone = ValidationError.from_exception_data("CaseFile", found)  # type: ignore[arg-type]
    first = complaints.first(CaseFile, alone)
    assert (first.key, first.rule) == ("schedules.Every night", "be such as nightly")


def test_a_missing_key_that_is_there_misspelt_is_told_as_misspelt() -> None:
    text = told({"vertex": {"project": "my-project", "regoin": "x", "pipeline_root": "gs://my-bucket/runs"}})
    rule = "'vertex.regoin' must not be there: it is no key of this section. Got 'x'."
    assert text == f"profile: {rule} Did you mean region? Mend this key."


def test_an_unknown_key_of_another_section_hides_no_missing_one() -> None:
    text = told({"vertex": {**VERTEX, "region": 1}, "kubeflow": {"regoin": "x"}})
    assert text.startswith("profile: 'vertex.region' must be a valid string. Got 1. Mend this key; 2 more after it.")


def test_a_missing_key_that_nothing_is_near_to_is_told_as_missing() -> None:
    assert told({"kubeflow": {"colour": "red"}}).startswith("profile: 'kubeflow.host' must be given.")


@pytest.mark.parametrize(("key", "meant"), [("trakcing", "tracking"), ("emulator", "emulators"), ("colour", "")])
def test_an_unknown_key_names_the_known_one_that_is_near(key: str, meant: str) -> None:
    assert told({key: {}}).endswith(f"{f'Did you mean {meant}? ' if meant else ''}Mend this key.")


def test_a_pattern_without_an_example_is_told_as_it_is() -> None:
    class Model(BaseModel):
        name: str = Field(pattern="^a$")

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"name": "b"})
    assert complaints.first(Model, caught.value).rule == "match pattern '^a$'"


def test_a_name_of_the_users_that_is_a_fields_too_hides_no_key() -> None:
    class Inner(BaseModel, extra="forbid"):
        colour: str = Field(default="", pattern="^red$", examples=["red"])

    class Outer(BaseModel, extra="forbid"):
        inner: Inner = Inner()
        floors: dict[str, float] = {}
        parts: dict[str, Inner] = {}

    class Whole(BaseModel, extra="forbid"):
        outers: dict[str, Outer] = {}

    def first(data: dict[str, Any]) -> complaints.Complaint:
        with pytest.raises(ValidationError) as caught:
            Whole.model_validate(data)
        return complaints.first(Whole, caught.value)

    assert first({"outers": {"inner": {"flors": {}}}}).remedy == "Did you mean floors? Mend this key."
    assert first({"outers": {"outers": {"parts": {"floors": {"color": ""}}}}}).remedy.startswith("Did you mean colour?")
    assert first({"outers": {"a": {"parts": {"inner": {"colour": "blue"}}}}}).rule == "be such as red, or empty"
