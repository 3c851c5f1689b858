"""The pointer of each case as blobs: what is live, and every state before it."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from components.adapters.ports import Blobs, ModelVersion, Pointer
from components.adapters.recorded_models import RecordedModels
from components.core.errors import ArtifactError, CaseError, ConflictError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class PointerEndpoints:
    """Implements `ports.Endpoints` over any `Blobs`.

    `pointers/CASE.json` is the commit point, replaced by compare-and-set. A state's entry in the history,
    `pointers/CASE/GENERATION.json`, is a copy of what was committed, written after it; what a kill left out is
    written before the next commit, so that none is ever lost.
    """

    resources: Path | None = None
    """Nothing is deployed by anybody else."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def pointer(self, case: str) -> Pointer:
        return self._stored(case)[0]

    def change(self, pointer: Pointer) -> Pointer:
        _check(pointer)
        stored, blob = self._stored(pointer.case)
        if pointer.generation != stored.generation:
            raise _lost(pointer, stored)
        self._remember(stored)
        changed = replace(pointer, generation=stored.generation + 1, at=time.time())
        try:
            self._blobs.write(_path(pointer.case), _json(changed), generation=blob)
        except ConflictError as error:
            raise _lost(pointer, self.pointer(pointer.case)) from error
        with suppress(OSError):  # it is committed; what could not be copied now is before the next commit
            self._remember(changed)
        return changed

    def history(self, case: str) -> list[Pointer]:
        current = self.pointer(case)
        names = self._blobs.names(f"pointers/{_name(case)}/")
        before = [_parse(self._blobs.read(name)[0], name) for name in names]
        past = [p for p in before if p.generation < current.generation]
        return sorted(past, key=lambda p: p.generation) + ([current] if current.generation else [])

    def prepare(self, version: ModelVersion) -> None:
        """Whoever serves follows the pointer and loads for itself, from the blobs where the model is there."""
        if version.digest:
            RecordedModels(self._blobs).record(version)

    def project(self, pointer: Pointer) -> None:
        """Whoever serves follows the pointer."""

    def traffic(self, case: str) -> dict[int, int]:
        return shares(self.pointer(case))

    def resource(self, case: str) -> str:  # noqa: ARG002  # nothing here is in a cloud
        return ""

    def _stored(self, case: str) -> tuple[Pointer, int]:
        """The pointer and its blob's generation; one that points nowhere, and 0, before the first change."""
        path = _path(case)
        if not self._blobs.exists(path):
            return Pointer(case), 0
        data, generation = self._blobs.read(path)
        return _parse(data, path), generation

    def _remember(self, state: Pointer) -> None:
        if state.generation:
            with suppress(ConflictError):  # it is remembered already
                self._blobs.write(f"pointers/{state.case}/{state.generation:08d}.json", _json(state), generation=0)


def shares(pointer: Pointer) -> dict[int, int]:
    """Percent of the traffic by version, as the pointer wants it; empty where there is no champion."""
    if pointer.champion is None:
        return {}
    found = {pointer.champion: 100 - pointer.split}
    if pointer.challenger is not None:
        found[pointer.challenger] = pointer.split
    return found


def _name(case: str) -> str:
    if not _NAME.fullmatch(case):
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        raise CaseError("case", rule, case, "Use the case's name.", where="endpoints")
    return case


def _path(case: str) -> str:
    return f"pointers/{_name(case)}.json"


def _json(pointer: Pointer) -> bytes:
    return json.dumps(asdict(pointer), indent=1, sort_keys=True, allow_nan=False).encode()


def _parse(data: bytes, path: str) -> Pointer:
    try:
        return Pointer(**json.loads(data))
    except (ValueError, TypeError) as error:
        remedy = "Restore it from the history beside it."
        raise ArtifactError("pointer", "be a pointer's record", str(error), remedy, where=path) from error


def _check(pointer: Pointer) -> None:
    """Raises CaseError where the pointer could not be served."""

    def refuse(name: str, rule: str, value: object) -> CaseError:
        return CaseError(name, rule, value, "Mend the pointer and change it again.", where="endpoints")

    for role in ("champion", "previous", "challenger"):
        version = getattr(pointer, role)
        if version is not None and (type(version) is not int or version < 1):
            raise refuse(role, "be a version: a whole number from 1", version)
    if type(pointer.split) is not int or not 0 <= pointer.split <= 100:
        raise refuse("split", "be a whole percentage from 0 to 100", pointer.split)
    if pointer.split and pointer.challenger is None:
        raise refuse("split", "be 0 without a challenger", pointer.split)
    if pointer.challenger is not None and pointer.challenger == pointer.champion:
        raise refuse("challenger", "be another version than the champion", pointer.challenger)
    if pointer.challenger is not None and pointer.champion is None:
        raise refuse("champion", "be there before a challenger", None)


def _lost(wanted: Pointer, stored: Pointer) -> ConflictError:
    rule = f"be at generation {wanted.generation}"
    return ConflictError(
        "pointer", rule, stored.generation, "Somebody changed it first: read it again and decide anew."
    )
