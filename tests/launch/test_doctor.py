"""The doctor sees what is here and says what a missing thing disables."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.profile import Profile
from pipelines.launch import doctor, engines


def found(profile: Profile) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks(profile)}


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(root=str(tmp_path / "esteira"))


def test_the_environments_are_seen_with_the_version_of_what_they_are_for(profile: Profile) -> None:
    checks = found(profile)
    assert checks["environment pipeline"].found.startswith("apache_beam 2.")
    assert checks["environment validate"].found.startswith("tensorflow_data_validation 1.")
    assert checks["environment server"].found.startswith("onnxruntime 1.")
    assert checks["local root"].level == "ok"


def test_a_missing_environment_is_broken_and_says_how_to_make_it(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESTEIRA_ENVIRONMENTS", str(tmp_path))
    check = found(profile)["environment pipeline"]
    assert (check.level, check.without) == ("broken", "no step that runs in it. Run `make setup` in the clone.")


def test_named_credentials_that_are_not_there_are_broken_and_unnamed_ones_only_missing(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert found(profile)["Google credentials"].level == "missing"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert found(profile)["Google credentials"].level == "broken"


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, *words: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_an_address_that_answers_is_fine_and_one_that_does_not_is_broken(tmp_path: Path, server: str) -> None:
    given = {"root": str(tmp_path), "tracking": {"at": server}, "alerts": {"webhook": "http://127.0.0.1:9/hook"}}
    checks = found(Profile.model_validate(given))
    assert (checks["tracking"].level, checks["tracking"].found) == ("ok", f"{server.rstrip('/')}: 404")
    assert checks["webhook"].level == "broken"
    assert checks["webhook"].without == "no alerts by webhook"


@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1:port", "127.0.0.1:9/a b"])
def test_a_webhook_is_told_by_its_host_for_its_path_is_a_secret(tmp_path: Path, host: str) -> None:
    given = {"root": str(tmp_path), "alerts": {"webhook": f"http://{host}/hunter2"}}
    check = found(Profile.model_validate(given))["webhook"]
    assert (check.level, "hunter2" in check.found) == ("broken", False)


@pytest.mark.parametrize("url", ["hooks.example/hunter2", "http://[hunter2", "http://me:hunter2@127.0.0.1:9/", ""])
def test_a_webhook_of_a_variable_is_looked_at_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOOK", url)
    given = {"root": str(tmp_path), "alerts": {"webhook_env": "HOOK"}}
    check = found(Profile.model_validate(given))["webhook"]
    assert (check.level, "hunter2" in check.found) == ("broken", False)


def test_an_emulator_that_a_variable_names_is_asked(
    profile: Profile, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    checks = {check.name: check for check in doctor._elsewhere(profile, "", None)}
    storage, pubsub = checks["STORAGE_EMULATOR_HOST"], checks["PUBSUB_EMULATOR_HOST"]
    assert (storage.level, storage.found) == ("ok", f"{server} answers")
    assert pubsub.level == "broken"
    assert pubsub.found.startswith("127.0.0.1:1 does not answer: ")
    assert pubsub.without == "start it, as `make servers` does"


def test_beams_job_service_is_asked(tmp_path: Path, server: str) -> None:
    place = server.removeprefix("http://").rstrip("/")
    jobs = {"runner": "PortableRunner", "options": {"job_endpoint": place}}
    made = Profile.model_validate({"root": str(tmp_path), "jobs": jobs})
    checks = {check.name: check for check in doctor._elsewhere(made, "", None)}
    assert (checks["Beam's job service"].level, checks["Beam's job service"].found) == ("ok", f"{place} answers")


@pytest.mark.parametrize("address", ["127.0.0.1:port", "http://[broken"])
def test_what_is_no_address_does_not_answer(address: str) -> None:
    assert doctor._listens("it", address).level == "broken"


def test_no_engine_for_containers_is_only_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    check = doctor._engine()
    assert (check.level, check.found) == ("missing", "neither answers")
    assert check.without.startswith("no runs over container images; environments serve. Start docker")


@pytest.mark.parametrize(
    ("limits", "told"), [(True, "limits memory"), (False, "keeps no resources.STEP.memory, for want of a cgroup")]
)
def test_an_engine_says_whether_it_limits_memory(limits: bool, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def served() -> Iterator[Any]:
        said = {"Components": [{"Name": "Podman Engine"}], "Version": "4.3.1"}
        yield SimpleNamespace(version=lambda: said, info=lambda: {"MemoryLimit": limits})

    monkeypatch.setattr(engines, "served", served)
    check = doctor._engine()
    assert (check.level, check.found) == ("ok", f"Podman Engine 4.3.1, {told}")
