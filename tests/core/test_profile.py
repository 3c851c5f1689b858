"""Profiles: local is built in, others are files; paths become absolute, and JSON brings them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core import profile
from components.core.errors import CaseError
from components.core.profile import Profile


def test_local_stands_under_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESTEIRA_ROOT", raising=False)
    found = profile.load("local")
    assert (found.root, found.sources) == (str(tmp_path / ".esteira"), str(tmp_path))


def test_the_root_can_be_moved_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTEIRA_ROOT", str(tmp_path / "else"))
    assert profile.load("local").root == str(tmp_path / "else")


def test_a_profile_is_a_file_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("tracking: {at: 'http://127.0.0.1:5000'}\n")
    found = profile.load("dev", tmp_path)
    assert (found.name, found.tracking.at) == ("dev", "http://127.0.0.1:5000")


def test_json_brings_it_back() -> None:
    one = Profile(name="x", root="/r")
    assert Profile.from_json(one.to_json()) == one


def test_an_unknown_profile_and_an_unknown_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="'profile' must be 'local' or a file"):
        profile.load("prod", tmp_path)
    (tmp_path / "dev.yaml").write_text("password: hunter2\n")
    with pytest.raises(CaseError, match="'password' must not be there"):
        profile.load("dev", tmp_path)


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("tracking.at", {"tracking": {"at": "https://me:hunter2@mlflow.example"}}),
        ("tracking.at", {"tracking": {"at": "https://hunter2@mlflow.example"}}),
        ("tracking.at", {"tracking": {"at": "postgresql://me:hunter2@db.example/mlflow"}}),
        ("alerts.webhook", {"alerts": {"webhook": "https://me:hunter2@hooks.example/x"}}),
        ("jobs.options.proxy", {"jobs": {"options": {"proxy": "http://me:hunter2@proxy.example"}}}),
    ],
)
def test_an_address_with_credentials_is_refused_without_telling_them(key: str, section: dict[str, object]) -> None:
    with pytest.raises(CaseError, match=f"must hold no credentials in {key}: it is logged") as caught:
        Profile.from_json(json.dumps(section))
    assert "hunter2" not in str(caught.value)


def test_an_address_may_name_who_asks_where_no_password_stands() -> None:
    address = "postgresql://me@db.example/mlflow"
    assert Profile.model_validate({"tracking": {"at": address}}).tracking.at == address
