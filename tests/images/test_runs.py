"""A compiled pipeline over the images gives what it gives over the prebuilt environments."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.containers, pytest.mark.slow]

PROFILE = """
containers:
  network: host
  user: "10001:10001"
  ulimits: {nofile: [1024, 4096], nproc: [1024, 4096]}
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ran(flights_sample: Path, references: dict[str, str]) -> Run:
    """Runs batch of the flights case on the sample; the record, as JSON."""
    (flights_sample / "profiles").mkdir(exist_ok=True)
    (flights_sample / "profiles" / "contained.yaml").write_text(PROFILE)
    subprocess.run(["chmod", "-R", "a+rX", flights_sample, *flights_sample.parents[:2]], check=True)

    def run(root: str, *more: str) -> dict[str, Any]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("ESTEIRA_", "PYTHON"))}
        variables = {**own, "ESTEIRA_ROOT": str(flights_sample / root), "PYTHONPATH": str(REPOSITORY)}
        line = [sys.executable, "-m", "pipelines.cli", "run", "flights", "batch", "--json", *more]
        # What the launcher makes, the containers' user must be able to write into.
        done = subprocess.run(line, cwd=flights_sample, env=variables, capture_output=True, text=True, umask=0)
        assert done.returncode == 0, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def identities(root: Path) -> dict[str, str]:
    """Of each artifact by step and name its digest; of the model its identity: skops' bytes hold times."""
    found = {}
    for path in sorted(root.glob("artifacts/*/*/*/_manifest.json")):
        name = f"{path.parents[1].name}/{path.parent.name}"
        described = path.with_name("model.json")
        data = json.loads(described.read_text()) if described.exists() else json.loads(path.read_text())
        found[name] = str(data["identity"] if described.exists() else data["digest"])
    return found


# By the environment of validate, which has the message; a float that is none stands as a word.
READ = """
import json, sys
from google.protobuf.json_format import MessageToDict
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList as Statistics
print(json.dumps([MessageToDict(Statistics.FromString(open(path, "rb").read())) for path in sys.argv[1:]]))
"""
RELATIVE = 1e-9
"""How far a float of one TFDV may be from another's: sums of the same numbers, in another order at most."""


def statistics(*roots: Path) -> list[dict[str, Any]]:
    """Of each run those that validate published; 64-bit counts are strings in them."""
    files = [next(root.glob("artifacts/*/validate/statistics/stats.pb")) for root in roots]
    line = [REPOSITORY / ".venvs/validate/bin/python", "-c", READ, *files]
    found: list[dict[str, Any]] = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return found


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Where two values of JSON are not equal: floats by RELATIVE, all else exactly, but for quantiles.

    A quantile is a sketch's, right to a tenth of a bucket (components.validate.measure), so between two releases a
    bound may lie anywhere between the bounds beside it.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            yield f"{at}: one alone has {sorted(one.keys() ^ other.keys())}"
        elif one.get("type") == "QUANTILES":
            yield from _quantiles(one["buckets"], other["buckets"], at)
        else:
            for key in one:
                yield from differences(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{at}[{place}]")
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=RELATIVE):
            yield f"{at}: {one} is not {other}"
    elif one != other:
        yield f"{at}: {one} is not {other}"


def _quantiles(one: list[dict[str, float]], other: list[dict[str, float]], at: str) -> Iterator[str]:
    counts = [[bucket["sampleCount"] for bucket in buckets] for buckets in (one, other)]
    yield from differences(*counts, f"{at}.sampleCount")
    ours, theirs = ([b.get("lowValue", 0.0) for b in of] + [of[-1].get("highValue", 0.0)] for of in (one, other))
    yield from differences([ours[0], ours[-1]], [theirs[0], theirs[-1]], f"{at}.ends")
    for place in range(1, min(len(ours), len(theirs)) - 1):
        if not theirs[place - 1] <= ours[place] <= theirs[place + 1]:
            yield f"{at}[{place}]: {ours[place]} is not between {theirs[place - 1]} and {theirs[place + 1]}"


BUCKETS = [{"lowValue": 1.0 + n, "highValue": 2.0 + n, "sampleCount": 7.5} for n in range(4)]


def moved(by: float) -> list[dict[str, float]]:
    """The bound between the second bucket and the third, elsewhere."""
    first, second, third, fourth = BUCKETS
    return [first, {**second, "highValue": 3.0 + by}, {**third, "lowValue": 3.0 + by}, fourth]


@pytest.mark.parametrize(
    ("other", "where"),
    [
        ({}, []),
        ({"mean": 0.1 * (1 + 1e-10)}, []),
        ({"mean": 0.1 * (1 + 1e-8)}, [".mean"]),
        ({"count": "8420"}, [".count"]),
        ({"label": "EWR"}, [""]),
        ({"histogram": {"type": "QUANTILES", "buckets": moved(0.9)}}, []),
        ({"histogram": {"type": "QUANTILES", "buckets": moved(1.1)}}, [".histogram[3]"]),
        (
            {"histogram": {"type": "QUANTILES", "buckets": BUCKETS[:3]}},
            [".histogram.sampleCount", ".histogram.ends[1]"],
        ),
    ],
)
def test_a_value_that_is_another_is_found(other: dict[str, Any], where: list[str]) -> None:
    one = {"count": "8421", "mean": 0.1, "histogram": {"type": "QUANTILES", "buckets": BUCKETS}}
    assert [told.partition(":")[0] for told in differences(one, {**one, **other})] == where


def test_batch_over_images_is_batch_over_environments(ran: Run, flights_sample: Path) -> None:
    images = ("--runner", "docker", "--images", str(REPOSITORY / "build/digests.json"), "--profile", "contained")
    with ThreadPoolExecutor(2) as pool:
        contained, plain = pool.map(lambda asked: ran(*asked), [("contained", *images), ("plain",)])
    assert {name: step["state"] for name, step in contained["steps"].items()} == dict.fromkeys(
        contained["route"], "done"
    )
    assert contained["bundle"] == plain["bundle"]
    first, second = identities(flights_sample / "contained"), identities(flights_sample / "plain")
    assert first.keys() == second.keys()
    assert len(first) >= 8
    # Two releases of TFDV write other bytes: the statistics are compared by value, the judgement of them by its bytes.
    assert {name for name in first if first[name] != second[name]} <= {"validate/statistics"}
    runs = [flights_sample / "contained", flights_sample / "plain"]
    assert list(differences(*statistics(*runs))) == []
    for name in ("anomalies.json", "schema.pbtxt"):
        found = [next(run.glob(f"artifacts/*/validate/statistics/{name}")).read_bytes() for run in runs]
        assert found[0] == found[1], name
    for step in ("train", "evaluate", "deploy"):
        assert contained["steps"][step]["parameters"] == plain["steps"][step]["parameters"]
    owners = {path.stat().st_uid for path in (flights_sample / "contained" / "artifacts").rglob("_manifest.json")}
    assert owners == {10001}
