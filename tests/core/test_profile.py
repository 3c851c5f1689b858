"""Profiles: local is built in, others are files; paths become absolute, and JSON brings them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core import profile
from components.core.declared import validate
from components.core.errors import CaseError, SetupError
from components.core.profile import Profile
from components.core.sections import EndpointsAddress

VERTEX = {"project": "esteira-test", "region": "europe-west1", "pipeline_root": "gs://esteira/runs"}


def test_local_stands_under_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESTEIRA_ROOT", raising=False)
    found = profile.load("local")
    assert (found.root, found.sources) == (str(tmp_path / ".esteira"), str(tmp_path))


def test_the_root_can_be_moved_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTEIRA_ROOT", str(tmp_path / "else"))
    assert profile.load("local").root == str(tmp_path / "else")


def test_a_profile_is_a_file_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("tracking: {at: 'http://127.0.0.1:5000'}\n")
    found = profile.load("dev", tmp_path)
    assert (found.name, found.tracking.at) == ("dev", "http://127.0.0.1:5000")


def test_json_brings_it_back() -> None:
    one = Profile(name="x", root="/r")
    assert Profile.from_json(one.to_json()) == one


def test_sources_at_a_url_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "cloud.yaml").write_text("sources: gs://bucket/data\n")
    assert profile.load("cloud", tmp_path).sources == "gs://bucket/data"


@pytest.mark.parametrize("port", ["registry", "endpoints"])
def test_what_vertex_reads_lies_in_cloud_storage(port: str) -> None:
    vertex = {"project": "esteira-test", "region": "europe-west1", "pipeline_root": "gs://esteira/runs"}
    with pytest.raises(CaseError) as caught:
        Profile.from_json(json.dumps({port: {"adapter": "google"}, "vertex": vertex}))
    rule = f"must have blobs.adapter: google, where {port}.adapter: google has Vertex read the models."
    assert rule in str(caught.value)


@pytest.mark.parametrize("image", ["server:latest", "server@sha256:12", f"server@sha256:{'a' * 64} b"])
def test_the_servers_image_is_named_by_digest(image: str) -> None:
    with pytest.raises(CaseError, match=r"'endpoints\.image' must"):
        Profile.from_json(json.dumps({"endpoints": {"image": image}}))


@pytest.mark.parametrize("at", ["", "sqlite:///mlflow.db", "mlflow.example:5000"])
def test_an_mlflow_registry_is_a_server(at: str) -> None:
    with pytest.raises(CaseError, match=r"must name the MLflow server in registry.at, as http\(s\)://…\. Got"):
        Profile.from_json(json.dumps({"registry": {"adapter": "mlflow", "at": at}}))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"blobs": {"adapter": "google"}}, "name gs://bucket/prefix in blobs.at, which blobs.adapter: google needs"),
        ({"tables": {"adapter": "google"}}, "name project.dataset in tables.at, which tables.adapter: google needs"),
        ({"events": {"adapter": "pubsub"}}, "name the project in events.at, which events.adapter: pubsub needs"),
    ],
)
def test_a_store_in_the_cloud_has_an_address(section: dict[str, object], told: str) -> None:
    with pytest.raises(CaseError) as caught:
        Profile.from_json(json.dumps(section))
    assert f"must {told}. Got" in str(caught.value)


def test_an_unknown_profile_and_an_unknown_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="'profile' must be 'local' or a file"):
        profile.load("prod", tmp_path)
    (tmp_path / "dev.yaml").write_text("password: hunter2\n")
    with pytest.raises(CaseError, match="'password' must not be there"):
        profile.load("dev", tmp_path)


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("tracking.at", {"tracking": {"at": "https://me:hunter2@mlflow.example"}}),
        ("tracking.at", {"tracking": {"at": "https://hunter2@mlflow.example"}}),
        ("tracking.at", {"tracking": {"at": "postgresql://me:hunter2@db.example/mlflow"}}),
        ("alerts.webhook", {"alerts": {"webhook": "https://me:hunter2@hooks.example"}}),
        ("jobs.options.proxy", {"jobs": {"options": {"proxy": "http://me:hunter2@proxy.example"}}}),
    ],
)
def test_an_address_with_credentials_is_refused_without_telling_them(key: str, section: dict[str, object]) -> None:
    with pytest.raises(CaseError, match=f"must hold no credentials in {key}: it is logged") as caught:
        Profile.from_json(json.dumps(section))
    assert "hunter2" not in str(caught.value)


def test_an_address_may_name_who_asks_where_no_password_stands() -> None:
    address = "postgresql://me@db.example/mlflow"
    assert Profile.model_validate({"tracking": {"at": address}}).tracking.at == address


SECRET = "https://hooks.example/services/T0/hunter2"


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "https://hooks.example?key=hunter2",
        "https://hooks.example/#hunter2",
        "https://127.0.0.1.hooks.example/hunter2",
        "https://localhost@hooks.example/hunter2",
        "file:///etc/hunter2",
        "hooks.example/hunter2",
    ],
)
def test_a_webhooks_url_is_a_secret_and_stands_in_no_profile(tmp_path: Path, url: str) -> None:
    (tmp_path / "dev.yaml").write_text(json.dumps({"alerts": {"webhook": url}}))
    with pytest.raises(CaseError) as caught:
        profile.load("dev", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'dev.yaml'}: 'alerts' must not hold the webhook's URL: its path is a secret and the profile is "
        "logged; name the variable or the file that holds it, in webhook_env or webhook_file. Got 'keys webhook'. "
        "Mend this key."
    )


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/hook", "http://localhost/hook?a=b", "http://[::1]:9/hook", "https://hooks.example:8080/"],
)
def test_a_webhook_on_loopback_or_without_a_path_is_no_secret(url: str) -> None:
    assert Profile.model_validate({"alerts": {"webhook": url}}).alerts.webhook_url() == url


@pytest.mark.parametrize(
    ("alerts", "rule"),
    [
        (
            {"webhook_env": "A", "webhook_file": "b"},
            "name the webhook once: webhook, webhook_env or webhook_file. Got 'keys webhook_env, webhook_file'",
        ),
        (
            {"webhook_env": SECRET},
            "name an environment variable in webhook_env: letters, digits and _. Got 'keys webhook_env'",
        ),
        ({"webhook_file": SECRET}, "name a file in webhook_file, which holds the URL. Got 'keys webhook_file'"),
    ],
)
def test_what_holds_the_webhooks_url_is_named_once(alerts: dict[str, str], rule: str) -> None:
    with pytest.raises(CaseError) as caught:
        Profile.from_json(json.dumps({"alerts": alerts}))
    assert str(caught.value) == f"profile: 'alerts' must {rule}. Mend this key."


def test_a_variable_or_a_file_holds_the_webhooks_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hook").write_text(f"{SECRET}\n")
    (tmp_path / "dev.yaml").write_text("alerts: {webhook_file: hook}\n")
    by_file, by_variable = profile.load("dev", tmp_path), Profile.model_validate({"alerts": {"webhook_env": "HOOK"}})
    monkeypatch.chdir("/")  # a step runs elsewhere
    for found in (by_file, by_variable):
        assert Profile.from_json(found.to_json()).alerts.webhook_url() == SECRET
        assert "hunter2" not in found.to_json()


@pytest.mark.parametrize(
    ("alerts", "text"),
    [
        ({"webhook_env": "NO_HOOK"}, "'NO_HOOK' must be an environment variable with the webhook's URL. Got 'none'."),
        ({"webhook_file": "/no/hook"}, "'/no/hook' must be a file with the webhook's URL. Got 'none'."),
        ({"webhook_file": "/dev/null"}, "'/dev/null' must be a file with the webhook's URL. Got 'none'."),
    ],
)
def test_what_holds_no_url_is_named(alerts: dict[str, str], text: str) -> None:
    with pytest.raises(SetupError) as caught:
        Profile.model_validate({"alerts": alerts}).alerts.webhook_url()
    assert str(caught.value) == f"{text} Set it where the steps run."


@pytest.mark.parametrize("text", ["vertex: [1", "a: b: c"])
def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.yaml").write_text(text)
    with pytest.raises(CaseError, match=r"dev.yaml: 'dev.yaml' must be YAML. Got .*line \d.* Mend the line"):
        profile.load("dev", tmp_path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            b"name: 2013-02-30",
            r"be YAML\. Got 'day is out of range for month .* line 1, .* Mend the line that is named\.",
        ),
        (b"name: !!timestamp x", r"be YAML\. Got .* line 1, .* Mend the line that is named\."),
        (b"root: a\nroot: b", r"be YAML\. Got .* stands twice in line 1 or after"),
        (b"root: " + b"[" * 5000, r"be nested as a person would\. Got '.* a thousandfold'\. Mend it\."),
        ("name: ação".encode("latin-1"), r"be UTF-8\. Got .* Save it as UTF-8\."),
    ],
)
def test_a_file_that_says_not_one_thing_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "dev.yaml").write_bytes(data)
    with pytest.raises(CaseError, match=f"dev.yaml: 'dev.yaml' must {told}"):
        profile.load("dev", tmp_path)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("- local")
    with pytest.raises(CaseError, match="'dev.yaml' must be a mapping of keys"):
        profile.load("dev", tmp_path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "must name project and region, in jobs.dataflow or vertex, for runner: DataflowRunner. "),
        ({"vertex": VERTEX}, "must have blobs.adapter: google, where runner: DataflowRunner stages its jobs. "),
    ],
)
def test_dataflow_needs_a_place_and_a_bucket(data: dict[str, object], told: str) -> None:
    with pytest.raises(CaseError) as caught:
        validate(Profile, {"jobs": {"runner": "DataflowRunner"}, **data}, where="profile")
    assert told in str(caught.value)


def test_what_dataflow_is_not_told_is_what_vertex_is() -> None:
    vertex = {**VERTEX, "service_account": "tasks@esteira.iam.gserviceaccount.com"}
    jobs = {"dataflow": {"region": "europe-west4", "max_workers": 3}}
    found = Profile.model_validate({"vertex": vertex, "jobs": jobs}).dataflow
    assert (found.project, found.region, found.max_workers) == (VERTEX["project"], "europe-west4", 3)
    assert found.service_account == vertex["service_account"]


def test_a_vertex_endpoint_is_sized_in_the_profile() -> None:
    found = EndpointsAddress.model_validate(
        {"replicas": [2, 5], "machine": "n2-highcpu-4", "requests": "bq://my-project.a.b"}
    )
    assert (found.replicas, found.utilization, found.keep_previous) == ((2, 5), 60, False)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"replicas": [3, 2]}, "'endpoints' must have no more at least than at most in replicas."),
        ({"replicas": [0, 2]}, "'endpoints.replicas.0' must be greater than or equal to 1. Got 0."),
        ({"machine": "big"}, "'endpoints.machine' must be such as n1-standard-2."),
        ({"utilization": 101}, "'endpoints.utilization' must be less than or equal to 100. Got 101."),
        (
            {"requests": "gs://bucket"},
            "'endpoints.requests' must be such as bq://my-project.esteira.requests, or empty.",
        ),
        (
            {"service_account": "me@example.org"},
            "'endpoints.service_account' must be such as esteira@my-project.iam.gserviceaccount.com, or empty.",
        ),
    ],
)
def test_an_endpoints_size_out_of_range_is_refused(section: dict[str, object], told: str) -> None:
    with pytest.raises(CaseError) as caught:
        Profile.from_json(json.dumps({"endpoints": section}))
    assert told in str(caught.value)
