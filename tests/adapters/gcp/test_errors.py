"""Every error of Google's clients is one of ours, and says which role, which API or which quota."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError

from components.adapters.gcp import errors
from components.core.errors import CaseError, ConflictError, DataError, EsteiraError, RunError, SetupError

AGAIN = "Run it again: what was written is whole, and is not written twice."
LOGIN = "Run `gcloud auth application-default login`, or run it as a service account."


def because(reason: str) -> list[dict[str, str]]:
    return [{"reason": reason, "message": "told"}]


@pytest.mark.parametrize(
    ("error", "kind", "rule", "remedy"),
    [
        (
            exceptions.Forbidden("told"),
            SetupError,
            "be open to this account",
            "Give the account roles/storage.objectUser.",
        ),
        (
            exceptions.Forbidden("told", errors=because("accessNotConfigured")),
            SetupError,
            "be enabled in the project",
            "Enable it: gcloud services enable storage.googleapis.com",
        ),
        (
            exceptions.Forbidden("told", errors=because("quotaExceeded")),
            RunError,
            "have quota left for the request",
            errors.STORAGE.quota,
        ),
        (
            exceptions.ResourceExhausted("told"),
            RunError,
            "have quota left for the request",
            errors.STORAGE.quota,
        ),
        (
            exceptions.NotFound("told"),
            SetupError,
            "have what the profile names",
            "Make it, or mend its name in the profile; a dataset is found in its own location only.",
        ),
        (
            exceptions.PreconditionFailed("told"),
            ConflictError,
            "have it as it was looked at",
            "Somebody else was first: run it again.",
        ),
        (
            exceptions.AlreadyExists("told"),
            ConflictError,
            "have it as it was looked at",
            "Somebody else was first: run it again.",
        ),
        (
            exceptions.BadRequest("told"),
            DataError,
            "get a request that it takes",
            "Mend what it names.",
        ),
        (exceptions.Aborted("told"), RunError, "answer in time", AGAIN),
        (exceptions.DeadlineExceeded("told"), RunError, "answer in time", AGAIN),
        (exceptions.ServiceUnavailable("told"), RunError, "answer in time", AGAIN),
        (ConnectionResetError("told"), RunError, "answer in time", AGAIN),
        (TransportError("told"), RunError, "answer in time", AGAIN),
        (RefreshError("told"), SetupError, "be there for Cloud Storage", LOGIN),
        (
            exceptions.RetryError("for 2 minutes", exceptions.Forbidden("told")),
            SetupError,
            "be open to this account",
            "Give the account roles/storage.objectUser.",
        ),
    ],
)
def test_each_is_told_with_its_remedy(error: Any, kind: type[EsteiraError], rule: str, remedy: str):
    with pytest.raises(EsteiraError) as caught, errors.translated(errors.STORAGE, "gs://esteira"):
        raise error
    found = caught.value
    assert (type(found), found.rule, found.remedy, found.where) == (kind, rule, remedy, "gs://esteira")
    assert "told" in str(found)


@pytest.mark.parametrize(
    ("error", "busy"),
    [
        (exceptions.Conflict("x"), True),
        (exceptions.FailedPrecondition("There are other operations running on the Endpoint e."), True),
        (exceptions.FailedPrecondition("Model server exited unexpectedly."), False),
        (exceptions.NotFound("There are other operations running on the Endpoint e."), False),
    ],
)
def test_another_operation_is_known_by_googles_error_and_by_ours(error: Exception, busy: bool):
    ours = CaseError("request", "be one that Vertex takes", "x", "Mend it.")
    assert not errors.under_way(ours)
    ours.__cause__ = error
    assert (errors.under_way(error), errors.under_way(ours)) == (busy, busy)
