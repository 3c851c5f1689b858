"""What a run's record says of the whole."""

from __future__ import annotations

import pytest

from components.core.record import RunRecord, StepRecord

ROUTE = ("ingest", "train")


@pytest.mark.parametrize(
    ("states", "ended", "cancelled", "told"),
    [
        (("done", "running"), None, False, "running"),
        (("done", "reused"), 2.0, False, "done"),
        (("done", "failed"), 2.0, False, "failed"),
        (("done",), 2.0, True, "cancelled"),
        (("done", "killed"), 2.0, True, "cancelled"),
        (("done",), 2.0, False, "incomplete"),
    ],
)
def test_a_run_is_done_only_when_every_step_is(states, ended, cancelled, told) -> None:  # type: ignore[no-untyped-def]
    steps = {name: StepRecord(name, state) for name, state in zip(ROUTE, states, strict=False)}
    assert RunRecord("job", "batch", "toy", ROUTE, steps, started=1.0, ended=ended, cancelled=cancelled).state == told
