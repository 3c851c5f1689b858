"""`esteira stream`: what the launcher starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from components.adapters.connect import Connected
from components.core.errors import CaseError
from components.core.profile import Profile
from components.streaming.__main__ import _parse
from pipelines.launch import stream
from tests.conftest import FLIGHTS


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    (tmp_path / "pipeline" / "bin").mkdir(parents=True)
    (tmp_path / "pipeline" / "bin" / "python").touch()
    monkeypatch.setenv("ESTEIRA_ENVIRONMENTS", str(tmp_path))
    return Profile(root=str(tmp_path / "esteira"))


def test_it_hands_over_the_snapshot_of_the_case_and_its_lateness(profile: Profile, tmp_path: Path) -> None:
    ports = Connected(profile)
    launch = stream.prepare(str(FLIGHTS), profile, ports, stream.Wishes(2.5, 100, as_json=True))
    assert launch.python == tmp_path / "pipeline" / "bin" / "python"
    assert launch.arguments[:2] == ("-m", "components.streaming")
    asked = _parse(list(launch.arguments[2:]))
    assert ports.blobs.exists(f"bundles/{asked.bundle}/case.json")
    assert Profile.from_json(asked.profile) == profile
    assert (asked.lateness, asked.until_idle, asked.most, asked.json) == (600, 2.5, 100, True)
    assert launch.variables["PATH"].split(os.pathsep)[0] == str(launch.python.parent)


def test_it_hands_over_how_long_the_log_keeps_messages(profile: Profile, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    shutil.copytree(FLIGHTS, folder)
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text + "\nstreaming: {retention: 2h}\n")
    launch = stream.prepare(str(folder), profile, Connected(profile), stream.Wishes())
    assert _parse(list(launch.arguments[2:])).retention == 7200


def test_without_limits_it_goes_on(profile: Profile) -> None:
    launch = stream.prepare(str(FLIGHTS), profile, Connected(profile), stream.Wishes())
    asked = _parse(list(launch.arguments[2:]))
    assert (asked.until_idle, asked.most, asked.json) == (None, None, False)


def test_idle_seconds_below_zero_are_refused() -> None:
    with pytest.raises(CaseError) as refused:
        stream.Wishes(-1.0)
    assert str(refused.value) == (
        "'--until-idle' must be seconds from 0. Got -1.0. Leave it out to go on until Ctrl+C."
    )
