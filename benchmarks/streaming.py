"""The stream on replayed flights, from published message to durable row: at full speed, and at a fixed rate.

    python benchmarks/streaming.py [--events 20000] [--rate 1000] [--seconds 20]

Messages are events and labels of the year in the order of time, 5 % of them held back, 10 % sent twice, 1 % broken; the
real stream runs in a process of its own with the champion of the local profile (`esteira run flights`). At full speed
the log is full before it starts. At the rate a message's latency is from before its publish to the commit that covers
it, which follows the durable rows; commits are looked at every 5 ms. With ESTEIRA_PUBSUB (host:port of the emulator)
the same goes through Pub/Sub. Memory is resident: after a tenth of the messages, at the end, and at the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from pipeline import REPOSITORY, widen

from components.adapters.connect import Connected
from components.adapters.local.log import Log
from components.adapters.ports import Message
from components.core import case_file
from components.core import profile as profiles
from components.core.declared import seconds
from components.core.profile import Profile
from pipelines.launch import cases, producer
from pipelines.launch.replay import Faults, Schedule, schedule

FAULTS = Faults(late=0.05, duplicates=0.1, bad=0.01)
A_YEAR = 650_000
"""Messages of one year without faults."""
LOOK, TICK = 0.005, 0.02
PYTHON = REPOSITORY / ".venvs" / "pipeline" / "bin" / "python"


@dataclass
class Run:
    """One stream over one log, from its start to its end."""

    folder: Path
    profile: Profile
    committed: list[tuple[float, int]] = field(default_factory=list)
    """(seconds, offset), as commits were seen."""
    memory: list[tuple[int, int]] = field(default_factory=list)
    """(offset, resident bytes)."""

    @property
    def log(self) -> Log:
        return Log(self.profile.path("events") / "flights")

    def start(self) -> subprocess.Popen[bytes]:
        taken = cases.snapshot(cases.find("flights"), Connected(self.profile))
        arguments = ["--bundle", taken.bundle, "--profile", self.profile.to_json()]
        arguments += ["--lateness", str(seconds(taken.file.streaming.lateness)), "--json"]
        errors = (self.folder / "stream.log").open("wb")
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(
            [PYTHON, "-m", "components.streaming", *arguments], stdout=subprocess.PIPE, stderr=errors, env=environment
        )

    def watch(self, process: subprocess.Popen[bytes], until: int) -> dict[str, Any]:
        """Looks at its commits and memory until so many messages are done, and ends it; its last status."""
        log, sampled = self.log, 0.0
        while process.poll() is None:
            offset = log.committed("stream")[0]
            now = time.monotonic()
            if not self.committed or offset > self.committed[-1][1]:
                self.committed.append((now, offset))
            if now - sampled > 0.25:
                sampled = now
                self.memory.append((offset, _memory(process.pid, "VmRSS")))
            if offset >= until:
                break
            time.sleep(LOOK)
        else:
            sys.exit((self.folder / "stream.log").read_text())
        self.memory.append((until, _memory(process.pid, "VmHWM")))
        process.terminate()
        status: dict[str, Any] = json.loads(process.communicate()[0])
        return status

    def grown(self) -> list[float]:
        """MB after a tenth, at the end, and at the peak."""
        *resident, (until, peak) = self.memory
        early = next((size for offset, size in resident if offset >= until / 10), resident[-1][1])
        return [size / 2**20 for size in (early, resident[-1][1], peak)]


def _memory(process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def full_speed(run: Run, plan: Schedule) -> list[object]:
    log, messages = run.log, iter(plan)
    while batch := list(islice(messages, 10_000)):
        log.append(batch)
    status = run.watch(run.start(), len(plan))
    _check(status, plan, len(plan))
    first = run.committed[1] if run.committed[0][1] == 0 else run.committed[0]
    last = run.committed[-1]
    rate = (last[1] - first[1]) / max(last[0] - first[0], 1e-9)
    return ["full speed, log", len(plan), rate, "", "", "", *run.grown()]


def at_rate(run: Run, plan: Schedule, rate: float, length: float) -> list[object]:
    """Through the profile's own events, at so many messages a second for so many seconds."""
    count = min(len(plan), int(rate * length))
    messages, events = list(islice(plan, count)), Connected(run.profile).events
    if run.profile.events.adapter == "pubsub":
        events.subscribe("flights", "stream").close()  # a topic keeps nothing for those who come later
    process = run.start()
    _warm(run, process)
    published = np.empty(count)
    publisher = threading.Thread(target=_publish, args=(events, messages, rate, published))
    publisher.start()
    status = run.watch(process, count)
    publisher.join()
    _check(status, plan, count)
    done = np.array([offset for _, offset in run.committed])
    times = np.array([at for at, _ in run.committed])
    latency = times[np.searchsorted(done, np.arange(count), side="right")] - published
    seen = (count - 1) / (times[-1] - published[0])
    name = "Pub/Sub" if run.profile.events.adapter == "pubsub" else "log"
    return [f"{rate:,.0f}/s, {name}", count, seen, *np.percentile(latency, [50, 95, 99]).tolist(), *run.grown()]


