"""What commands share: options, and the ports of a profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from components.adapters.connect import Connected

Case = Annotated[str, typer.Argument(help="A case's folder, or the name of one under ./cases or of a packaged one.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Where things live: 'local', or profiles/NAME.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
INTERRUPTED = 130
"""The exit code of Ctrl-C."""


def ports_of(profile: str) -> Connected:
    """The ports of the profile of this name."""
    from components.adapters.connect import Connected
    from components.core import profile as profiles

    return Connected(profiles.load(profile))


def echo_json(data: Any) -> None:
    """One document on standard output."""
    typer.echo(json.dumps(data, indent=1, sort_keys=True, default=str))
