"""What a target makes of the resources that the one portable pipeline cannot say, or says in another's words.

Vertex AI picks a machine by a container's limits; a machine or a disk of the case's own choice needs the step to be a
CustomJob as a whole. Kubeflow takes an accelerator by the cluster's name of it, and has neither machine nor disk.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from components.core import sizes
from components.core.errors import CaseError
from components.core.operations import Resources
from components.core.targets import Vertex

MOST_CORES, MOST_MEMORY = 96, "624G"
"""Of a container on Vertex AI: cloud.google.com/vertex-ai/docs/pipelines/machine-types"""
_LEAVE_OUT = "Leave it out for this target: a case of its own, or another one."


def fit(
    spec: Mapping[str, Any], resources: Mapping[str, Resources], target: str, at: Vertex | None = None
) -> dict[str, Any]:
    """The pipeline as the target takes it; `at` is the profile's section, for Vertex.

    Raises
    ------
    CaseError
        The target cannot do what the case asks for, by the key.
    """
    fitted = copy.deepcopy(dict(spec))
    executors = fitted["deploymentSpec"]["executors"]
    for step, wanted in resources.items():
        if f"exec-{step}" not in executors:
            continue
        executor, where = executors[f"exec-{step}"], f"resources.{step}"
        if target == "kubeflow":
            _kubeflow(executor["container"], wanted, where)
        elif target == "vertex":
            _check_vertex(wanted, where)
            if wanted.machine:
                executors[f"exec-{step}"] = _job(executor["container"], wanted, step, at)
    return fitted


def _kubeflow(container: dict[str, Any], wanted: Resources, where: str) -> None:
    for key in ("machine", "disk"):
        if value := getattr(wanted, key):
            raise CaseError(f"{where}.{key}", "not be there for kubeflow, which has none", value, _LEAVE_OUT)
    if wanted.accelerator and wanted.accelerator.type.startswith("NVIDIA_"):
        container["resources"]["accelerator"] |= {"type": "nvidia.com/gpu", "resourceType": "nvidia.com/gpu"}


def _check_vertex(wanted: Resources, where: str) -> None:
    if wanted.cpu and float(wanted.cpu) > MOST_CORES:
        raise CaseError(f"{where}.cpu", f"be at most {MOST_CORES} for vertex", wanted.cpu, "Name a machine instead.")
    if wanted.memory and sizes.bytes_of(wanted.memory) > sizes.bytes_of(MOST_MEMORY):
        rule = f"be at most {MOST_MEMORY} for vertex"
        raise CaseError(f"{where}.memory", rule, wanted.memory, "Name a machine instead.")
    if wanted.disk and not wanted.machine:
        remedy = f"Add {where}.machine, such as n1-highmem-8: a disk is a part of a machine there."
        raise CaseError(f"{where}.disk", "have a machine beside it for vertex", wanted.disk, remedy)
    if wanted.accelerator:
        known = _accelerators()
        if wanted.accelerator.type not in known:
            rule = f"be one of {', '.join(known)} for vertex"
            raise CaseError(f"{where}.accelerator.type", rule, wanted.accelerator.type, "Choose one of them.")


def _accelerators() -> list[str]:
    from components.adapters.gcp import vertex

    found = vertex.load("types.accelerator_type").AcceleratorType
    return [one.name for one in found if one.name.startswith("NVIDIA_")]


def _job(container: Mapping[str, Any], wanted: Resources, step: str, at: Vertex | None) -> dict[str, Any]:
    """The step as a CustomJob: its placeholders are filled in as a container's are."""
    machine: dict[str, Any] = {"machineType": wanted.machine}
    if wanted.accelerator:
        machine |= {"acceleratorType": wanted.accelerator.type, "acceleratorCount": wanted.accelerator.count}
    whole = {"imageUri": container["image"], "command": container["command"], "args": container["args"]}
    if env := container.get("env"):
        whole["env"] = env
    pool: dict[str, Any] = {"machineSpec": machine, "replicaCount": "1", "containerSpec": whole}
    if wanted.disk:
        gib = math.ceil(sizes.bytes_of(wanted.disk) / 2**30)  # what Google calls a GB of disk
        pool["diskSpec"] = {"bootDiskType": "pd-ssd", "bootDiskSizeGb": gib}
    job: dict[str, Any] = {"workerPoolSpecs": [pool]}
    own: dict[str, Any] = {}
    if at is not None:
        job |= {k: v for k, v in {"serviceAccount": at.service_account, "network": at.network}.items() if v}
        own = {"encryptionSpec": {"kmsKeyName": at.kms_key}} if at.kms_key else {}
    return {"customJob": {"customJob": {"displayName": step, "jobSpec": job, **own}}}
