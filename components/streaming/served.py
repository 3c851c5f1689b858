"""The versions that the stream scores with: loaded and fitted to its messages before an event meets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.adapters import live
from components.adapters.live import Live
from components.adapters.ports import Pointer, Registry
from components.core import bundle, model
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.declared import section_digest
from components.core.errors import DataError, EsteiraError, ModelError
from components.core.events import ENTITY
from components.core.inference import Role
from components.core.traffic import challenged

_ENRICHMENT = ("columns", "references", "windows")


@dataclass(frozen=True)
class Version:
    """A loaded model with the case that it was trained with."""

    live: Live
    case: Case

    @property
    def number(self) -> int:
        return self.live.version

    @cached_property
    def enrichment(self) -> str:
        """What names its joins and windows; versions that agree in it share one state."""
        return section_digest(self.case, _ENRICHMENT)

    @cached_property
    def inputs(self) -> dict[str, ColumnType]:
        return {name: cast(ColumnType, kind) for name, kind in self.live.scorer.model.inputs}


@dataclass(frozen=True)
class Served:
    """What the pointer says, with its models: never changed, but replaced."""

    champion: Version
    challenger: Version | None = None
    percent: int = 0
    """Of the entities, for the challenger."""
    generation: int = 0
    """The pointer's."""

    @property
    def versions(self) -> list[tuple[Role, Version]]:
        found: list[tuple[Role, Version]] = [("champion", self.champion)]
        return [*found, ("challenger", self.challenger)] if self.challenger is not None else found

    def shown(self) -> str:
        """For people: "version 3 scores, version 4 gets 20 %"."""
        second = f", version {self.challenger.number} gets {self.percent} %" if self.challenger is not None else ""
        return f"version {self.champion.number} scores{second}"

    def cases(self) -> Mapping[str, Case]:
        """One case for each enrichment."""
        return {version.enrichment: version.case for _, version in self.versions}

    def shares(self, events: pa.Table) -> list[tuple[Role, Version, npt.NDArray[np.int64]]]:
        """Which rows each version scores, by a stable hash of the entity."""
        rows = np.arange(events.num_rows)
        if self.challenger is None or self.percent <= 0:
            return [("champion", self.champion, rows)]
        number, percent = self.challenger.number, self.percent
        mine = np.array([challenged(e, number, percent) for e in events.column(ENTITY).to_pylist()], dtype=bool)
        return [("champion", self.champion, rows[~mine]), ("challenger", self.challenger, rows[mine])]


def load(registry: Registry, decoded: Case, number: int) -> Version:
    """The version, ready to score rows that were decoded by the case `decoded`.

    Raises
    ------
    ArtifactError
        It is gone or altered.
    DataError
        It needs a column of the message that the stream's case does not declare alike.
    ModelError
        Its files or its code fail otherwise.
    """
    try:
        found = live.load(registry, decoded.name, number)
    except EsteiraError:
        raise
    except Exception as error:  # its code may raise anything
        told, remedy = f"{type(error).__name__}: {error}", "Look at its files and its features.py, or take another."
        raise ModelError(f"version {number}", "load", told, remedy, where=decoded.name) from error
    case = bundle.read(found.folder / model.BUNDLE, found.scorer.model.bundle).case()
    version = Version(found, case)
    there = {name: column.type for name, column in decoded.columns.items()}
    for name in sorted(_needed(case, version.inputs)):
        kind = case.columns[name].type
        if there.get(name) != kind:
            rule = f"be a column of type {kind} in the stream's case: version {number} needs it"
            remedy = "Start the stream with a case that declares it so."
            raise DataError(name, rule, there.get(name), remedy, where=decoded.name)
    return version


def _needed(case: Case, inputs: Mapping[str, str]) -> set[str]:
    """The columns of a message that the case's joins and windows, and the model, take."""
    names = {name for name in inputs if name in case.columns}
    for reference in case.references.values():
        names |= set(reference.by)
    for window in case.windows.values():
        names |= {*window.by, *([window.of] if window.of is not None else [])}
    return names


def follow(registry: Registry, decoded: Case, pointer: Pointer, known: Served | None) -> Served:
    """What the pointer says, models that are loaded already among it. Raises as `load` does; needs a champion."""
    assert pointer.champion is not None
    loaded = {version.number: version for _, version in known.versions} if known is not None else {}

    def version(number: int) -> Version:
        return loaded[number] if number in loaded else load(registry, decoded, number)

    challenger = version(pointer.challenger) if pointer.challenger is not None else None
    return Served(version(pointer.champion), challenger, pointer.split, pointer.generation)