def _warm(run: Run, process: subprocess.Popen[bytes]) -> None:
    """Until the champion is loaded."""
    while process.poll() is None and b"scores" not in (run.folder / "stream.log").read_bytes():
        time.sleep(0.05)


def _publish(events: Any, messages: list[Message], rate: float, published: Any) -> None:
    began, sent = time.monotonic(), 0
    while sent < len(messages):
        due = min(len(messages), int((time.monotonic() - began) * rate) + 1)
        if due > sent:
            published[sent:due] = time.monotonic()
            events.publish("flights", messages[sent:due])
            sent = due
        time.sleep(TICK)


def _check(status: dict[str, Any], plan: Schedule, count: int) -> None:
    """What the stream counted is what was sent."""
    foreseen = plan.verdicts(count)
    counts = {name: status["counts"][name] for name in foreseen}
    if status["read"] == count and counts != foreseen:
        sys.exit(f"the stream counted {counts}, the replay {foreseen}")


def champion(target: Path) -> None:
    """The local profile's registry and pointer, under `target`."""
    root = Path(profiles.load("local").root)
    if not (root / "blobs" / "pointers" / "flights.json").is_file():
        sys.exit("there is no champion: run `esteira run flights` first")
    shutil.copytree(root / "registry", target / "registry")
    shutil.copytree(root / "blobs" / "pointers", target / "blobs" / "pointers")


def measure(events: int, rate: float, length: float) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        widen(folder, -(-max(events, int(rate * length)) // A_YEAR))

        def made(name: str, **more: Any) -> Run:
            (folder / name).mkdir()
            champion(folder / name)
            given = {"root": str(folder / name), "sources": str(folder), **more}
            return Run(folder / name, Profile.model_validate(given))

        case = cases.find("flights")
        file = case_file.load(case)
        rows = producer.read(file.case(), Connected(made("source").profile))
        lateness = seconds(file.streaming.lateness) * 1_000_000
        plan = schedule(rows, file.case(), lateness, FAULTS, max(events, int(rate * length)))
        shown = [full_speed(made("full"), schedule(rows, file.case(), lateness, FAULTS, events))]
        shown.append(at_rate(made("rate"), plan, rate, length))
        emulator = os.environ.get("ESTEIRA_PUBSUB")
        if emulator:
            os.environ["PUBSUB_EMULATOR_HOST"] = emulator
            run = made("pubsub", events={"adapter": "pubsub", "at": f"bench-{os.getpid()}"})
            shown.append(at_rate(run, plan, rate, length))
    columns = ["", "messages", "messages/s", "p50 s", "p95 s", "p99 s", "MB at a tenth", "MB at the end", "MB peak"]
    report("streaming", columns, shown, {"target": ">= 1,000 events/s, p95 <= 2 s, flat memory"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="messages at full speed")
    parser.add_argument("--rate", type=float, default=1_000.0, help="messages per second")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long at that rate")
    asked = parser.parse_args()
    measure(asked.events, asked.rate, asked.seconds)
