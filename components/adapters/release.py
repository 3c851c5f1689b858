"""What is live, and how it changes: promote, begin_canary, abort, rollback.

Each verifies its target and has it made ready before anything moves, then changes the pointer once, by
compare-and-set: that is the commit. The endpoint's traffic and the registry's aliases are projections of the pointer,
moved after it; what a kill leaves between them is mended by whichever of these is called next, changed or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from components.adapters import live
from components.adapters.ports import Pointer, Ports
from components.core import servable
from components.core.errors import CaseError, ConflictError, EsteiraError

_ROLES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Change:
    """What a call did. Where nothing moved (a dry run, or nothing to do), `after` is what is or what would be live."""

    before: Pointer
    after: Pointer
    changed: bool
    """Whether the pointer has moved."""
    done: str
    """One sentence for a person."""
    behind: str = ""
    """Why traffic or aliases do not follow yet; the next call moves them. Empty: they agree."""


def promote(
    ports: Ports, case: str, version: int, *, by: str, why: str, seen: Pointer | None = None, dry_run: bool = False
) -> Change:
    """Makes a registered version champion, the champion previous, and ends a canary.

    Parameters
    ----------
    by, why
        Kept in the pointer and so in its history.
    seen
        The state that the decision rests on; None: whatever is live now.
    dry_run
        Verifies and tells the same, and moves nothing.

    Raises
    ------
    ArtifactError
        The version is not registered, or its model or bundle is gone or altered.
    CaseError
        The endpoint's server cannot load such a model.
    ConflictError
        The pointer has moved since `seen`, or somebody else moved it meanwhile: nothing is left ready for it.
    RunError
        The version never became ready to serve; what was live keeps all of the traffic.
    """
    _verify(ports, case, version)
    before = _now(ports, case, seen)
    if before.champion == version:
        if before.challenger is None:
            return _kept(ports, before, f"Version {version} is champion already", dry_run)
        after = replace(before, challenger=None, split=0, by=by, why=why)
        done = f"Version {version} stays champion; version {before.challenger} is challenger no more"
        return _moved(ports, before, after, done, dry_run)
    if not dry_run:
        ports.endpoints.prepare(ports.registry.get(case, version))
    after = replace(before, champion=version, previous=before.champion, challenger=None, split=0, by=by, why=why)
    done = f"Version {version} is champion" + (f" after version {before.champion}" if before.champion else "")
    return _moved(ports, before, after, done, dry_run)


def begin_canary(
    ports: Ports,
    case: str,
    version: int,
    percent: int,
    *,
    by: str,
    why: str,
    seen: Pointer | None = None,
    dry_run: bool = False,
) -> Change:
    """Makes a registered version challenger, with `percent` (1 to 99) of the live traffic.

    The same challenger again changes nothing, or moves the split. See `promote` for the parameters.

    Raises
    ------
    ArtifactError
        The version is not registered, or its model or bundle is gone or altered.
    CaseError
        There is no champion to compare with, `percent` is out of its range, or the endpoint's server cannot load it.
    ConflictError
        Another challenger is under way, the pointer has moved since `seen`, or somebody else moved it meanwhile.
    """
    if type(percent) is not int or not 1 <= percent <= 99:
        remedy = "A version with all of the traffic is the champion: promote it."
        raise CaseError("percent", "be a whole number from 1 to 99", percent, remedy)
    _verify(ports, case, version)
    before = _now(ports, case, seen)
    if before.champion is None:
        remedy = "The first accepted version becomes champion by the gate's floors alone (deploy), or promote one."
        raise CaseError("champion", "be there before a canary", None, remedy, where=case)
    if before.champion == version:
        return _kept(ports, before, f"Version {version} is champion already", dry_run)
    if before.challenger not in (None, version):
        remedy = "Let its canary end, or abort it."
        raise ConflictError("challenger", f"be none, or version {version}", before.challenger, remedy, where=case)
    share = f"Version {version} is challenger with {percent} % of the traffic"
    if (before.challenger, before.split) == (version, percent):
        return _kept(ports, before, f"{share} already", dry_run)
    if not dry_run:
        ports.endpoints.prepare(ports.registry.get(case, version))
    told = f", {before.split} % before" if before.challenger else f", beside version {before.champion}"
    after = replace(before, challenger=version, split=percent, by=by, why=why)
    return _moved(ports, before, after, share + told, dry_run)


def abort(ports: Ports, case: str, *, by: str, why: str, seen: Pointer | None = None, dry_run: bool = False) -> Change:
    """Gives the champion all of the traffic; the challenger stays registered.

    Nothing is verified: the champion is live already, and whatever harms a challenger must not keep it there.

    Raises
    ------
    ConflictError
        The pointer has moved since `seen`, or somebody else moved it meanwhile.
    """
    before = _now(ports, case, seen)
    if before.challenger is None:
        return _kept(ports, before, "There is no challenger to abort", dry_run)
    after = replace(before, challenger=None, split=0, by=by, why=why)
    done = f"Version {before.challenger} is challenger no more; version {before.champion} has all of the traffic"
    return _moved(ports, before, after, done, dry_run)


def rollback(
    ports: Ports,
    case: str,
    *,
    by: str,
    why: str,
    to: int | None = None,
    seen: Pointer | None = None,
    dry_run: bool = False,
) -> Change:
    """Makes the previous champion, or the version `to`, champion again, the champion previous, and ends a canary.

    Raises
    ------
    ArtifactError
        The target is not registered, or its model or bundle is gone or altered.
    CaseError
        There is no previous champion, and no version is named.
    ConflictError
        The pointer has moved since `seen`, or somebody else moved it meanwhile.
    """
    before = _now(ports, case, seen)
    target = to if to is not None else before.previous
    if target is None:
        remedy = "Name a version: esteira models list shows them."
        raise CaseError("previous", "be a version to roll back to", None, remedy, where=case)
    # The pointer's state was read before; a change since then makes the commit a conflict.
    return promote(ports, case, target, by=by, why=why, seen=before, dry_run=dry_run)


def reconcile(ports: Ports, pointer: Pointer) -> Pointer:
    """Brings traffic and aliases to the pointer, and to a newer one that is committed meanwhile; the last one.

    Of callers at once the last to write has looked after its writing: in the end the aliases are the newest state's.
    """
    while True:
        roles = {role: getattr(pointer, role) for role in _ROLES}
        if pointer.generation:
            ports.endpoints.project(pointer)  # traffic first: it is what the change is for
            ports.registry.project(pointer.case, {role: v for role, v in roles.items() if v is not None})
        newest = ports.endpoints.pointer(pointer.case)
        if newest.generation == pointer.generation:
            return newest
        pointer = newest


def _verify(ports: Ports, case: str, version: int) -> None:
    """Raises ArtifactError where it is not whole, CaseError where the endpoint's server could not load it."""
    described = live.verify(ports.registry, case, version)
    # An endpoint that has a name in the cloud starts a server for each version; on one machine the stream scores too.
    servable.check(described.serve_with, "google" if ports.endpoints.resource(case) else "local")


