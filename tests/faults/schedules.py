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
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from tests.faults.cloud import Cloud, emulators, import_clients
from tests.faults.driver import SCENES, Driver, Outcome, Schedule
from tests.faults.ports import Kind

ALL = list(SCENES)
COMMAND = "PYTHONPATH=. .venvs/dev/bin/python -m tests.faults.schedules"
Told = dict[str, Any]
"""Of one schedule, as JSON."""


def told(outcome: Outcome, how: str | None) -> Told:
    """With the command that plays a failed one again; `how` are its words beside the seed, None where a test alone can."""
    scene, text = outcome.schedule.scene, ""
    if outcome.problem:
        again = "" if how is None else f"{COMMAND}{how} --seed {outcome.schedule.seed}\n"
        text = f"{again}{outcome.schedule}\n{outcome.problem}"
    return {"seed": outcome.schedule.seed, "scene": scene, "ended_early": any(outcome.codes), "problem": text}


def asked_for(driver: Driver, names: Sequence[str], every: str, seeds: Sequence[int]) -> tuple[list[Schedule], str]:
    """The schedules of these seeds, drawn or, with a kind, at that place of the scene; and how a command asks for it."""
    how = f" --scenes {','.join(names)}" if list(names) != ALL else ""
    how += " --google" if driver.cloud is not None else ""
    if every:
        [name], kind = names, cast(Kind, every)
        return [driver.at(name, kind, n) for n in seeds or driver.places(name, kind)], f"{how} --every {every}"
    return [driver.drawn(seed, names) for seed in seeds], how


def _many(driver: Driver, schedules: Sequence[Schedule], how: str, jobs: int) -> Iterator[Told]:
    """What came of them, as it comes, of so many processes at once."""
    with ExitStack() as stack:
        readers = []
        for job in range(jobs):
            reader, writer = os.pipe()
            if not os.fork():
                try:
                    with open(writer, "w", encoding="utf-8") as pipe:
                        for schedule in schedules[job::jobs]:
                            print(json.dumps(told(driver.play(schedule), how)), file=pipe, flush=True)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(0)  # what is not told counts as not played; the folder is its parent's
            os.close(writer)
            readers.append(stack.enter_context(open(reader, encoding="utf-8")))
        for lines in itertools.zip_longest(*readers):
            yield from (json.loads(line) for line in lines if line)


def main() -> int:
    parser = argparse.ArgumentParser(description="Seeded fault schedules.")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scenes", default=",".join(ALL), help="of which to draw; also batch")
    parser.add_argument("--every", default="", help="this kind of fault, at the place of the seed, and no other")
    parser.add_argument("--google", action="store_true", help="over the emulators that the environment names")
    parser.add_argument("--serve", action="store_true", help="plays what standard input asks for, in JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="esteira-faults-") as folder:
        if asked.serve:
            return _serve(Path(folder))
        driver, names = Driver(Path(folder)), asked.scenes.split(",")
        if asked.google:
            import_clients()
            driver.cloud = Cloud(emulators())
        prepared(driver, names)
        seeds = range(asked.seed, asked.seed + asked.count)
        schedules, how = asked_for(driver, names, asked.every, seeds)
        return _report(_many(driver, schedules, how, asked.jobs), asked.count)


def prepared(driver: Driver, names: Sequence[str]) -> None:
    if "batch" in names and "batch" not in SCENES:
        from tests.faults.scene_batch import Batch  # its imports take seconds more

        SCENES["batch"] = (Batch(), 1)
    driver.prepare(names)


def _serve(folder: Path) -> int:
    """For the tests: a line of JSON for a line of JSON."""
    drivers: dict[str, Driver] = {}
    for line in sys.stdin:
        order = json.loads(line)
        cloud = Cloud(**order["cloud"]) if "cloud" in order else None
        # What a run does without a fault depends on which adapters are Google's, and on where their servers are.
        ports = "local" if cloud is None else f"{'vertex' if cloud.vertex else 'emulated'} {cloud.emulators}"
        driver = drivers.setdefault(ports, Driver(Path(tempfile.mkdtemp(dir=folder))))
        print(json.dumps(_answer(driver, cloud, order)), flush=True)
    return 0


def _answer(driver: Driver, cloud: Cloud | None, order: dict[str, Any]) -> list[Told] | str:
    """What came of the order's schedules; or why none was played."""
    if cloud is not None:
        import_clients()
        driver.cloud = cloud
    names = order.get("scenes", ALL)
    try:
        prepared(driver, names)
        schedules, how = asked_for(driver, names, order.get("every", ""), order.get("seeds", ()))
        if cloud is not None and cloud.wire:
            schedules = [driver.wired(name) for name in names]
        again = None if cloud is not None and (cloud.wire or cloud.vertex) else how
        return [told(driver.play(schedule), again) for schedule in schedules]
    except AssertionError as error:  # a scene fails without a fault; the next order may be for another one
        return str(error)


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
