"""The main job with Google's adapters behind every port: emulators, Vertex's contract server, Beam's job service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from components import ROUTE
from components.adapters.connect import Connected
from components.adapters.gcp.clients import BIGQUERY_EMULATOR, bigquery_client, storage_client
from components.adapters.local.log import Log
from components.core import artifacts, case_file, inference, shards
from components.core import profile as profiles
from components.streaming.loop import GROUP
from pipelines.launch.ending import end
from pipelines.launch.run import ROUTES
from tests.conftest import FLIGHTS, REPOSITORY
from tests.e2e.conftest import ESTEIRA, Ran, esteira, run
from tests.servers.vertex.server import Vertex, vertex

SERVERS = ("ESTEIRA_PRISM", "ESTEIRA_PUBSUB", "ESTEIRA_GCS", "ESTEIRA_BIGQUERY")
ABSENT = [name for name in SERVERS if not os.environ.get(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.xdist_group("flights"),
    pytest.mark.timeout(1800),
    # Google's client looks for the bucket's region in a thread of its own, which outlives the test.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} name no servers (make servers)"),
]


PROFILE = ("--profile", "google-emulated")
SMALLER = {
    "{percent: 25, requests: 300, deadline: 3min, latency: 3, quality: {roc_auc: 0.1}}": (
        "{percent: 50, requests: 60, deadline: 5min, latency: null, error_rate: 0.05, agreement: 0.5}"
    ),
    "canary_tolerance: 0.03": "canary_tolerance: 0.3",
    "floors: {roc_auc: 0.85}": "floors: {roc_auc: 0.7}",
    "split: {by: day, validation: 2, holdout: 2, score: 0}": "split: {by: month, validation: 1, holdout: 1, score: 0}",
    "max_iter: 150": "max_iter: 40",
    "seed: 7": "seed: 9",
}
"""A fortieth of the flights fills months, where the case has days, and gives a canary less to judge by."""
PATIENCE = 420.0
"""Seconds until what is under way is given up."""


@dataclass(frozen=True)
class Cloud:
    """A user's folder whose profile is Google's, and what stands for Vertex."""

    home: Path
    vertex: Vertex
    address: str

    def run(self, pipeline: str = "batch") -> Ran:
        return run(self.home, "flights", pipeline, *PROFILE)

    def ports(self) -> Connected:
        return Connected(profiles.load("google-emulated", self.home / "profiles"))

    def ask(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """A prediction through the endpoint, as a client of Vertex's asks."""
        data = json.dumps(body).encode()
        request = Request(f"{self.address}/v1/{endpoint}:predict", data, {"Content-Type": "application/json"})
        with urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@pytest.fixture(scope="module")
