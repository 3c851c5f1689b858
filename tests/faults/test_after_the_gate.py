"""After the gate, at every call of a port: whatever ends a run there, the next one reaches the same final state."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Driver


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["before", "lost"])
def test_a_fault_at_any_call_of_a_port_changes_nothing_in_the_end(driver: Driver, kind: str) -> None:
    outcomes = driver.play(scenes=["gate"], every=kind)
    assert "\n".join(outcome["problem"] for outcome in outcomes if outcome["problem"]) == ""
    assert len(outcomes) > 70
    if kind == "before":
        assert all(outcome["ended_early"] for outcome in outcomes)
