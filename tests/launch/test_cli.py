"""What the command line itself answers."""

from __future__ import annotations

from importlib import metadata

import pytest
from typer.testing import CliRunner

from pipelines import cli


def test_the_command_line_says_its_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"esteira {metadata.version('esteira')}\n")


def test_where_nothing_is_installed_its_version_is_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    there = metadata.version("esteira")

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"esteira {there}\n")
