"""The doctor on quotas: what a case and a profile ask for beside what the project may have in the region."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from components.adapters.gcp.account import Account
from components.core.operations import Operations
from components.core.profile import Profile
from pipelines.launch.doctor_check import Check

_USUAL = 4.0
"""Cores of a task that asks for nothing: Vertex AI Pipelines gives it an e2-standard-4."""
_WORKER = 2.0
"""Cores of a Dataflow worker where the profile leaves the machine to Dataflow."""


def checks(you: Account, profile: Profile, operations: Operations | None) -> Iterator[Check]:
    """A line for each quota that the profile's adapters draw on."""
    vertex = profile.vertex
    if vertex is not None:
        for metric, asked in sorted(_vertex(profile, operations).items()):
            yield _serviceusage(you, vertex.project, vertex.region, metric, asked)
    if profile.jobs.runner == "DataflowRunner":
        yield from _compute(you, profile)


def cores(machine: str) -> float | None:
    """Of a machine type such as n1-standard-8; None where the name does not tell."""
    last = machine.rpartition("-")[2]
    return float(last) if last.isdigit() else None


def _vertex(profile: Profile, operations: Operations | None) -> dict[str, float]:
    """By metric of Vertex AI: what one run asks for at once, and what serving may grow to."""
    found: dict[str, float] = {_cpus("training", "e2-standard-4"): _USUAL}
    for wanted in (operations.resources if operations is not None else {}).values():
        machine = wanted.machine or "e2-standard-4"
        metric = _cpus("training", machine)
        asked = cores(machine) if wanted.machine else float(wanted.cpu or _USUAL)
        found[metric] = max(found.get(metric, 0.0), asked or 0.0)
        if wanted.accelerator is not None and wanted.accelerator.type.startswith("NVIDIA_"):
            kind = wanted.accelerator.type.lower().replace("nvidia_tesla_", "nvidia_")
            metric = f"custom_model_training_{kind}_gpus"
            found[metric] = max(found.get(metric, 0.0), float(wanted.accelerator.count))
    if profile.endpoints.adapter == "google":
        each, most = cores(profile.endpoints.machine), profile.endpoints.replicas[1]
        found[_cpus("serving", profile.endpoints.machine)] = 2 * most * (each or 0.0)  # champion and challenger
    return found


def _cpus(use: str, machine: str) -> str:
    """E2 and N1 share a metric; each other family has its own."""
    family = machine.partition("-")[0]
    return f"custom_model_{use}_cpus" if family in ("e2", "n1") else f"custom_model_{use}_{family}_cpus"


def _serviceusage(you: Account, project: str, region: str, metric: str, asked: float) -> Check:
    api = "aiplatform.googleapis.com"
    name, full = f"quota {metric}", quote(f"{api}/{metric}", safe="")
    place = f"serviceusage.googleapis.com/v1beta1/projects/{project}/services/{api}/consumerQuotaMetrics/{full}"
    reply = you.get(place)
    if not reply.ok:
        remedy = f"not looked at: see https://console.cloud.google.com/iam-admin/quotas?project={project}"
        return Check(name, "missing", reply.told, remedy)
    return _judged(name, project, asked, limit(reply.data, region))


def limit(metric: Mapping[str, Any], region: str) -> float | None:
    """A ConsumerQuotaMetric's limit in a region, of which -1 is none; None: it has no such limit."""
    best: tuple[int, float] | None = None
    for one in metric.get("consumerQuotaLimits", []):
        if "{region}" not in str(one.get("unit", "")):
            continue
        for bucket in one.get("quotaBuckets", []):
            dimensions = bucket.get("dimensions", {})
            if dimensions.get("region", region) == region and (best is None or len(dimensions) > best[0]):
                value = float(bucket.get("effectiveLimit", 0))
                best = len(dimensions), math.inf if value < 0 else value
    return None if best is None else best[1]


def _compute(you: Account, profile: Profile) -> Iterator[Check]:
    """Dataflow's workers are Compute Engine's machines: what is free is the limit less what is used."""
    at = profile.dataflow
    reply = you.get(f"compute.googleapis.com/compute/v1/projects/{at.project}/regions/{at.region}")
    if not reply.ok:
        remedy = f"not looked at: gcloud projects add-iam-policy-binding {at.project} --member={you.member}"
        yield Check("quota of Compute Engine", "missing", reply.told, f"{remedy} --role=roles/compute.viewer")
        return
    free = {str(q["metric"]): float(q["limit"]) - float(q["usage"]) for q in reply.data.get("quotas", [])}
    each = (cores(at.machine_type) if at.machine_type else None) or _WORKER
    asked = {"CPUS": each * at.max_workers}
    if at.public_ips:
        asked["IN_USE_ADDRESSES"] = float(at.max_workers)
    for metric, count in asked.items():
        yield _judged(f"quota {metric} of Dataflow", at.project, count, free.get(metric))


def _judged(name: str, project: str, asked: float, there: float | None) -> Check:
    if there is None:
        return Check(name, "missing", "no limit is told for the region", "not looked at")
    shown = "no limit" if math.isinf(there) else f"{there:g} there"
    if asked <= there:
        return Check(name, "ok", f"{asked:g} asked, {shown}")
    remedy = f"ask for more: https://console.cloud.google.com/iam-admin/quotas?project={project}"
    return Check(name, "broken", f"{asked:g} asked, {shown}", remedy)
