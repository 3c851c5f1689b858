"""Deploys an accepted version, as champion or as the challenger of a canary, by one change of the pointer."""

from __future__ import annotations

import re
import time
from pathlib import Path

from components import step
from components.adapters import release
from components.adapters.ports import Pointer
from components.adapters.release import Change
from components.core import artifacts, servable, verdict
from components.core.declared import seconds
from components.core.errors import CaseError, ConflictError, ModelError
from components.core.verdict import Verdict

MODES = ("champion", "canary")
_GRACE = 60.0
"""Seconds after a canary's deadline in which it may still be acting on its verdict; later it was killed."""


def run(launch: step.Launch, *, version: str, evaluation: str, mode: str = "", gcp_resources: str = "") -> step.Result:
    """Deploys the registered `version` ('' for none) as the evaluation at `evaluation` allows.

    Parameters
    ----------
    mode
        "champion", "canary", or empty for what the case's `deploy` says. A canary needs a champion; without one the
        gate's floors have decided, and the version is promoted at once.
    gcp_resources
        The file in which the cloud's operation is named that deploys the version; empty: nowhere.

    The result's parameters `champion` and `challenger` are the versions that are live afterwards, empty for none;
    `resource` is the endpoint's name in the cloud.
    """
    resources = Path(gcp_resources) if gcp_resources else None
    result = step.perform(
        "deploy",
        launch,
        lambda context: work(context, version, mode, resources),
        inputs={"evaluation": evaluation},
        parameters={"version": version, "mode": mode},
    )
    if resources and not resources.is_file():  # Kubeflow wants every declared file
        artifacts.atomic_write(resources, step.NO_RESOURCES)
    return result


def work(context: step.Context, version: str, mode: str, resources: Path | None) -> step.Result:
    found = verdict.read(context.inputs["evaluation"])
    case, ports = context.case.name, context.ports
    ports.endpoints.resources = resources
    mode = mode or context.operations.deploy
    if mode not in MODES:
        raise CaseError("mode", "be champion or canary, or empty for the case's", mode, "Mend the pipeline.")
    if found.accepted:
        told = servable.check(context.case.model.serve_with, context.profile.endpoints.adapter)
        change = _deployed(context, _number(version), found, mode)
        return _result(context, change.after, ". ".join(filter(None, (change.done, told))), change.behind)
    # What a killed run left between the pointer and its projection is mended here too.
    now = release.reconcile(ports, ports.endpoints.pointer(case))
    stays = f": version {now.champion} stays champion" if now.champion else ": there is no champion"
    return _result(context, now, f"Nothing deployed, the gate refused{stays}")


def _result(context: step.Context, now: Pointer, summary: str, behind: str = "") -> step.Result:
    resource = context.ports.endpoints.resource(now.case)
    told = f"{summary}, at the endpoint {resource.rpartition('/')[2]}" if resource else summary
    told += f". Traffic and aliases follow with the next run: {behind}" if behind else ""
    parameters = {"champion": str(now.champion or ""), "challenger": str(now.challenger or "")}
    parameters["resource"] = resource
    return step.Result(summary=told, parameters=parameters)


def _number(version: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise CaseError("version", "be a registered version's number", version, "Hand over register's output.")
    return int(version)


def _deployed(context: step.Context, version: int, found: Verdict, mode: str) -> Change:
    """What was done with the accepted version.

    Raises
    ------
    ConflictError
        The champion is another one than the verdict was found against, or somebody changes the pointer meanwhile.
    """
    ports, case = context.ports, context.case.name
    identity = ports.registry.get(case, version).identity
    if identity != found.model:
        remedy = "Deploy the version of the model that was evaluated."
        raise ModelError("version", f"be the accepted model, {found.model}", f"{version}: {identity}", remedy)
    seen, by, why = ports.endpoints.pointer(case), context.launch.job, " ".join(found.reasons)
    if seen.champion not in (version, found.champion):
        was = f"version {found.champion}" if found.champion else "none"
        remedy = "Run again: the model is then compared with this one."
        raise ConflictError("champion", f"be {was}, as when the model was evaluated", seen.champion, remedy)
    if mode == "canary" and seen.champion is not None:
        asked = context.operations.canary
        if seen.challenger not in (None, version) and time.time() - seen.at > seconds(asked.deadline) + _GRACE:
            left = f"The canary of version {seen.challenger} ended without a verdict."
            seen = release.abort(ports, case, by=by, why=left, seen=seen).after
        return release.begin_canary(ports, case, version, asked.percent, by=by, why=why, seen=seen)
    if seen.champion == version:  # a run again, and a canary that began since is not this one's to end: nothing moves
        return release.begin_canary(ports, case, version, 1, by=by, why=why, seen=seen)
    return release.promote(ports, case, version, by=by, why=why, seen=seen)
