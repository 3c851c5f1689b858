"""Watches a challenger on live traffic until its canary has a verdict, and promotes or aborts it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

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
"""Seconds between two readings of the log."""


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
    verdict, watched = _observed(context, now)
    return _published(context, _acted(context, now, verdict, watched))


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
    for seconds in _moments(start.at):
        verdict = course.look(seconds)
        if context.ports.endpoints.pointer(start.case).generation != start.generation:
            verdict = None
        if verdict is None or verdict.state != "wait":
            break
    return verdict, course.watched(seconds)


def _versions(context: step.Context, start: Pointer) -> tuple[Live, Live]:
    assert start.champion is not None, "the pointer holds no challenger without a champion"
    assert start.challenger is not None
    registry, name = context.ports.registry, context.case.name
    return live.load(registry, name, start.champion), live.load(registry, name, start.challenger)


def _moments(start: float) -> Iterator[float]:
    """Seconds since the start, once per interval."""
    while True:
        now = time.time()
        yield now - start
        time.sleep(max(0.0, now + INTERVAL - time.time()))


def _acted(context: step.Context, start: Pointer, verdict: Verdict | None, watched: Watched) -> Findings:
    """Promotes or aborts, unless somebody else was first."""
    change: Change | None = None
    reasons: tuple[str, ...] = ()
    if verdict is not None:
        reasons = verdict.reasons
        with suppress(ConflictError):
            change, reasons = _change(context, start, verdict)
    if change is None:
        now = release.reconcile(context.ports, context.ports.endpoints.pointer(start.case))
        told = f"{now.by or 'somebody'} changed what is live meanwhile" + (f": {now.why}" if now.why else "")
        return Findings("overtaken", f"The canary stops: {told}", start, now, (), watched)
    state: State = "promote" if change.after.champion == start.challenger else "abort"
    behind = f" The registry's aliases follow with the next run: {change.behind}" if change.behind else ""
    why = reasons[0] if state == "abort" else f"It passed {len(reasons)} rules of the canary."
    return Findings(state, f"{change.done}. {why}{behind}", start, change.after, reasons, watched)


def _change(context: step.Context, start: Pointer, verdict: Verdict) -> tuple[Change, tuple[str, ...]]:
    """What was done, and why. Raises ConflictError where the pointer has moved since the start."""
    by, reasons = _by(context), verdict.reasons
    assert start.challenger is not None
    if verdict.state == "promote":
        try:
            why = " ".join(reasons)
            return release.promote(context.ports, start.case, start.challenger, by=by, why=why, seen=start), reasons
        except ArtifactError as error:
            reasons = (f"Version {start.challenger} cannot be promoted. {error}", *reasons)
    return release.abort(context.ports, start.case, by=by, why=" ".join(reasons), seen=start), reasons


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
