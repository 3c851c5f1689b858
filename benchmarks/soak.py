"""Our server for an hour under steady load: does it keep its memory, its descriptors and its word?

    make soak                        # or: ESTEIRA_SOAK=300 ESTEIRA_SOAK_RATE=500 python benchmarks/soak.py

ESTEIRA_SOAK is the length in seconds (3600), ESTEIRA_SOAK_RATE the requests per second (300) over 8 connections that
are renewed now and then. Mixed in: requests at fault of every kind, clients that hang up in the middle, and every few
seconds a change of what is live: promotions, canaries and aborts between two versions. It fails where

- a request was answered otherwise than it must be, or not at all;
- resident memory at the end is more than 5 % above that of the second minute (a short soak: after its first tenth);
- the process holds more descriptors or threads at the end than then;
- the inference log does not hold, or count as dropped, every prediction;
- the server does not end by itself on SIGTERM.

Writes benchmarks/out/soak.html, a page with the curves, and benchmarks/out/soak.json.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import OUT, report
from served import servers
from served.asking import Seen, ask_on
from served.kinds import kinds
from served.servers import Server
from served.trained import CASE, NAME, Trained, logged

from components.adapters import release
from components.core import blocks
from components.core.report import page

CONNECTIONS = 8
GROWTH = 1.05


@dataclass(frozen=True)
class Plan:
    seconds: float
    rate: float
    """Requests per second."""
    versions: tuple[int, int]
    """The first one is champion."""


@dataclass(frozen=True)
class Sample:
    """What the process holds at one moment, and the requests since the sample before."""

    at: float
    """Seconds since the start."""
    memory: float
    """Resident, MiB."""
    descriptors: int
    threads: int
    rate: float
    p99: float
    """Milliseconds."""


async def soak(trained: Trained, server: Server, pid: int, plan: Plan) -> tuple[list[Sample], Seen]:
    """Asks, changes and looks, all at once, until the time is over."""
    seen, asked = Seen(), kinds(server)
    drawn = itertools.cycle(random.Random(7).choices(asked, [kind.weight for kind in asked], k=100_000))
    end = time.monotonic() + plan.seconds
    pace = itertools.count(time.monotonic(), 1 / plan.rate)
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(ask_on(server, drawn, seen, pace, end))
        group.create_task(change(trained, plan, seen, end))
        sampled = group.create_task(sample(pid, seen, max(1.0, plan.seconds / 720), end))
    return sampled.result(), seen


async def change(trained: Trained, plan: Plan, seen: Seen, end: float) -> None:
    """Each version in turn begins as a canary, is aborted, and becomes champion."""
    by, why, every = "soak", "a change under load", max(1.0, min(10.0, plan.seconds / 30))
    calls: tuple[Callable[[int], release.Change], ...] = (
        lambda version: release.begin_canary(trained.ports, NAME, version, 30, by=by, why=why),
        lambda _: release.abort(trained.ports, NAME, by=by, why=why),
        lambda version: release.promote(trained.ports, NAME, version, by=by, why=why),
    )
    for version, call in ((version, call) for version in itertools.cycle(plan.versions[::-1]) for call in calls):
        await asyncio.sleep(min(every, max(0.0, end - time.monotonic())))
        if time.monotonic() >= end:
            return
        seen.changes += (await asyncio.to_thread(call, version)).changed


async def sample(pid: int, seen: Seen, every: float, end: float) -> list[Sample]:
    """What the process holds, from time to time; the last look is before the connections end."""
    found, started = list[Sample](), time.monotonic()
    while time.monotonic() + every < end:
        await asyncio.sleep(every)
        times, seen.times = sorted(seen.times), []
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        memory, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        p99 = times[int(len(times) * 0.99)] if times else 0.0
        found.append(Sample(time.monotonic() - started, memory, descriptors, threads, len(times) / every, p99))
    return found


def other_case(folder: Path) -> Path:
    """The case with another strength of regularization: another model of the same inputs."""
    target = folder / "other"
    shutil.copytree(CASE, target, ignore=shutil.ignore_patterns("__pycache__"))
    text = (target / "case.yaml").read_text()
    (target / "case.yaml").write_text(f"{text}  parameters: {{C: 0.01}}\n")
    return target


def judge(samples: Sequence[Sample], seen: Seen, log: dict[str, int], exit_code: int | None) -> tuple[list[str], Any]:
    """What is wrong, and the figures that say so."""
    whole = samples[-1].at
    first = [s for s in samples if min(60, whole / 10) <= s.at <= min(120, whole / 5)]
    last = samples[-len(first) :]
    memory = [statistics.median(s.memory for s in part) for part in (first, last)]
    wrong = [f"{seen.wrong} requests were not answered as they must be."] if seen.wrong else []
    if memory[1] > memory[0] * GROWTH:
        wrong.append(f"Memory grew from {memory[0]:.1f} to {memory[1]:.1f} MiB.")
    for name in ("descriptors", "threads"):
        before, after = max(getattr(s, name) for s in first), statistics.median(getattr(s, name) for s in last)
        if after > before:
            wrong.append(f"It held at most {before} {name} at first and {after:g} at the end.")
    if log["logged"] + log["dropped"] < seen.predicted or (not log["dropped"] and log["logged"] != seen.predicted):
        wrong.append(f"Of {seen.predicted} predictions {log['logged']} were logged and {log['dropped']} counted.")
    if len(seen.versions) != 2 or "unnamed" in seen.versions:
        wrong.append(f"Two versions must have answered, by name; {dict(seen.versions)} did.")
    if exit_code != 0:
        wrong.append(f"On SIGTERM the server ended with {exit_code}.")
    figures = {
        "MiB at first": memory[0],
        "MiB at the end": memory[1],
        "growth %": (memory[1] / memory[0] - 1) * 100,
    }
    return wrong, figures


def drawn(samples: Sequence[Sample], seen: Seen, wrong: Sequence[str], facts: Any) -> str:
    """The page."""
    minutes = [s.at / 60 for s in samples]

    def curves(title: str, unit: str, **names: str) -> blocks.Block:
        series = {label: (minutes, [getattr(s, name) for s in samples]) for name, label in names.items()}
        return blocks.lines(title, series, x="minutes", y=unit)

    reasons = wrong or ["Memory, descriptors and threads stayed; every request was answered as it must be."]
    made = [
        blocks.verdict(not wrong, reasons, title="Soak"),
        blocks.facts("Figures", facts),
        curves("Resident memory", "MiB", memory="VmRSS"),
        curves("Descriptors and threads", "count", descriptors="descriptors", threads="threads"),
        curves("Requests", "per second", rate="requests"),
        curves("Latency", "ms", p99="p99 of each interval"),
        blocks.table("Requests by kind", ["kind", "requests"], seen.kinds.most_common()),
    ]
    if seen.told:
        made.append(blocks.text("What went wrong first", "\n".join(seen.told)))
    return page("Soak of the prediction server", made)


def main() -> None:
    seconds, rate = (float(os.environ.get(f"ESTEIRA_SOAK{n}") or d) for n, d in (("", 3600), ("_RATE", 300)))
    with tempfile.TemporaryDirectory() as temporary:
        trained = Trained(Path(temporary))
        plan = Plan(seconds, rate, (1, trained.version(other_case(trained.folder))))
        server = servers.ours(trained)
        with servers.running(server, Path(temporary) / "server.log") as process:
            samples, seen = asyncio.run(soak(trained, server, process.pid, plan))
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        log = logged(trained)
    wrong, figures = judge(samples, seen, log, process.returncode)
    facts = {"seconds": samples[-1].at, "requests": seen.kinds.total(), **figures, **log, "changes": seen.changes}
    facts |= {f"answers of version {version}": count for version, count in sorted(seen.versions.items())}
    columns = ["at s", "memory MiB", "descriptors", "threads", "requests/s", "p99 ms"]
    shown = [samples[round(i * (len(samples) - 1) / 9)] for i in range(10)]
    table = [[s.at, s.memory, s.descriptors, s.threads, s.rate, s.p99] for s in shown]
    report("soak", columns, table, facts | {"wrong": wrong, "kinds": dict(seen.kinds), "first faults": seen.told})
    (OUT / "soak.html").write_text(drawn(samples, seen, wrong, facts))
    print(f"page: {OUT / 'soak.html'}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
