"""One compiled pipeline, and what each target makes of a step's machine, disk and accelerator."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.core.errors import CaseError
from components.core.operations import Accelerator, Resources
from components.core.targets import Vertex
from pipelines.launch import compile, fit
from tests.servers import released
from tests.servers.http import Refused
from tests.servers.vertex import rules
from tests.servers.vertex.server import PROJECT, REGION

AT = Vertex(
    project=PROJECT,
    region=REGION,
    pipeline_root="gs://b-b/r",
    service_account=f"tasks@{PROJECT}.iam.gserviceaccount.com",
    network="projects/1/global/networks/own",
    kms_key=f"projects/{PROJECT}/locations/{REGION}/keyRings/r/cryptoKeys/k",
)
L4 = Accelerator(type="NVIDIA_L4", count=2)


def fitted(target: str, **wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline, and train's executor in it."""
    resources = {"train": Resources(**wanted)}
    spec = yaml.safe_load(compile.text("batch", None, resources, released.IMAGES))
    found = fit.fit(spec, resources, target, AT)
    return found, found["deploymentSpec"]["executors"]["exec-train"]


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_a_pipeline_that_asks_for_nothing_of_a_target_stays_as_it_is(target: str) -> None:
    spec = released.spec()
    assert fit.fit(spec, {"train": Resources(cpu="2", memory="4G", time_limit="1h")}, target, AT) == spec


def test_a_machine_with_its_disk_is_a_custom_job_on_vertex_which_takes_it() -> None:
    spec, executor = fitted("vertex", machine="g2-standard-24", disk="500G", accelerator=L4, time_limit="2h")
    container = released.spec()["deploymentSpec"]["executors"]["exec-train"]["container"]
    job = executor["customJob"]["customJob"]
    assert job == {
        "displayName": "train",
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "machineSpec": {
                        "machineType": "g2-standard-24",
                        "acceleratorType": "NVIDIA_L4",
                        "acceleratorCount": 2,
                    },
                    "replicaCount": "1",
                    "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 466},
                    "containerSpec": {
                        "imageUri": container["image"],
                        "command": container["command"],
                        "args": container["args"],
                        "env": [{"name": "ESTEIRA_TIME_LIMIT", "value": "7200"}],
                    },
                }
            ],
            "serviceAccount": AT.service_account,
            "network": AT.network,
        },
        "encryptionSpec": {"kmsKeyName": AT.kms_key},
    }
    rules.check_spec(spec)


def test_the_contract_server_refuses_a_custom_job_with_a_word_that_google_does_not_know() -> None:
    spec, executor = fitted("vertex", machine="n1-highmem-8")
    executor["customJob"]["customJob"]["jobSpec"]["workerPoolSpecs"][0]["machine"] = {}
    with pytest.raises(Refused, match="machine"):
        rules.check_spec(spec)


def test_a_gpu_is_on_kubeflow_what_clusters_call_it() -> None:
    _, executor = fitted("kubeflow", accelerator=L4)
    assert executor["container"]["resources"]["accelerator"] == {
        "type": "nvidia.com/gpu",
        "resourceType": "nvidia.com/gpu",
        "count": "2",
        "resourceCount": "2",
    }


def test_a_clusters_own_word_stays() -> None:
    _, executor = fitted("kubeflow", accelerator=Accelerator(type="amd.com/gpu"))
    assert executor["container"]["resources"]["accelerator"]["resourceType"] == "amd.com/gpu"


@pytest.mark.parametrize(
    ("target", "wanted", "text"),
    [
        (
            "kubeflow",
            {"machine": "n1-highmem-8"},
            "'resources.train.machine' must not be there for kubeflow, which has",
        ),
        (
            "kubeflow",
            {"disk": "500G"},
            "'resources.train.disk' must not be there for kubeflow, which has none. Got '500G'",
        ),
        (
            "vertex",
            {"disk": "500G"},
            "'resources.train.disk' must have a machine beside it for vertex. Got '500G'. Add",
        ),
        (
            "vertex",
            {"cpu": "97"},
            "'resources.train.cpu' must be at most 96 for vertex. Got '97'. Name a machine instead",
        ),
        ("vertex", {"memory": "625G"}, "'resources.train.memory' must be at most 624G for vertex. Got '625G'. Name a"),
        (
            "vertex",
            {"accelerator": Accelerator(type="nvidia.com/gpu")},
            "'resources.train.accelerator.type' must be one of NVIDIA_TESLA_K80, ",
        ),
    ],
)
def test_what_a_target_cannot_give_is_refused_by_its_key(target: str, wanted: dict[str, Any], text: str) -> None:
    with pytest.raises(CaseError) as caught:
        fitted(target, **wanted)
    assert str(caught.value).startswith(text)


def test_a_step_that_a_pipeline_lacks_is_none_of_its_concern() -> None:
    spec = released.spec("predict")
    assert fit.fit(spec, {"train": Resources(disk="500G")}, "vertex", AT) == spec
