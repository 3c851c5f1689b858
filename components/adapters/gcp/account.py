"""Plain REST calls to Google Cloud under one account: what looks at a project needs no client of each service."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.core.errors import SetupError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOGIN = "Run `gcloud auth application-default login`, or run it as a service account."
_TIMEOUT = (5.0, 20.0)
"""Seconds to connect, and between two bytes of an answer."""


@dataclass(frozen=True)
class Reply:
    """What a service answered; status 0: it did not."""

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def told(self) -> str:
        """What the service itself says of an error, in one line."""
        error = self.data.get("error", {})
        message = error.get("message", "") if isinstance(error, dict) else str(error)
        return " ".join(f"{self.status or ''} {message}".split()) or "no answer"


class Account:
    """Whoever calls: `who` is an e-mail address, or empty where the token does not tell it.

    Parameters
    ----------
    session
        Of requests; it brings the token.
    base
        What stands before every host's name in place of https://.
    """

    def __init__(self, session: Any, who: str = "", base: str = "https://") -> None:
        self._session, self.who, self._base = session, who, base

    @property
    def member(self) -> str:
        """As IAM names it."""
        kind = "serviceAccount" if self.who.endswith(".gserviceaccount.com") else "user"
        return f"{kind}:{self.who or 'YOU'}"

    def get(self, place: str, query: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None) -> Reply:
        """`place` is HOST/PATH."""
        return self._call("GET", place, params=list(query), headers=dict(headers or {}))

    def post(self, place: str, body: Mapping[str, Any]) -> Reply:
        return self._call("POST", place, json=dict(body))

    def as_service_account(self, email: str) -> Account | None:
        """The service account, where this one may become it."""
        place = f"iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
        reply = self.post(place, {"scope": [SCOPE], "lifetime": "600s"})
        if not reply.ok:
            return None
        session = importlib.import_module("requests").Session()
        session.headers["Authorization"] = f"Bearer {reply.data['accessToken']}"
        return Account(session, email, self._base)

    def told_by(self, token: str) -> str:
        """Whose token it is, as an e-mail address; empty where nobody tells."""
        # In the body: an address is logged by whatever stands between.
        reply = self._call("POST", "oauth2.googleapis.com/tokeninfo", data={"access_token": token})
        return str(reply.data.get("email", "")) if reply.ok else ""

    def _call(self, method: str, place: str, **given: Any) -> Reply:
        requests: Any = importlib.import_module("requests")  # it has no types
        from google.auth.exceptions import GoogleAuthError

        try:
            answer = self._session.request(method, self._base + place, timeout=_TIMEOUT, **given)
            data = answer.json() if answer.content else {}
        except requests.exceptions.JSONDecodeError:
            data = {"error": {"message": "no answer in JSON"}}
        except (requests.exceptions.RequestException, GoogleAuthError) as error:
            return Reply(0, {"error": {"message": type(error).__name__}})
        return Reply(answer.status_code, data if isinstance(data, dict) else {})


def yours() -> Account:
    """The application's default credentials, refreshed once. Raises SetupError where there are none that work."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession, Request

    try:
        default: Any = google.auth.default
        credentials, _ = default(scopes=[SCOPE])
        credentials.refresh(Request())
    except GoogleAuthError as error:
        told = " ".join(str(error).split())
        raise SetupError("credentials", "be there for Google Cloud", told, _LOGIN) from error
    session: Any = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    email = str(getattr(credentials, "service_account_email", ""))
    return Account(session, email if "@" in email else Account(session).told_by(credentials.token))
