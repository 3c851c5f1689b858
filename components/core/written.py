"""YAML that a person wrote, and that says one thing: safe types, and no key twice in a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.core.errors import CaseError


class _Loader(yaml.SafeLoader):
    """YAML's safe types, and no key twice: the second would silently win."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError) as error:  # such as a date that no calendar has, or that is none
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} stands twice in line {node.start_mark.line + 1} or after"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def mapping(text: str, name: str, *, where: str, remedy: str) -> dict[Any, Any]:
    """The keys in the text of the file `name`, none in an empty one; `remedy` is for no mapping. Raises CaseError."""
    try:
        data = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise CaseError(name, "be YAML", told, "Mend the line that is named.", where=where) from error
    except RecursionError as error:
        told = "brackets or lines within each other a thousandfold"
        raise CaseError(name, "be nested as a person would", told, "Mend it.", where=where) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CaseError(name, "be a mapping of keys", data, remedy, where=where)
    return data


def text_of(path: Path) -> str:
    """Raises CaseError for what is not in UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaseError(path.name, "be UTF-8", str(error), "Save it as UTF-8.", where=str(path)) from error
