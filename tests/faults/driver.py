"""Plays fault schedules: a scene with a fault, the same again, and the end that there is without a fault.

Each attempt is a fork of this process, which has imported everything and opened nothing; so is each preparation.
"""

from __future__ import annotations

import gc
import json
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import components.adapters.local.alerts
import components.adapters.local.blobs
import components.adapters.local.endpoints
import components.adapters.local.jobs
import components.adapters.local.sources
import components.adapters.local.tables
import components.adapters.local.tracking
import components.core.report
import components.core.scorer
import components.preprocess.job  # noqa: F401  # like those above: what the steps import when they use it
from components.adapters.local.registry import MlflowRegistry
from components.canary import task as canary
from components.core.profile import Profile
from components.step import Launch
from tests.faults import scenes, scenes_stream
from tests.faults.attempts import Struck, attempted, committed, difference, forked, prepared, sound, temporary
from tests.faults.cloud import Cloud
from tests.faults.ports import DRAWN, KILLS, Fault, Kind
from tests.faults.world import Scene, World

SCENES: dict[str, tuple[Scene, int]] = {
    "gate": (scenes.Gate(), 30),
    "ingest": (scenes.Ingest(), 20),
    "preprocess": (scenes.Preprocess(), 2),
    "canary": (scenes.Canaried(), 12),
    "commands": (scenes.Commands(), 14),
    "stream": (scenes_stream.Streamed(), 14),
    "mirror": (scenes_stream.Mirrored(), 6),
}
"""By name, with their weight in a draw."""


@dataclass(frozen=True)
class Schedule:
    seed: int
    scene: str
    faults: tuple[tuple[Kind, int], ...]
    """Kind, and at which of its calls or stages; each strikes one attempt."""
    anew: bool
    """Whether the attempt after a fault is another run, in places of its own; else a retry in the same ones."""


@dataclass(frozen=True)
class Outcome:
    schedule: Schedule
    problem: str
    """Empty where it came to the right end."""
    codes: tuple[int, ...]
    seconds: float


