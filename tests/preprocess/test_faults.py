"""However a run is killed, a reader sees no artifact or a whole one, and the next run gives what one run gives."""

from __future__ import annotations

import pickle

import pytest

from components.core import artifacts
from components.preprocess import job
from tests import processes
from tests.preprocess import killed

from .conftest import Bench, parcels
from .test_period import spec_of

OUTPUTS = ("features", "holdout", "score", "dead_letter")


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half_and_the_next_one_completes_it(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    undisturbed = Bench(tmp_path_factory.mktemp("undisturbed"))
    for each in (undisturbed, bench):
        each.give(parcels(4), shard_rows=20)
    undisturbed.run()
    launch, deaths = bench.launch(), 0
    while processes.dies_at(3 + 29 * deaths, killed.preprocess, launch, bench.paths()):
        deaths += 1
        for name in bench.published():
            assert artifacts.verify(bench.path(name)).digest == undisturbed.digests()[name]
    assert deaths >= 2
    assert bench.digests() == undisturbed.digests()
    left = [path for name in OUTPUTS for path in bench.path(name).rglob("*") if path.name.endswith(".tmp")]
    assert left == []
    assert not (bench.path("dead_letter") / "job").exists()


def test_the_job_carries_no_code_of_the_users(bench: Bench) -> None:
    carried = pickle.dumps(job._Period(spec_of(bench, bench.launch(), "out")))
    assert b"esteira_case" not in carried
    assert b"features.py" not in carried
