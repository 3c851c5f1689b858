"""The errors of Google's clients as ours, each with the remedy: which role, which API to enable, which quota."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from components.core.errors import ArtifactError, ConflictError, DataError, EsteiraError, RunError, SetupError

DISABLED = {"accessNotConfigured", "SERVICE_DISABLED"}
_QUOTA = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED", "jobRateLimitExceeded"}
BILLED = {"bytesBilledLimitExceeded"}
_RUNNING = "other operations running on"
"""Vertex's words, as in "There are other operations running on the IndexEndpoint"; a RagCorpus says the same."""


@dataclass(frozen=True)
class Service:
    """A Google Cloud API, and what an account needs there."""

    name: str
    api: str
    roles: str
    quota: str
    """What to do where a quota is used up."""


STORAGE = Service(
    "Cloud Storage",
    "storage.googleapis.com",
    "roles/storage.objectUser",
    "Wait and run it again; one object takes a write each second. Else ask for more of the quota.",
)
BIGQUERY = Service(
    "BigQuery",
    "bigquery.googleapis.com",
    "roles/bigquery.dataEditor, roles/bigquery.jobUser and roles/bigquery.readSessionUser",
    "Wait and run it again, write fewer windows at once, or ask for more of the quota.",
)
PUBSUB = Service(
    "Pub/Sub",
    "pubsub.googleapis.com",
    "roles/pubsub.publisher or roles/pubsub.subscriber",
    "Wait and run it again; one ordering key takes 1 MB a second. Else ask for more of the quota.",
)


@contextmanager
def translated(service: Service, where: str) -> Iterator[None]:
    """Whatever Google's clients raise, as one of ours; `where` is the bucket, dataset or table."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:  # OSError: a connection's, also of requests
        raise translation(error, service, where) from error


def translation(error: Exception, service: Service, where: str) -> EsteiraError:
    """One error as ours. What is none of those below is a RunError: nobody answered, or not in time."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    if isinstance(error, exceptions.RetryError) and isinstance(error.cause, Exception):
        error = error.cause  # why it was asked again until the deadline
    reasons = reasons_of(error)
    text = said(error)
    if isinstance(error, exceptions.Unauthorized | GoogleAuthError) and not isinstance(error, TransportError):
        remedy = "Run `gcloud auth application-default login`, or run it as a service account."
        return SetupError("credentials", f"be there for {service.name}", text, remedy, where=where)
    if reasons & DISABLED:
        remedy = f"Enable it: gcloud services enable {service.api}"
        return SetupError(service.api, "be enabled in the project", text, remedy, where=where)
    if isinstance(error, exceptions.TooManyRequests) or reasons & _QUOTA:
        return RunError(service.name, "have quota left for the request", text, service.quota, where=where)
    if reasons & BILLED:
        remedy = "Raise bigquery.maximum_bytes_billed in the profile."
        return DataError(service.name, "bill no more than the profile allows", text, remedy, where=where)
    if isinstance(error, exceptions.Forbidden):
        remedy = f"Give the account {service.roles}."
        return SetupError(service.name, "be open to this account", text, remedy, where=where)
    if isinstance(error, exceptions.NotFound):
        remedy = "Make it, or mend its name in the profile; a dataset is found in its own location only."
        return SetupError(service.name, "have what the profile names", text, remedy, where=where)
    if isinstance(error, exceptions.PreconditionFailed | exceptions.Conflict) and not isinstance(
        error, exceptions.Aborted
    ):
        remedy = "Somebody else was first: run it again."
        return ConflictError(service.name, "have it as it was looked at", text, remedy, where=where)
    if isinstance(error, exceptions.BadRequest):
        return DataError(service.name, "get a request that it takes", text, "Mend what it names.", where=where)
    remedy = "Run it again: what was written is whole, and is not written twice."
    return RunError(service.name, "answer in time", text, remedy, where=where)


def said(error: Exception) -> str:
    """What Google says of it, without the address that was called."""
    listed: Any = getattr(error, "errors", None) or []
    messages = [str(one["message"]) for one in [*listed, *_body(error)] if isinstance(one, dict) and one.get("message")]
    if messages:
        return messages[0]
    try:
        return str(error.response.json()["error"]["message"])  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError):
        return str(error)


def reasons_of(error: Exception) -> set[str]:
    """The machine-readable reasons that Google's error bears, such as rateLimitExceeded."""
    listed: Any = getattr(error, "errors", None) or []
    found = {str(one.get("reason", "")) for one in listed if isinstance(one, dict)}
    found.add(str(getattr(error, "reason", None) or ""))
    found.update(str(one.get("reason", "")) for one in _body(error) if isinstance(one, dict))
    return found - {""}


def _body(error: Exception) -> list[Any]:
    """The errors in an answer's body, where Google's clients leave them for an upload or download."""
    response: Any = getattr(error, "response", None)
    try:
        found = response.json()["error"]["errors"]
    except (AttributeError, KeyError, TypeError, ValueError):  # no answer, or none of Google's
        return []
    return found if isinstance(found, list) else []


def under_way(error: Exception) -> bool:
    """Whether Vertex refuses this for another operation there: by 409, or by 400 FAILED_PRECONDITION in these words.

    The error may be Google's, or ours that it was translated into.
    """
    from google.api_core.exceptions import BadRequest, Conflict

    cause = error.__cause__ if isinstance(error, EsteiraError) else error
    return isinstance(cause, Conflict) or (isinstance(cause, BadRequest) and _RUNNING in said(cause))


def corrupt(error: Exception, name: str, where: str) -> ArtifactError:
    """What came is not what its checksum says."""
    remedy = "Read it again; where it stays so, run the step that writes it."
    return ArtifactError(name, "arrive with the checksum that it was stored with", str(error), remedy, where=where)
