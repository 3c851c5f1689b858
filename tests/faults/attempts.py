"""One attempt at a scene in a process of its own, and what it and its readers find."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.faults.cloud import Cloud
from tests.faults.ports import Fault
from tests.faults.world import Scene, World, launching


@dataclass(frozen=True)
class Struck:
    """The attempt before, and how many kills there were. Each may leave the file that it was writing."""

    world: World
    kills: int


def sound(scene: str, work: Callable[[], Any], answer: Path) -> Any:
    """What the work returned, which no fault strikes. Raises AssertionError where it ended otherwise."""
    code, found = forked(work, answer)
    assert code == 0, f"{scene} fails without a fault: {answer.with_suffix('.log').read_text()[-4000:]}"
    return found


def prepared(scene: Scene, root: Path, cloud: Cloud | None) -> None:
    root.mkdir(parents=True)
    settings = cloud.profile() if cloud is not None else {}
    launch = scene.prepare(root, launching(root, settings))
    (root / "launch.json").write_text(json.dumps(asdict(launch)))


def attempted(scene: Scene, world: World, fault: Fault, struck: Struck | None) -> dict[str, Any]:
    """Looks at what the attempt before has left, then plays the scene; what came of it, if it comes to its end."""
    tempfile.tempdir = str(world.home / "tmp")
    if struck is not None and (problem := seen(scene, struck)):
        return {"problem": problem}
    fault.install()
    scene.play(world)
    fault.off()
    counts = fault.counts
    return {"problem": "", "counts": counts, "state": scene.state(world)}


def seen(scene: Scene, struck: Struck) -> str:
    """What a reader finds wrong right after a fault."""
    try:
        scene.seen(struck.world)
    except Exception:
        return f"a reader finds after it: {traceback.format_exc()}"
    left = list(temporary(struck.world.home))
    return f"temporary files are left: {left}" if len(left) > struck.kills else ""


def committed(state: dict[str, Any]) -> dict[str, Any]:
    """Without the aliases, which are the pointer's projection."""
    return state | {"versions": [version[:3] for version in state.get("versions", [])]}


def difference(whole: Any, state: Any, path: str = "") -> str:
    """Where two states differ first."""
    if isinstance(whole, dict) and isinstance(state, dict):
        for key in sorted({*whole, *state}, key=str):
            if found := difference(whole.get(key), state.get(key), f"{path}.{key}"):
                return found
        return ""
    return "" if whole == state else f"{path or 'state'} is {str(state)[:500]}, and without a fault {str(whole)[:500]}"


def temporary(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(".tmp"))


def forked(work: Callable[[], Any], answer: Path) -> tuple[int, Any]:
    """Runs the work in a fork: its exit code, negative for a signal, and what it returned."""
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        gc.disable()
        said = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        ended(lambda: answer.write_text(json.dumps(work(), default=str)))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(answer.read_bytes()) if code == 0 else None


def ended(work: Callable[[], object]) -> NoReturn:
    """A fork's: does the work and exits as Python would; what its parent has left open stays as it is."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
