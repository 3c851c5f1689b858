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
from components.streaming.beam.__main__ import _parse as beam_parse
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


def test_a_beam_job_is_started_and_what_is_to_be_done_with_it_handed_over(profile: Profile) -> None:
    beam = stream.Beam.of(False, {"update": True, "drain": False}, ["was=is"])
    launch = stream.prepare(str(FLIGHTS), profile, Connected(profile), stream.Wishes(as_json=True), beam)
    assert launch.arguments[:2] == ("-m", "components.streaming.beam")
    asked = beam_parse(list(launch.arguments[2:]))
    assert (asked.action, asked.rename, asked.lateness, asked.json) == ("update", ["was=is"], 600, True)
    assert Profile.from_json(asked.profile) == profile  # which the case's workers go before
    assert stream.Beam.of(True, {"update": False}, []) == stream.Beam("start")
    assert stream.Beam.of(False, {"update": False}, []) is None


def test_a_beam_job_has_the_workers_that_the_case_says(profile: Profile, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    shutil.copytree(FLIGHTS, folder)
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text + "\nstreaming: {workers: {max_workers: 3}}\n")
    launch = stream.prepare(str(folder), profile, Connected(profile), stream.Wishes(), stream.Beam())
    given = Profile.from_json(beam_parse(list(launch.arguments[2:])).profile).jobs.dataflow
    assert given == profile.jobs.dataflow.model_copy(update={"max_workers": 3})


@pytest.mark.parametrize(
    ("asked", "renamed", "told"),
    [
        (
            {"update": True, "drain": True},
            [],
            "'--drain' must stand without --update. Got 'both'. Do one after the other.",
        ),
        (
            {"update": False, "drain": True},
            ["a=b"],
            "'--rename' must stand beside --update. Got 'a=b'. Add --update, or leave it out.",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(asked: dict[str, bool], renamed: list[str], told: str) -> None:
    with pytest.raises(CaseError) as refused:
        stream.Beam.of(True, asked, renamed)
    assert str(refused.value) == told


def test_a_beam_job_does_not_end_by_itself(profile: Profile) -> None:
    with pytest.raises(CaseError) as refused:
        stream.prepare(str(FLIGHTS), profile, Connected(profile), stream.Wishes(most=5), stream.Beam())
    assert str(refused.value) == (
        "'--most' must stand without --beam. Got 5. A Beam job ends when it is drained or cancelled."
    )
