"""What the command line itself answers."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from pipelines import cli


def test_the_command_line_says_its_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"esteira {version('esteira')}\n")
