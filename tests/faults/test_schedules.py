"""A thousand seeded schedules: whatever ends a run, and where, the next one comes to the end that there is without."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Driver

EACH = 50
BATCH = [0, 1]
"""Seeds; `make faults` plays ten."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, 1_000, EACH))
def test_a_run_after_any_faults_comes_to_the_same_end(driver: Driver, seed: int) -> None:
    print(f"seeds {seed} to {seed + EACH - 1}")
    outcomes = driver.play(seeds=list(range(seed, seed + EACH)))
    assert [outcome["seed"] for outcome in outcomes] == list(range(seed, seed + EACH))
    assert "\n".join(outcome["problem"] for outcome in outcomes if outcome["problem"]) == ""
    # Some faults strike where nothing depends on it; most end a run.
    assert sum(outcome["ended_early"] for outcome in outcomes) > EACH * 0.6
    assert len({outcome["scene"] for outcome in outcomes}) >= 5


@pytest.mark.slow
def test_the_whole_pipeline_after_any_faults_comes_to_the_same_end(driver: Driver) -> None:
    outcomes = driver.play(scenes=["batch"], seeds=BATCH)
    assert "\n".join(outcome["problem"] for outcome in outcomes if outcome["problem"]) == ""
    assert any(outcome["ended_early"] for outcome in outcomes)


@pytest.mark.slow
def test_a_scene_that_fails_without_a_fault_is_told_and_the_next_is_played(driver: Driver) -> None:
    with pytest.raises(AssertionError, match=r"commands fails without a fault(.|\n)*emulators.storage"):
        driver.play(cloud={"emulators": {"storage": "no address"}}, scenes=["commands"])
    [outcome] = driver.play(scenes=["commands"], seeds=[0])
    assert outcome["problem"] == ""
