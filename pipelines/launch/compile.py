"""From pipeline functions to portable YAML. kfp is imported when first needed: it takes a second."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components import COMPONENTS, timelimit
from components.core import sizes
from components.core.artifacts import atomic_write
from components.core.declared import seconds
from components.core.errors import CaseError
from components.core.operations import Resources, Workers
from pipelines.launch import kfp_light, lint

PIPELINES = ("batch", "predict", "fast")
IMAGE = "ESTEIRA_IMAGE"
"""Tells a step that starts a cloud's job its own image, which the job's workers run in."""
_SHELL = "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main"
_EXEC = "exec env _KFP_RUNTIME=true python3 -m kfp.dsl.executor_main"


def text(
    pipeline: str,
    defaults: Mapping[str, str] | None = None,
    resources: Mapping[str, Resources] | None = None,
    images: Mapping[str, str] | None = None,
) -> str:
    """The compiled pipeline, the same for every case unless defaults or resources are written in.

    Parameters
    ----------
    defaults
        Values for the pipeline's own parameters, such as the bundle's digest.
    resources
        What each step may use. Machine and disk are for the one target that knows them: see `fit`.
    images
        References by our images' names, such as esteira-pipeline; each is written in where our name stood.

    Raises
    ------
    CaseError
        The pipeline is unknown, an image is not among `images`, a parameter or step is not its own, or a portability
        rule is broken.
    """
    if pipeline not in PIPELINES:
        raise CaseError("pipeline", f"be one of {', '.join(PIPELINES)}", pipeline, "Choose one of them.")
    kfp_light.load()
    from kfp import compiler

    function = getattr(importlib.import_module(f"pipelines.{pipeline}"), pipeline)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        parameters: dict[str, Any] | None = dict(defaults) if defaults else None
        compiler.Compiler().compile(function, str(path), pipeline_parameters=parameters)
        compiled = path.read_text(encoding="utf-8")
    header = "".join(line for line in compiled.splitlines(keepends=True) if line.startswith("#"))
    spec = yaml.load(compiled, yaml.CSafeLoader)  # safe, and in C
    _without_platform_cache(spec)
    give(spec, resources or {})
    return _finished(header, spec, images, where=pipeline)


def component_text(name: str, images: Mapping[str, str] | None = None) -> str:
    """One component as YAML, for a pipeline of one's own. Raises CaseError where there is none of this name."""
    if name not in COMPONENTS:
        raise CaseError("component", f"be one of {', '.join(COMPONENTS)}", name, "Choose one of them.")
    kfp_light.load()
    module = importlib.import_module(f"components.{name}.component")
    spec = getattr(module, name).pipeline_spec
    from google.protobuf import json_format

    found = json_format.MessageToDict(spec)
    _without_platform_cache(found)
    return _finished("", found, images, where=name)


def _finished(header: str, spec: dict[str, Any], images: Mapping[str, str] | None, *, where: str) -> str:
    """The YAML that leaves: pinned where asked, the shell replaced by the task, every rule kept."""
    if images is not None:
        _with_images(spec, images, where=where)
    text = header + yaml.dump(spec, Dumper=yaml.CSafeDumper, sort_keys=True, width=1000).replace(_SHELL, _EXEC)
    lint.require(text, where=where)
    return text


def _with_images(spec: dict[str, Any], images: Mapping[str, str], *, where: str) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        name = executor["container"]["image"].partition(":")[0]
        if name not in images:
            raise CaseError("images", f"name {name}", ", ".join(sorted(images)), "Build it: make images.", where=where)
        executor["container"]["image"] = images[name]
    for step in lint.OWN_CLOUD_JOBS:
        if container := spec["deploymentSpec"]["executors"].get(f"exec-{step}", {}).get("container"):
            _with_variable(container, IMAGE, container["image"])


def _without_platform_cache(spec: dict[str, Any]) -> None:
    """The platforms' cache keys hold no content; ours do."""
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}


def require_steps(resources: Mapping[str, Resources]) -> None:
    """Raises CaseError for resources of what is no step, and for Beam's workers of a step that has none."""
    for step, wanted in resources.items():
        if step not in COMPONENTS:
            raise CaseError("resources", f"name a step: {', '.join(COMPONENTS)}", step, "Mend that key of the case.")
        if wanted.workers != Workers() and step not in lint.OWN_CLOUD_JOBS:
            rule = f"stand at a step that is a Beam job: {', '.join(lint.OWN_CLOUD_JOBS)}"
            raise CaseError(
                f"resources.{step}.workers", rule, step, "Leave it out; cpu, memory and machine are the task's."
            )


def give(spec: dict[str, Any], resources: Mapping[str, Resources]) -> None:
    """Writes into a compiled pipeline what each step may use. Raises CaseError for what is no step."""
    executors = spec["deploymentSpec"]["executors"]
    require_steps(resources)
    for step, wanted in resources.items():
        if f"exec-{step}" in executors:
            container = executors[f"exec-{step}"]["container"]
            if limits := _limits(wanted):
                container["resources"] = limits
            if wanted.time_limit is not None:
                _with_variable(container, timelimit.VARIABLE, str(seconds(wanted.time_limit)))


def _with_variable(container: dict[str, Any], name: str, value: str) -> None:
    container["env"] = [*container.get("env", []), {"name": name, "value": value}]


def _limits(wanted: Resources) -> dict[str, Any]:
    """As kfp's own compiler writes them: texts for newer backends, numbers (in GB) for older ones and Vertex."""
    limits: dict[str, Any] = {}
    if wanted.cpu is not None:
        limits |= {"resourceCpuLimit": wanted.cpu, "cpuLimit": float(wanted.cpu)}
    if wanted.memory is not None:
        limits |= {"resourceMemoryLimit": wanted.memory, "memoryLimit": sizes.bytes_of(wanted.memory) / 1e9}
    if one := wanted.accelerator:
        both = {"resourceType": one.type, "type": one.type, "resourceCount": str(one.count), "count": str(one.count)}
        limits["accelerator"] = both
    return limits


def write_all(
    folder: Path,
    defaults: Mapping[str, str] | None = None,
    resources: Mapping[str, Resources] | None = None,
    images: Mapping[str, str] | None = None,
) -> list[Path]:
    """Every pipeline as `folder/NAME.yaml`."""
    texts = {pipeline: text(pipeline, defaults, resources, images) for pipeline in PIPELINES}
    return _written(folder, texts)


def write_components(folder: Path, images: Mapping[str, str] | None = None) -> list[Path]:
    """Every component as `folder/NAME.yaml`."""
    return _written(folder, {name: component_text(name, images) for name in COMPONENTS})


def _written(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    for name, content in texts.items():
        atomic_write(folder / f"{name}.yaml", content.encode())
    return [folder / f"{name}.yaml" for name in texts]
