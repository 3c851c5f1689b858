"""canary: what promotes a challenger, what aborts it, and what a kill or a person in between does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.canary.conftest import OPPOSITE, Canary, Traffic

Make = Callable[..., Canary]


def states(canary: Canary) -> dict[str, str]:
    return {finding["name"]: finding["state"] for finding in canary.found()["findings"]}


def test_a_good_challenger_is_promoted(make: Make) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), Traffic(2))
    result = canary.run()
    assert result.parameters == {"champion": "2", "state": "promote"}
    assert states(canary) == {"error rate": "passed", "latency": "passed", "agreement": "passed"}
    now = canary.pointer()
    assert (now.champion, now.previous, now.challenger, now.split) == (2, 1, None, 0)


@pytest.mark.parametrize(
    ("rule", "traffic"),
    [
        ("error rate", Traffic(2, failing=0.3)),
        ("latency", Traffic(2, ms=12.0)),
    ],
)
def test_a_harmful_challenger_is_aborted(make: Make, rule: str, traffic: Traffic) -> None:
    canary = make()
    canary.begin()
    canary.serve(Traffic(1), traffic)
    result = canary.run()
    assert result.parameters == {"champion": "1", "state": "abort"}
    assert states(canary)[rule] == "failed"
    assert canary.pointer().challenger is None


def test_one_that_decides_otherwise_is_aborted(make: Make) -> None:
    canary = make()
    canary.begin(OPPOSITE)
    canary.serve(Traffic(1), Traffic(2, opposite=True))
    assert canary.run().parameters == {"champion": "1", "state": "abort"}
    assert states(canary)["agreement"] == "failed"


def test_one_that_is_worse_on_matured_labels_is_aborted(make: Make) -> None:
    canary = make(quality={"accuracy": 0.2})
    canary.begin()
    canary.serve(Traffic(1, right=0.9), Traffic(2, right=0.3))
    canary.land()
    assert canary.run().parameters == {"champion": "1", "state": "abort"}
    assert states(canary)["accuracy"] == "failed"


def test_no_traffic_is_no_promotion(make: Make) -> None:
    canary = make(deadline="1s")
    canary.begin()
    assert canary.run().parameters == {"champion": "1", "state": "abort"}
    assert canary.found()["reasons"][0].startswith("Insufficient data for error rate: 0 of the champion")
