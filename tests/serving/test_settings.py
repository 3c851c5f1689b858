"""The environment's variables, and what is told of one at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core import container
from components.core.errors import SetupError
from components.serving import settings
from components.serving.asked import Limits

FOLLOW = {"ESTEIRA_CASE": "toy", "ESTEIRA_ROOT": "/root-of-all", "ESTEIRA_TOKEN": "secret"}
FIXED = {"AIP_STORAGE_URI": "/model", "ESTEIRA_BUNDLE": "d" * 64, "ESTEIRA_TOKEN": "secret"}


def test_a_pointer_is_followed_with_every_default():
    found = settings.read(FOLLOW)
    assert (found.case, found.root, found.fixed, found.recorded) == ("toy", Path("/root-of-all"), None, False)
    assert found.log == "/root-of-all/blobs"
    assert (found.host, found.port, found.health, found.predict) == ("0.0.0.0", 8080, "/health", "/predict")
    assert (found.token, found.limits, found.drain) == (b"secret", Limits(), 1.0)


def test_versions_of_a_remote_registry_are_read_beside_the_pointer():
    assert settings.read(FOLLOW | {"ESTEIRA_REGISTRY": "remote"}).recorded


def test_vertex_names_port_routes_and_model():
    routes = {"AIP_HTTP_PORT": "9000", "AIP_HEALTH_ROUTE": "/v1/h", "AIP_PREDICT_ROUTE": "/v1/p:predict"}
    found = settings.read(FIXED | routes | {"ESTEIRA_VERSION": "3"})
    assert (found.port, found.health, found.predict) == (9000, "/v1/h", "/v1/p:predict")
    assert found.fixed == settings.Fixed("/model", "d" * 64, 3)
    assert (found.root, found.log) == (None, "")


def test_in_vertex_the_model_and_the_log_are_in_cloud_storage_and_the_deployment_says_the_version():
    told = container.variables("toy", "d" * 64, "gs://bucket/prefix")
    id = container.deployment(7, {"machine": "n1-standard-2"})
    found = settings.read(told | {"AIP_STORAGE_URI": "gs://theirs/model-1", "AIP_DEPLOYED_MODEL_ID": id})
    assert found.fixed == settings.Fixed("gs://theirs/model-1", "d" * 64, 7)
    assert (found.case, found.log, found.token) == ("toy", "gs://bucket/prefix", None)


def test_a_deployment_that_a_person_made_says_no_version():
    given = FIXED | {"AIP_DEPLOYED_MODEL_ID": "4716238947238947123", "ESTEIRA_VERSION": "3"}
    assert settings.read(given).fixed == settings.Fixed("/model", "d" * 64, 3)


def test_the_token_may_stand_in_a_file(tmp_path: Path):
    (tmp_path / "token").write_text("from-a-file\n")
    given = FOLLOW | {"ESTEIRA_TOKEN": "", "ESTEIRA_TOKEN_FILE": str(tmp_path / "token")}
    assert settings.read(given).token == b"from-a-file"
    assert settings.read(given | {"ESTEIRA_TOKEN": "nearer"}).token == b"nearer"


def test_a_platform_that_keeps_the_gate_is_only_believed_when_named():
    assert settings.read(FOLLOW | {"ESTEIRA_AUTH": "platform"}).token is None
    with pytest.raises(SetupError, match="'ESTEIRA_TOKEN' must be given"):
        settings.read({k: v for k, v in FOLLOW.items() if k != "ESTEIRA_TOKEN"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ESTEIRA_ROOT": ""}, "environment: 'ESTEIRA_CASE' must be given with ESTEIRA_ROOT, or a model. Got 'toy'."),
        ({"ESTEIRA_AUTH": "none"}, "environment: 'ESTEIRA_AUTH' must be token or platform. Got 'none'."),
        ({"ESTEIRA_REGISTRY": "mlflow"}, "environment: 'ESTEIRA_REGISTRY' must be local or remote. Got 'mlflow'."),
        ({"ESTEIRA_TOKEN": "a b"}, "environment: 'ESTEIRA_TOKEN' must be at most 512 visible ASCII characters."),
        ({"ESTEIRA_TOKEN": "", "ESTEIRA_TOKEN_FILE": "/nowhere"}, "environment: 'ESTEIRA_TOKEN_FILE' must be a readable text file."),
        ({"AIP_HTTP_PORT": "http"}, "environment: 'AIP_HTTP_PORT' must be a whole number from 0. Got 'http'."),
        ({"AIP_HTTP_PORT": "70000"}, "environment: 'AIP_HTTP_PORT' must be a whole number from 0. Got '70000'."),
        ({"AIP_HEALTH_ROUTE": "health"}, "environment: 'AIP_HEALTH_ROUTE' must be a path that starts with /. Got 'health'."),
        ({"AIP_HEALTH_ROUTE": "/predict"}, "environment: 'AIP_PREDICT_ROUTE' must differ from AIP_HEALTH_ROUTE. Got '/predict'."),
        ({"ESTEIRA_QUEUE": "0"}, "environment: 'ESTEIRA_QUEUE' must be a whole number from 1. Got '0'."),
        ({"ESTEIRA_DRAIN": "soon"}, "environment: 'ESTEIRA_DRAIN' must be seconds from 0 to 600. Got 'soon'."),
        ({"AIP_STORAGE_URI": "s3://bucket/model"}, "environment: 'AIP_STORAGE_URI' must be a folder or gs://bucket/prefix. Got 's3://bucket/model'."),
        ({"ESTEIRA_LOG": "gs://B"}, "environment: 'ESTEIRA_LOG' must be a folder or gs://bucket/prefix. Got 'gs://B'."),
        ({"ESTEIRA_ROOT": "gs://bucket/prod"}, "environment: 'ESTEIRA_ROOT' must be a folder. Got 'gs://bucket/prod'."),
        ({"AIP_STORAGE_URI": "/model"}, "environment: 'ESTEIRA_BUNDLE' must be given with AIP_STORAGE_URI. Got ''."),
    ],
)  # fmt: skip
def test_a_variable_at_fault_is_named_with_its_rule_and_no_secret(change: dict[str, str], told: str):
    with pytest.raises(SetupError) as caught:
        settings.read(FOLLOW | change)
    assert str(caught.value).startswith(told)
    assert "a b" not in str(caught.value)
