"""What Dataflow says, of a request or of a job that failed, as our errors: each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from components.adapters.gcp import errors
from components.core.errors import EsteiraError, RunError, SetupError

SERVICE = errors.Service(
    "Dataflow",
    "dataflow.googleapis.com",
    "roles/dataflow.developer, and roles/iam.serviceAccountUser on the workers' account",
    "Lower jobs.dataflow.max_workers, ask for more of the quota, or run it again later.",
)
_CAUSES: tuple[tuple[str, type[EsteiraError], str, str, str], ...] = (
    # what Dataflow says, and the name, rule and remedy that follow from it
    (
        r"act as service account|actAs",
        SetupError,
        "jobs.dataflow.service_account",
        "be an account that this one may act as",
        "Give this account roles/iam.serviceAccountUser on it.",
    ),
    (
        r"dataflow\.worker|dataflow\.workItems|controller service account|worker.*(credentials|permission)",
        SetupError,
        "jobs.dataflow.service_account",
        "have a worker's rights",
        "Give it roles/dataflow.worker, and roles/storage.objectUser on the blobs' bucket.",
    ),
    (
        r"image.*(pull|not found|denied|unauthorized)|artifactregistry",
        SetupError,
        "jobs.dataflow.image",
        "be an image that the workers can pull",
        "Push it, and give the workers' account roles/artifactregistry.reader.",
    ),
    (
        r"RESOURCE_POOL_EXHAUSTED|does not have enough resources",
        RunError,
        "Dataflow",
        "find machines in the region",
        "Run it again later, or choose another machine_type or region in jobs.dataflow.",
    ),
    (
        r"\bquota\b|QUOTA_EXCEEDED",
        RunError,
        "Dataflow",
        "have quota left for the workers",
        SERVICE.quota,
    ),
    (
        r"private google access",
        SetupError,
        "jobs.dataflow.subnetwork",
        "have Private Google Access, for workers without public addresses",
        "Switch it on (gcloud compute networks subnets update NAME --enable-private-ip-google-access), or set "
        "jobs.dataflow.public_ips.",
    ),
    (
        r"sub-?network",
        SetupError,
        "jobs.dataflow.subnetwork",
        "name a subnetwork of the region",
        "Mend it in the profile; in a shared VPC give the workers' account roles/compute.networkUser.",
    ),
    (
        r"machine ?types?\b",
        SetupError,
        "jobs.dataflow.machine_type",
        "be one that the region has",
        "Choose one of `gcloud compute machine-types list`.",
    ),
)


def cause(text: str, where: str) -> EsteiraError | None:
    """What Dataflow's words mean, where they are known."""
    for pattern, kind, name, rule, remedy in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(name, rule, text, remedy, where=where)
    return None


@contextmanager
def translated(about: str) -> Iterator[None]:
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (exceptions.Conflict, exceptions.NotFound):
        raise
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        known = cause(errors.said(error), about) if isinstance(error, exceptions.ClientError) else None
        raise known or errors.translation(error, SERVICE, about) from error
