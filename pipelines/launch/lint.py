"""What a compiled pipeline must not hold, so that one file runs here, on Kubeflow Pipelines and on Vertex AI.

Each rule was seen to fail in one of the three places, most of them without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from components.core.errors import CaseError

Spec = dict[str, Any]
OWN_CLOUD_JOBS = ("preprocess", "predict")
"""The steps that may start a job in the cloud: a Beam job on Dataflow."""
NAMED = (*OWN_CLOUD_JOBS, "deploy")
"""The steps that name what they wait for in the cloud: those jobs, and a deployment."""
_YAML_1_1_BOOLEANS = {"n", "y", "yes", "no", "on", "off"}
_PORTABLE_PLACEHOLDERS = {"pipeline_job_name", "pipeline_task_name"}
_LOOP_ITEM = re.compile(r"\{\{\$\.inputs\.parameters\['pipelinechannel--[^']*loop-item[^']*'\]\}\}")
_PLACEHOLDER = re.compile(r"\{\{\$\.([a-z_]+)\}\}")


@dataclass(frozen=True)
class Finding:
    """One broken rule: its name, where in the file, and what to do."""

    rule: str
    where: str
    remedy: str


def check(text: str) -> list[Finding]:
    """Every portability rule that the compiled YAML breaks; none of an empty list."""
    documents = list(yaml.load_all(text, yaml.CSafeLoader))  # safe, and in C
    if len(documents) != 1:
        remedy = "Leave out secrets, volumes and workspaces of kfp-kubernetes: Vertex refuses a second document."
        return [Finding("one-document", f"{len(documents)} documents", remedy)]
    return [finding for rule in RULES for finding in rule(documents[0])]


def require(text: str, *, where: str) -> None:
    """Raises CaseError with the first finding, if there is one."""
    for finding in check(text):
        raise CaseError(finding.where, f"keep the rule {finding.rule}", "it does not", finding.remedy, where=where)


def _dags(spec: Spec) -> Iterator[tuple[str, Spec]]:
    yield "root", spec["root"].get("dag", {})
    for name, component in spec.get("components", {}).items():
        if "dag" in component:
            yield name, component["dag"]


def _tasks(spec: Spec) -> Iterator[tuple[str, Spec]]:
    for dag, body in _dags(spec):
        for name, task in body.get("tasks", {}).items():
            yield f"{dag}.{name}", task


def _constants(spec: Spec) -> Iterator[tuple[str, str]]:
    for where, task in _tasks(spec):
        for name, value in task.get("inputs", {}).get("parameters", {}).items():
            constant = value.get("runtimeValue", {}).get("constant")
            if isinstance(constant, str):
                yield f"{where}.{name}", constant


def _definitions(spec: Spec) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    everything = {"root": spec["root"], **spec.get("components", {})}
    for where, component in everything.items():
        for side in ("inputDefinitions", "outputDefinitions"):
            for kind in ("parameters", "artifacts"):
                for name, body in component.get(side, {}).get(kind, {}).items():
                    yield where, name, body


def _placeholders(spec: Spec) -> Iterator[Finding]:
    remedy = "Pass project, region and dates as parameters: this placeholder is not filled in everywhere."
    for where, constant in _constants(spec):
        for name in _PLACEHOLDER.findall(constant):
            if name not in _PORTABLE_PLACEHOLDERS:
                yield Finding("portable-placeholders", f"{where}: {name}", remedy)


def _loop_items_in_text(spec: Spec) -> Iterator[Finding]:
    remedy = "Hand the item over as a parameter of its own."
    for where, constant in _constants(spec):
        if _LOOP_ITEM.search(constant) and not _LOOP_ITEM.fullmatch(constant):
            yield Finding("no-loop-item-in-text", where, remedy)


def _loops_in_exit_handlers(spec: Spec) -> Iterator[Finding]:
    components = spec.get("components", {})
    handlers = {
        task.get("componentRef", {}).get("name", "")
        for _, task in _tasks(spec)
        if task.get("componentRef", {}).get("name", "").startswith("comp-exit-handler")
    }

    def inside(name: str) -> Iterator[str]:
        for child, task in components.get(name, {}).get("dag", {}).get("tasks", {}).items():
            if "parameterIterator" in task or "artifactIterator" in task:
                yield f"{name}.{child}"
            yield from inside(task.get("componentRef", {}).get("name", ""))

    for handler in sorted(handlers):
        for where in inside(handler):
            yield Finding("no-loop-in-exit-handler", where, "Loop inside a component, or outside the exit handler.")


def _dict_items_in_conditions(spec: Spec) -> Iterator[Finding]:
    remedy = "Loop over plain strings where a condition reads the item."
    for where, task in _tasks(spec):
        if "condition" not in task.get("triggerPolicy", {}):
            continue
        for name, value in task.get("inputs", {}).get("parameters", {}).items():
            if "parameterExpressionSelector" in value:
                yield Finding("no-dict-item-in-condition", f"{where}.{name}", remedy)


def _quotes_in_conditions(spec: Spec) -> Iterator[Finding]:
    remedy = "Compare with a word without quotes: a condition that cannot be read counts as false."
    for where, task in _tasks(spec):
        condition = task.get("triggerPolicy", {}).get("condition", "")
        texts = re.sub(r"inputs\.parameter_values\['[^']*'\]", "", condition)
        if '"' in texts or "\\" in texts or texts.count("'") > 2 * len(re.findall(r"==|!=|<|>", texts)):
            yield Finding("no-quotes-in-condition", where, remedy)


def _one_of_artifacts(spec: Spec) -> Iterator[Finding]:
    for where, body in _dags(spec):
        for name, output in body.get("outputs", {}).get("artifacts", {}).items():
            if len(output.get("artifactSelectors", [])) > 1:
                yield Finding("no-artifact-one-of", f"{where}.{name}", "Let both branches be one component.")


def _names(spec: Spec) -> Iterator[Finding]:
    remedy = "Choose another name: KFP's backend reads it as a boolean."
    for where, name, _ in _definitions(spec):
        if name.lower() in _YAML_1_1_BOOLEANS:
            yield Finding("no-boolean-names", f"{where}.{name}", remedy)


def _parameter_types(spec: Spec) -> Iterator[Finding]:
    remedy = "Send JSON as a string: numbers in a structure arrive as floats."
    for where, name, body in _definitions(spec):
        if body.get("parameterType") in ("STRUCT", "LIST"):
            yield Finding("no-struct-or-list", f"{where}.{name}", remedy)


def _caching(spec: Spec) -> Iterator[Finding]:
    remedy = "Switch the platform's caching off: its key holds no content."
    for where, task in _tasks(spec):
        if task.get("cachingOptions", {}).get("enableCache"):
            yield Finding("no-platform-cache", where, remedy)


def _signals(spec: Spec) -> Iterator[Finding]:
    remedy = "Compile with `esteira compile`: the shell must be replaced, or the task never gets SIGTERM."
    for name, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        for part in executor.get("container", {}).get("command", []):
            if "-m kfp.dsl.executor_main" in part and "exec env " not in part:
                yield Finding("exec-the-task", name, remedy)


def _cloud_jobs(spec: Spec) -> Iterator[Finding]:
    remedy = "Declare the output gcp_resources: OutputPath(str): the console and a task that is tried again read it."
    for step in NAMED:
        component = spec.get("components", {}).get(f"comp-{step}")
        if component is not None:
            declared = component.get("outputDefinitions", {}).get("parameters", {}).get("gcp_resources", {})
            if declared.get("parameterType") != "STRING":
                yield Finding("name-the-cloud-job", f"comp-{step}", remedy)


RULES: tuple[Callable[[Spec], Iterator[Finding]], ...] = (
    _placeholders,
    _loop_items_in_text,
    _loops_in_exit_handlers,
    _dict_items_in_conditions,
    _quotes_in_conditions,
    _one_of_artifacts,
    _names,
    _parameter_types,
    _caching,
    _signals,
    _cloud_jobs,
)
