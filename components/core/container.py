"""The prediction server as a container of Vertex AI: its routes, what it is told, and how it knows its version.

A model is uploaded with its container's variables before its version has a number, and a deployment adds none. So the
number stands in the deployment's id, which is ours to choose, and Vertex tells it to the container
(AIP_DEPLOYED_MODEL_ID).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.core.artifacts import canonical_json, sha256
from components.core.errors import CaseError

PORT, HEALTH, PREDICT = 8080, "/health", "/predict"
_DIGITS = 5
"""Of an id that stand for the settings; the version stands before them. Vertex takes 10 digits at most."""
LARGEST = 10 ** (10 - _DIGITS) - 1
"""The largest version that can be deployed."""


def variables(case: str, bundle: str, blobs: str) -> dict[str, str]:
    """What the server is told beside what Vertex tells it (`components.serving.settings`).

    Parameters
    ----------
    bundle
        The digest of the case's bundle, which says whose code may run.
    blobs
        gs://bucket/prefix of the profile's blobs: the inference log goes there, and the pointer is read there.
    """
    told = {"ESTEIRA_CASE": case, "ESTEIRA_BUNDLE": bundle, "ESTEIRA_LOG": blobs}
    return told | {"ESTEIRA_AUTH": "platform"}  # Vertex asks for IAM's aiplatform.endpoints.predict


def deployment(version: int, settings: Mapping[str, Any]) -> str:
    """The id of a version's deployment with these settings (JSON data): the same for the same.

    Raises CaseError for a version that has no place in ten digits.
    """
    if not 1 <= version <= LARGEST:
        remedy = "Register under another case's name."
        raise CaseError("version", f"be from 1 to {LARGEST} to be deployed", version, remedy)
    digest = int(sha256(canonical_json(settings).encode())[:15], 16) % 10**_DIGITS
    return f"{version}{digest:0{_DIGITS}d}"


def deployed(deployment: str) -> int | None:
    """The version in a deployment's id; None for an id that somebody else chose."""
    if not (deployment.isascii() and deployment.isdigit() and _DIGITS < len(deployment) <= 10) or deployment[0] == "0":
        return None
    return int(deployment[:-_DIGITS])
