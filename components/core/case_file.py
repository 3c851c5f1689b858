"""`case.yaml` as a person writes it: the case and its operations on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, model_validator

from components.core import metrics
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


class _Loader(yaml.SafeLoader):
    """YAML's safe types, and no key twice: the second would silently win."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # such as a date that no calendar has
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} stands twice in line {node.start_mark.line + 1} or after"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text: str, *, where: str) -> CaseFile:
    """The case in the text of a `case.yaml`.

    Raises
    ------
    CaseError
        The text is no YAML mapping, or a key is unknown, missing or out of its rule; the first fault is named.
    """
    try:
        data = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise CaseError(
            "case.yaml", "be YAML", " ".join(str(error).split()), "Mend the line that is named.", where=where
        ) from error
    if not isinstance(data, dict):
        raise CaseError("case.yaml", "be a mapping of keys", data, "See `esteira init`.", where=where)
    return validate(CaseFile, data, where=where, whole=True)


def load(folder: Path) -> CaseFile:
    """The case in `folder/case.yaml`."""
    path = folder / "case.yaml"
    if not path.is_file():
        raise CaseError(
            "case", "be a folder with a case.yaml", str(folder), "Make one with `esteira init NAME --data FILE`."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaseError("case.yaml", "be UTF-8", str(error), "Save it as UTF-8.", where=str(path)) from error
    return parse(text, where=str(path))
