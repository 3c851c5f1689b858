"""Makes an accepted version the champion, by one change of the pointer; the registry's aliases follow it."""

from __future__ import annotations

from dataclasses import replace

from components import step
from components.adapters.ports import Pointer, Ports
from components.core import verdict
from components.core.errors import CaseError, ConflictError


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
    if version and found.accepted:
        live, summary = _promote(ports, case, _number(version), context.launch.job, found.reasons)
    else:
        live = ports.endpoints.pointer(case)
        summary = "Nothing deployed, the gate refused" + (
            f": version {live.champion} stays champion" if live.champion else ": there is no champion"
        )
    # What a killed run left between the pointer and its projection is mended here too.
    _project(ports, live)
    return step.Result(summary=summary, parameters={"champion": str(live.champion or "")})


def _number(version: str) -> int:
    if not version.isascii() or not version.isdigit():
        raise CaseError("version", "be a registered version's number", version, "Hand over register's output.")
    return int(version)


def _promote(ports: Ports, case: str, version: int, job: str, reasons: tuple[str, ...]) -> tuple[Pointer, str]:
    """The pointer with `version` as champion. Raises ConflictError where somebody else keeps changing it."""
    ports.registry.fetch(case, version)  # whole and unaltered, before anything moves
    before = ports.endpoints.pointer(case)
    try:
        return _change(ports, before, version, job, reasons)
    except ConflictError:
        now = ports.endpoints.pointer(case)
        if (now.champion, now.challenger) != (before.champion, before.challenger):
            raise  # a promotion or rollback came between: it was decided on other facts
        return _change(ports, now, version, job, reasons)


def _change(ports: Ports, before: Pointer, version: int, job: str, reasons: tuple[str, ...]) -> tuple[Pointer, str]:
    if before.champion == version:
        return before, f"Version {version} is champion already"
    wanted = replace(
        before,
        champion=version,
        previous=before.champion,
        challenger=None,
        split=0,
        by=job,
        why=" ".join(reasons),
    )
    after = f" after version {before.champion}" if before.champion else ""
    return ports.endpoints.change(wanted), f"Version {version} is champion{after}"


def _project(ports: Ports, live: Pointer) -> None:
    roles = {"champion": live.champion, "challenger": live.challenger, "previous": live.previous}
    aliases = {role: version for role, version in roles.items() if version is not None}
    if aliases:
        ports.registry.project(live.case, aliases)
