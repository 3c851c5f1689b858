"""canary.json, and what the page shows of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from components.canary.findings import Findings, Look, Watched
from components.core import blocks, bounds
from components.core.blocks import Block, finite
from components.core.canary import Finding
from components.core.canary_rules import Observed, Series
from components.core.shown import duration, moment

FORMAT = 1
_NAMES = ("champion", "challenger")
_PERCENTILES = (50, 90, 95, 99)
_BINS, _PER_BIN = 60, 20
"""The traffic's bins at most, and so many requests of the rarer version for each."""


def to_json(found: Findings) -> bytes:
    return json.dumps(data(found), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def data(found: Findings) -> dict[str, Any]:
    """Everything as JSON; a number that is not finite is null."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "state": found.state,
        "summary": found.summary,
        "reasons": list(found.reasons),
        "champion": found.before.champion,
        "challenger": found.before.challenger,
        "percent": found.before.split,
        "generation": found.before.generation,
        "started": finite(found.before.at),
        "live": {"champion": found.after.champion, "challenger": found.after.challenger},
        "findings": [_finding(f) for f in found.findings],
    }
    watched = found.watched
    if watched is None:
        return made
    return made | {
        "seconds": finite(watched.seconds),
        "deadline": finite(watched.deadline),
        "confidence": watched.confidence,
        "counts": {name: _counts(o) for name, o in zip(_NAMES, watched.observed, strict=True)},
        "log": asdict(watched.collected),
        "lacking": list(watched.lacking),
        "looks": [
            {"seconds": finite(look.seconds), "findings": [_finding(f, brief=True) for f in look.findings]}
            for look in blocks.thin(watched.looks)
        ],
    }


def _finding(found: Finding, *, brief: bool = False) -> dict[str, Any]:
    made = {
        "name": found.name,
        "state": found.state,
        "samples": dict(zip(_NAMES, found.samples, strict=True)),
        "effect": finite(found.effect),
        "low": finite(found.low),
        "high": finite(found.high),
    }
    if brief:
        return made
    values = {name: finite(v) for name, v in zip(_NAMES, found.values, strict=True)}
    more = {"needed": found.needed, "values": values, "bound": finite(found.bound), "limit": finite(found.limit)}
    return made | more | {"reason": found.reason}


def _counts(seen: Observed) -> dict[str, int]:
    return {
        "requests": len(seen.failed.at),
        "failed": int(seen.failed.values.sum()),
        "timed": len(seen.latency.at),
        "compared": len(seen.alike.at),
        "labelled": 0 if seen.labelled is None else len(seen.labelled.at),
    }


def requests(found: Findings) -> int | None:
    """How many were observed of both versions."""
    return None if found.watched is None else sum(len(o.failed.at) for o in found.watched.observed)


def report(found: Findings) -> list[Block]:
    """The blocks of the page: the verdict, what decided, how it went, then every number."""
    watched = found.watched
    if watched is None:
        return [_facts(found)]
    traffic = [_traffic(watched)] if any(len(o.failed.at) for o in watched.observed) else []
    return [
        *_verdict(found),
        *_effects(found.findings, watched.confidence),
        *traffic,
        *_latencies(watched),
        *_failures(watched),
        *_growth(watched.looks, found.findings),
        _table(found.findings),
        _facts(found),
    ]


def _verdict(found: Findings) -> list[Block]:
    title = {"promote": "The challenger is promoted", "abort": "The challenger is aborted"}.get(found.state)
    if title is None:
        return [blocks.text("Nothing was decided", found.summary)]
    promoted = found.state == "promote"
    said = "Promoted" if promoted else "Aborted"
    return [blocks.verdict(promoted, found.reasons, title=title, said=said)]


def _facts(found: Findings) -> Block:
    before = found.before
    items: dict[str, object] = {"outcome": found.summary} if found.watched is None else {}
    items |= {"champion": before.champion, "challenger": before.challenger}
    watched = found.watched
    if watched is not None:
        items |= {"challenger's share": f"{before.split} %", "began": moment(before.at)}
        items |= {"observed for": duration(watched.seconds), "deadline": duration(watched.deadline)}
        for name, seen in zip(_NAMES, watched.observed, strict=True):
            items[f"requests of the {name}"] = len(seen.failed.at)
        dropped = sum(watched.collected.dropped.values())
        items |= {"not logged by the servers": dropped} if dropped else {}
        items |= {"unreadable lines of the log": watched.collected.bad} if watched.collected.bad else {}
        items |= {"requests among the dead letters": watched.collected.refused} if watched.collected.refused else {}
        items |= {"inputs the champion lacks": ", ".join(watched.lacking)} if watched.lacking else {}
    return blocks.facts("Canary", {name: value for name, value in items.items() if value is not None})


def _effects(findings: Sequence[Finding], confidence: float) -> list[Block]:
    """Each rule's effect on an axis of its own, beside its limit."""
    rows = []
    for f in findings:
        words, factor = _unit(f)
        if finite(f.effect) is None:
            continue
        shown = {"value": factor * f.effect, "low": factor * f.low, "high": factor * f.high, "bar": factor * f.limit}
        rows.append({"name": f"{f.name}: {words}"} | shown)
    title = f"What decides: the challenger beside its limits ({100 * confidence:g} % on each side)"
    return [blocks.intervals(title, rows)] if rows else []


def _unit(found: Finding) -> tuple[str, float]:
    """What the effect is, and what it is shown times."""
    known = {
        "error rate": ("more failures, in points", 100.0),
        "latency": ("95th percentile, times the champion's", 1.0),
        "agreement": ("decided alike, in %", 100.0),
    }
    return known.get(found.name, ("more than the champion's", 1.0))


def _traffic(watched: Watched) -> Block:
    start = min(float(o.failed.at[0]) for o in watched.observed if len(o.failed.at))
    stop = max(float(o.failed.at[-1]) for o in watched.observed if len(o.failed.at))
    fewest = min(len(o.failed.at) for o in watched.observed)
    edges = np.linspace(start, max(stop, start + 1e-3), min(_BINS, 5 + fewest // _PER_BIN) + 1)
    width = float(edges[1] - edges[0])
    places = ((edges[:-1] + edges[1:]) / 2 - start).tolist()
    series = {
        name: (places, (np.histogram(o.failed.at, edges)[0] / width).tolist())
        for name, o in zip(_NAMES, watched.observed, strict=True)
    }
    return blocks.lines("Traffic", series, x="seconds since the first request", y="requests per second")


def _failures(watched: Watched) -> list[Block]:
    rows = []
    for name, seen in zip(_NAMES, watched.observed, strict=True):
        if len(seen.failed.at):
            share = float(seen.failed.values.mean())
            low, high = bounds.wilson(share, len(seen.failed.at), (1 + watched.confidence) / 2)
            shown = {"value": 100 * share, "low": 100 * low, "high": 100 * high}
            rows.append({"name": f"{name}: {len(seen.failed.at):,} requests", "group": "% of requests"} | shown)
    return [blocks.intervals(f"Failed requests, with {100 * watched.confidence:g} % intervals", rows)] if rows else []


def _latencies(watched: Watched) -> list[Block]:
    """The quantiles of both as curves, and those that people ask for as numbers."""
    timed: dict[str, Series] = {
        name: o.latency for name, o in zip(_NAMES, watched.observed, strict=True) if len(o.latency.at)
    }
    if not timed:
        return []
    percents = np.arange(1, 100)
    curves = {n: (percents.tolist(), np.percentile(s.values, percents).tolist()) for n, s in timed.items()}
    rows = [
        [name, len(s.at), *np.percentile(s.values, _PERCENTILES).tolist(), float(s.values.max())]
        for name, s in timed.items()
    ]
    titles = ["version", "answers", *(f"p{p}" for p in _PERCENTILES), "longest"]
    return [
        blocks.lines("Latency by share of answers", curves, x="% of answers", y="milliseconds"),
        blocks.table("Latency in milliseconds", titles, rows),
    ]


def _growth(looks: Sequence[Look], findings: Sequence[Finding]) -> list[Block]:
    """How certain each rule became: its effect and its worse end over the looks, beside the limit."""
    made = []
    for i, last in enumerate(findings):
        seen = [(look.seconds, look.findings[i]) for look in looks if finite(look.findings[i].effect) is not None]
        if len(seen) < 2:
            continue
        words, factor = _unit(last)
        times = [seconds for seconds, _ in seen]
        ends = {"lower end": "low", "upper end": "high", "challenger": "effect"}
        series = {n: (times, [factor * getattr(f, a) for _, f in seen]) for n, a in reversed(ends.items())}
        series["limit"] = (times, [factor * last.limit] * len(seen))
        made.append(blocks.lines(f"How it became certain: {last.name}", series, x="seconds", y=words))
    return made


def _table(findings: Sequence[Finding]) -> Block:
    titles = ["rule", "verdict", *_NAMES, "bound", "limit", *(f"{name}'s samples" for name in _NAMES), "asked for"]
    rows: list[list[object]] = [[f.name, f.state, *f.values, f.bound, f.limit, *f.samples, f.needed] for f in findings]
    return blocks.table("Every rule", titles, rows)