def _now(ports: Ports, case: str, seen: Pointer | None) -> Pointer:
    now = ports.endpoints.pointer(case)
    if seen is not None and seen.generation != now.generation:
        rule, remedy = (
            f"be at generation {seen.generation}",
            "Somebody changed it first: read it again and decide anew.",
        )
        raise ConflictError("pointer", rule, now.generation, remedy, where=case)
    return now


def _kept(ports: Ports, before: Pointer, done: str, dry_run: bool) -> Change:
    return Change(before, before, False, done, "" if dry_run else _projected(ports, before))


def _moved(ports: Ports, before: Pointer, after: Pointer, done: str, dry_run: bool) -> Change:
    if dry_run:
        return Change(before, after, False, done)
    try:
        stored = ports.endpoints.change(after)
    except ConflictError as error:
        if not (left := _left(ports, before.case)):
            raise
        remedy = f"{error.remedy} What was made ready is taken away by the next command: {left}"
        raise ConflictError(error.name, error.rule, error.value, remedy, where=error.where) from error
    return Change(before, stored, True, done, _projected(ports, stored))


def _left(ports: Ports, case: str) -> str:
    """Takes away what was made ready for a commit that was lost: without traffic it only costs. Why it could not."""
    try:
        return _projected(ports, ports.endpoints.pointer(case))
    except (EsteiraError, OSError) as error:
        return str(error)


def _projected(ports: Ports, pointer: Pointer) -> str:
    """After the commit: an endpoint or a registry that cannot follow is told, for what was asked for is done."""
    try:
        reconcile(ports, pointer)
    except (EsteiraError, OSError) as error:
        return str(error)
    return ""
