"""`esteira serve`: the server that it becomes, who may ask it, and what it says before."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from components import types
from components.adapters import release
from components.core.errors import CaseError, ModelError, SetupError
from components.core.profile import Profile
from components.core.sections import RegistryAddress, StoreAddress
from components.step import Launch
from pipelines.launch import environments, serve
from pipelines.launch.serve import Wishes
from tests import toy as toys
from tests.conftest import FLIGHTS, REPOSITORY


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(root=str(tmp_path))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ESTEIRA_")]:
        monkeypatch.delenv(name)


def test_the_server_gets_case_root_address_and_limits(profile: Profile, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIP_STORAGE_URI", "/another")
    found = serve.prepare(str(FLIGHTS), profile, Wishes(port=9000))
    assert found.python == environments.python(types.SERVER)
    told = {name: found.variables[name] for name in found.variables if name.startswith(("ESTEIRA_", "AIP_"))}
    assert told.pop("ESTEIRA_TOKEN") == found.made
    assert told == {
        "ESTEIRA_CASE": "flights",
        "ESTEIRA_ROOT": profile.root,
        "ESTEIRA_REGISTRY": "local",
        "ESTEIRA_HOST": "127.0.0.1",
        "AIP_HTTP_PORT": "9000",
        "ESTEIRA_BODY": "1500000",
        "ESTEIRA_ROWS": "1024",
        "ESTEIRA_QUEUE": "256",
        "ESTEIRA_AUTH": "token",
    }


def test_a_remote_registry_is_told_to_the_server_which_reads_it_beside_the_pointer(profile: Profile):
    remote = profile.model_copy(update={"registry": RegistryAddress(adapter="mlflow", at="http://127.0.0.1:5000")})
    assert serve.prepare(str(FLIGHTS), remote, Wishes(port=0)).variables["ESTEIRA_REGISTRY"] == "remote"


def test_models_that_are_elsewhere_are_not_served_from_here(profile: Profile):
    elsewhere = profile.model_copy(update={"blobs": StoreAddress(adapter="google", at="gs://bucket")})
    with pytest.raises(CaseError) as caught:
        serve.prepare(str(FLIGHTS), elsewhere, Wishes())
    assert str(caught.value) == (
        "profile: 'blobs.adapter' must be local for `esteira serve`. Got 'google'. "
        "Take a local profile; with endpoints.adapter: google the models are served by Vertex AI."
    )


def test_a_token_is_made_for_each_start_unless_one_is_given(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = {serve.prepare(str(FLIGHTS), profile, Wishes()).made for _ in range(3)}
    assert len(made) == 3
    assert all(len(token) >= 32 for token in made)
    (tmp_path / "token").write_text("mine")
    found = serve.prepare(str(FLIGHTS), profile, Wishes(token_file=tmp_path / "token"))
    assert (found.made, found.variables["ESTEIRA_TOKEN_FILE"]) == ("", str(tmp_path / "token"))
    assert "ESTEIRA_TOKEN" not in found.variables
    monkeypatch.setenv("ESTEIRA_TOKEN", "ours")
    found = serve.prepare(str(FLIGHTS), profile, Wishes())
    assert (found.made, found.variables["ESTEIRA_TOKEN"]) == ("", "ours")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_no_token_is_asked_for_on_a_loopback_address(profile: Profile, host: str):
    found = serve.prepare(str(FLIGHTS), profile, Wishes(host, auth=False))
    assert (found.variables["ESTEIRA_AUTH"], found.made) == ("platform", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_and_on_no_other(profile: Profile, host: str):
    with pytest.raises(CaseError, match="'--no-auth' must be used on a loopback address only"):
        serve.prepare(str(FLIGHTS), profile, Wishes(host, auth=False))


def test_an_address_in_use_is_told_before_a_token_is_shown(profile: Profile):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"'address' must be free to listen on. Got '127.0.0.1:{port}'. Choose"):
            serve.prepare(str(FLIGHTS), profile, Wishes(port=port))


def test_a_token_file_that_is_not_there_is_named(profile: Profile, tmp_path: Path):
    with pytest.raises(CaseError, match="'--token-file' must be a file"):
        serve.prepare(str(FLIGHTS), profile, Wishes(token_file=tmp_path / "none"))


def test_the_greeting_shows_address_and_a_new_token_and_that_nothing_is_live_yet(profile: Profile):
    found = serve.prepare(str(FLIGHTS), profile, Wishes("::1", 9000))
    assert serve.greeting(found, Wishes("::1", 9000), champion=None) == [
        "flights at http://[::1]:9000, to try at /docs",
        f"token, shown this once: {found.made}",
        "No version is champion yet: the server is live, and ready once there is one.",
    ]
    given = serve.prepare(str(FLIGHTS), profile, Wishes(auth=False))
    assert serve.greeting(given, Wishes(), champion=1) == ["flights at http://127.0.0.1:8080, to try at /docs"]


def test_a_champion_that_no_server_loads_is_told_before_the_server_starts(
    tmp_path: Path, make_launch: Callable[..., Launch]
):
    made = toys.toy(tmp_path, make_launch)
    asked = serve.prepare(str(tmp_path / "case"), made.ports.profile, Wishes(port=0))
    assert serve.champion(asked, made.ports) is None
    assert made.promote(made.model("first")) == serve.champion(asked, made.ports) == 1
    made.promote(made.model("second", ((2.0, -2.0), (0.0, 0.0)), serve_with="skops"))
    with pytest.raises(ModelError) as caught:
        serve.champion(asked, made.ports)
    assert str(caught.value) == (
        "toy version 2: 'model.serve_with' must be onnx for a server, which has no scikit-learn. Got 'skops'. "
        "Promote another version, or abort the canary of this one; `esteira run CASE predict` and `esteira stream CASE` score with it."
    )


def test_a_challenger_that_no_server_loads_is_told_too(tmp_path: Path, make_launch: Callable[..., Launch]):
    made = toys.toy(tmp_path, make_launch)
    asked = serve.prepare(str(tmp_path / "case"), made.ports.profile, Wishes(port=0))
    version = made.promote(made.model("first", ((2.0, -2.0), (0.0, 0.0)), serve_with="skops"))
    made.promote(made.model("second"))
    release.begin_canary(made.ports, toys.NAME, version, 20, by="somebody", why="")
    with pytest.raises(ModelError, match=r"toy version 1: 'model.serve_with' must be onnx for a server"):
        serve.champion(asked, made.ports)


@pytest.mark.slow
def test_the_command_becomes_the_server_so_that_sigterm_ends_it(tmp_path: Path):
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(FLIGHTS), "--port", "0", "--no-auth"]
    variables = {**os.environ, "ESTEIRA_ROOT": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "ESTEIRA_DRAIN": "0"}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"flights at http://127.0.0.1:0, to try at /docs\n"
            said = json.loads(process.stderr.readline())
            assert (said["message"], said["ready"]) == ("listening", False)
            with urllib.request.urlopen(f"http://127.0.0.1:{said['port']}/v2/health/live") as answer:
                assert json.load(answer) == {"live": True}
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
