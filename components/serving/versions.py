"""The versions that are served, and how a request finds its one. What is served follows the case's pointer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from components.adapters import live
from components.adapters.ports import Endpoints, Models, Pointer
from components.core import artifacts, bundle, model
from components.core.columns import ColumnType
from components.core.errors import ArtifactError, EsteiraError, RowError
from components.core.features import null_columns
from components.core.inference import Role
from components.core.scorer import Scorer
from components.core.traffic import challenged
from components.serving.asked import About
from components.serving.body import Input, Inputs
from components.serving.refusal import Refused
from components.serving.say import say

POLL = 1.0
"""Seconds between two looks at the pointer."""
_RETRY = 30
"""Looks until a version that did not load is tried again."""


class Served:
    """One loaded version with what every answer of it needs."""

    def __init__(self, case: str, version: int, folder: Path, scorer: Scorer) -> None:
        self.case, self.version, self.scorer = case, version, scorer
        self.folder = folder
        self.inputs = Inputs(_inputs(folder, scorer.model))
        self.baseline = _baseline(folder)
        self.name = str(version)
        self.about = About(case, version, scorer.model.classes)
        self.header = b"x-model-version: %d\r\n" % version

    def probe(self) -> None:
        """Scores one row of nothing: the first request pays for no first call, and a broken model shows now."""
        types = {one.name: one.kind for one in self.inputs.all}
        with suppress(RowError):  # features may refuse such a row
            self.scorer.predict(null_columns(types, 1))


def _inputs(folder: Path, described: model.Model) -> list[Input]:
    """The model's inputs with what its case says of each: whether it may be missing, and its description."""
    text = bundle.read(folder / model.BUNDLE, described.bundle).files["case.json"]
    columns: dict[str, Any] = json.loads(text).get("columns", {})
    found = []
    for name, kind in described.inputs:
        said = columns.get(name, {})
        note = str(said.get("description", ""))
        found.append(Input(name, cast(ColumnType, kind), bool(said.get("missing", True)), note))
    return found


def _baseline(folder: Path) -> dict[str, Any]:
    """By feature what training saw of it, for examples; empty where the model brings none."""
    try:
        text = artifacts.read_named(folder, artifacts.read_manifest(folder, "model"), model.BASELINE)
        found: dict[str, Any] = json.loads(text)["columns"]
    except (ArtifactError, ValueError, KeyError, TypeError):
        return {}
    return found


@dataclass(frozen=True)
class State:
    """What is served at one moment. Replaced as a whole, so that a request sees one state."""

    champion: Served | None = None
    challenger: Served | None = None
    split: int = 0
    role: Role = "champion"
    """As what `champion` answers: another, where it is a server's one version and an endpoint splits the traffic."""

    def route(self, identifier: str, version: int | None = None) -> tuple[Served, Role]:
        """The version for a request: by its id, or the one that it asks for. Raises Refused."""
        champion, challenger = self.champion, self.challenger
        if version is not None:
            return self._asked(version)
        if champion is None:
            remedy = "Promote a version: see `esteira models`."
            raise Refused(503, "champion", "be there to answer", None, remedy)
        if challenger is not None and challenged(identifier, challenger.version, self.split):
            return challenger, "challenger"
        return champion, self.role

    def _asked(self, version: int) -> tuple[Served, Role]:
        for served in (self.champion, self.challenger):
            if served is not None and served.version == version:
                return served, "named"
        raise Refused(404, "version", f"be one of {self.numbers()}", version, "Ask for a version that is served.")

    def numbers(self) -> list[int]:
        return [served.version for served in (self.champion, self.challenger) if served is not None]


@dataclass
class Versions:
    """The state of the moment, and the loads that did not succeed."""

    state: State = field(default_factory=State)
    failures: int = 0
    swaps: int = 0

    def replace(self, state: State) -> None:
        self.state = state
        self.swaps += 1


class Follower:
    """Keeps `versions` as the pointer says. `look` may take as long as a load; it runs beside the requests."""

    def __init__(self, versions: Versions, case: str, models: Models, endpoints: Endpoints) -> None:
        self._versions, self._case, self._models, self._endpoints = versions, case, models, endpoints
        self._seen: Pointer | None = None
        self._broken: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while True:
            self.look()
            if self._stop.wait(POLL):
                return

    def look(self) -> None:
        """Reads the pointer, loads what is new and swaps; whatever fails leaves what is served."""
        try:
            pointer = self._endpoints.pointer(self._case)
        except (EsteiraError, OSError) as error:
            self._failed("pointer", error)
            return
        self._broken = {version: left - 1 for version, left in self._broken.items() if left > 1}
        if pointer == self._seen and not self._unloaded(pointer):
            return
        if pointer != self._seen:
            self._seen, self._broken = pointer, {}
        self._follow(pointer)

    def _unloaded(self, pointer: Pointer) -> bool:
        wanted = {pointer.champion, pointer.challenger} - {None}
        return any(v not in self._broken and v not in self._versions.state.numbers() for v in wanted)

    def _follow(self, pointer: Pointer) -> None:
        before = self._versions.state
        champion = self._load(pointer.champion) or before.champion
        challenger = self._load(pointer.challenger)
        if challenger is champion:
            challenger = None
        after = State(champion, challenger, pointer.split if challenger is not None else 0)
        if after != before:
            self._versions.replace(after)
            roles = {"champion": champion and champion.version, "challenger": challenger and challenger.version}
            say("INFO", "serving", **roles, split=after.split, generation=pointer.generation)

    def _load(self, version: int | None) -> Served | None:
        """The loaded version; None where there is none, or where it does not load."""
        if version is None or version in self._broken:
            return None
        state = self._versions.state
        for served in (state.champion, state.challenger):
            if served is not None and served.version == version:
                return served
        try:
            return opened(self._case, version, lambda: live.load(self._models, self._case, version))
        except Exception as error:  # whatever is wrong with a new version must not end the old one
            self._broken[version] = _RETRY
            self._failed("version", error, version=version)
            return None

    def _failed(self, what: str, error: Exception, **facts: object) -> None:
        self._versions.failures += 1
        say("ERROR", f"{what} does not load", error=f"{type(error).__name__}: {error}", **facts)


def opened(case: str, version: int, load: Callable[[], live.Live]) -> Served:
    """A version that has scored once."""
    found = load()
    served = Served(case, version, found.folder, found.scorer)
    served.probe()
    return served
