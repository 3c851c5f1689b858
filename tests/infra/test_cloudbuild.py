"""The build files: what Cloud Build reads, what its message lets pass, and each step's script in a checkout here."""

import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from tests.conftest import REPOSITORY
from tests.infra import build_files

FILES = ("cloudbuild.yaml", "infra/cloudbuild/pull-request.yaml", "infra/cloudbuild/release.yaml")
ODD = "$(touch pwned)`touch pwned`;touch pwned"


def steps(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build_files.parse(REPOSITORY / file)["steps"]
    return found


@pytest.mark.parametrize("file", FILES)
def test_cloud_build_takes_every_key_and_the_lint_finds_nothing(file: str) -> None:
    assert list(build_files.lint(build_files.parse(REPOSITORY / file))) == []


def test_a_key_that_cloud_build_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("steps: [{name: x, script: y, wait_until: z}]\n")
    with pytest.raises(json_format.ParseError, match="wait_until"):
        build_files.parse(tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda b: b["steps"][1].update(id="cache-load"), "the id 'cache-load' is used 2 times"),
        (lambda b: b["steps"][0].update(name=""), "cache-load: no image"),
        (lambda b: b["steps"][0].update(name="python:3.11"), "cache-load: an image that is not by digest"),
        (lambda b: b["steps"][2].update(waitFor=["tset"]), "check: waits for 'tset', which is no step before it"),
        (lambda b: b["steps"][2].update(waitFor=["test"]), "check: waits for 'test', which is no step before it"),
        (lambda b: b["steps"][2].update(args=["-c"]), "check: a script and args"),
        (lambda b: b["steps"][2].update(dir="$_CASE"), "check: a substitution in dir"),
        (lambda b: b["steps"][2].update(script="make check"), "check: a script that goes on after a failure"),
        (
            lambda b: b["steps"][2].update(timeout="99999s"),
            "check: the time limit 99999s is not above 0 and at most 7200s",
        ),
        (lambda b: b.update(timeout="864000s"), "the time limit 864000s is not above 0 and at most 86400s"),
        (lambda b: b["substitutions"].pop("_CASE"), "release: $_CASE is defined nowhere"),
        (lambda b: b["substitutions"].update(_UNUSED="x"), "the substitution _UNUSED is used nowhere"),
        (lambda b: b["options"].pop("automapSubstitutions"), "no automapSubstitutions: scripts see no values"),
        (
            lambda b: b["options"].pop("logging"),
            "no logging setting: a service account of one's own is refused without",
        ),
        (lambda b: b.pop("serviceAccount"), "no service account of this project's, named by a substitution"),
        (
            lambda b: b["substitutions"].update(_ACCOUNT="Esteira"),
            "no service account of this project's, named by a substitution",
        ),
        (
            lambda b: b.update(serviceAccount="projects/$PROJECT_ID/serviceAccounts/$_ACCOUNT@other.example"),
            "no service account of this project's, named by a substitution",
        ),
        (lambda b: b["substitutions"].update(_ACCOUNT="esteira-check"), "push: esteira-check may not push"),
        (lambda b: b["substitutions"].update(_ACCOUNT="esteira-check"), "submit: esteira-check may not submit"),
        (lambda b: b["substitutions"].update(_ACCOUNT="esteira-promote"), "keep: esteira-promote may not release-keep"),
    ],
)
def test_what_the_message_lets_pass_is_found(spoil: Any, fault: str) -> None:
    build = copy.deepcopy(build_files.parse(REPOSITORY / "cloudbuild.yaml"))
    spoil(build)
    assert fault in list(build_files.lint(build))


def test_each_file_has_an_account_of_its_own() -> None:
    found = [build_files.account(build_files.parse(REPOSITORY / file)) for file in FILES]
    assert found == ["esteira-build", "esteira-check", "esteira-promote"]


def test_the_steps_python_is_the_images_own_base_and_each_image_has_one_digest() -> None:
    names = {step["name"] for file in FILES for step in steps(file)}
    assert len({name.partition(":")[0] for name in names}) == len(names)
    python = next(name for name in names if name.startswith("python:"))
    base = re.search(r"^ARG BASE=\S+(@sha256:\w+)$", (REPOSITORY / "components" / "Dockerfile").read_text(), re.M)
    assert base is not None
    assert python.endswith(base[1])


@pytest.mark.parametrize("file", FILES)
def test_each_step_asks_make_for_something_that_make_knows(file: str) -> None:
    for step in steps(file):
        wanted = build_files.targets(step["script"])
        assert wanted, step["id"]
        done = subprocess.run(["make", "-n", *wanted], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", FILES)
def test_a_branch_and_every_other_value_stay_text_in_each_script(file: str, tmp_path: Path) -> None:
    """Scripts run with make's place taken by one that tells what it was given: by environment, unread by the shell."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "make").write_text('#!/bin/sh\nenv -0 >> "$TOLD"\n')
    (tools / "make").chmod(0o755)
    (tmp_path / "infra" / "cloudbuild").mkdir(parents=True)
    (tmp_path / "infra" / "cloudbuild" / "prepare.sh").symlink_to("/bin/true")
    build = build_files.parse(REPOSITORY / file)
    values = dict.fromkeys([*build_files.GIVEN, *build["substitutions"]], ODD)
    for step in build["steps"]:
        environment = {**values, "PATH": f"{tools}:{os.environ['PATH']}", "TOLD": str(tmp_path / "told")}
        subprocess.run(["bash", "-c", step["script"]], cwd=tmp_path, env=environment, check=True)
        told = dict(pair.split("=", 1) for pair in (tmp_path / "told").read_text().split("\0") if "=" in pair)
        for name in re.findall(r'([A-Z]+)="\$\w+" make', step["script"]):
            assert told[name] == ODD
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("target", ["submit", "schedule", "release"])
def test_make_reads_no_value_as_make_code(target: str, tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    values = dict.fromkeys(("CASE", "PROFILE", "PIPELINE", "TO", "KEY"), f"$(shell touch {mark})")
    line = ["make", "-n", target]
    subprocess.run(line, cwd=REPOSITORY, env={**os.environ, **values}, check=True, capture_output=True)
    assert not mark.exists()


def test_a_pull_request_neither_pushes_nor_submits_nor_writes_what_main_reads() -> None:
    asked = [
        target for step in steps("infra/cloudbuild/pull-request.yaml") for target in build_files.targets(step["script"])
    ]
    assert asked == ["cache-load", ".tools/prism", "check", "test", "compile", "golden-check"]


def test_a_release_builds_nothing_and_compiles_nothing() -> None:
    asked = [
        target for step in steps("infra/cloudbuild/release.yaml") for target in build_files.targets(step["script"])
    ]
    assert asked == ["release-fetch", "release-check", "submit", "schedule"]
