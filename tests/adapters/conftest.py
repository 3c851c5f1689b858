"""A toy case with three registered versions, over the real ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from components.adapters.local.registry import MlflowRegistry
from components.step import Launch
from tests import toy
from tests.toy import Toy

WEIGHTS = [((-2.0, 2.0), (shift, -shift)) for shift in (0.0, 0.5, 1.0)]


@pytest.fixture
def here(tmp_path: Path, make_launch: Callable[..., Launch]) -> Iterator[Toy]:
    """Versions 1, 2 and 3, of which none is live; without MLflow's view, which has tests of its own."""
    found = toy.toy(tmp_path, make_launch)
    for number, weights in enumerate(WEIGHTS, 1):
        assert found.register(found.model(f"m{number}", weights)) == number
    with mock.patch.object(MlflowRegistry, "_project"):
        yield found
