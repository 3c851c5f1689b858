"""Each portability rule, proven by a pipeline that breaks it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from components.core.errors import CaseError
from pipelines.launch import compile, lint


@dsl.component(base_image="image", install_kfp_package=False)
def one(word: str) -> str:
    return word


@dsl.component(base_image="image", install_kfp_package=False)
def make(word: str, out: dsl.Output[dsl.Dataset]) -> None: ...


@dsl.component(base_image="image", install_kfp_package=False)
def use(data: dsl.Input[dsl.Dataset]) -> None: ...


@dsl.component(base_image="image", install_kfp_package=False)
def structure(data: dict) -> None: ...  # type: ignore[type-arg]  # kfp's own type


@dsl.component(base_image="image", install_kfp_package=False)
def boolean_name(y: str) -> None: ...


def placeholder() -> None:
    one(word=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER)


def loop_item_in_text() -> None:
    with dsl.ParallelFor(["1", "2"]) as item:
        one(word=f"number {item}")


def loop_in_exit_handler() -> None:
    with dsl.ExitHandler(one(word="end")), dsl.ParallelFor(["1", "2"]) as item:
        one(word=item)


def dict_item_in_condition() -> None:
    with dsl.ParallelFor([{"a": "1"}, {"a": "2"}]) as item, dsl.If(item.a == "1"):
        one(word="x")


def single_quote_in_condition() -> None:
    with dsl.If(one(word="x").output == "it's"):
        one(word="x")


def double_quote_in_condition() -> None:
    with dsl.If(one(word="x").output == 'say "x"'):
        one(word="x")


def one_of_artifacts() -> None:
    with dsl.If(one(word="x").output == "x"):
        first = make(word="1")
    with dsl.Else():
        second = make(word="2")
    use(data=dsl.OneOf(first.outputs["out"], second.outputs["out"]))


def boolean() -> None:
    boolean_name(y="x")


def struct() -> None:
    structure(data={"five": 5})


def cached() -> None:
    one(word="x").set_caching_options(True)


def compiled(function: Callable[[], None], folder: Path) -> str:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="breaks-a-rule")(function), str(path))
    return path.read_text()


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (placeholder, "portable-placeholders"),
        (loop_item_in_text, "no-loop-item-in-text"),
        (loop_in_exit_handler, "no-loop-in-exit-handler"),
        (dict_item_in_condition, "no-dict-item-in-condition"),
        (single_quote_in_condition, "no-quotes-in-condition"),
        (double_quote_in_condition, "no-quotes-in-condition"),
        (one_of_artifacts, "no-artifact-one-of"),
        (boolean, "no-boolean-names"),
        (struct, "no-struct-or-list"),
        (cached, "no-platform-cache"),
        (one_of_artifacts, "exec-the-task"),
    ],
)
def test_a_pipeline_that_breaks_a_rule_is_found_by_its_name(
    function: Callable[[], None], rule: str, tmp_path: Path
) -> None:
    assert rule in {finding.rule for finding in lint.check(compiled(function, tmp_path))}


def test_a_second_document_is_refused() -> None:
    text = compile.text("batch") + "\n---\nplatforms: {}\n"
    assert [finding.rule for finding in lint.check(text)] == ["one-document"]


@pytest.mark.parametrize("step", ["preprocess", "deploy"])
@pytest.mark.parametrize("spoilt", ["", "gcp_resources: {parameterType: LIST}"])
def test_a_step_with_a_job_in_the_cloud_that_declares_no_file_for_its_name_is_found(spoilt: str, step: str) -> None:
    spec = yaml.safe_load(compile.text("batch"))
    spec["components"][f"comp-{step}"]["outputDefinitions"]["parameters"] = yaml.safe_load(spoilt or "{}")
    assert "name-the-cloud-job" in {finding.rule for finding in lint.check(yaml.safe_dump(spec))}


def test_a_plain_condition_and_a_plain_loop_break_nothing(tmp_path: Path) -> None:
    def fine() -> None:
        with dsl.ParallelFor(["1", "2"]) as item, dsl.If(item == "1"):
            one(word=item).set_caching_options(False)

    rules = {finding.rule for finding in lint.check(compiled(fine, tmp_path))}
    assert rules == {"exec-the-task"}  # the compiler's own command


def test_the_error_names_the_place_the_rule_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CaseError) as caught:
        lint.require(compiled(boolean, tmp_path), where="build/mine.yaml")
    assert str(caught.value) == (
        "build/mine.yaml: 'comp-boolean-name.y' must keep the rule no-boolean-names. Got 'it does not'. "
        "Choose another name: KFP's backend reads it as a boolean."
    )


@pytest.mark.parametrize("pipeline", compile.PIPELINES)
def test_our_own_pipelines_break_no_rule(pipeline: str) -> None:
    assert lint.check(compile.text(pipeline)) == []
