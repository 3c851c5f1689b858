"""`esteira models`: what is live, by hand, told and undone."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from typer.testing import CliRunner

from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.local.registry import MlflowRegistry
from components.core.errors import ArtifactError, CaseError, ConflictError
from components.step import Launch
from pipelines import cli
from pipelines.launch import releases
from tests.toy import NAME, Toy, toy

WEIGHTS = [((-2.0, 2.0), (shift, -shift)) for shift in (0.0, 0.5, 1.0)]


@pytest.fixture
def here(tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """Versions 1 to 3, of which 2 is champion after 1; the shell stands beside the folder cases/toy."""
    found = toy(tmp_path, make_launch)
    for number, weights in enumerate(WEIGHTS, 1):
        found.register(found.model(f"m{number}", weights))
    monkeypatch.setenv("ESTEIRA_ROOT", str(found.ports.profile.root))
    monkeypatch.setattr(releases, "who", lambda: "ana")
    (tmp_path / "cases").mkdir()
    (tmp_path / "case").rename(tmp_path / "cases" / NAME)
    monkeypatch.chdir(tmp_path)
    with mock.patch.object(MlflowRegistry, "_project"):
        for version in ("1", "2"):
            models("promote", version)
        yield found


def models(command: str, *arguments: str) -> str:
    """What a command prints; its error is raised."""
    result = CliRunner().invoke(cli.app, ["models", command, NAME, *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_rollback_says_what_is_live_and_how_it_is_undone(here: Toy) -> None:
    assert rows(models("rollback", "--why", "late")) == [
        ["Version", "1", "is", "champion", "after", "version", "2"],
        ["champion", "previous", "challenger", "its", "traffic"],
        ["before", "2", "1"],
        ["after", "1", "2"],
        ["undo:", "esteira", "models", "rollback", "toy"],
    ]
    pointer = here.ports.endpoints.pointer(NAME)
    assert (pointer.champion, pointer.previous, pointer.by, pointer.why) == (1, 2, "ana", "late")


def test_a_rollback_to_a_named_version(here: Toy) -> None:
    assert "Version 3 is champion after version 2" in models("rollback", "--to", "3")


def test_a_canary_is_begun_widened_and_aborted(here: Toy) -> None:
    begun = models("canary", "3", "--percent", "20")
    assert "Version 3 is challenger with 20 % of the traffic, beside version 2" in begun
    assert "undo: esteira models abort toy\n" in begun
    assert "undo: esteira models canary toy 3 --percent 20" in models("canary", "3", "--percent", "40")
    assert [row[:4] for row in rows(models("list"))[2:4]] == [
        ["2", "champion", "60", "%"],
        ["3", "challenger", "40", "%"],
    ]
    assert "undo: esteira models canary toy 3 --percent 40" in models("abort")
    assert here.ports.endpoints.pointer(NAME).challenger is None


@pytest.mark.parametrize(
    ("command", "done"),
    [
        (["promote", "3"], "Version 3 is champion after version 2"),
        (["canary", "3", "--percent", "20"], "Version 3 is challenger with 20 % of the traffic, beside version 2"),
        (["rollback"], "Version 1 is champion after version 2"),
    ],
)
def test_a_dry_run_tells_what_would_be_and_moves_nothing(here: Toy, command: list[str], done: str) -> None:
    before = here.ports.endpoints.history(NAME)
    assert models(*command, "--dry-run").startswith(f"Nothing has moved. It would be so: {done}\n")
    assert here.ports.endpoints.history(NAME) == before
    assert models(*command).startswith(f"{done}\n")


def test_what_is_so_already_is_told_without_an_undo(here: Toy) -> None:
    for command, told in (
        (("promote", "2"), "Version 2 is champion already"),
        (("abort",), "There is no challenger to abort"),
    ):
        for dry in ((), ("--dry-run",)):
            assert rows(models(*command, *dry)) == [
                told.split(),
                ["champion", "previous", "challenger", "its", "traffic"],
                ["live", "2", "1"],
            ]


def test_for_machines_the_change_is_one_json_document(here: Toy) -> None:
    dry = json.loads(models("promote", "3", "--why", "better", "--dry-run", "--json"))
    wet = json.loads(models("promote", "3", "--why", "better", "--json"))
    assert (dry["changed"], dry["dry_run"], wet["changed"], wet["dry_run"]) == (False, True, True, False)
    for told in (dry, wet):
        assert (told["before"]["champion"], told["after"]["champion"]) == (2, 3)
        assert (told["done"], told["undo"]) == (
            "Version 3 is champion after version 2",
            "esteira models rollback toy",
        )
        assert (told["after"]["by"], told["after"]["why"], told["behind"]) == ("ana", "better", "")


def test_the_history_has_every_state_with_who_and_why(here: Toy) -> None:
    models("rollback", "--why", "[bold]late[/bold] answers")
    told = models("history")
    assert [(row[0], *row[3:]) for row in rows(told)[1:]] == [
        ("1", "1", "ana"),
        ("2", "2", "1", "ana"),
        ("3", "1", "2", "ana", "[bold]late[/bold]", "answers"),
    ]
    models("rollback", "--why", "x" * 200)
    assert rows(models("history"))[-1][-1] == "x" * 59 + "…"
    models("rollback")
    states: list[dict[str, Any]] = json.loads(models("history", "--json"))
    assert [(state["generation"], state["champion"]) for state in states] == [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)]
    assert states[3]["why"] == "x" * 200


def test_before_anything_is_live_the_history_says_what_to_do(
    tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(tmp_path, make_launch)
    monkeypatch.setenv("ESTEIRA_ROOT", str(tmp_path / "esteira"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "dev.yaml").write_text("{}")
    for given, more in (([], ""), (["--profile", "dev"], " --profile dev")):
        result = CliRunner().invoke(cli.app, ["models", "history", str(tmp_path / "case"), *given])
        assert result.output == f"nothing of toy is live yet: esteira run toy batch{more}\n"


def test_errors_keep_their_kind_for_the_exit_code(here: Toy) -> None:
    models("canary", "3", "--percent", "20")
    with pytest.raises(ConflictError, match="'challenger' must be none, or version 1"):
        models("canary", "1", "--percent", "20")
    shutil.rmtree(here.ports.registry.fetch(NAME, 1))
    with pytest.raises(ArtifactError):
        models("rollback")
    with pytest.raises(ArtifactError, match="'version' must be a registered version of 'toy'. Got 9."):
        models("promote", "9")


def test_a_harmed_version_does_not_hide_the_others(here: Toy) -> None:
    (here.ports.registry.fetch(NAME, 1) / "model.onnx").write_bytes(b"other")
    told = models("list")
    assert [row[:2] for row in rows(told)[1:3]] == [["1", "previous"], ["2", "champion"]]
    assert "version 1: " in told
    assert "'model.onnx' must have the sha256 of its manifest" in told


def test_the_list_says_what_whoever_serves_has_and_where(here: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "endpoint" not in models("list")
    monkeypatch.setattr(PointerEndpoints, "traffic", lambda *_: {2: 70, 3: 30})
    monkeypatch.setattr(PointerEndpoints, "resource", lambda *_: "projects/p/locations/r/endpoints/esteira-toy")
    told = models("list")
    assert [row[:4] for row in rows(told)[1:4]] == [
        ["1", "previous", *rows(told)[1][2:4]],
        ["2", "champion", "70", "%"],
        ["3", "30", "%", rows(told)[3][3]],
    ]
    assert told.splitlines()[-1] == "endpoint: projects/p/locations/r/endpoints/esteira-toy"


@pytest.mark.slow
def test_where_there_is_no_mlflow_its_view_follows_by_the_steps_environment(
    tmp_path: Path, make_launch: Callable[..., Launch], migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = toy(tmp_path, make_launch)
    here.register(here.model("m1", WEIGHTS[0]))
    database = here.ports.profile.path("mlflow.db")
    shutil.copy(migrated, database)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: (name != "mlflow" and find(name, *more)) or None
    )
    monkeypatch.setenv("ESTEIRA_ROOT", str(here.ports.profile.root))
    result = CliRunner().invoke(cli.app, ["models", "promote", str(tmp_path / "case"), "1"])
    assert result.output.startswith("Version 1 is champion\n")
    assert "follow with the next command" not in result.output
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
    assert found == [(NAME, "champion", 1)]


def test_without_the_steps_environment_the_change_stands_and_says_what_is_behind(
    here: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    monkeypatch.setenv("ESTEIRA_ENVIRONMENTS", str(tmp_path / "none"))
    told = models("rollback")
    assert told.startswith("Version 1 is champion after version 2\n")
    assert "traffic and aliases follow with the next command: 'environment pipeline' must be installed." in told


@pytest.mark.parametrize("harm", ["name: [", None])
def test_a_case_that_runs_is_rolled_back_whatever_its_folder_holds(here: Toy, tmp_path: Path, harm: str | None) -> None:
    file = tmp_path / "cases" / NAME / "case.yaml"
    if harm is None:
        file.unlink()
    else:
        file.write_text(harm)
    assert models("rollback").startswith("Version 1 is champion after version 2\n")


@pytest.mark.parametrize("case", ["unknown", "../toy", "cases/unknown"])
def test_a_case_that_is_none_is_refused(here: Toy, case: str) -> None:
    result = CliRunner().invoke(cli.app, ["models", "rollback", case])
    assert isinstance(result.exception, CaseError)
    assert result.exception.name == "CASE"