class Driver:
    """Prepares scenes under `folder` and plays schedules over copies of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cloud: Cloud | None = None
        """Google's adapters are behind the ports: each schedule prepares its scene anew."""
        MlflowRegistry._project = lambda *_: None  # type: ignore[method-assign]  # the view for people has own tests
        canary.INTERVAL = 0.02
        self._sizes: dict[str, dict[str, int]] = {}
        self._whole: dict[str, Any] = {}

    def prepare(self, names: Sequence[str] = tuple(SCENES)) -> None:
        """The scenes' inputs, and the states that runs without a fault leave."""
        for name in names:
            if name in self._sizes:
                continue
            inputs, whole = self._folder / "scenes" / name, self._folder / f"whole-{name}"
            for place in (inputs, whole):
                shutil.rmtree(place, ignore_errors=True)  # of one that failed
            if self.cloud is None:
                self._stage(name, inputs)
            world = self._world(name, whole)
            work = partial(attempted, SCENES[name][0], world, Fault(None, 0, world.home), None)
            found = sound(name, work, world.answer)
            self._sizes[name], self._whole[name] = found["counts"], found["state"]
        # What stands in memory by now is shared with every fork, and collecting it would copy it.
        gc.freeze()

    def drawn(self, seed: int, names: Sequence[str] = tuple(SCENES)) -> Schedule:
        """The schedule of a seed. Its first fault lies within what a run without one does."""
        chance = random.Random(seed)
        [name] = chance.choices(names, [SCENES[n][1] for n in names])
        faults = [self._fault(chance, name)]
        while chance.random() < 0.2:
            faults.append(self._fault(chance, name))
        return Schedule(seed, name, tuple(faults), anew=chance.random() < 0.5)

    def _fault(self, chance: random.Random, name: str) -> tuple[Kind, int]:
        kind = chance.choices(DRAWN, [2 if kind in KILLS else 1 for kind in DRAWN])[0]
        return kind, chance.randint(1, self._sizes[name][Fault.unit(kind)])

    def places(self, name: str, kind: Kind) -> range:
        """Where this fault can strike in a scene."""
        return range(1, self._sizes[name][Fault.unit(kind)] + 1)

    def at(self, name: str, kind: Kind, n: int) -> Schedule:
        return Schedule(n, name, ((kind, n),), anew=bool(n % 2))

    def wired(self, name: str) -> Schedule:
        """The proxy strikes in the first attempt."""
        return Schedule(0, name, (("wire", 0),), anew=False)

    def play(self, schedule: Schedule) -> Outcome:
        """Never raises for what the schedule does."""
        started, folder = time.monotonic(), Path(tempfile.mkdtemp(dir=self._folder))
        problem = ""
        try:
            codes, problem = self._played(schedule, folder)
        finally:
            if problem:
                problem += "\n" + folder.with_suffix(".log").read_text()[-6000:]
            for place in self._folder.glob(f"{folder.name}.*"):
                place.unlink()
            shutil.rmtree(folder)
        return Outcome(schedule, problem, tuple(codes), time.monotonic() - started)

    def _played(self, schedule: Schedule, folder: Path) -> tuple[list[int], str]:
        """Each attempt's exit code, and what is wrong."""
        world, codes, scene = self._world(schedule.scene, folder), list[int](), SCENES[schedule.scene][0]
        straight = world.launch.profile
        struck: Struck | None = None
        for number, (kind, n) in enumerate([*schedule.faults, (None, 0)]):
            wired = self.cloud.wire if self.cloud is not None and kind == "wire" else {}
            world = replace(world, launch=replace(world.launch, profile=_over(straight, wired)))
            code, found = forked(partial(attempted, scene, world, Fault(kind, n, folder), struck), world.answer)
            codes.append(code)
            if problem := self._wrong(schedule.scene, kind, code, found):
                return codes, f"attempt {number + 1}, {kind or 'no fault'} {n}: {problem}"
            struck = Struck(world, sum(kind in KILLS for kind, _ in schedule.faults[: number + 1]))
            if schedule.anew:
                launch = replace(world.launch, job=f"job-again-{number}")
                world = replace(world, launch=launch, out=folder / f"out-{number}")
        left = list(temporary(folder))
        return codes, f"temporary files are left: {left}" if struck is not None and len(left) > struck.kills else ""

    def _wrong(self, name: str, kind: Kind | None, code: int, found: Any) -> str:
        """What an attempt shows that no fault excuses."""
        if code and (kind is None or code < 0) and not (kind in KILLS and code == -signal.SIGKILL):
            return f"it ended with {code}"
        if code:
            return ""
        if found["problem"]:
            return str(found["problem"])
        whole, state = self._whole[name], found["state"]
        if kind is not None:  # aliases follow with the next run: the step has said so
            whole, state = committed(whole), committed(state)
        return difference(whole, state)

    def _world(self, name: str, folder: Path) -> World:
        """The scene as it was prepared, in places of its own."""
        inputs = self._folder / "scenes" / name
        if self.cloud is not None:
            inputs = folder / "scene"
            self._stage(name, inputs)
        else:
            shutil.copytree(inputs / "esteira", folder / "esteira")
        launch = Launch(**json.loads((inputs / "launch.json").read_bytes()))
        if self.cloud is None:
            profile = Profile.from_json(launch.profile).model_copy(update={"root": str(folder / "esteira")})
            launch = replace(launch, profile=profile.to_json())
        (folder / "tmp").mkdir()
        return World(launch, inputs, folder / "out", home=folder)

    def _stage(self, name: str, root: Path) -> None:
        sound(name, partial(prepared, SCENES[name][0], root, self.cloud), root.with_suffix(".json"))


def _over(profile: str, wire: dict[str, str]) -> str:
    """The profile, whose servers are reached so."""
    found = json.loads(profile)
    found["emulators"] |= {name: at for name, at in wire.items() if name != "vertex"}
    if "vertex" in wire:
        found["vertex"]["endpoint"] = wire["vertex"]
    return json.dumps(found)
