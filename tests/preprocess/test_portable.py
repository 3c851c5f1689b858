"""The same job on a portable job service, its worker a process of its own in an empty directory."""

from __future__ import annotations

from pathlib import Path

from tests import prism

from .conftest import Bench, parcels


@prism.needed
def test_prism_publishes_what_the_embedded_runner_does(bench: Bench, tmp_path: Path) -> None:
    bench.give(parcels())
    bench.run()
    digests = bench.digests()
    bench.case["split"]["train"] = 2  # says what it already was, under another key
    with prism.workers(tmp_path / "empty") as options:
        bench.jobs = {"runner": "PortableRunner", "options": options}
        assert not bench.run().reused
    assert bench.digests() == digests
