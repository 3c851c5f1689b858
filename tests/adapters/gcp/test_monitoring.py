"""A case's monitor in Vertex AI Model Monitoring, over the contract server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.adapters.connect import Connected
from components.adapters.gcp.monitoring import VertexMonitors, monitor, monitor_id
from components.adapters.patience import Patience
from components.core import case_file
from components.core.case_file import CaseFile
from components.core.errors import CaseError, SetupError
from components.core.targets import Vertex
from pipelines import cli
from pipelines.launch import monitors
from tests.conftest import FLIGHTS
from tests.contract import registries
from tests.contract.test_registry import a_model
from tests.servers import http
from tests.servers.vertex import server as vertex

NAME = f"{vertex.PARENT}/modelMonitors/esteira-flights"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[tuple[http.Server, vertex.Vertex, str]]:
    """The server with version 1 of the flights' model, whose name it is."""
    with vertex.vertex() as (server, service):
        registry = registries.on_vertex(server.address, tmp_path)
        registry.register("flights", *a_model(tmp_path, "a"), {})
        yield server, service, registry.resource("flights", 1)


@pytest.fixture(scope="module")
def flights() -> CaseFile:
    return case_file.load(FLIGHTS)


def changed(case: CaseFile, **sections: Any) -> CaseFile:
    return CaseFile.model_validate({**case.model_dump(), **sections})


def at(server: http.Server | None = None, **given: str) -> Vertex:
    endpoint = server.address if server else ""
    root = "gs://esteira-runs/root"
    return Vertex(project=vertex.PROJECT, region=vertex.REGION, pipeline_root=root, endpoint=endpoint, **given)


def put(server: http.Server, case: CaseFile, model: str) -> tuple[str, str]:
    return VertexMonitors(at(server), patience=Patience(0.01, 0.02, 20)).put(case, case, model)


def test_a_monitor_is_made_once_and_the_same_again_changes_nothing(cloud, flights):
    server, service, model = cloud
    assert put(server, flights, model) == (NAME, "made")
    assert put(server, flights, model) == (NAME, "as before")
    assert server.called("POST .*modelMonitors") == 1
    [found] = service.monitors.values()
    schema = found.model_monitoring_schema
    assert [f.name for f in schema.feature_fields] == list(flights.input_types())
    assert {f.data_type for f in schema.feature_fields} == {"float", "categorical", "string"}
    timestamps = {name for name, kind in flights.input_types().items() if kind in ("timestamp", "id")}
    assert timestamps
    assert not timestamps & set(found.tabular_objective.feature_drift_spec.features)
    assert [f.name for f in schema.ground_truth_fields] == [flights.label.column]
    assert found.tabular_objective.feature_drift_spec.default_numeric_alert_condition.threshold == pytest.approx(0.16)


def test_what_the_case_says_otherwise_is_changed_and_nothing_else(cloud, flights):
    server, service, model = cloud
    put(server, flights, model)
    ignored = next(name for name, kind in flights.input_types().items() if kind == "number")
    other = changed(flights, monitoring={"threshold": 0.3, "ignore": [ignored]}, notify={"email": ["a@example.org"]})
    assert put(server, other, model) == (NAME, "changed")
    patch = next(request for request in server.seen if request.method == "PATCH")
    assert patch.query["updateMask"] == "tabularObjective,notificationSpec"
    [found] = service.monitors.values()
    spec = found.tabular_objective.feature_drift_spec
    assert spec.default_categorical_alert_condition.threshold == pytest.approx(0.09)
    assert ignored not in spec.features
    assert list(found.notification_spec.email_config.user_emails) == ["a@example.org"]
    assert put(server, other, model) == (NAME, "as before")


def test_another_version_of_the_model_is_a_change(cloud, flights, tmp_path):
    server, service, model = cloud
    put(server, flights, model)
    registry = registries.on_vertex(server.address, tmp_path)
    second = registry.register("flights", *a_model(tmp_path, "b"), {})
    assert put(server, flights, registry.resource("flights", second.version)) == (NAME, "changed")
    assert service.monitors["esteira-flights"].model_monitoring_target.vertex_model.model_version_id == "2"


@pytest.mark.parametrize("call", ["POST .*modelMonitors", "PATCH .*modelMonitors"])
def test_an_answer_that_is_lost_leaves_one_monitor_as_it_is_wanted(cloud, flights, call):
    server, service, model = cloud
    if call.startswith("PATCH"):
        put(server, changed(flights, monitoring={"threshold": 0.5}), model)
    server.faults = [http.Fault(call, done=True)]
    put(server, flights, model)
    assert server.faults[0].times == 0
    assert list(service.monitors) == ["esteira-flights"]
    assert put(server, flights, model) == (NAME, "as before")


def test_a_monitor_of_another_model_is_refused(cloud, flights):
    server, service, model = cloud
    put(server, flights, model)
    other = f"{vertex.PARENT}/models/other"
    service.monitors["esteira-flights"].model_monitoring_target.vertex_model.model = other
    with pytest.raises(CaseError) as caught:
        put(server, flights, model)
    assert str(caught.value) == (
        f"'{NAME}' must be of the case's model. Got '{other}'. "
        "Delete that monitor in the console: a monitor keeps its model."
    )


def test_a_version_that_vertex_has_not_is_named(cloud, flights):
    server, _, model = cloud
    with pytest.raises(SetupError) as caught:
        put(server, flights, model.replace("@1", "@7"))
    assert str(caught.value).startswith(f"'{model.replace('@1', '@7')}' must be in Vertex Model Registry. Got ")
    assert str(caught.value).endswith("Register it again, or name another version.")


def test_a_model_of_another_registry_is_refused(flights):
    with pytest.raises(SetupError) as caught:
        monitor(at(), flights, flights, "")
    assert str(caught.value) == (
        "'model' must be a version in Vertex Model Registry. Got 'none'. "
        "Set registry.adapter: google in the profile, and register a model."
    )


def test_the_profiles_key_encrypts_it(flights):
    key = f"projects/p/locations/{vertex.REGION}/keyRings/r/cryptoKeys/k"
    made = monitor(at(kms_key=key), flights, flights, f"{vertex.PARENT}/models/flights@1")
    assert made["encryption_spec"] == {"kms_key_name": key}


def test_a_case_whose_name_ends_in_a_hyphen_has_an_id_that_does_not():
    assert monitor_id("flights") == "esteira-flights"
    assert re.fullmatch(r"esteira-a-[0-9a-f]{8}", monitor_id("a-"))


def test_the_command_makes_the_monitor_of_the_champion_or_of_a_version(cloud, flights, tmp_path, monkeypatch, capsys):
    server, _, _ = cloud
    (tmp_path / "profiles").mkdir()
    made = registries.profile(server.address, root=str(tmp_path), name="mine").model_dump(mode="json")
    (tmp_path / "profiles" / "mine.yaml").write_text(yaml.safe_dump(made))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Connected, "blobs", registries.CloudFiles(tmp_path / "blobs"))
    with pytest.raises(CaseError, match="'VERSION' must be given where nothing is live"):
        monitors.put(registries.profile(server.address, root=str(tmp_path)), str(FLIGHTS))
    with pytest.raises(SystemExit) as ended:
        cli.app(["models", "monitor", str(FLIGHTS), "--version", "1", "--profile", "mine"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{NAME}: made, of version 1\n"
