"""Seeded fault schedules from the command line, or for a test.

    python -m tests.faults.schedules --seed 0 --count 20000 --jobs 2

plays the schedules of the seeds 0 to 19,999. A seed decides the scene, the faults and where they strike; what fails
prints the command that plays it again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.driver import SCENES, Driver, Outcome

COMMAND = "PYTHONPATH=. .venvs/dev/bin/python -m tests.faults.schedules"
Told = dict[str, Any]
"""Of one schedule, as JSON."""


def told(outcome: Outcome) -> Told:
    """With the command that plays a failed one again."""
    scene, text = outcome.schedule.scene, ""
    if outcome.problem:
        text = f"{COMMAND} --seed {outcome.schedule.seed}\n{outcome.schedule}\n{outcome.problem}"
    return {"seed": outcome.schedule.seed, "scene": scene, "ended_early": any(outcome.codes), "problem": text}


def _many(driver: Driver, seeds: Sequence[int], jobs: int) -> Iterator[Told]:
    """What came of them, as it comes, of so many processes at once."""
    with ExitStack() as stack:
        readers = []
        for job in range(jobs):
            reader, writer = os.pipe()
            if not os.fork():
                with open(writer, "w", encoding="utf-8") as pipe:
                    for seed in seeds[job::jobs]:
                        print(json.dumps(told(driver.play(driver.drawn(seed)))), file=pipe, flush=True)
                os._exit(0)
            os.close(writer)
            readers.append(stack.enter_context(open(reader, encoding="utf-8")))
        for lines in itertools.zip_longest(*readers):
            yield from (json.loads(line) for line in lines if line)


def main() -> int:
    parser = argparse.ArgumentParser(description="Seeded fault schedules.")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help="plays what standard input asks for, in JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="esteira-faults-") as folder:
        driver = Driver(Path(folder))
        if asked.serve:
            return _serve(driver)
        driver.prepare()
        return _report(_many(driver, range(asked.seed, asked.seed + asked.count), asked.jobs), asked.count)


def _serve(driver: Driver) -> int:
    """For `tests.faults.playing`: a line of JSON for a line of JSON."""
    for line in sys.stdin:
        order = json.loads(line)
        driver.prepare(order.get("scenes", tuple(SCENES)))
        if "every" in order:
            schedules = driver.every(*order["every"])
        else:
            schedules = map(driver.drawn, range(order["seed"], order["seed"] + order["count"]))
        print(json.dumps([told(driver.play(schedule)) for schedule in schedules]), flush=True)
    return 0


def _report(outcomes: Iterator[Told], count: int) -> int:
    """Tells how it goes and what came of it; the exit code."""
    began, failed, played, struck = time.monotonic(), list[int](), Counter[str](), 0
    for number, outcome in enumerate(outcomes, 1):
        played[outcome["scene"]] += 1
        struck += outcome["ended_early"]
        if outcome["problem"]:
            failed.append(outcome["seed"])
            print(outcome["problem"], flush=True)
        if number % 100 == 0:
            rate = number / (time.monotonic() - began)
            print(f"{number:,} of {count:,}, {len(failed)} failed, {rate:.1f}/s", flush=True)
    total, names = sum(played.values()), ", ".join(f"{name} {n:,}" for name, n in sorted(played.items()))
    print(f"{total:,} schedules in {time.monotonic() - began:.0f} s ({names}); in {struck:,} a run ended early")
    print(f"{len(failed)} failed{': ' if failed else ''}{', '.join(map(str, failed))}")
    return int(bool(failed) or total != count)


if __name__ == "__main__":
    sys.exit(main())
