"""A deployment's id, from which the server knows its version."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import container
from components.core.errors import CaseError


@given(st.integers(1, container.LARGEST), st.dictionaries(st.text(), st.integers() | st.text()))
def test_an_id_says_its_version_and_is_one_that_vertex_takes(version: int, settings: dict[str, int | str]):
    id = container.deployment(version, settings)
    assert re.fullmatch(r"[0-9]{1,10}", id)
    assert container.deployed(id) == version
    assert container.deployment(version, dict(reversed(settings.items()))) == id


def test_other_settings_are_another_deployment():
    assert container.deployment(7, {"machine": "n1-standard-2"}) != container.deployment(
        7, {"machine": "n1-standard-4"}
    )


@pytest.mark.parametrize("id", ["", "12345", "4716238947238947123", "a23456", "0123456", "²23456"])
def test_an_id_that_somebody_else_chose_says_nothing(id: str):
    assert container.deployed(id) is None


@pytest.mark.parametrize("version", [0, 100_000])
def test_a_version_without_a_place_in_ten_digits_is_refused(version: int):
    with pytest.raises(CaseError) as caught:
        container.deployment(version, {})
    assert str(caught.value) == (
        f"'version' must be from 1 to 99999 to be deployed. Got {version}. Register under another case's name."
    )


def test_the_container_is_told_its_case_its_bundle_where_to_log_and_who_keeps_the_gate():
    assert container.variables("flights", "d" * 64, "gs://esteira/prod") == {
        "ESTEIRA_CASE": "flights",
        "ESTEIRA_BUNDLE": "d" * 64,
        "ESTEIRA_LOG": "gs://esteira/prod",
        "ESTEIRA_AUTH": "platform",
    }