def cloud(flights_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The repository's profile over this session's servers, with a bucket's prefix and a dataset of its own.

    The case's sources lie under the prefix, not here.
    """
    home, mark = tmp_path_factory.mktemp("cloud"), uuid.uuid4().hex[:12]
    rest, _, read = os.environ["ESTEIRA_BIGQUERY"].partition(",")
    with pytest.MonkeyPatch.context() as patch, vertex() as (server, service):
        emulators = {"storage": f"http://{os.environ['ESTEIRA_GCS']}", "bigquery": f"http://{rest}"}
        emulators |= {"bigquery_storage": read, "pubsub": os.environ["ESTEIRA_PUBSUB"]}
        said = yaml.safe_load((REPOSITORY / "profiles" / "google-emulated.yaml").read_text())
        said["emulators"] = emulators
        said["blobs"]["at"] = f"gs://esteira/{mark}"
        said["sources"] = f"gs://esteira/{mark}-sources"
        said["tables"]["at"] = f"esteira.t_{mark}"
        said["events"]["at"] = f"t-{mark}"
        said["vertex"]["endpoint"] = server.address
        said["jobs"]["options"]["job_endpoint"] = os.environ["ESTEIRA_PRISM"]
        (home / "profiles").mkdir()
        (home / "profiles" / "google-emulated.yaml").write_text(yaml.safe_dump(said))
        for name, value in profiles.load("google-emulated", home / "profiles").emulators.variables().items():
            patch.setenv(name, value)
        assert os.environ[BIGQUERY_EMULATOR]
        bigquery_client("esteira").create_dataset(f"t_{mark}")
        for file in (flights_sample / "data").rglob("*.csv"):
            name = f"{mark}-sources/{file.relative_to(flights_sample).as_posix()}"
            storage_client().bucket("esteira").blob(name).upload_from_filename(str(file))
        yield Cloud(home, service, server.address)


@pytest.fixture(scope="module")
def first_there(cloud: Cloud) -> Ran:
    return cloud.run()


def test_every_step_is_done_and_learns_the_same_model_as_here(first: Ran, first_there: Ran) -> None:
    assert first_there.code == 0
    assert first_there.states() == dict.fromkeys(ROUTE, "done")
    here, there = first.record["steps"], first_there.record["steps"]
    assert there["ingest"]["parameters"]["snapshot"] == here["ingest"]["parameters"]["snapshot"]
    assert there["train"]["parameters"]["identity"] == here["train"]["parameters"]["identity"]
    for step in ("ingest", "preprocess", "predict"):
        assert (there[step]["rows_in"], there[step]["rows_out"]) == (here[step]["rows_in"], here[step]["rows_out"])


def test_the_champion_is_the_default_version_and_has_all_of_the_traffic(cloud: Cloud, first_there: Ran) -> None:
    (version,) = cloud.ports().registry.versions("flights")
    assert version.version == 1
    assert version.aliases == ("champion",)
    (endpoint,) = cloud.vertex.endpoints.values()
    (deployed,) = endpoint.deployed_models
    assert dict(endpoint.traffic_split) == {deployed.id: 100}


def test_the_endpoint_gives_the_predictions_that_the_table_holds(cloud: Cloud, first_there: Ran) -> None:
    """What batch scored into BigQuery, and the server that Vertex started from the registry's model in Cloud Storage."""
    ports = cloud.ports()
    table = ports.tables.read("predictions_flights")
    assert table.num_rows == first_there.record["steps"]["predict"]["rows_out"]
    kept = {row["_entity"]: row for row in table.to_pylist()}
    folder = cloud.home / ".esteira" / "artifacts" / first_there.record["job"] / "preprocess" / "score"
    enriched = shards.read_all(folder, artifacts.verify(folder, "enriched")).slice(0, 50)
    names = list(case_file.load(FLIGHTS).case().input_types())
    rows = [
        {n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()}
        for row in enriched.select(names).to_pylist()
    ]
    answer = cloud.ask(ports.endpoints.resource("flights"), {"instances": rows})
    wanted = [kept[entity] for entity in enriched["_entity"].to_pylist()]
    assert [one["decision"] for one in answer["predictions"]] == [row["decision"] for row in wanted]
    assert [one["score"] for one in answer["predictions"]] == pytest.approx([row["score"] for row in wanted], abs=1e-5)


def test_the_training_is_an_experiment_run(cloud: Cloud, first_there: Ran) -> None:
    runs = [c for c in cloud.vertex.contexts.values() if c.schema_title == "system.ExperimentRun"]
    assert len(runs) == 1


def test_the_same_again_makes_no_second_version_and_no_second_deployment(cloud: Cloud, first_there: Ran) -> None:
    again = cloud.run()
    assert again.code == 0
    assert again.states()["train"] == "reused"
    assert [v.version for v in cloud.ports().registry.versions("flights")] == [1]
    (endpoint,) = cloud.vertex.endpoints.values()
    assert [deployed.model_version_id for deployed in endpoint.deployed_models] == ["1"]


def test_a_canary_begins_and_is_aborted_by_hand(cloud: Cloud, first_there: Ran) -> None:
    """With another seed: the pointer moves first, and the endpoint's traffic follows it."""
    folder = cloud.home / "cases" / "flights"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("seed: 7", "seed: 8") + "\ndeploy: canary\n")
    second = cloud.run()
    assert second.record["steps"]["deploy"]["parameters"] | {"resource": ""} == {
        "champion": "1",
        "challenger": "2",
        "resource": "",
    }
    (endpoint,) = cloud.vertex.endpoints.values()
    assert sorted(endpoint.traffic_split.values()) == [25, 75]
    esteira(cloud.home, "models", "abort", "flights", "--why", "by hand", "--profile", "google-emulated")
    assert [deployed.model_version_id for deployed in endpoint.deployed_models] == ["1"]
    assert list(endpoint.traffic_split.values()) == [100]


@dataclass(frozen=True)
class Fast:
    """What a run of fast, the stream beside it and the producer before and during it told."""

    ran: Ran
    stream: dict[str, Any]
    published: int


