"""What Vertex refuses of a model that is uploaded, and of its aliases."""

from __future__ import annotations

import re
from typing import Any

from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1

_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
# ModelContainerSpec.image_uri: an image in Artifact Registry or Container Registry.
_IMAGE = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/\S+")
_DIRECTORY = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/?#]+)*/?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OUTPUT_ONLY = (
    *("name", "version_id", "version_create_time", "version_update_time", "create_time", "update_time"),
    *("deployed_models", "supported_deployment_resources_types", "training_pipeline", "metadata_artifact", "etag"),
)


def check_alias(alias: str) -> None:
    """An alias cannot be taken for a version's number."""
    if not _ALIAS.fullmatch(alias):
        raise rules.invalid(f"version alias {alias!r} must match [a-z][a-zA-Z0-9-]{{0,126}}[a-z0-9]")


def check_model_id(id: str) -> None:
    if not _ID.fullmatch(id):
        raise rules.invalid(f"model_id {id!r} must be at most 63 of [a-z0-9_-], and not begin with a number or hyphen")


def check_model(model: Any, region: str) -> None:
    raw = aiplatform_v1.Model.pb(model)
    given = {f.name for f, _ in raw.ListFields()}
    if set_by_service := given & set(_OUTPUT_ONLY):
        raise rules.invalid(f"{sorted(set_by_service)} are output only")
    if not 0 < len(model.display_name) <= 128:
        raise rules.invalid("display_name must have 1 to 128 characters")
    rules.labels(model.labels)
    for alias in model.version_aliases:
        check_alias(alias)
    if not _DIRECTORY.fullmatch(model.artifact_uri):
        raise rules.invalid(f"artifact_uri {model.artifact_uri!r} must be a Cloud Storage directory")
    key = model.encryption_spec.kms_key_name
    if key and f"/locations/{region}/" not in key:
        raise rules.invalid("The key needs to be in the same region as where the compute resource is created.")
    _container(model.container_spec)


def _container(spec: Any) -> None:
    if not _IMAGE.fullmatch(spec.image_uri):
        raise rules.invalid(f"container_spec.image_uri {spec.image_uri!r} must be in Artifact or Container Registry")
    names = [one.name for one in spec.env]
    for name in names:
        if not _VARIABLE.fullmatch(name) or name.startswith("AIP_") or names.count(name) > 1:
            raise rules.invalid(f"container_spec.env {name!r}: a C identifier, once, and none of Vertex AI's own AIP_…")
    for route in (spec.predict_route, spec.health_route):
        if route and not route.startswith("/"):
            raise rules.invalid(f"container_spec: {route!r} is no HTTP path")
    if any(not 0 < port.container_port < 65536 for port in spec.ports):
        raise rules.invalid("container_spec.ports: 1 to 65535")
