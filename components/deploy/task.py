"""Makes an accepted version the champion, by one change of the pointer; the registry's aliases follow it."""

from __future__ import annotations

import re
from dataclasses import replace

from components import step
from components.adapters.ports import Pointer, Ports
from components.core import verdict
from components.core.errors import CaseError, ConflictError, ModelError
from components.core.verdict import Verdict


def run(launch: step.Launch, *, version: str, evaluation: str) -> step.Result:
    """Deploys the registered `version` ('' for none) as the evaluation at `evaluation` allows.

    The result's parameter `champion` is the version that is live afterwards, empty when there is none.
    """
    return step.perform(
        "deploy",
        launch,
        lambda context: work(context, version),
        inputs={"evaluation": evaluation},
        parameters={"version": version},
    )


def work(context: step.Context, version: str) -> step.Result:
    found = verdict.read(context.inputs["evaluation"])
    case, ports = context.case.name, context.ports
    if found.accepted:
        number = _number(version)
        _check(ports, case, number, found)
        live, summary = _promote(ports, case, number, found, context.launch.job)
    else:
        live = ports.endpoints.pointer(case)
        summary = "Nothing deployed, the gate refused" + (
            f": version {live.champion} stays champion" if live.champion else ": there is no champion"
        )
    # What a killed run left between the pointer and its projection is mended here too.
    _project(ports, live)
    return step.Result(summary=summary, parameters={"champion": str(live.champion or "")})


def _number(version: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise CaseError("version", "be a registered version's number", version, "Hand over register's output.")
    return int(version)


def _check(ports: Ports, case: str, version: int, found: Verdict) -> None:
    """Before anything moves: it is the model that was accepted, whole and unaltered."""
    identity = ports.registry.get(case, version).identity
    if identity != found.model:
        remedy = "Deploy the version of the model that was evaluated."
        raise ModelError("version", f"be the accepted model, {found.model}", f"{version}: {identity}", remedy)
    ports.registry.fetch(case, version)


def _promote(ports: Ports, case: str, version: int, found: Verdict, job: str) -> tuple[Pointer, str]:
    """The pointer with `version` as champion, and what was done.

    Raises
    ------
    ConflictError
        The champion is another one than the verdict was found against, or somebody keeps changing the pointer.
    """
    before = ports.endpoints.pointer(case)
    if before.champion == version:
        return before, f"Version {version} is champion already"
    if before.champion != found.champion:
        was = f"version {found.champion}" if found.champion else "none"
        remedy = "Run again: the model is then compared with this one."
        raise ConflictError("champion", f"be {was}, as when the model was evaluated", before.champion, remedy)
    wanted = replace(
        before,
        champion=version,
        previous=before.champion,
        challenger=None,
        split=0,
        by=job,
        why=" ".join(found.reasons),
    )
    after = f" after version {before.champion}" if before.champion else ""
    return ports.endpoints.change(wanted), f"Version {version} is champion{after}"


def _project(ports: Ports, live: Pointer) -> None:
    roles = {"champion": live.champion, "challenger": live.challenger, "previous": live.previous}
    aliases = {role: version for role, version in roles.items() if version is not None}
    if aliases:
        ports.registry.project(live.case, aliases)