@pytest.fixture(scope="module")
def fast(cloud: Cloud, first_there: Ran) -> Fast:
    """The commands of the README's three shells, with Google's profile: stream, replay, run, and replay again."""
    case = cloud.home / "smaller" / "flights"
    shutil.copytree(FLIGHTS, case, ignore=shutil.ignore_patterns("__pycache__"))
    text = (case / "case.yaml").read_text()
    for before, after in SMALLER.items():
        assert before in text
        text = text.replace(before, after)
    (case / "case.yaml").write_text(text)

    def replay(*words: str) -> int:
        told = json.loads(esteira(cloud.home, "replay", case, "--json", *PROFILE, *words).stdout)
        return sum(told[name] for name in ("events", "labels", "duplicates", "bad"))

    ports = cloud.ports()
    ports.events.subscribe("flights", "stream").close()  # it is there before what is published, as in the cloud
    log = Log(cloud.home / ".esteira" / "events" / "flights")
    with begun(cloud.home, "stream", case) as stream:
        published = replay("--from", "2013-10-01", "--to", "2013-11-01", "--duplicates", "0.02", "--bad", "0.01")
        reached(log, published, stream)
        assert ports.endpoints.pointer("flights").challenger is None
        with begun(cloud.home, "run", case, "fast") as ran:
            while ports.endpoints.pointer("flights").challenger is None and ran.poll() is None:
                time.sleep(0.2)
            if ran.poll() is None:  # the stream tells of a version before it scores by it
                assert stream.stderr is not None
                next(line for line in stream.stderr if " gets " in line or ran.poll() is not None)
                published += replay("--from", "2013-11-01", "--to", "2013-11-15")
            out, errors = ran.communicate(timeout=PATIENCE)
        reached(log, published, stream)
        stream.send_signal(signal.SIGTERM)
        told, said = stream.communicate(timeout=PATIENCE)
    assert stream.returncode == 0, said
    return Fast(Ran(ran.returncode, json.loads(out), errors), json.loads(told), published)


def reached(log: Log, offset: int, stream: subprocess.Popen[str]) -> None:
    """Waits until the stream has committed so much."""
    deadline = time.monotonic() + PATIENCE
    while log.committed(GROUP)[0] < offset:
        assert stream.poll() is None, stream.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)


@contextmanager
def begun(home: Path, command: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A command under way, killed where a test fails meanwhile."""
    line = [str(ESTEIRA), command, *map(str, words), "--json", *PROFILE]
    with subprocess.Popen(line, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            end(process, 30.0)  # with the tasks that it has started


def test_fast_runs_to_a_live_decision_and_the_endpoint_follows_it(cloud: Cloud, fast: Fast) -> None:
    assert fast.ran.code == 0, fast.ran.errors
    assert fast.ran.states() == dict.fromkeys(ROUTES["fast"], "done")
    decided = fast.ran.record["steps"]["canary"]["parameters"]
    assert decided["state"] in ("promote", "abort")
    pointer = cloud.ports().endpoints.pointer("flights")
    assert (str(pointer.champion), pointer.challenger) == (decided["champion"], None)
    before = cloud.ports().endpoints.history("flights")[-2]
    assert pointer.champion == (before.challenger if decided["state"] == "promote" else before.champion)
    (endpoint,) = cloud.vertex.endpoints.values()
    assert cloud.ports().endpoints.traffic("flights")[pointer.champion] == 100
    assert sum(endpoint.traffic_split.values()) == 100


def test_fast_learnt_from_the_topic_and_the_canary_judged_by_enough_live_requests(cloud: Cloud, fast: Fast) -> None:
    steps = fast.ran.record["steps"]
    assert steps["ingest"]["parameters"]["window_end"] == "2013-11-01T00:00:00Z"
    assert steps["canary"]["rows_in"] >= 120


def test_every_message_was_acknowledged_and_stands_in_one_place(cloud: Cloud, fast: Fast) -> None:
    counts = fast.stream["counts"]
    assert counts["read"] >= fast.published  # what Pub/Sub delivers again is a duplicate
    assert counts["read"] == counts["good"] + counts["dead_letter"] + counts["late"] + counts["duplicate"]
    assert min(counts["dead_letter"], counts["duplicate"], counts["labels"]) > 0
    with closing(cloud.ports().events.subscribe("flights", GROUP)) as subscription:
        assert subscription.pull(10, 1.0) == []


def test_the_predictions_are_in_bigquery_once_by_champion_and_challenger(cloud: Cloud, fast: Fast) -> None:
    live = cloud.ports().tables.read(inference.table("flights"), columns=["_id", "_source", "_role"]).to_pylist()
    streamed, counts = (
        [row for row in live if row["_source"] == "stream"],
        fast.stream["counts"],
    )  # servers log there too
    assert len({row["_id"] for row in streamed}) == len(streamed) == counts["good"] - counts["labels"]
    assert {row["_role"] for row in streamed} == {"champion", "challenger"}
    asked = f"SELECT count(*) AS n FROM `{cloud.ports().tables.resource(inference.table('flights'))}`"
    assert [row["n"] for row in bigquery_client("esteira").query_and_wait(asked)] == [len(live)]
