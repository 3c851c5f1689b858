"""Plain calls under an account: who it is, and what a service says where it refuses."""

from __future__ import annotations

from typing import Any

import google.auth
import pytest
import requests
from google.auth.exceptions import RefreshError

from components.adapters.gcp.account import Account, Reply, yours
from components.core.errors import SetupError
from tests.servers import http, project


class Credentials:
    """Google's, as far as they are asked."""

    def __init__(self, email: str = "", fails: bool = False) -> None:
        self.token, self._fails = "", fails
        if email:
            self.service_account_email = email

    def refresh(self, request: Any) -> None:
        if self._fails:
            raise RefreshError("Reauthentication is needed.\n Please run it.")  # type: ignore[no-untyped-call]
        self.token = "secret-token"


def given(monkeypatch: pytest.MonkeyPatch, credentials: Credentials) -> None:
    monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, "p"))


def test_a_service_account_is_known_by_its_credentials(monkeypatch):
    given(monkeypatch, Credentials("run@p.iam.gserviceaccount.com"))
    assert yours().member == "serviceAccount:run@p.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("answer", "member"), [((200, b'{"email": "me@example.org"}'), "user:me@example.org"), ((400, b"{}"), "user:YOU")]
)
def test_a_person_is_known_by_the_token_which_stands_in_no_address(monkeypatch, answer, member):
    asked: list[tuple[str, Any]] = []

    def request(self: Any, method: str, url: str, data: Any = None, **_: Any) -> requests.Response:
        asked.append((url, data))
        reply = requests.Response()
        reply.status_code, reply._content = answer
        return reply

    monkeypatch.setattr("google.auth.transport.requests.AuthorizedSession.request", request)
    given(monkeypatch, Credentials())
    assert yours().member == member
    assert asked == [("https://oauth2.googleapis.com/tokeninfo", {"access_token": "secret-token"})]


def test_nobody_who_tells_whose_token_it_is_ends_nothing(monkeypatch):
    def request(*_: Any, **__: Any) -> requests.Response:
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr("google.auth.transport.requests.AuthorizedSession.request", request)
    given(monkeypatch, Credentials())
    assert yours().who == ""


def test_credentials_that_have_run_out_are_told_with_the_remedy(monkeypatch):
    given(monkeypatch, Credentials(fails=True))
    with pytest.raises(SetupError) as caught:
        yours()
    assert str(caught.value) == (
        "'credentials' must be there for Google Cloud. Got 'Reauthentication is needed. Please run it.'. "
        "Run `gcloud auth application-default login`, or run it as a service account."
    )


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(403, {"error": {"message": "no\n  way"}}), "403 no way"),
        (Reply(401, {"error": "invalid_grant"}), "401 invalid_grant"),
        (Reply(500), "500"),
        (Reply(0), "no answer"),
    ],
)
def test_what_a_service_says_is_one_line(reply, told):
    assert (reply.told, reply.ok) == (told, False)


def test_an_account_becomes_another_only_where_it_may():
    with project.serving() as (server, cloud):
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {project.YOU}"
        you = Account(session, project.YOU, f"{server.address}/")
        assert you.as_service_account(project.TASKS) is None
        cloud.rights[project.YOU, project.TASKS] = {"iam.serviceAccounts.getAccessToken"}
        tasks = you.as_service_account(project.TASKS)
        assert tasks is not None
        assert tasks.member == f"serviceAccount:{project.TASKS}"
        cloud.rights[project.TASKS, f"projects/{project.PROJECT}"] = {"resourcemanager.projects.get"}
        place = f"cloudresourcemanager.googleapis.com/v3/projects/{project.PROJECT}"
        assert (you.get(place).status, tasks.get(place).status) == (403, 200)


def test_an_answer_that_is_no_json_is_told():
    class Page:
        def answer(self, request: http.Request) -> Any:
            raise AssertionError

        def refusal(self, refused: http.Refused) -> Any:
            return "a page"

    with http.serving(Page()) as server:
        server.faults = [http.Fault("GET", status=502)]
        assert Account(requests.Session(), "", f"{server.address}/").get("x/y") == Reply(502, {})
