"""The compiled pipelines against their golden files, and what a case writes into them."""

import re
from pathlib import Path

import pytest
import yaml

from components import COMPONENTS
from components.core.case import Resources
from components.core.errors import CaseError
from pipelines.launch import compile
from pipelines.launch.run import ROUTES
from tests.conftest import REPOSITORY

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
    text = compile.text("batch", {"bundle": "abc"}, {"train": Resources(cpu="4", memory="16G")})
    spec = yaml.safe_load(text)
    assert spec["root"]["inputDefinitions"]["parameters"]["bundle"]["defaultValue"] == "abc"
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"] == {"resourceCpuLimit": "4", "resourceMemoryLimit": "16G"}
    assert compile.text("batch") == before


def test_resources_for_a_step_that_is_none_are_refused_by_name() -> None:
    with pytest.raises(CaseError, match="'resources' must name a step: ingest, validate.* Got 'trian'"):
        compile.text("batch", None, {"trian": Resources(cpu="4")})


def test_an_unknown_pipeline_is_refused_with_the_list() -> None:
    with pytest.raises(CaseError, match="'pipeline' must be one of batch, predict, fast. Got 'hourly'"):
        compile.text("hourly")


def test_all_pipelines_are_written(tmp_path: Path) -> None:
    assert [path.name for path in compile.write_all(tmp_path)] == ["batch.yaml", "predict.yaml", "fast.yaml"]
