"""deploy: what becomes champion, by one change of the pointer, and what moves nothing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from components.adapters import release
from components.adapters.connect import Connected
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Pointer
from components.core.model import Model
from components.core.profile import Profile
from components.deploy import task
from components.step import Launch, Result
from tests import processes
from tests.deploy import rival
from tests.toy import NAME, Toy, toy

WEIGHTS = [((-2.0, 2.0), (shift, -shift)) for shift in (0.0, 0.5, 1.0)]


@pytest.fixture
def here(tmp_path: Path, make_launch: Callable[..., Launch], migrated: Path) -> Toy:
    found = toy(tmp_path, make_launch)
    shutil.copy(migrated, found.ports.profile.path("mlflow.db"))
    return found


def accepted(here: Toy, number: int, champion: int | None = None) -> tuple[str, Path]:
    """The registered version of the number-th model, and its evaluation beside that champion."""
    model = here.model(f"m{number}", WEIGHTS[number - 1])
    described = Model.from_json((model / "model.json").read_bytes())
    version = here.ports.registry.register(NAME, model, described.identity, {"bundle": described.bundle}).version
    return str(version), here.evaluation(f"e{number}", model, champion=champion)


def deploy(here: Toy, version: str, evaluation: Path, mode: str = "") -> Result:
    return task.run(here.launch, version=version, evaluation=str(evaluation), mode=mode)


def refusal(here: Toy, version: str, evaluation: Path, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The message of a deploy that must fail with this exit code and move nothing."""
    before = here.ports.endpoints.pointer(NAME)
    with pytest.raises(SystemExit) as caught:
        deploy(here, version, evaluation)
    assert caught.value.code == code
    assert here.ports.endpoints.pointer(NAME) == before
    return capsys.readouterr().err.strip().removeprefix("[deploy] ")


def aliases(here: Toy) -> dict[str, int]:
    return {alias: v.version for v in here.ports.registry.versions(NAME) for alias in v.aliases}


def test_the_first_accepted_version_is_champion(here: Toy) -> None:
    result = deploy(here, *accepted(here, 1))
    assert result.parameters == {"champion": "1", "challenger": "", "resource": ""}
    assert result.summary == "Version 1 is champion"
    pointer = here.ports.endpoints.pointer(NAME)
    assert replace(pointer, at=0.0) == Pointer(
        NAME, champion=1, generation=1, by="job-1", why="Every floor is reached."
    )
    assert aliases(here) == {"champion": 1}


def test_where_no_cloud_deploys_the_file_of_its_operations_names_none(here: Toy, tmp_path: Path) -> None:
    version, evaluation = accepted(here, 1)
    named = tmp_path / "outputs" / "gcp_resources"
    task.run(here.launch, version=version, evaluation=str(evaluation), gcp_resources=str(named))
    assert json.loads(named.read_bytes()) == {"resources": []}


def test_a_version_that_no_server_loads_is_deployed_for_predict_and_the_stream_and_told(
    tmp_path: Path, make_launch: Callable[..., Launch], migrated: Path
) -> None:
    here = toy(tmp_path, make_launch, model={"task": "binary", "serve_with": "skops"})
    shutil.copy(migrated, here.ports.profile.path("mlflow.db"))
    assert deploy(here, *accepted(here, 1)).summary == (
        "Version 1 is champion. serve_with: skops: predict and the stream score with it, no prediction server does"
    )


def test_the_former_champion_is_previous(here: Toy) -> None:
    deploy(here, *accepted(here, 1))
    result = deploy(here, *accepted(here, 2, champion=1))
    assert result.summary == "Version 2 is champion after version 1"
    assert (here.ports.endpoints.pointer(NAME).champion, here.ports.endpoints.pointer(NAME).previous) == (2, 1)
    assert aliases(here) == {"champion": 2, "previous": 1}


def test_a_promotion_ends_a_challengers_share(here: Toy) -> None:
    deploy(here, *accepted(here, 1))
    two, three = accepted(here, 2, champion=1), accepted(here, 3, champion=1)
    pointer = here.ports.endpoints.pointer(NAME)
    here.ports.endpoints.change(replace(pointer, challenger=int(three[0]), split=10))
    deploy(here, *two)
    now = here.ports.endpoints.pointer(NAME)
    assert (now.champion, now.challenger, now.split) == (2, None, 0)


