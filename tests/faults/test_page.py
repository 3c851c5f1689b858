"""docs/reliability.md: each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (REPOSITORY / "docs" / "reliability.md").read_text())


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_each_test_that_the_page_names_exists(file: str) -> None:
    nodes = ast.walk(ast.parse((REPOSITORY / file).read_text()))
    there = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assert {name for named, name in NAMED if named == file} <= there


def test_each_line_of_the_page_names_one() -> None:
    rows = re.findall(r"^\| .*", (REPOSITORY / "docs" / "reliability.md").read_text(), re.MULTILINE)
    assert len(NAMED) == len([row for row in rows if "shown by" not in row]) > 60
