"""Watches a challenger on live traffic until its canary has a verdict, and promotes or aborts it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

from components import step
from components.adapters import live, release
from components.adapters.live import Live
from components.adapters.ports import Pointer
from components.adapters.release import Change
from components.canary import show
from components.canary.course import Course
from components.canary.findings import Findings, State, Watched
from components.canary.watch import Watch
from components.core import artifacts
from components.core.canary import Verdict
from components.core.errors import ArtifactError, CaseError, ConflictError

INTERVAL = 1.0
"""Seconds between two readings of the log at least."""


def run(launch: step.Launch, *, version: str, canary: str, champion: str = "") -> step.Result:  # noqa: ARG001
    """Observes the challenger `version` ('' for none) and publishes what came of it at `canary`.

    Parameters
    ----------
    champion
        deploy's output, read by nobody: it makes the platform wait for deploy.

    Returns
    -------
    step.Result
        Its parameters: `champion`, the version that is live afterwards, and `state`: "promote", "abort", "overtaken"
        (somebody else changed what is live meanwhile) or "nothing" (there was nothing to observe).
    """
    return step.perform("canary", launch, lambda context: work(context, version), outputs={"canary": canary})


def work(context: step.Context, version: str) -> step.Result:
    now = context.ports.endpoints.pointer(context.case.name)
    settled = _settled(version, now, _by(context))
    if settled is not None:
        # What a killed run left between the pointer and its projection is mended here too.
        return _published(context, replace(settled, after=release.reconcile(context.ports, now)))
    start = _began(context, now)
    verdict, watched = _observed(context, start)
    return _published(context, _acted(context, start, verdict, watched))


def _by(context: step.Context) -> str:
    return f"the canary of {context.launch.job}"


def _settled(version: str, now: Pointer, by: str) -> Findings | None:
    """Why there is nothing to observe, or None."""
    if not version:
        return Findings("nothing", "Nothing to observe: there is no new version", now, now)
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise CaseError("version", "be a registered version's number", version, "Hand over register's output.")
    if now.challenger == int(version):
        return None
    if now.by == by:  # an attempt of this run decided, and was killed before it could say so
        return Findings("promote" if now.champion == int(version) else "abort", now.why, now, now, (now.why,))
    if now.champion == int(version):
        return Findings("nothing", f"Nothing to observe: version {version} is champion already", now, now)
    told = f" ({now.by}: {now.why})" if now.why else ""
    return Findings("nothing", f"Nothing to observe: version {version} is not the challenger{told}", now, now)


def _observed(context: step.Context, start: Pointer) -> tuple[Verdict | None, Watched]:
    """Looks until there is a verdict; None where somebody else has changed what is live."""
    asked = context.operations.canary
    watch = Watch(context.ports, context.case, asked, _versions(context, start), start.at)
    course = Course(watch, asked, context.say)
    context.say(f"version {start.challenger} has {start.split} % of the traffic, version {start.champion} the rest")
    verdict: Verdict | None = None
    for seconds in _moments(start.at, max(INTERVAL, context.ports.tables.pause)):
        verdict = course.look(seconds)
        if _still(context, start) is None:
            verdict = None
        if verdict is None or verdict.state != "wait":
            break
    return verdict, course.watched(seconds)


def _versions(context: step.Context, start: Pointer) -> tuple[Live, Live]:
    assert start.champion is not None, "the pointer holds no challenger without a champion"
    assert start.challenger is not None
    registry, name = context.ports.registry, context.case.name
    return live.load(registry, name, start.champion), live.load(registry, name, start.challenger)


def _still(context: step.Context, start: Pointer) -> Pointer | None:
    """What is live now, where it is the canary that began with `start`, whatever its split; else None."""
    now = context.ports.endpoints.pointer(start.case)
    if now.generation == start.generation:
        return now
    since = [p for p in context.ports.endpoints.history(start.case) if p.generation >= start.generation]
    return now if all(_rivals(p) == _rivals(start) for p in (*since, now)) else None


def _began(context: step.Context, now: Pointer) -> Pointer:
    """The change that began the canary of `now`; those after it moved the split alone."""
    states = [p for p in context.ports.endpoints.history(now.case) if p.generation < now.generation]
    return [now, *takewhile(lambda p: _rivals(p) == _rivals(now), reversed(states))][-1]


def _rivals(pointer: Pointer) -> tuple[int | None, int | None]:
    return pointer.champion, pointer.challenger


def _moments(start: float, interval: float) -> Iterator[float]:
    """Seconds since the start, once per interval."""
    while True:
        now = time.time()
        yield now - start
        time.sleep(max(0.0, now + interval - time.time()))


def _acted(context: step.Context, start: Pointer, verdict: Verdict | None, watched: Watched) -> Findings:
    """Promotes or aborts, unless somebody else was first."""
    change: Change | None = None
    reasons: tuple[str, ...] = ()
    if verdict is not None:
        reasons = verdict.reasons
        while change is None and (seen := _still(context, start)) is not None:
            with suppress(ConflictError):  # it moved meanwhile: look whether only the split did
                change, reasons = _change(context, seen, verdict)
    if change is None:
        now = release.reconcile(context.ports, context.ports.endpoints.pointer(start.case))
        told = f"{now.by or 'somebody'} changed what is live meanwhile" + (f": {now.why}" if now.why else "")
        return Findings("overtaken", f"The canary stops: {told}", start, now, (), watched)
    state: State = "promote" if change.after.champion == start.challenger else "abort"
    behind = f" Traffic and aliases follow with the next run: {change.behind}" if change.behind else ""
    why = reasons[0] if state == "abort" else f"It passed {len(reasons)} rules of the canary."
    return Findings(state, f"{change.done}. {why}{behind}", start, change.after, reasons, watched)


def _change(context: step.Context, seen: Pointer, verdict: Verdict) -> tuple[Change, tuple[str, ...]]:
    """What was done, and why. Raises ConflictError where the pointer has moved since it was seen."""
    by, reasons = _by(context), verdict.reasons
    assert seen.challenger is not None
    if verdict.state == "promote":
        try:
            why = " ".join(reasons)
            return release.promote(context.ports, seen.case, seen.challenger, by=by, why=why, seen=seen), reasons
        except ArtifactError as error:
            reasons = (f"Version {seen.challenger} cannot be promoted. {error}", *reasons)
    return release.abort(context.ports, seen.case, by=by, why=" ".join(reasons), seen=seen), reasons


def _published(context: step.Context, found: Findings) -> step.Result:
    from components.core import report

    root, shown = context.outputs["canary"], show.report(found)
    page = report.page(f"{context.case.name}: canary", shown).encode()
    files = [
        artifacts.write_file(root, "canary.json", show.to_json(found)),
        artifacts.write_file(root, "index.html", page),
    ]
    artifacts.publish(root, "canary", files=files, info={"state": found.state})
    return step.Result(
        rows_in=show.requests(found),
        summary=found.summary,
        parameters={"champion": str(found.after.champion or ""), "state": found.state},
        report={"blocks": shown},
    )