def test_as_a_canary_it_is_challenger_with_the_share_that_the_case_says(here: Toy) -> None:
    deploy(here, *accepted(here, 1))
    two = accepted(here, 2, champion=1)
    result = deploy(here, *two, mode="canary")
    assert result.parameters == {"champion": "1", "challenger": "2", "resource": ""}
    assert result.summary == "Version 2 is challenger with 20 % of the traffic, beside version 1"
    pointer = here.ports.endpoints.pointer(NAME)
    assert (pointer.champion, pointer.challenger, pointer.split) == (1, 2, 20)
    assert aliases(here) == {"champion": 1, "challenger": 2}
    again = deploy(here.again("job-2"), *two, mode="canary")
    assert again.summary == "Version 2 is challenger with 20 % of the traffic already"
    assert here.ports.endpoints.pointer(NAME) == pointer


def test_a_canary_without_a_champion_is_champion_at_once(here: Toy) -> None:
    result = deploy(here, *accepted(here, 1), mode="canary")
    assert result.parameters == {"champion": "1", "challenger": "", "resource": ""}
    assert result.summary == "Version 1 is champion"


def test_the_case_says_whether_batch_deploys_as_a_canary(tmp_path: Path, make_launch: Callable[..., Launch]) -> None:
    here = toy(tmp_path, make_launch, deploy="canary", canary={"percent": 7})
    with mock.patch.object(MlflowRegistry, "_project"):
        deploy(here, *accepted(here, 1))
        two, three = accepted(here, 2, champion=1), accepted(here, 3, champion=1)
        deploy(here, *two)
        pointer = here.ports.endpoints.pointer(NAME)
        assert (pointer.champion, pointer.challenger, pointer.split) == (1, 2, 7)
        assert deploy(here, *three, mode="champion").parameters == {"champion": "3", "challenger": "", "resource": ""}


