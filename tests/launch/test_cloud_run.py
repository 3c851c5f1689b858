"""`esteira cloud-run` as a person gives it, over Google's clients against servers that keep both APIs strictly."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from components.adapters.gcp import cloud_calls
from components.adapters.gcp.cloud_run import CloudRunJobs
from components.adapters.patience import Patience
from components.core import profile as profiles
from components.core.errors import CaseError, ConflictError, EsteiraError, RunError, SetupError
from pipelines import cli
from pipelines.launch import cloud_run as cloud
from pipelines.launch import doctor
from pipelines.launch.doctor_check import Check
from tests.conftest import FLIGHTS
from tests.servers import released
from tests.servers.cloud_run import CloudRun, cloud_run
from tests.servers.http import Fault, Server
from tests.servers.vertex.service import PROJECT, REGION

pytestmark = pytest.mark.slow
JOB = "esteira-predict-flights"
HOURLY = {"pipeline": "predict", "cron": "15 * * * *", "time_zone": "Europe/Lisbon"}
ACCOUNT = "predict@esteira-test.iam.gserviceaccount.com"


@dataclass
class Desk:
    """A folder with a case, a file of digests and a profile, and the commands given in it."""

    folder: Path
    server: Server
    service: CloudRun

    def give(self, verb: str, *arguments: str) -> Result:
        more = ("--images", "digests.json", "--allow-local-blobs") if verb == "apply" else ()
        words = ["cloud-run", verb, "cases/flights", "--profile", "cloud", *more, *arguments]
        return CliRunner().invoke(cli.app, words)

    def done(self, verb: str, *arguments: str) -> str:
        result = self.give(verb, *arguments)
        assert result.exit_code == 0, result.exception or result.output
        return result.output

    def refused(self, verb: str) -> EsteiraError:
        error = self.give(verb).exception
        assert isinstance(error, EsteiraError), error
        return error

    def says(self, **sections: Any) -> None:
        path = self.folder / "cases" / "flights" / "case.yaml"
        path.write_text((FLIGHTS / "case.yaml").read_text() + "\n" + (yaml.safe_dump(sections) if sections else ""))

    def profile(self, **cloud: Any) -> None:
        address = self.server.address
        at = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira-test/runs"}
        given = {"endpoint": address, "scheduler_endpoint": address, "service_account": ACCOUNT, **cloud}
        path = self.folder / "profiles" / "cloud.yaml"
        path.write_text(yaml.safe_dump({"vertex": at, "cloud_run": given}))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESTEIRA_ROOT", raising=False)
    monkeypatch.setattr(cloud_calls, "_PATIENCE", released.IMPATIENT)
    shutil.copytree(FLIGHTS, tmp_path / "cases" / "flights")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "digests.json").write_text(json.dumps(released.IMAGES))
    with cloud_run() as (server, service):
        made = Desk(tmp_path, server, service)
        made.profile()
        yield made


def test_apply_tells_the_difference_then_makes_it_and_again_there_is_none(desk: Desk) -> None:
    desk.says(schedules={"hourly": HOURLY, "nightly": {"pipeline": "batch", "cron": "0 4 * * *"}})
    image = released.IMAGES["esteira-pipeline"]
    dry = desk.done("apply", "--dry-run")
    assert dry == f"create  job: 2 cpu, 8Gi, 3600s, {image}\ncreate  hourly: 15 * * * * Europe/Lisbon\n"
    assert desk.service.jobs == {}
    assert not (desk.folder / ".esteira").exists()
    assert desk.done("apply").startswith(dry + "done: https://console.cloud.google.com/run/jobs/details/")
    task = desk.service.jobs[JOB].template.template
    (container,) = task.containers
    assert list(container.command) == ["python3", "-m", "components.once"]
    given = dict(zip(container.args[::2], container.args[1::2], strict=True))
    assert (desk.folder / ".esteira" / "blobs" / "bundles" / given["--bundle"]).is_dir()
    assert json.loads(given["--profile"])["name"] == "cloud"
    assert (container.image, task.service_account, task.max_retries) == (image, ACCOUNT, 1)
    assert desk.done("apply") == "Cloud Run has what the case says: a job and 1 schedules\n"


def test_the_image_may_be_a_releases(desk: Desk) -> None:
    released.make(desk.folder / "release", FLIGHTS, profiles.Profile(root=str(desk.folder / "esteira")))
    words = ["cloud-run", "apply", "cases/flights", "--profile", "cloud", "--allow-local-blobs"]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    (container,) = desk.service.jobs[JOB].template.template.containers
    assert container.image == released.IMAGES["esteira-pipeline"]


def test_what_changes_is_told_and_changed_in_place(desk: Desk) -> None:
    desk.says(schedules={"hourly": HOURLY})
    desk.done("apply")
    changed = {"hourly": HOURLY | {"cron": "30 * * * *", "paused": True}}
    desk.says(schedules=changed, resources={"predict": {"cpu": "4", "memory": "16Gi", "time_limit": "2h"}})
    assert desk.done("apply").splitlines()[:2] == [
        "update  job: other operations; cpu 2 -> 4; memory 8Gi -> 16Gi; time limit 3600 -> 7200",
        "update  hourly: cron 15 * * * * -> 30 * * * *; state ENABLED -> PAUSED",
    ]
    assert desk.service.jobs[JOB].generation == 2
    timed = desk.service.timed["esteira-predict_flights_hourly"]
    assert (timed.schedule, timed.state.name) == ("30 * * * *", "PAUSED")
    desk.says(schedules={"hourly": HOURLY | {"cron": "30 * * * *"}})
    assert "update  hourly: state PAUSED -> ENABLED" in desk.done("apply")
    desk.says()
    assert "delete  hourly: the case has none of this name" in desk.done("apply")
    assert desk.service.timed == {}


def _altered(job: Any, timed: Any) -> Iterator[tuple[str, Callable[[], None], str]]:
    """What somebody may change by hand in a job and its schedule, and what apply says of it."""
    template, retry = job.template, timed.retry_config
    (container,) = template.template.containers
    yield "job", lambda: container.command.append("-v"), "command "
    yield "job", lambda: setattr(template, "task_count", 2), "tasks 2 -> 1"
    yield "job", lambda: template.labels.clear(), "labels ('flights', '') -> ('flights', 'flights')"
    yield "job", lambda: setattr(template.template, "max_retries", 3), "retries 3 -> 1"
    yield "hourly", lambda: setattr(timed, "description", "mine"), "description mine -> Predictions of flights: hourly"
    yield "hourly", lambda: setattr(timed.http_target, "http_method", 2), "method GET -> POST"
    yield "hourly", lambda: setattr(retry, "retry_count", 0), "retries 0 -> 3"
    yield "hourly", lambda: setattr(retry, "min_backoff_duration", timedelta(seconds=5)), "backoff 5.0 -> 10.0"
    yield "hourly", lambda: setattr(timed, "attempt_deadline", timedelta(seconds=600)), "deadline 600.0 -> 180.0"


def test_whatever_was_changed_by_hand_is_told_and_set_again(desk: Desk) -> None:
    desk.says(schedules={"hourly": HOURLY})
    desk.done("apply")
    everything = len(list(_altered(desk.service.jobs[JOB], desk.service.timed["esteira-predict_flights_hourly"])))
    for index in range(everything):
        job, timed = desk.service.jobs[JOB], desk.service.timed["esteira-predict_flights_hourly"]
        name, alter, told = list(_altered(job, timed))[index]
        alter()
        assert desk.done("apply").startswith(f"update  {name}: {told}")
    assert desk.done("apply") == "Cloud Run has what the case says: a job and 1 schedules\n"


def test_a_schedule_starts_the_job_by_an_address_that_runs_it(desk: Desk) -> None:
    desk.says(schedules={"hourly": HOURLY | {"paused": True}})
    desk.done("apply")
    (id,) = desk.service.timed
    assert desk.service.timed[id].state.name == "PAUSED"
    assert desk.service.timed[id].http_target.oauth_token.service_account_email == ACCOUNT
    desk.service.fire(id)
    assert [one.job for one in desk.service.executions.values()] == [JOB]


def test_run_names_the_execution_which_show_follows_to_its_end(desk: Desk) -> None:
    desk.done("apply")
    name = re.search(r"run      (\S+)", desk.done("run"))
    assert name
    assert f"run      {name[1]}  running\n" in desk.done("show")
    desk.service.end(name[1], failed=True)
    assert f"run      {name[1]}  failed\n" in desk.done("show")
    (told,) = json.loads(desk.done("show", "--json"))["executions"]
    assert told["name"] == name[1]


def test_delete_takes_schedules_and_job_and_nothing_of_another_case(desk: Desk) -> None:
    desk.says(schedules={"hourly": HOURLY})
    desk.done("apply")
    other = desk.service.timed["esteira-predict_flights_hourly"]
    desk.service.timed["esteira-predict_flights-2_hourly"] = type(other)(
        name=other.name.replace("flights", "flights-2")
    )
    assert desk.done("delete") == "deleted hourly\ndeleted job\n"
    assert list(desk.service.timed) == ["esteira-predict_flights-2_hourly"]
    assert desk.service.jobs == {}
    assert desk.done("delete") == "nothing was there\n"
    assert desk.done("show") == "no job: esteira cloud-run apply cases/flights --profile cloud\n"


def test_the_doctor_asks_cloud_run_and_tells_what_it_has_of_the_case(desk: Desk) -> None:
    at = {"project": PROJECT, "region": REGION, "service_account": ACCOUNT}
    at |= {"endpoint": desk.server.address, "scheduler_endpoint": desk.server.address}

    def looked(case: str = "") -> Check:
        profile = profiles.Profile.model_validate({"cloud_run": at})
        return {check.name: check for check in doctor._elsewhere(profile, case, None)}["cloud-run"]

    assert (looked().level, looked().found) == ("ok", "answers")
    assert looked("flights").found == "answers; flights has no job and 0 schedules"
    desk.says(schedules={"hourly": HOURLY})
    desk.done("apply")
    assert looked("flights").found == "answers; flights has a job and 1 schedules"
    desk.service.disabled = "cloudscheduler.googleapis.com"
    assert (looked().level, looked().without) == ("broken", "no predictions there")
    assert "cloudscheduler.googleapis.com" in looked().found
    at["service_account"] = ""
    assert "'cloud_run.service_account' must be named." in looked().found


@pytest.mark.parametrize(
    "lost",
    [
        Fault(r"POST /v2/.*/jobs$"),
        Fault(r"POST /v1/.*/jobs$"),
        Fault(r"POST /v1/.*:pause$"),
        Fault(r"POST ", status=503, times=2),
        Fault(r"GET ", status=503, times=2),
    ],
    ids=lambda one: f"{one.match} {one.status}",
)
def test_an_answer_that_is_lost_or_busy_makes_nothing_twice(desk: Desk, lost: Fault) -> None:
    desk.says(schedules={"hourly": HOURLY | {"paused": True}})
    desk.server.faults.append(lost)
    desk.done("apply")
    assert lost.times == 0
    assert desk.done("apply") == "Cloud Run has what the case says: a job and 1 schedules\n"


def test_a_start_whose_answer_is_lost_starts_one(desk: Desk) -> None:
    desk.done("apply")
    desk.server.faults.append(Fault(r"POST .*:run$"))
    told = desk.done("run")
    (name,) = desk.service.executions
    assert f"run      {name}\n" in told


def test_a_job_that_another_makes_meanwhile_is_not_overwritten(desk: Desk) -> None:
    desk.done("apply")
    jobs = CloudRunJobs(cloud.at(profiles.load("cloud")))
    there = jobs.get("flights")
    assert there
    jobs.create("flights", there)
    with pytest.raises(ConflictError) as caught:
        jobs.create("flights", replace(there, cpu="4"))
    assert str(caught.value) == (
        "'esteira-predict-flights' must be made by one at a time. Got \"Resource 'esteira-predict-flights' already "
        'exists.". Give the command again: it tells the difference.'
    )
    assert jobs.get("flights") == there


def test_what_google_refuses_names_the_role_or_the_api(desk: Desk) -> None:
    desk.service.forbidden = True
    error = desk.refused("apply")
    assert isinstance(error, SetupError)
    assert "'Cloud Run' must be open to this account" in str(error)
    assert "Give the account roles/run.developer, and roles/iam.serviceAccountUser on the job's account." in str(error)
    desk.service.forbidden, desk.service.disabled = False, "cloudscheduler.googleapis.com"
    error = desk.refused("apply")
    assert isinstance(error, SetupError)
    assert "Enable it: gcloud services enable cloudscheduler.googleapis.com" in str(error)


def test_a_service_that_stays_away_is_no_error_of_ours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_calls, "_PATIENCE", Patience(first=0.001, longest=0.002, deadline=0.05))
    desk.server.faults.append(Fault(".", status=503, times=10**6))
    error = desk.refused("apply")
    assert isinstance(error, RunError)
    assert "'Cloud Run' must answer in time" in str(error)


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"cpu": "3"}, "'resources.predict.cpu' must be one of 1, 2, 4, 6, 8 for Cloud Run. Got '3'."),
        (
            {"cpu": "2", "memory": "16Gi"},
            "'resources.predict.memory' must be from 512Mi to 8Gi beside 2 cores for Cloud Run. Got '16Gi'.",
        ),
        ({"memory": "64G"}, "'resources.predict.memory' must be from 4Gi to 32Gi beside 8 cores for Cloud Run."),
        ({"machine": "n1-highmem-8"}, "'resources.predict.machine' must not be there for Cloud Run."),
    ],
)
def test_a_machine_that_cloud_run_lacks_is_refused_before_anything_is_asked(
    desk: Desk, resources: dict[str, str], text: str
) -> None:
    desk.says(resources={"predict": resources})
    error = desk.refused("apply")
    assert isinstance(error, CaseError)
    assert str(error).startswith(text)
    assert desk.server.seen == []


def test_what_is_missing_is_told_by_name(desk: Desk) -> None:
    assert str(desk.refused("run")) == (
        f"projects/{PROJECT}/locations/{REGION}: 'CASE' must have a job on Cloud Run. Got 'flights'. "
        "Make it: esteira cloud-run apply flights."
    )
    desk.profile(service_account="")
    assert str(desk.refused("show")) == (
        "profile: 'cloud_run.service_account' must be named. Got ''. "
        "Add it to profiles/cloud.yaml, or vertex.service_account."
    )
    desk.profile()
    images = {"esteira-pipeline": "esteira-pipeline:dev"}
    (desk.folder / "digests.json").write_text(json.dumps(images))
    assert "'esteira-pipeline' must be an image by digest, without a tag" in str(desk.refused("apply"))
