"""What a scene of the fault schedules is, and how what it leaves is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from components.adapters.connect import Connected
from components.core import artifacts, bundle, case_file, watermark
from components.core.errors import ArtifactError
from components.core.profile import Profile
from components.step import Launch, store_bundle, store_operations
from tests.faults.cloud import make_dataset
from tests.toy import NAME

CLOCK = {"_at", "_latency_ms", "_label_time"}


@dataclass
class World:
    """One schedule's launch over ports of its own; `inputs` are the scene's, which nobody changes."""

    launch: Launch
    inputs: Path
    out: Path
    home: Path
    """In which faults strike; `out` is in it."""

    @property
    def ports(self) -> Connected:
        return Connected(Profile.from_json(self.launch.profile))

    @property
    def answer(self) -> Path:
        """Where an attempt says what came of it."""
        return self.home.with_suffix(".json")

    def places(self, *names: str) -> dict[str, str]:
        return {name: str(self.out / name) for name in names}


class Scene(Protocol):
    def prepare(self, root: Path, launch: Launching) -> Launch:
        """Makes the inputs and what stands before, under `root`; the root of the ports is `root/esteira`."""
        ...

    def play(self, world: World) -> None:
        """The steps. Again after a fault, they come to the same end."""
        ...

    def state(self, world: World) -> dict[str, Any]:
        """All that must not depend on a fault: times and the names of runs are left out."""
        ...

    def seen(self, world: World) -> None:
        """Asserts what a reader may count on right after a fault."""
        ...


class Launching(Protocol):
    def __call__(self, folder: Path, sources: Path, job: str = "job-1", **profile: object) -> Launch: ...


def launching(root: Path, settings: Mapping[str, Any]) -> Launching:
    """How a scene stores its case: in ports under `root`, and with these sections of the profile."""

    def launch(folder: Path, sources: Path, job: str = "job-1", **profile: object) -> Launch:
        places = {"root": str(root / "esteira"), "sources": str(sources)}
        chosen = Profile.model_validate({**places, **settings, **profile})
        ports, built = Connected(chosen), bundle.build(folder)
        if chosen.tables.adapter == "google":
            make_dataset(chosen.tables.at)
        store_bundle(ports, built)
        return Launch(job, built.digest, store_operations(ports, case_file.load(folder).operations()), chosen.to_json())

    return launch


def digests(out: Path, names: tuple[str, ...]) -> dict[str, str]:
    return {name: artifacts.verify(out / name).digest for name in names}


def whole_or_absent(out: Path, names: tuple[str, ...]) -> None:
    for name in names:
        try:
            artifacts.verify(out / name)
        except ArtifactError:
            assert not (out / name / artifacts.MANIFEST).exists(), f"{name} is half"


def live_state(ports: Connected, name: str = NAME) -> dict[str, Any]:
    """Pointer, history, versions with their aliases, and the watermark."""
    untimed, mark = {"at": 0, "by": ""}, watermark.path(name)
    identities = [v.identity for v in ports.registry.versions(name)]
    assert len(set(identities)) == len(identities)
    return {
        "pointer": asdict(ports.endpoints.pointer(name)) | untimed,
        "history": [asdict(pointer) | untimed for pointer in ports.endpoints.history(name)],
        "versions": [
            [v.version, v.identity, {k: t for k, t in v.tags.items() if k != "run"}, sorted(v.aliases)]
            for v in ports.registry.versions(name)
        ],
        "watermark": ports.blobs.read(mark)[0].decode() if ports.blobs.exists(mark) else None,
    }


def tables_state(ports: Connected, case: str = NAME) -> dict[str, Any]:
    """The rows of each table of the case by window, without what a clock wrote."""
    names = [f"{kind}_{case}" for kind in ("predictions", "live", "labels", "dead_letter")]
    rows = {
        name: {window: ports.tables.read(name, window=window).to_pylist() for window in ports.tables.windows(name)}
        for name in names
    }
    return {
        "tables": {
            name: {
                w: [{k: v for k, v in row.items() if k not in CLOCK} for row in found] for w, found in windows.items()
            }
            for name, windows in rows.items()
            if windows
        }
    }