def test_a_canary_does_not_take_the_place_of_another(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    deploy(here, *accepted(here, 1))
    two, three = accepted(here, 2, champion=1), accepted(here, 3, champion=1)
    deploy(here, *two, mode="canary")
    before = here.ports.endpoints.pointer(NAME)
    with pytest.raises(SystemExit) as caught:
        deploy(here, *three, mode="canary")
    assert caught.value.code == 6
    message = "toy: 'challenger' must be none, or version 3. Got 2. Let its canary end, or abort it."
    assert message in capsys.readouterr().err
    assert here.ports.endpoints.pointer(NAME) == before


def test_a_canary_that_was_killed_long_ago_gives_its_place_to_the_next(
    tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = toy(tmp_path, make_launch, canary={"deadline": "1s"})
    monkeypatch.setattr(task, "_GRACE", 0.0)
    with mock.patch.object(MlflowRegistry, "_project"):
        deploy(here, *accepted(here, 1))
        two, three = accepted(here, 2, champion=1), accepted(here, 3, champion=1)
        deploy(here, *two, mode="canary")
        time.sleep(1.1)
        assert deploy(here, *three, mode="canary").parameters == {"champion": "1", "challenger": "3", "resource": ""}
    states = here.ports.endpoints.history(NAME)
    assert [state.challenger for state in states] == [None, 2, None, 3]
    assert states[2].why == "The canary of version 2 ended without a verdict."


def test_a_mode_is_champion_or_canary(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        deploy(here, *accepted(here, 1), mode="shadow")
    assert caught.value.code == 2
    assert (
        "'mode' must be champion or canary, or empty for the case's. Got 'shadow'. Mend the pipeline."
        in capsys.readouterr().err
    )


def test_again_it_changes_nothing(here: Toy) -> None:
    one = accepted(here, 1)
    deploy(here, *one)
    before = here.ports.endpoints.pointer(NAME)
    result = deploy(here.again("job-2"), *one)
    assert result.summary == "Version 1 is champion already"
    assert not result.reused
    assert here.ports.endpoints.pointer(NAME) == before


def test_again_it_ends_no_canary_that_began_since(here: Toy) -> None:
    one = accepted(here, 1)
    deploy(here, *one)
    here.register(here.model("two"))
    before = release.begin_canary(here.ports, NAME, 2, 20, by="ana", why="try it").after
    assert deploy(here.again("job-2"), *one).summary == "Version 1 is champion already"
    assert here.ports.endpoints.pointer(NAME) == before


def test_what_the_gate_refused_moves_nothing(here: Toy) -> None:
    result = deploy(here, "", here.evaluation("e", here.model("m"), accepted=False))
    assert result.parameters == {"champion": "", "challenger": "", "resource": ""}
    assert result.summary == "Nothing deployed, the gate refused: there is no champion"
    deploy(here, *accepted(here, 1))
    before = here.ports.endpoints.pointer(NAME)
    version, _ = accepted(here, 2, champion=1)
    result = deploy(here, version, here.evaluation("refused", here.root / "m2", accepted=False, champion=1))
    assert result.parameters == {"champion": "1", "challenger": "", "resource": ""}
    assert result.summary == "Nothing deployed, the gate refused: version 1 stays champion"
    assert here.ports.endpoints.pointer(NAME) == before


def test_aliases_that_a_kill_left_behind_follow_at_the_next_run(here: Toy) -> None:
    deploy(here, *accepted(here, 1))
    two = accepted(here, 2, champion=1)
    pointer = here.ports.endpoints.pointer(NAME)
    here.ports.endpoints.change(replace(pointer, champion=2, previous=1))
    assert aliases(here) == {"champion": 1}
    deploy(here, "", here.evaluation("refused", here.root / "m2", accepted=False, champion=2))
    assert aliases(here) == {"champion": 2, "previous": 1}
    assert deploy(here, *two).summary == "Version 2 is champion already"


@pytest.mark.parametrize("version", ["", "0", "-1", "1.0", "../1", "1#", "%2e", "١", "1\n", "9" * 5000])
def test_a_version_is_a_number(here: Toy, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(here, version, accepted(here, 1)[1], capsys, 2)
    assert message.startswith("'version' must be a registered version's number. Got '")
    assert message.endswith("Hand over register's output.")


def test_an_unknown_version_is_refused(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'version'" in refusal(here, "7", accepted(here, 1)[1], capsys, 4)


def test_a_version_that_was_not_the_one_accepted_is_refused(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    _, evaluation = accepted(here, 1)
    version, _ = accepted(here, 2)
    wanted, got = (here.ports.registry.get(NAME, number).identity for number in (1, 2))
    message = refusal(here, version, evaluation, capsys, 5)
    assert message.startswith(f"'version' must be the accepted model, {wanted}. Got '2: {got}'.")
    assert message.endswith("Deploy the version of the model that was evaluated.")


@pytest.mark.parametrize("harm", ["altered", "gone"])
def test_a_harmed_model_is_refused_before_the_pointer_moves(
    here: Toy, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = accepted(here, 1)
    stored = here.ports.registry.fetch(NAME, 1)
    if harm == "gone":
        shutil.rmtree(stored)
    else:
        (stored / "model.onnx").write_bytes(b"other")
    refusal(here, *one, capsys, 4)


def test_a_champion_of_since_then_is_not_replaced(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    deploy(here, *accepted(here, 1))
    two, three = accepted(here, 2, champion=1), accepted(here, 3, champion=1)
    deploy(here, *three)
    message = refusal(here, *two, capsys, 6)
    assert message == (
        "'champion' must be version 1, as when the model was evaluated. Got 3. "
        "Run again: the model is then compared with this one."
    )


def test_a_first_model_does_not_replace_one_that_came_before_it(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = accepted(here, 1), accepted(here, 2)
    deploy(here, *one)
    assert "'champion' must be none, as when the model was evaluated. Got 1." in refusal(here, *two, capsys, 6)


def test_a_change_in_between_wins(
    here: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(here, *accepted(here, 1))
    two = accepted(here, 2, champion=1)
    change = PointerEndpoints.change

    def late(self: PointerEndpoints, pointer: Pointer) -> Pointer:
        change(self, replace(self.pointer(NAME), why="somebody was faster"))
        return change(self, pointer)

    monkeypatch.setattr(PointerEndpoints, "change", late)
    with pytest.raises(SystemExit) as caught:
        deploy(here, *two)
    assert caught.value.code == 6
    assert "'pointer' must be at generation 1. Got 2. Somebody changed it first" in capsys.readouterr().err
    assert here.ports.endpoints.pointer(NAME).why == "somebody was faster"


@pytest.mark.slow
def test_of_deploys_at_once_one_wins_and_the_others_get_a_conflict(here: Toy) -> None:
    deploy(here, *accepted(here, 1))
    rivals = [accepted(here, number, champion=1) for number in (2, 3)]
    calls = [
        (rival.promote, (replace(here.launch, job=f"job-{i}-{version}"), version, str(evaluation)))
        for i in range(3)
        for version, evaluation in rivals
    ]
    results = processes.at_once(calls)
    ports = Connected(Profile.from_json(here.launch.profile))
    live = ports.endpoints.pointer(NAME)
    assert live.generation == 2
    assert [p.champion for p in ports.endpoints.history(NAME)] == [1, live.champion]
    assert results.count(f"Version {live.champion} is champion after version 1") == 1
    losers = {r for r in results if r != f"Version {live.champion} is champion after version 1"}
    assert losers <= {6, f"Version {live.champion} is champion already"}
    assert results.count(6) >= 3
