"""The doctor on a Google Cloud project: each thing that lacks is one line with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
import requests
import yaml
from google.auth.exceptions import DefaultCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from components.adapters.gcp.account import Account
from components.adapters.patience import Patience
from components.core.operations import Operations
from components.core.profile import Profile
from pipelines import cli
from pipelines.launch import doctor, doctor_google, doctor_needs, doctor_quotas
from pipelines.launch.doctor_check import Check
from tests.servers import http, project
from tests.servers.kubeflow import server as kubeflow
from tests.servers.project import PROJECT, TASKS, YOU
from tests.servers.vertex import server as vertex

REGION = "europe-west1"
DIGEST = "sha256:" + "0" * 64
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/esteira/server@{DIGEST}"
BOARD = f"projects/{PROJECT}/locations/{REGION}/tensorboards/7"
PROFILE: dict[str, Any] = {
    "vertex": {
        "project": PROJECT,
        "region": REGION,
        "pipeline_root": "gs://esteira-runs/root",
        "service_account": TASKS,
    },
    "blobs": {"adapter": "google", "at": "gs://esteira-blobs/flights"},
    "tables": {"adapter": "google", "at": f"{PROJECT}.esteira"},
    "events": {"adapter": "pubsub", "at": PROJECT},
    "registry": {"adapter": "google"},
    "endpoints": {"adapter": "google", "image": IMAGE},
    "tracking": {"adapter": "google", "at": BOARD},
    "alerts": {"pubsub": f"projects/{PROJECT}/topics/alerts", "logging": PROJECT},
    "jobs": {"runner": "DataflowRunner", "dataflow": {"max_workers": 4, "machine_type": "n1-standard-2"}},
}
_LOOKS = ("resourcemanager.projects.get", "serviceusage.services.get", "serviceusage.quotas.get", "compute.regions.get")
_SEES = ("storage.buckets.get", "bigquery.datasets.get", "pubsub.topics.get", "pubsub.subscriptions.get")
_REST = ("iam.serviceAccounts.getAccessToken", "artifactregistry.repositories.downloadArtifacts")


def profile(**changed: Any) -> Profile:
    return Profile.model_validate({**PROFILE, **changed})


def all_well(cloud: project.Cloud) -> None:
    """Everything that PROFILE asks for is there."""
    made = profile()
    cloud.enabled = set(doctor_needs.services(made)[PROJECT])
    everything = {p for grant in doctor_needs.grants(made) for p in grant.permissions}
    cloud.rights[YOU, f"projects/{PROJECT}"] = everything | {*_LOOKS, *_SEES, *_REST}
    cloud.rights[TASKS, f"projects/{PROJECT}"] = set(everything)
    cloud.buckets = {"esteira-runs": {"location": "EU"}, "esteira-blobs": {"location": "EUROPE-WEST1"}}
    cloud.datasets = {"esteira": REGION}
    topics, subscriptions = (f"projects/{PROJECT}/{kind}" for kind in ("topics", "subscriptions"))
    cloud.pubsub = {f"{topics}/alerts", f"{topics}/flights", f"{subscriptions}/flights.stream"}
    cloud.boards, cloud.images = {BOARD}, {IMAGE}
    limit = [{"effectiveLimit": "0"}, {"effectiveLimit": "42", "dimensions": {"region": REGION}}]
    for use in ("training", "serving"):
        cloud.quotas[f"aiplatform.googleapis.com/custom_model_{use}_cpus"] = limit
    cloud.compute = {"CPUS": (24.0, 4.0)}


@pytest.fixture
def cloud() -> Iterator[tuple[http.Server, project.Cloud]]:
    with project.serving() as (server, service):
        all_well(service)
        yield server, service


def you(server: http.Server) -> Account:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {YOU}"
    return Account(session, YOU, f"{server.address}/")


def found(server: http.Server, operations: Operations | None = None, **changed: Any) -> dict[str, Check]:
    checks = list(doctor_google.checks(profile(**changed), "flights", operations, you=you(server)))
    named = {check.name: check for check in checks}
    assert len(named) == len(checks)
    return named


def test_a_project_that_lacks_nothing_is_well(cloud):
    server, _ = cloud
    checks = found(server)
    assert {check.level for check in checks.values()} == {"ok"}
    assert [c.found for n, c in checks.items() if n.startswith("quota")] == [
        "8 asked, 42 there",
        "4 asked, 42 there",
        "8 asked, 20 there",
    ]
    assert checks["Google account"].found == YOU
    assert not any(request.method not in ("GET", "POST") for request in server.seen)


def _disabled(cloud: project.Cloud) -> None:
    cloud.enabled -= {"aiplatform.googleapis.com", "dataflow.googleapis.com"}


def _without(who: str, *permissions: str) -> Any:
    def change(cloud: project.Cloud) -> None:
        cloud.rights[who, f"projects/{PROJECT}"] -= set(permissions)

    return change


def _set(name: str, value: Any) -> Any:
    return lambda cloud: setattr(cloud, name, value)


PROJECTS, BUCKETS = f"gcloud projects add-iam-policy-binding {PROJECT}", "gcloud storage buckets"
ACCOUNTS = f"gcloud iam service-accounts add-iam-policy-binding {TASKS}"


@pytest.mark.parametrize(
    ("change", "name", "level", "told", "remedy"),
    [
        (
            _without(YOU, "resourcemanager.projects.get"),
            f"project {PROJECT}",
            "broken",
            f"403 Permission 'resourcemanager.projects.get' denied on resource 'projects/{PROJECT}'",
            f"nothing in it. It must exist, and be seen: {PROJECTS} --member=user:{YOU} --role=roles/browser",
        ),
        (
            _set("state", "DELETE_REQUESTED"),
            f"project {PROJECT}",
            "broken",
            "DELETE_REQUESTED",
            f"gcloud projects undelete {PROJECT}",
        ),
        (
            _disabled,
            f"services of {PROJECT}",
            "broken",
            "not enabled: aiplatform.googleapis.com, dataflow.googleapis.com",
            f"gcloud services enable aiplatform.googleapis.com dataflow.googleapis.com --project={PROJECT}",
        ),
        (
            _without(YOU, "serviceusage.services.get"),
            f"services of {PROJECT}",
            "missing",
            f"403 Permission 'serviceusage.services.get' denied on resource 'projects/{PROJECT}'",
            f"not looked at: {PROJECTS} --member=user:{YOU} --role=roles/serviceusage.serviceUsageViewer",
        ),
        (
            _without(YOU, "aiplatform.pipelineJobs.create", "aiplatform.pipelineJobs.cancel"),
            f"aiplatform.user on {PROJECT}",
            "broken",
            f"{YOU} lacks aiplatform.pipelineJobs.create, aiplatform.pipelineJobs.cancel",
            f"{PROJECTS} --member=user:{YOU} --role=roles/aiplatform.user",
        ),
        (
            _without(YOU, "iam.serviceAccounts.actAs"),
            "iam.serviceAccountUser on tasks",
            "broken",
            f"{YOU} lacks iam.serviceAccounts.actAs",
            f"{ACCOUNTS} --member=user:{YOU} --role=roles/iam.serviceAccountUser",
        ),
        (
            _without(YOU, "iam.serviceAccounts.getAccessToken"),
            "rights of the tasks",
            "missing",
            f"you may not act as {TASKS}",
            f"not looked at: {ACCOUNTS} --member=user:{YOU} --role=roles/iam.serviceAccountTokenCreator",
        ),
        (
            _without(TASKS, "storage.objects.delete"),
            "tasks: storage.objectUser on gs://esteira-runs",
            "broken",
            f"{TASKS} lacks storage.objects.delete",
            f"{BUCKETS} add-iam-policy-binding gs://esteira-runs --member=serviceAccount:{TASKS} --role=roles/storage.objectUser",
        ),
        (
            _without(TASKS, "bigquery.readsessions.create"),
            f"tasks: bigquery.readSessionUser on {PROJECT}",
            "broken",
            f"{TASKS} lacks bigquery.readsessions.create",
            f"{PROJECTS} --member=serviceAccount:{TASKS} --role=roles/bigquery.readSessionUser",
        ),
        (
            _without(TASKS, "bigquery.tables.updateData"),
            f"tasks: bigquery.dataEditor on {PROJECT}",
            "missing",
            f"{TASKS} lacks bigquery.tables.updateData",
            f"it may have it on a part; else: {PROJECTS} --member=serviceAccount:{TASKS} --role=roles/bigquery.dataEditor",
        ),
        (
            _without(TASKS, "pubsub.topics.publish"),
            f"tasks: pubsub.publisher on {PROJECT}/topics/alerts",
            "broken",
            f"{TASKS} lacks pubsub.topics.publish",
            f"gcloud pubsub topics add-iam-policy-binding projects/{PROJECT}/topics/alerts "
            f"--member=serviceAccount:{TASKS} --role=roles/pubsub.publisher",
        ),
        (
            _set("buckets", {"esteira-blobs": {"location": "EU"}}),
            "bucket esteira-runs",
            "broken",
            "is not there",
            f"{BUCKETS} create gs://esteira-runs --location={REGION} --uniform-bucket-level-access",
        ),
        (
            _set("buckets", {"esteira-runs": {"location": "US"}, "esteira-blobs": {"location": "EU"}}),
            "bucket esteira-runs",
            "broken",
            f"in US, not in {REGION}",
            f"Vertex AI takes models from its own region: use a bucket of {REGION}, as {BUCKETS} create gs://esteira-runs "
            f"--location={REGION} --uniform-bucket-level-access",
        ),
        (
            _set("datasets", {}),
            "dataset esteira",
            "broken",
            "is not there",
            f"bq --location={REGION} mk --dataset {PROJECT}:esteira",
        ),
        (
            _set("datasets", {"esteira": "US"}),
            "dataset esteira",
            "missing",
            "in US",
            f"each load crosses regions, and a dataset never moves: bq --location={REGION} mk --dataset {PROJECT}:OTHER",
        ),
        (
            _set("boards", set()),
            "TensorBoard",
            "broken",
            f"404 Tensorboard {BOARD} is not found.",
            f"no curves: gcloud ai tensorboards create --display-name=esteira --region={REGION}",
        ),
        (
            _set("pubsub", {f"projects/{PROJECT}/topics/alerts", f"projects/{PROJECT}/topics/flights"}),
            "subscription flights.stream",
            "broken",
            "is not there",
            f"gcloud pubsub subscriptions create projects/{PROJECT}/subscriptions/flights.stream "
            f"--topic=projects/{PROJECT}/topics/flights --enable-message-ordering",
        ),
        (
            _set("images", set()),
            "image server",
            "broken",
            f"{IMAGE} is not there",
            "push it: `make images`, then `make push`",
        ),
        (
            _without(YOU, "artifactregistry.repositories.downloadArtifacts"),
            "image server",
            "broken",
            "403 Permission 'artifactregistry.repositories.downloadArtifacts' denied on resource "
            f"'{REGION}-docker.pkg.dev/{PROJECT}/esteira/server'",
            f"gcloud artifacts repositories add-iam-policy-binding esteira --project={PROJECT} --location={REGION} "
            f"--member=user:{YOU} --role=roles/artifactregistry.reader",
        ),
        (
            _set("compute", {"CPUS": (24.0, 20.0)}),
            "quota CPUS of Dataflow",
            "broken",
            "8 asked, 4 there",
            f"ask for more: https://console.cloud.google.com/iam-admin/quotas?project={PROJECT}",
        ),
        (
            _set("quotas", {}),
            "quota custom_model_training_cpus",
            "missing",
            "404 Quota metric aiplatform.googleapis.com/custom_model_training_cpus not found.",
            f"not looked at: see https://console.cloud.google.com/iam-admin/quotas?project={PROJECT}",
        ),
    ],
)
def test_what_lacks_is_told_with_the_command_that_mends_it(cloud, change, name, level, told, remedy):
    server, service = cloud
    change(service)
    check = found(server)[name]
    assert (check.level, check.found, check.without) == (level, told, remedy)


def test_a_right_on_the_resource_itself_is_enough(cloud):
    server, service = cloud
    objects = {p for p in service.rights[TASKS, f"projects/{PROJECT}"] if p.startswith("storage.")}
    service.rights[TASKS, f"projects/{PROJECT}"] -= objects
    for bucket in service.buckets:
        service.rights[TASKS, f"gs://{bucket}"] = objects
    assert {check.level for check in found(server).values()} == {"ok"}


def test_the_bucket_of_the_sources_may_be_anywhere_and_is_only_read(cloud):
    server, service = cloud
    service.buckets["raw"] = {"location": "US"}
    service.rights[YOU, f"projects/{PROJECT}"] -= {"storage.objects.list"}
    service.rights[YOU, "gs://esteira-runs"] = service.rights[YOU, "gs://esteira-blobs"] = {"storage.objects.list"}
    checks = found(server, sources="gs://raw/flights")
    assert (checks["bucket raw"].level, checks["bucket raw"].found) == ("ok", "in US")
    assert checks["tasks: storage.objectViewer on gs://raw"].level == "ok"
    lacking = checks.pop("storage.objectViewer on gs://raw")
    assert (lacking.level, lacking.found) == ("broken", f"{YOU} lacks storage.objects.list")
    assert lacking.without == (
        f"{BUCKETS} add-iam-policy-binding gs://raw --member=user:{YOU} --role=roles/storage.objectViewer"
    )
    assert {check.level for check in checks.values()} == {"ok"}
    assert found(server, sources="gs://esteira-blobs/raw").keys() == found(server).keys()


def test_a_cases_own_buckets_are_looked_at_and_only_read(cloud):
    server, service = cloud
    service.buckets["raw"] = {"location": "US"}
    made, own = Profile(), ["gs://raw/flights/*.csv", "data/weather.csv", "bigquery://a.b.c"]
    assert doctor_google.wanted(made, own)
    checks = {check.name: check for check in doctor_google.checks(made, sources=own, you=you(server))}
    assert (checks["bucket raw"].level, checks["bucket raw"].found) == ("ok", "in US")
    assert {"storage.objectViewer on gs://raw", "tasks: storage.objectViewer on gs://raw"} < set(checks)
    assert not doctor_google.wanted(Profile.model_validate({"emulators": {"storage": HERE}}), own)


def test_where_a_server_stands_for_vertex_the_tasks_account_is_still_the_one_asked_for(cloud):
    server, _ = cloud
    changed = {"vertex": {**PROFILE["vertex"], "endpoint": HERE}}
    name = "tasks: storage.objectUser on gs://esteira-blobs"
    assert found(server, **changed)[name].found == found(server)[name].found
    project = found(server, **changed, cloud_run={"region": "europe-west1"})
    assert f"run.developer on {PROJECT}" in project


def test_a_bucket_is_looked_at_where_the_profile_has_nothing_else_of_google(cloud):
    server, service = cloud
    service.buckets["raw"] = {"location": "US"}
    for section in ({"sources": "gs://raw/flights"}, {"blobs": {"adapter": "google", "at": "gs://raw/blobs"}}):
        made = Profile.model_validate(section)
        assert doctor_google.wanted(made)
        checks = {check.name: check for check in doctor_google.checks(made, you=you(server))}
        assert (checks["bucket raw"].level, checks["bucket raw"].found) == ("ok", "in US")
        assert not doctor_google.wanted(Profile.model_validate({**section, "emulators": {"storage": HERE}}))
    assert not doctor_google.wanted(Profile())


def test_a_cases_machines_are_counted_by_their_family_and_accelerator(cloud):
    server, service = cloud
    service.quotas["aiplatform.googleapis.com/custom_model_training_n2_cpus"] = [{"effectiveLimit": "-1"}]
    accelerator = {"type": "NVIDIA_TESLA_T4", "count": 1}
    resources = {
        "train": {"machine": "n2-standard-16"},
        "preprocess": {"cpu": "64"},
        "evaluate": {"machine": "n1-standard-8", "accelerator": accelerator},
    }
    checks = found(server, operations=Operations.model_validate({"resources": resources}))
    assert checks["quota custom_model_training_n2_cpus"].found == "16 asked, no limit"
    assert (checks["quota custom_model_training_cpus"].level, checks["quota custom_model_training_cpus"].found) == (
        "broken",
        "64 asked, 42 there",
    )
    assert checks["quota custom_model_training_nvidia_t4_gpus"].level == "missing"


def test_nobody_who_answers_is_one_line_each_and_no_crash():
    session = requests.Session()
    account = Account(session, YOU, "http://127.0.0.1:1/")
    checks = list(doctor_google.checks(profile(), "flights", you=account))
    assert {check.found for check in checks[1:] if check.name != "rights of the tasks"} == {"ConnectionError"}
    assert all(check.level in ("missing", "broken") for check in checks[1:])


def test_without_credentials_nothing_else_is_looked_at(monkeypatch):
    def none(**_: object) -> None:
        raise DefaultCredentialsError("Your default credentials were not found.")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", none)
    [check] = doctor_google.checks(profile())
    assert (check.name, check.level) == ("Google account", "broken")
    assert check.found == "Your default credentials were not found."
    assert check.without == (
        "nothing on Google Cloud. Run `gcloud auth application-default login`, or run it as a service account."
    )


@pytest.mark.parametrize(
    ("location", "holds"),
    [
        ("EUROPE-WEST1", True),
        ("europe-west1", True),
        ("EU", True),
        ("US", False),
        ("EUR4", False),
        ("EUR5", True),
        ("EUROPE-WEST4", False),
        ("", False),
    ],
)
def test_a_place_holds_a_region_or_not(location, holds):
    assert doctor_google.holds(location, REGION) is holds


def test_the_eu_holds_neither_london_nor_zurich():
    regions = ("europe-west2", "europe-west3", "europe-west6")
    assert [doctor_google.holds("EU", region) for region in regions] == [False, True, False]


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_place_and_no_machine_breaks_the_doctor(one, other):
    doctor_google.holds(one, other)
    doctor_quotas.cores(one)


def test_a_profile_asks_for_what_its_adapters_use_and_no_more():
    assert doctor_needs.services(Profile()) == {}
    assert doctor_needs.grants(Profile()) == []
    small = Profile.model_validate({"vertex": PROFILE["vertex"]})
    assert doctor_needs.services(small) == {PROJECT: ["aiplatform.googleapis.com", "storage.googleapis.com"]}
    assert {grant.role for grant in doctor_needs.grants(small)} == {
        "roles/aiplatform.user",
        "roles/iam.serviceAccountUser",
        "roles/storage.objectUser",
    }


def test_cloud_run_is_asked_for_where_the_profile_has_it_and_not_where_a_server_stands_for_it() -> None:
    plain, given = profile(), profile(cloud_run={"service_account": f"predict@{PROJECT}.iam.gserviceaccount.com"})
    apis = doctor_needs.services(given)[PROJECT]
    assert set(apis) - set(doctor_needs.services(plain)[PROJECT]) == {
        "run.googleapis.com",
        "cloudscheduler.googleapis.com",
    }
    more = [grant for grant in doctor_needs.grants(given) if grant not in doctor_needs.grants(plain)]
    assert [(grant.who, grant.on, grant.role) for grant in more] == [
        ("you", f"projects/{PROJECT}", "roles/run.developer"),
        ("you", f"projects/{PROJECT}", "roles/cloudscheduler.admin"),
        ("you", f"predict@{PROJECT}.iam.gserviceaccount.com", "roles/iam.serviceAccountUser"),
    ]
    elsewhere = profile(cloud_run={"endpoint": "http://127.0.0.1:1"})
    assert doctor_needs.services(elsewhere) == doctor_needs.services(plain)
    assert doctor_needs.grants(elsewhere) == doctor_needs.grants(plain)


def test_a_right_on_cloud_run_that_lacks_is_one_line_with_its_command(cloud):
    server, service = cloud
    service.enabled |= {"run.googleapis.com", "cloudscheduler.googleapis.com"}
    check = found(server, cloud_run={"region": REGION})[f"run.developer on {PROJECT}"]
    assert (check.level, check.without) == (
        "broken",
        f"gcloud projects add-iam-policy-binding {PROJECT} --member=user:{YOU} --role=roles/run.developer",
    )


def test_emulators_are_knocked_at_and_no_project_is_looked_at(tmp_path):
    with vertex.vertex() as (server, _):
        at = {**PROFILE["vertex"], "project": vertex.PROJECT, "endpoint": server.address}
        emulators = {"storage": server.address, "pubsub": "127.0.0.1:1"}
        here: dict[str, Any] = {"root": str(tmp_path), "tables": {}, "jobs": {}}
        here["alerts"] = {"pubsub": PROFILE["alerts"]["pubsub"]}
        made = profile(vertex=at, emulators=emulators, **here)
        checks = {check.name: check for check in doctor._elsewhere(made, "", None)}
    assert list(checks) == ["STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "vertex"]
    assert [check.level for check in checks.values()] == ["ok", "broken", "ok"]
    assert checks["PUBSUB_EMULATOR_HOST"].without == "start it, as `make servers` does"


HERE = "http://127.0.0.1:1"
VERTEX_S = {"TensorBoard", "bucket esteira-runs", "image server", f"aiplatform.user on {PROJECT}"} | {
    f"tasks: aiplatform.user on {PROJECT}",
    "iam.serviceAccountUser on tasks",
    "quota custom_model_serving_cpus",
    "quota custom_model_training_cpus",
    "storage.objectUser on gs://esteira-runs",
    "tasks: storage.objectUser on gs://esteira-runs",
}
BLOBS_S = {
    "bucket esteira-blobs",
    "storage.objectUser on gs://esteira-blobs",
    "tasks: storage.objectUser on gs://esteira-blobs",
}
TABLES_S = {"dataset esteira"} | {
    f"tasks: bigquery.{role} on {PROJECT}" for role in ("dataEditor", "jobUser", "readSessionUser")
}
PUBSUB_S = {"topic alerts", "topic flights", "subscription flights.stream"} | {
    f"tasks: pubsub.{of}" for of in (f"publisher on {PROJECT}", f"subscriber on {PROJECT}")
}


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"vertex": {**PROFILE["vertex"], "endpoint": HERE}}, VERTEX_S),
        ({"emulators": {"storage": HERE}}, BLOBS_S),
        ({"emulators": {"bigquery": HERE}}, TABLES_S),
        ({"emulators": {"pubsub": HERE[7:]}}, PUBSUB_S | {f"tasks: pubsub.publisher on {PROJECT}/topics/alerts"}),
        ({"emulators": {"logging": HERE[7:]}}, {f"tasks: logging.logWriter on {PROJECT}"}),
    ],
    ids=["vertex", "storage", "bigquery", "pubsub", "logging"],
)
def test_what_an_emulator_stands_for_is_not_looked_at_and_all_else_is(cloud, changed, gone):
    server, _ = cloud
    assert set(found(server)) - set(found(server, **changed)) == gone


def test_a_target_that_shuts_its_door_is_broken_and_one_that_answers_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTEIRA_KUBEFLOW_TOKEN", "right")
    with kubeflow.kubeflow() as (server, service):
        service.token = "right"
        made = Profile.model_validate({"root": str(tmp_path), "kubeflow": {"host": server.address}})
        assert doctor._target(made, "kubeflow").level == "ok"
        service.token = "other"
        check = doctor._target(made, "kubeflow")
    assert (check.level, check.without) == ("broken", "no runs there")
    assert "token" in check.found


def test_a_target_where_nobody_is_is_soon_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "BRIEF", Patience(first=0.01, longest=0.01, deadline=0.05))
    at = {**PROFILE["vertex"], "endpoint": "http://127.0.0.1:1"}
    check = doctor._target(Profile.model_validate({"root": str(tmp_path), "vertex": at}), "vertex")
    assert check.level == "broken"
    assert "'Vertex' must answer" in check.found


def test_the_command_tells_all_and_fails_where_something_is_broken(tmp_path, monkeypatch, capsys):
    (tmp_path / "profiles").mkdir()
    text = {"root": str(tmp_path), "kubeflow": {"host": "http://127.0.0.1:1"}}
    (tmp_path / "profiles" / "mine.yaml").write_text(yaml.safe_dump(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_here", lambda _: iter([Check("platform", "ok", "here")]))
    monkeypatch.setattr(doctor, "_target", lambda _, name: Check(name, "broken", "shut", "no runs there"))
    with pytest.raises(SystemExit) as ended:
        cli.app(["doctor", "flights", "--profile", "mine"])
    assert ended.value.code == 7
    assert "✗ kubeflow                 shut\n  without it: no runs there\n" in capsys.readouterr().out


def test_a_case_brings_its_name_and_operations():
    assert doctor.named("") == ()
    [name, operations, sources] = doctor.named("flights")
    assert (name, isinstance(operations, Operations)) == ("flights", True)
    assert sources == [f"data/nycflights13/{table}.csv" for table in ("flights", "weather", "airports")]
    assert Path("pipelines/cases/flights").is_dir()
