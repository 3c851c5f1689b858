"""The compiled pipelines against their golden files, and what a case writes into them."""

import re
from pathlib import Path

import pytest
import yaml

from components import COMPONENTS
from components.adapters.gcp import dataflow_graph
from components.core.errors import CaseError
from components.core.operations import Accelerator, Resources, Workers
from pipelines.launch import compile
from pipelines.launch.run import ROUTES
from tests.conftest import REPOSITORY
from tests.servers import released

GOLDEN = REPOSITORY / "tests" / "golden" / "pipelines"


@pytest.mark.parametrize("pipeline", compile.PIPELINES)
def test_the_compiled_pipeline_is_its_golden_file(pipeline: str) -> None:
    """After a wanted change: `make golden`, and read the difference."""
    found = re.sub(r"sdkVersion: kfp-.*", "sdkVersion: kfp-MASKED", compile.text(pipeline))
    assert found == (GOLDEN / f"{pipeline}.yaml").read_text()


@pytest.mark.parametrize("pipeline", compile.PIPELINES)
def test_the_route_that_is_shown_is_the_route_that_is_compiled(pipeline: str) -> None:
    spec = yaml.safe_load(compile.text(pipeline))
    inner = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert set(ROUTES[pipeline]) == {*inner, "notify"}
    place = {name: COMPONENTS.index(name) for name in inner}
    for name, task in inner.items():
        for before in task.get("dependentTasks", []):
            assert place[before] < place[name]


def test_a_case_is_written_in_as_defaults_and_resources_and_changes_no_other_pipeline() -> None:
    before = compile.text("batch")
    text = compile.text("batch", {"bundle": "abc"}, {"train": Resources(cpu="4", memory="16Gi")})
    spec = yaml.safe_load(text)
    assert spec["root"]["inputDefinitions"]["parameters"]["bundle"]["defaultValue"] == "abc"
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"]["resourceMemoryLimit"] == "16Gi"
    assert compile.text("batch") == before


def test_limits_and_accelerators_stand_as_kfps_own_compiler_writes_them(tmp_path: Path) -> None:
    from kfp import compiler, dsl

    from components.train.component import train

    @dsl.pipeline(name="one")
    def one() -> None:
        whole = dict.fromkeys(("job", "bundle", "operations", "profile"), "x")
        made = dsl.importer(artifact_uri="gs://x", artifact_class=dsl.Dataset)
        task = train(features=made.output, **whole).set_cpu_limit("0.5").set_memory_limit("16Gi")
        task.set_accelerator_type("NVIDIA_L4").set_accelerator_limit(2)

    compiler.Compiler().compile(one, str(tmp_path / "one.yaml"))
    theirs = yaml.safe_load((tmp_path / "one.yaml").read_text())["deploymentSpec"]["executors"]["exec-train"]
    wanted = Resources(cpu="0.5", memory="16Gi", accelerator=Accelerator(type="NVIDIA_L4", count=2))
    ours = yaml.safe_load(compile.text("batch", None, {"train": wanted}))["deploymentSpec"]["executors"]["exec-train"]
    assert ours["container"]["resources"] == theirs["container"]["resources"]


def test_a_time_limit_is_a_variable_of_its_step_alone() -> None:
    text = compile.text("batch", None, {"train": Resources(time_limit="2h")})
    executors = yaml.safe_load(text)["deploymentSpec"]["executors"]
    having = {name: body["container"]["env"] for name, body in executors.items() if "env" in body["container"]}
    assert having == {"exec-train": [{"name": "ESTEIRA_TIME_LIMIT", "value": "7200"}]}


def test_resources_for_a_step_that_is_none_are_refused_by_name() -> None:
    with pytest.raises(CaseError, match="'resources' must name a step: ingest, validate.* Got 'trian'"):
        compile.text("batch", None, {"trian": Resources(cpu="4")})


def test_beam_s_workers_are_refused_at_a_step_that_is_no_beam_job() -> None:
    told = "'resources.train.workers' must stand at a step that is a Beam job: preprocess, predict. Got 'train'"
    with pytest.raises(CaseError, match=told):
        compile.text("batch", None, {"train": Resources(workers=Workers(max_workers=4))})


def test_an_unknown_pipeline_is_refused_with_the_list() -> None:
    with pytest.raises(CaseError, match="'pipeline' must be one of batch, predict, fast. Got 'hourly'"):
        compile.text("hourly")


def test_all_pipelines_are_written(tmp_path: Path) -> None:
    assert [path.name for path in compile.write_all(tmp_path)] == ["batch.yaml", "predict.yaml", "fast.yaml"]


def test_a_released_step_that_starts_a_job_in_the_cloud_is_told_its_own_image() -> None:
    executors = released.spec("batch")["deploymentSpec"]["executors"]
    having = {name: body["container"]["env"] for name, body in executors.items() if "env" in body["container"]}
    image = released.IMAGES["esteira-pipeline"]
    told = [{"name": dataflow_graph.IMAGE, "value": image}]
    assert having == {"exec-preprocess": told, "exec-predict": told}
