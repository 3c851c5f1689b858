"""Plays fault schedules: a scene with a fault, the same again, and the end that there is without a fault.

Each attempt is a fork of this process, which has imported everything and opened nothing; so is each preparation.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
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
from tests.faults.ports import KILLS, KINDS, Fault, Kind
from tests.faults.world import Scene, World, launching

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
        MlflowRegistry._project = lambda *_: None  # type: ignore[method-assign]  # the view for people has own tests
        canary.INTERVAL = 0.02
        self._sizes: dict[str, dict[str, int]] = {}
        self._whole: dict[str, Any] = {}

    def prepare(self, names: Sequence[str] = tuple(SCENES)) -> None:
        """The scenes' inputs, and the states that runs without a fault leave."""
        for name in names:
            if name in self._sizes:
                continue
            root = self._folder / "scenes" / name
            answer = root.with_suffix(".json")
            _sound(forked(partial(_prepared, SCENES[name][0], root), answer), answer)
            world = self._world(name, self._folder / f"whole-{name}")
            work = partial(_attempted, SCENES[name][0], world, Fault(None, 0, _home(world)), None)
            found = _sound(forked(work, _answer(world)), _answer(world))
            self._sizes[name], self._whole[name] = found["counts"], found["state"]
        # What stands in memory by now is shared with every fork, and collecting it would copy it.
        gc.freeze()

    def drawn(self, seed: int) -> Schedule:
        """The schedule of a seed. Its first fault lies within what a run without one does."""
        chance = random.Random(seed)
        names = list(SCENES)
        [name] = chance.choices(names, [SCENES[n][1] for n in names])
        faults = [self._fault(chance, name)]
        while chance.random() < 0.2:
            faults.append(self._fault(chance, name))
        return Schedule(seed, name, tuple(faults), anew=chance.random() < 0.5)

    def _fault(self, chance: random.Random, name: str) -> tuple[Kind, int]:
        kind = chance.choices(KINDS, [2 if kind in KILLS else 1 for kind in KINDS])[0]
        return kind, chance.randint(1, self._sizes[name][Fault.unit(kind)])

    def every(self, name: str, kind: Kind) -> Iterator[Schedule]:
        """One schedule for each place of a scene where this fault can strike."""
        for n in range(1, self._sizes[name][Fault.unit(kind)] + 1):
            yield Schedule(n, name, ((kind, n),), anew=bool(n % 2))

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
        struck: Struck | None = None
        for number, (kind, n) in enumerate([*schedule.faults, (None, 0)]):
            code, found = forked(partial(_attempted, scene, world, Fault(kind, n, folder), struck), _answer(world))
            codes.append(code)
            if problem := self._wrong(schedule.scene, kind, code, found):
                return codes, f"attempt {number + 1}, {kind or 'no fault'} {n}: {problem}"
            struck = Struck(world, sum(kind in KILLS for kind, _ in schedule.faults[: number + 1]))
            if schedule.anew:
                launch = replace(world.launch, job=f"job-again-{number}")
                world = replace(world, launch=launch, out=folder / f"out-{number}")
        left = list(_temporary(folder))
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
            whole, state = _committed(whole), _committed(state)
        return _difference(whole, state)

    def _world(self, name: str, folder: Path) -> World:
        """A copy of what the scene's preparation left in its ports."""
        inputs = self._folder / "scenes" / name
        shutil.copytree(inputs / "esteira", folder / "esteira")
        (folder / "tmp").mkdir()
        launch = Launch(**json.loads((inputs / "launch.json").read_bytes()))
        profile = Profile.from_json(launch.profile).model_copy(update={"root": str(folder / "esteira")})
        return World(replace(launch, profile=profile.to_json()), inputs, folder / "out")


@dataclass(frozen=True)
class Struck:
    """The attempt before, and how many kills there were. Each may leave the file that it was writing."""

    world: World
    kills: int


def _home(world: World) -> Path:
    """The schedule's own folder."""
    return Path(Profile.from_json(world.launch.profile).root).parent


def _answer(world: World) -> Path:
    """Beside the schedule's folder, in which faults strike."""
    return _home(world).with_suffix(".json")


def _sound(ended: tuple[int, Any], answer: Path) -> Any:
    """What the work returned, which no fault has struck."""
    code, found = ended
    assert code == 0, f"{answer.stem} fails without a fault: {answer.with_suffix('.log').read_text()[-4000:]}"
    return found


def _prepared(scene: Scene, root: Path) -> None:
    root.mkdir(parents=True)
    launch = scene.prepare(root, launching(root))
    (root / "launch.json").write_text(json.dumps(asdict(launch)))


def _attempted(scene: Scene, world: World, fault: Fault, struck: Struck | None) -> dict[str, Any]:
    """Looks at what the attempt before has left, then plays the scene; what came of it, if it comes to its end."""
    tempfile.tempdir = str(_home(world) / "tmp")
    if struck is not None and (problem := _seen(scene, struck)):
        return {"problem": problem}
    fault.install()
    scene.play(world)
    fault.off()
    return {"problem": "", "counts": {**fault.counts}, "state": scene.state(world)}


def _seen(scene: Scene, struck: Struck) -> str:
    """What a reader finds wrong right after a fault."""
    try:
        scene.seen(struck.world)
    except Exception:
        return f"a reader finds after it: {traceback.format_exc()}"
    left = list(_temporary(_home(struck.world)))
    return f"temporary files are left: {left}" if len(left) > struck.kills else ""


def _committed(state: dict[str, Any]) -> dict[str, Any]:
    """Without the aliases, which are the pointer's projection."""
    return state | {"versions": [version[:3] for version in state.get("versions", [])]}


def _difference(whole: Any, state: Any, path: str = "") -> str:
    """Where two states differ first."""
    if isinstance(whole, dict) and isinstance(state, dict):
        for key in sorted({*whole, *state}, key=str):
            if found := _difference(whole.get(key), state.get(key), f"{path}.{key}"):
                return found
        return ""
    return "" if whole == state else f"{path or 'state'} is {str(state)[:500]}, and without a fault {str(whole)[:500]}"


def _temporary(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(".tmp"))


def forked(work: Callable[[], Any], answer: Path) -> tuple[int, Any]:
    """Runs the work in a fork: its exit code, negative for a signal, and what it returned."""
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        code = 1
        gc.disable()
        try:
            said = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            answer.write_text(json.dumps(work(), default=str))
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(answer.read_bytes()) if code == 0 else None
