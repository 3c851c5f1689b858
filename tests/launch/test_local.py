"""The compiled YAML on this machine: kfp.local's orchestrator, our task handler, prebuilt environments."""

import json
from pathlib import Path

import pytest
from kfp import compiler, components, dsl
from kfp.local import subprocess_task_handler

from components import types
from components.adapters.connect import Connected
from components.core import artifacts
from components.core.errors import CaseError, SetupError
from components.core.profile import Profile
from pipelines.launch import cases, environments, local
from pipelines.launch import compile as compiling
from tests.conftest import FLIGHTS


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def first(job: str, out: dsl.Output[dsl.Dataset]) -> str:
    import os
    import sys
    from pathlib import Path

    Path(out.path).mkdir(parents=True)
    seen = {"prefix": sys.prefix, "safe": os.environ["PYTHONSAFEPATH"], "kfp": "kfp.compiler" in sys.modules}
    import components

    seen["ours"] = str(Path(components.__file__).parent)
    print(f"[first] hello from {job}")
    import json

    return json.dumps(seen)


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def second(job: str, word: str, data: dsl.Input[dsl.Dataset]) -> None:
    print(word)
    raise SystemExit(3)


@dsl.component(base_image=types.VALIDATE, install_kfp_package=False)
def notify(job: str, status: dsl.PipelineTaskFinalStatus) -> None:
    print(f"[notify] {status.state}")


def compiled(folder: Path) -> str:
    @dsl.pipeline(name="two-steps")
    def two_steps(word: str) -> None:
        job = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
        with dsl.ExitHandler(notify(job=job)):
            made = first(job=job)
            second(job=job, word=made.outputs["Output"], data=made.outputs["out"])

    compiler.Compiler().compile(two_steps, str(folder / "p.yaml"))
    return (folder / "p.yaml").read_text()


@pytest.mark.slow
def test_tasks_run_in_their_environment_and_the_exit_handler_runs_after_a_failure(tmp_path: Path) -> None:
    seen: list[tuple[local.Started, str | None]] = []
    local.run(
        compiled(tmp_path),
        {"word": "x"},
        root=tmp_path / "artifacts",
        watch=lambda task, line: seen.append((task, line)),
    )
    assert [task.step for task, line in seen if line is None] == ["first", "second", "notify"]
    assert len({task.job for task, _ in seen}) == 1
    printed = [line for _, line in seen if line is not None]
    facts = json.loads(next(line for line in printed if line.startswith('{"prefix"')))
    assert facts["prefix"] == str(environments.folder() / "pipeline")
    assert facts["safe"] == "1"
    assert facts["ours"] == str(environments.HOME / "components")
    assert "[notify] FAILED" in printed
    log = tmp_path / "artifacts" / seen[0][0].job / "logs" / "first.log"
    assert "[first] hello from two-steps-" in log.read_text()


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def count(job: str, events: dsl.Input[dsl.Dataset], snapshot: str) -> None:
    from pathlib import Path

    from components.core import artifacts

    print(f"[count] {artifacts.verify(Path(events.path)).rows} rows of {snapshot}")


@pytest.mark.slow
def test_a_released_component_serves_in_a_pipeline_of_ones_own(flights_sample: Path, tmp_path: Path) -> None:
    compiling.write_components(tmp_path / "released")
    ingest = components.load_component_from_file(str(tmp_path / "released" / "ingest.yaml"))

    @dsl.pipeline(name="ones-own")
    def ones_own(bundle: str, operations: str, profile: str) -> None:
        job = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
        run = {"job": job, "bundle": bundle, "operations": operations, "profile": profile}
        taken = ingest(purpose="train", start="", stop="", **run)
        count(job=job, events=taken.outputs["events"], snapshot=taken.outputs["snapshot"])

    compiler.Compiler().compile(ones_own, str(tmp_path / "own.yaml"))
    profile = Profile(root=str(tmp_path / "esteira"), sources=str(flights_sample))
    case = cases.snapshot(FLIGHTS, Connected(profile))
    told: list[str] = []
    local.run(
        (tmp_path / "own.yaml").read_text(),
        {"bundle": case.bundle, "operations": case.operations, "profile": profile.to_json()},
        root=tmp_path / "artifacts",
        watch=lambda task, line: told.append(line or ""),
    )
    (said,) = [line for line in told if line.startswith("[count]")]
    (events,) = (tmp_path / "artifacts").glob("**/events/_manifest.json")
    assert said.startswith(f"[count] {artifacts.read_manifest(events.parent).rows} rows of ")


def test_the_handler_that_kfp_had_is_back_after_a_run(tmp_path: Path) -> None:
    before = subprocess_task_handler.SubprocessTaskHandler
    with local._handler(local.Environments(), lambda task, line: None, tmp_path):
        assert subprocess_task_handler.SubprocessTaskHandler is not before
    assert subprocess_task_handler.SubprocessTaskHandler is before


def test_parameters_that_do_not_fit_one_argument_are_refused_before_anything_runs(tmp_path: Path) -> None:
    text = compiled(tmp_path)
    with pytest.raises(CaseError, match="'parameters' must hold at most 32768 bytes. Got 40000. Shorten the profile."):
        local.run(text, {"word": "x" * 40_000}, root=tmp_path / "artifacts", watch=lambda task, line: None)
    assert not (tmp_path / "artifacts").exists()


def test_an_image_of_somebody_else_is_refused_by_name() -> None:
    with pytest.raises(SetupError, match="'image' must be one of esteira-pipeline:dev, esteira-validate:dev"):
        environments.python("somebody/elses:latest")


def test_a_missing_environment_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESTEIRA_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(SetupError, match="'environment pipeline' must be installed.*Run `make setup` in the clone."):
        environments.python(types.PIPELINE)
