"""Beam jobs on Dataflow's contract server: found again, followed, stopped, and what its errors mean."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud import dataflow_v1beta3 as dataflow

from components.adapters.gcp import dataflow_calls
from components.adapters.gcp.dataflow import DataflowJobs
from components.adapters.local.blobs import FileBlobs
from components.adapters.patience import Patience
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, RunError, SetupError
from components.core.profile import Profile
from tests.servers import http
from tests.servers.dataflow import PROJECT, REGION, Dataflow, Frame, serving
from tests.servers.http import Fault

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's own imports warn
    import apache_beam as beam
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.runners.dataflow import dataflow_runner  # noqa: F401

IMAGE = f"europe-docker.pkg.dev/p/esteira/esteira-pipeline@sha256:{'a' * 64}"
SETTINGS: dict[str, Any] = {"project": PROJECT, "region": REGION, "image": IMAGE}


@dataclass
class Bench:
    server: http.Server
    service: Dataflow
    root: Path
    said: list[str] = field(default_factory=list)
    built: int = 0

    def jobs(self, options: dict[str, Any] | None = None, **settings: Any) -> DataflowJobs:
        at = {**SETTINGS, "endpoint": self.server.address, **settings}
        profile = Profile.model_validate(
            {
                "blobs": {"adapter": "google", "at": "gs://bucket/esteira"},
                "jobs": {"runner": "DataflowRunner", "dataflow": at, "options": options or {}},
            }
        )
        patience = Patience(deadline=2.0, sleep=lambda _: None)
        return DataflowJobs(profile, FileBlobs(self.root), patience=patience, pace=0.0, say=self.said.append)

    def build(self, pipeline: Any) -> None:
        self.built += 1
        _ = pipeline | "numbers" >> beam.Create([1, 2]) | "square" >> beam.Map(lambda n: n * n)

    def run(self, jobs: DataflowJobs | None = None, **arguments: Any) -> None:
        (jobs or self.jobs()).run(self.build, **{"name": "squares", "key": "k1", **arguments})

    def states(self) -> list[str]:
        return [self.service.state(id) for id in self.service.jobs]

    def only(self) -> Any:
        (job,) = self.service.jobs.values()
        return job


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with serving() as (server, service):
        yield Bench(server, service, tmp_path / "blobs")


def course(*frames: Frame) -> Callable[[Any], list[Frame]]:
    return lambda _: list(frames)


# what is sent


def test_the_request_names_one_image_by_digest_and_how_the_workers_run(bench: Bench) -> None:
    how: dict[str, Any] = {
        "service_account": "w@p.iam.gserviceaccount.com",
        "machine_type": "n2-standard-4",
        "workers": 2,
        "max_workers": 5,
        "subnetwork": f"regions/{REGION}/subnetworks/beam",
        "kms_key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    }
    bench.run(bench.jobs(**how), name="preprocess-Flights_2024")
    job = bench.only()
    (pool,) = job.environment.worker_pools
    assert (job.name, job.type_) == ("preprocess-flights-2024", dataflow.JobType.JOB_TYPE_BATCH)
    assert [image.container_image for image in pool.sdk_harness_container_images] == [IMAGE]
    assert (pool.machine_type, pool.num_workers, pool.autoscaling_settings.max_num_workers) == ("n2-standard-4", 2, 5)
    assert pool.autoscaling_settings.algorithm == dataflow.AutoscalingAlgorithm.AUTOSCALING_ALGORITHM_BASIC
    assert pool.ip_configuration == dataflow.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    assert pool.subnetwork == how["subnetwork"]
    assert not pool.packages
    assert job.environment.service_account_email == how["service_account"]
    assert job.environment.service_kms_key_name == how["kms_key"]


def test_the_graph_is_staged_where_the_request_says(bench: Bench) -> None:
    bench.run()
    options = dict(bench.only().environment.sdk_pipeline_options)["options"]
    place = options["pipelineUrl"].removeprefix("gs://bucket/esteira/")
    graph = beam_runner_api_pb2.Pipeline.FromString((bench.root / place).read_bytes())
    assert {"numbers", "square"} <= {t.unique_name for t in graph.components.transforms.values()}
    assert options["dry_run"] is False


def test_without_an_image_by_digest_nothing_is_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESTEIRA_IMAGE", raising=False)
    with pytest.raises(SetupError) as caught:
        bench.run(bench.jobs(image=""))
    assert str(caught.value) == (
        "'ESTEIRA_IMAGE' must name the workers' image by digest: NAME@sha256:…. Got ''. Run a released pipeline, which "
        "sets it, or name the image in the profile's jobs.dataflow.image."
    )
    assert bench.server.seen == []
    monkeypatch.setenv("ESTEIRA_IMAGE", IMAGE)
    bench.run(bench.jobs(image=""))
    assert bench.states() == ["DONE"]


def test_an_option_that_is_esteiras_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(CaseError) as caught:
        bench.run(bench.jobs({"region": "us-central1"}))
    assert str(caught.value) == (
        "'jobs.options.region' must not be there: Esteira sets it. Got 'us-central1'. Set what it stands for in "
        "jobs.dataflow, or leave it out."
    )


# following


def test_a_course_is_told_and_its_end_is_the_runs(bench: Bench) -> None:
    bench.run()
    job = bench.only()
    url = f"https://console.cloud.google.com/dataflow/jobs/{REGION}/{job.id}?project={PROJECT}"
    assert bench.said == [
        f"squares: job {job.id}: {url}",
        "squares: starting",
        "squares: running",
        "squares: Worker pool started.",
        "squares: done",
        "squares: rows 3",
    ]


def test_a_state_that_is_not_documented_is_an_error_and_the_job_goes_on(bench: Bench) -> None:
    bench.service.course = course(Frame("RUNNING"), Frame("99"))
    with pytest.raises(RunError) as caught:
        bench.run()
    assert "'state' must be one that Dataflow documents (UNKNOWN, STOPPED, PENDING" in str(caught.value)
    assert "Got '99'. Look at it in the console; a newer Esteira may know this state." in str(caught.value)
    assert bench.server.called("PUT") == 0


RAISED = (
    "Traceback (most recent call last):\n  File 'x'\nZeroDivisionError: division by zero [while running 'square']\n"
)


@pytest.mark.parametrize(
    ("says", "kind", "told"),
    [
        (RAISED, RunError, "'squares' must succeed on DataflowRunner. Got \"ZeroDivisionError: division by zero [wh"),
        (
            "Quota 'CPUS' exceeded. Limit: 8.0 in region europe-west1.",
            RunError,
            "'Dataflow' must have quota left for t",
        ),
        ("The subnetwork regions/x/subnetworks/y was not found.", SetupError, "'jobs.dataflow.subnetwork' must name a"),
        (
            "Invalid value for machineType 'n9'. Machine type with name 'n9' does not exist.",
            SetupError,
            "_type' must b",
        ),
        ("ZONE_RESOURCE_POOL_EXHAUSTED in zone europe-west1-b", RunError, "'Dataflow' must find machines in the regio"),
        ("Error syncing pod: image pull failed, denied", SetupError, "'jobs.dataflow.image' must be an image that the"),
        ("Workers cannot start: the service account has no permission.", SetupError, "must have a worker's rights"),
        ("Private Google Access is off on the subnetwork.", SetupError, "must have Private Google Access, for workers"),
    ],
)
def test_what_a_failed_job_says_is_the_error_that_it_means(
    bench: Bench, says: str, kind: type[EsteiraError], told: str
) -> None:
    bench.service.course = course(Frame("RUNNING"), Frame("FAILED"), Frame("FAILED", says, error=True))
    with pytest.raises(kind) as caught:
        bench.run()
    assert told in str(caught.value)


def test_a_failed_job_without_a_word_is_an_error_too(bench: Bench) -> None:
    bench.service.course = course(Frame("FAILED"))
    with pytest.raises(RunError) as caught:
        bench.run()
    assert "'squares' must succeed on DataflowRunner. Got 'failed'. See the log above, and the job's page" in str(
        caught.value
    )


def test_a_job_that_somebody_cancelled_is_an_error(bench: Bench) -> None:
    bench.service.course = course(Frame("RUNNING"), Frame("CANCELLED"))
    with pytest.raises(RunError) as caught:
        bench.run()
    assert "Got 'cancelled'." in str(caught.value)


# found again


def test_its_address_is_written_and_on_entry_means_that_job(bench: Bench, tmp_path: Path) -> None:
    resources = tmp_path / "gcp_resources"
    resources.write_text('{"resources": []}')
    bench.run(resources=resources)
    uri = f"https://dataflow.googleapis.com/v1b3/projects/{PROJECT}/locations/{REGION}/jobs/{bench.only().id}"
    named = {"resources": [{"resourceType": "DataflowJob", "resourceUri": uri}]}
    assert json.loads(resources.read_text()) == named
    bench.service.listed = False
    bench.run(resources=resources)
    assert (bench.built, len(bench.service.jobs)) == (1, 1)
    assert f"squares: goes on with job {bench.only().id}, done: " in "\n".join(bench.said)
    assert json.loads(resources.read_text()) == named


def test_an_address_of_another_place_is_refused(bench: Bench, tmp_path: Path) -> None:
    resources = tmp_path / "gcp_resources"
    resources.write_text('{"resources": [{"resourceType": "DataflowJob", "resourceUri": "https://elsewhere/jobs/1"}]}')
    with pytest.raises(ArtifactError) as caught:
        bench.run(resources=resources)
    assert str(caught.value).startswith("'gcp_resources' must name a Dataflow job of the profile's. Got \"[")
    assert "Delete the file, or give the profile that the job was started with." in str(caught.value)


def test_it_is_found_by_name_and_key_before_another_is_made(bench: Bench) -> None:
    bench.run()
    for _ in range(4):  # more than a page of the listing
        bench.run(key="k2")
    assert bench.states() == ["DONE", "DONE"]
    assert bench.built == 2


@pytest.mark.parametrize("end", ["FAILED", "CANCELLED"])
def test_after_a_job_that_died_another_is_made(bench: Bench, end: str) -> None:
    bench.service.course = course(Frame(end, "It broke.", error=True))
    with pytest.raises(RunError):
        bench.run()
    bench.service.course = None
    bench.run()
    assert bench.states() == [end, "DONE"]


def test_another_begins_after_one_that_is_being_cancelled(bench: Bench) -> None:
    bench.service.course = course(Frame("CANCELLING"), Frame("CANCELLING"), Frame("CANCELLED"))
    with pytest.raises(RunError):
        bench.run()
    id = bench.only().id
    bench.service.frames[id] = [Frame("CANCELLING"), Frame("CANCELLED")]
    bench.service._put(bench.only(), "CANCELLING")
    bench.service.course = None
    bench.run()
    assert bench.states() == ["CANCELLED", "DONE"]
    assert f"squares: job {id} is cancelling; another begins after it" in bench.said


def test_the_name_of_another_key_under_way_is_a_conflict(bench: Bench) -> None:
    bench.service.course = course(*[Frame("RUNNING")] * 3)
    bench.jobs().start(bench.build, name="squares", key="other")
    with pytest.raises(ConflictError) as caught:
        bench.run()
    assert "'squares' must not be under way with other content. Got '2026-01-01_00_00_00-1'. Wait until it ends" in str(
        caught.value
    )


# faults


@pytest.mark.parametrize("listed", [True, False])
def test_an_answer_that_was_lost_makes_no_second_job(bench: Bench, listed: bool) -> None:
    bench.server.faults = [Fault(r"POST .*/jobs$")]
    bench.service.listed = listed
    if not listed:  # it is listed later: by then the attempt was refused, as it is known
        plain, service = bench.service._create, bench.service

        def create(request: http.Request) -> Any:
            try:
                return plain(request)
            except http.Refused:
                service.listed = True
                raise

        bench.service._create = create  # type: ignore[method-assign]
    bench.run()
    assert bench.states() == ["DONE"]
    assert bench.server.called(r"POST .*/jobs$") == (1 if listed else 2)


def test_who_is_told_to_end_takes_a_job_along_of_which_it_has_not_heard_yet(bench: Bench) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    bench.server.faults = [Fault(r"POST .*/jobs$")]
    jobs = bench.jobs()
    jobs._patience = jobs._api._patience = Patience(deadline=2.0, sleep=interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run(jobs)
    assert bench.states() == ["CANCELLING"]
    assert bench.said[-1] == f"squares: job {bench.only().id} is cancelled"


def test_a_job_goes_on_where_its_course_cannot_be_followed(bench: Bench) -> None:
    bench.service.course = course(*[Frame("RUNNING")] * 50)
    bench.server.faults = [Fault(r"/messages$", status=503, times=10_000)]
    jobs = bench.jobs()
    jobs._api._patience = Patience(deadline=0.05, sleep=lambda _: None)
    with pytest.raises(RunError) as caught:
        bench.run(jobs)
    assert "'Dataflow' must answer in time. Got 'told to'. " in str(caught.value)
    assert bench.server.called("PUT") == 0
    assert bench.states() == ["RUNNING"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_is_busy_is_asked_again(bench: Bench, status: int) -> None:
    paths = (r"GET .*/jobs$", r"POST .*/jobs$", r"GET .*/jobs/[^/]+$", r"/messages$", r"/metrics$")
    bench.server.faults = [Fault(path, status) for path in paths]
    bench.run()
    assert bench.states() == ["DONE"]
    assert bench.server.called("POST") == 2


def test_permission_denied_names_the_roles(bench: Bench) -> None:
    bench.service.denied = "(aa1b): Permission 'dataflow.jobs.list' denied on resource."
    with pytest.raises(SetupError) as caught:
        bench.run()
    assert str(caught.value) == (
        "squares: 'Dataflow' must be open to this account. Got \"(aa1b): Permission 'dataflow.jobs.list' denied on "
        "resource.\". Give the account roles/dataflow.developer, and roles/iam.serviceAccountUser on the workers' "
        "account."
    )


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("(b1): Current user cannot act as service account w@p.iam.gserviceaccount.com.", "roles/iam.serviceAccountUs"),
        ("(b2): The controller service account lacks permission: roles/dataflow.worker", "Give it roles/dataflow.work"),
    ],
)
def test_a_request_that_is_refused_says_what_to_mend(bench: Bench, says: str, told: str) -> None:
    bench.service.broken = says
    with pytest.raises(SetupError) as caught:
        bench.run()
    assert told in str(caught.value)
    assert bench.server.called("POST") == 1


# streams


def stream(pipeline: Any) -> None:
    from apache_beam.io.gcp.pubsub import ReadFromPubSub

    _ = (
        pipeline
        | "read" >> ReadFromPubSub(subscription="projects/demo-project/subscriptions/toy")
        | "same" >> beam.Map(bytes)
    )


def test_a_stream_is_started_once_and_goes_on(bench: Bench) -> None:
    first = bench.jobs().start(stream, name="stream-toy", key="k1")
    assert bench.jobs().start(stream, name="stream-toy", key="k1").id == first.id
    job = bench.only()
    assert job.type_ == dataflow.JobType.JOB_TYPE_STREAMING
    assert {"enable_streaming_engine", "enable_windmill_service"} <= set(job.environment.experiments)
    assert (first.streaming, first.state, first.name) == (True, "starting", "stream-toy")


def test_a_stream_with_other_content_takes_its_place_only_when_asked(bench: Bench) -> None:
    jobs = bench.jobs()
    first = jobs.start(stream, name="stream-toy", key="k1")
    while (there := jobs._now(first)).state != "running":
        pass
    with pytest.raises(ConflictError) as caught:
        jobs.start(stream, name="stream-toy", key="k2")
    assert "must not be under way with other content" in str(caught.value)
    assert "Update it (--update), or drain it first." in str(caught.value)
    second = jobs.start(stream, name="stream-toy", key="k2", update={"was": "same"})
    assert bench.states()[0] == "UPDATED"
    assert bench.service.jobs[second.id].replace_job_id == there.id
    assert dict(bench.service.jobs[second.id].transform_name_mapping) == {"was": "same"}
    found = jobs.find("stream-toy")
    assert found is not None
    assert found.id == second.id


def test_a_renamed_transform_must_be_one_of_the_new_job(bench: Bench) -> None:
    jobs = bench.jobs()
    jobs.start(stream, name="stream-toy", key="k1")
    with pytest.raises(CaseError) as caught:
        jobs.start(stream, name="stream-toy", key="k2", update={"was": "there"})
    assert str(caught.value) == (
        "'was=there' must name a transform of the new job: read, same. Got 'there'. Mend the new name."
    )


def test_a_stream_is_started_again_however_often_it_was_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow_calls, "NEWEST", 1)
    jobs, started = bench.jobs(), set()
    for _ in range(4):
        job = jobs.start(stream, name="stream-toy", key="k1")
        assert job.state == "starting"
        started.add(job.id)
        jobs.stop("stream-toy", drain=False)
        while jobs._now(job).state != "cancelled":
            pass
    assert len(started) == 4


def test_there_must_be_a_stream_to_update_and_one_to_stop(bench: Bench) -> None:
    with pytest.raises(ConflictError) as caught:
        bench.jobs().start(stream, name="stream-toy", key="k1", update={})
    assert str(caught.value) == ("'stream-toy' must be running, to be updated. Got 'none'. Start it without --update.")
    with pytest.raises(ConflictError) as caught:
        bench.jobs().stop("stream-toy", drain=True)
    assert str(caught.value) == "'stream-toy' must be under way. Got 'none'. There is nothing to stop."


@pytest.mark.parametrize(("drain", "state", "end"), [(True, "draining", "drained"), (False, "cancelling", "cancelled")])
def test_a_stream_is_drained_or_cancelled(bench: Bench, drain: bool, state: str, end: str) -> None:
    jobs = bench.jobs()
    jobs.start(stream, name="stream-toy", key="k1")
    assert jobs.stop("stream-toy", drain=drain).state == state
    found = jobs.find("stream-toy")
    assert found is not None
    assert jobs._now(found).state == end
    again = jobs.start(stream, name="stream-toy", key="k1")
    assert again.id != found.id


def test_a_batch_job_is_not_drained(bench: Bench) -> None:
    bench.service.course = course(Frame("RUNNING"), Frame("99"))
    with pytest.raises(RunError):
        bench.run()
    bench.service._put(bench.only(), "RUNNING")
    with pytest.raises(ConflictError) as caught:
        bench.jobs().stop("squares", drain=True)
    assert "'squares' must be a stream, to be drained. Got 'a batch job'. Cancel it." in str(caught.value)


# the server


def test_the_server_refuses_what_dataflow_refuses(bench: Bench) -> None:
    requests: Any = importlib.import_module("requests")  # it has no types

    def post(**job: Any) -> tuple[int, str]:
        url = f"{bench.server.address}/v1b3/projects/{PROJECT}/locations/{REGION}/jobs"
        answer = requests.post(url, json={"name": "a", "type": 1, **job}, timeout=10)
        return answer.status_code, answer.json()["error"]["message"]

    assert post(name="A_b")[1].endswith("The workflow name 'A_b' is invalid.")
    assert post(labels={"A": "b"})[1] == "labels {'A': 'b'}"
    assert post(typo=1)[1].startswith("Invalid JSON payload received.")
    assert post(id="1")[1] == "id is output only"
    assert post(transformNameMapping={"a": "b"})[1] == "transform_name_mapping belongs to an update"
    assert post(environment={"tempStoragePrefix": "storage.googleapis.com/b"})[1].startswith("pipelineUrl must name")
