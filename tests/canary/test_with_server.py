"""A canary over a real server: what it logs decides, and it follows the verdict by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.canary.conftest import ALIKE, OPPOSITE, Canary
from tests.serving.conftest import Server, end, over


def asked(server: Server, count: int) -> set[str | None]:
    """So many requests of one row each; the versions that answered."""
    random = np.random.default_rng(1)
    rows = ({"x": float(x), "z": 0.5, "kind": "p"} for x in random.normal(size=count))
    return {server.predict(row).headers.get("x-model-version") for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "state", "live"), [(ALIKE, "promote", 2), (OPPOSITE, "abort", 1)], ids=["alike", "opposite"]
)
def test_the_servers_own_log_decides_and_it_follows(
    make: Callable[..., Canary], weights: tuple[tuple[float, ...], ...], state: str, live: int
) -> None:
    canary = make(requests=60, error_rate=0.1, latency=None)
    canary.begin(weights)
    server = over(canary.toy)
    try:
        server.until_ready()
        server.until(lambda: asked(server, 20) == {"1", "2"})
        assert asked(server, 240) == {"1", "2"}
        assert canary.run().parameters == {"champion": str(live), "state": state}
        server.until(lambda: asked(server, 20) == {str(live)})
    finally:
        end(server)
    found = canary.found()
    assert found["log"]["bad"] == 0
    assert found["log"]["dropped"] == dict.fromkeys(found["log"]["dropped"], 0)
    # What disagrees always is aborted at the first look, however much of the log is there by then.
    fewest = 60 if state == "promote" else 20
    assert found["counts"]["challenger"]["requests"] >= fewest
