"""`case.yaml` as a person writes it: the case and its operations on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from components.core import metrics, written
from components.core.case import Case
from components.core.declared import validate
from components.core.errors import CaseError
from components.core.operations import Operations, Schedule


class CaseFile(Operations, Case):
    """`case.yaml` as a person writes it."""

    schedules: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["nightly"])], Schedule] = {}
    """By a name of your own. No step reads them: a change needs no release, only `esteira schedule apply`."""

    @model_validator(mode="after")
    def _canary_fits_the_task(self) -> Self:
        known = metrics.logged(self.model.task)
        for name in self.canary.quality:
            if name not in known:
                raise ValueError(f"canary.quality names {name!r}, and live {self.model.task} has {', '.join(known)}")
        return self

    def case(self) -> Case:
        return Case.model_validate(self.model_dump(include=set(Case.model_fields)))

    def operations(self) -> Operations:
        return Operations.model_validate(self.model_dump(include=set(Operations.model_fields)))


def parse(text: str, *, where: str) -> CaseFile:
    """The case in the text of a `case.yaml`.

    Raises
    ------
    CaseError
        The text is no YAML mapping, or a key is unknown, missing or out of its rule; the first fault is named.
    """
    data = written.mapping(text, "case.yaml", where=where, remedy="See `esteira init`.")
    return validate(CaseFile, data, where=where, whole=True)


def load(folder: Path) -> CaseFile:
    """The case in `folder/case.yaml`."""
    path = folder / "case.yaml"
    if not path.is_file():
        raise CaseError(
            "case", "be a folder with a case.yaml", str(folder), "Make one with `esteira init NAME --data FILE`."
        )
    return parse(written.text_of(path), where=str(path))
