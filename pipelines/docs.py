"""The generated pages: `make docs` writes them, a test says when they are stale.

docs/case.md and docs/case.schema.json from the case's types, docs/profile.md from the profile's, docs/cli.md from the
command line, docs/route.svg from the route, and the README's table of components from their own docstrings.
"""

from __future__ import annotations

import importlib
import json
import re
import types as python_types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from components import COMPONENTS, ROUTE
from components.core import case_file
from components.core.artifacts import atomic_write
from components.core.complaints import models_in
from components.core.page.route import route_file
from components.core.profile import Profile

_MARK = "<!-- {0}: made by `make docs` -->"


def pages(repository: Path) -> dict[Path, str]:
    """Every generated file with its text."""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    readme = _between(readme, "components", component_table())
    schema = json.dumps(case_file.CaseFile.model_json_schema(), indent=1, sort_keys=True) + "\n"
    return {
        repository / "docs" / "case.md": case_page(),
        repository / "docs" / "case.schema.json": schema,
        repository / "docs" / "profile.md": profile_page(),
        repository / "docs" / "cli.md": cli_page(),
        repository / "docs" / "route.svg": route_file(ROUTE),
        repository / "README.md": readme,
    }


def write(repository: Path) -> None:
    for path, text in pages(repository).items():
        atomic_write(path, text.encode())


def _between(text: str, name: str, body: str) -> str:
    start, stop = _MARK.format(name), _MARK.format(f"end of {name}")
    head, _, rest = text.partition(start)
    _, _, tail = rest.partition(stop)
    return f"{head}{start}\n{body}\n{stop}{tail}"


def component_table() -> str:
    """One row per component: what it does, in its own words."""
    rows = ["| component | what it does |", "|---|---|"]
    for name in COMPONENTS:
        doc = importlib.import_module(f"components.{name}.component").__doc__ or ""
        told = " ".join(doc.split()).removeprefix(f"{name}: ")
        rows.append(f"| [{name}](components/{name}/README.md) | {told} |")
    return "\n".join(rows)


def case_page() -> str:
    """Every key of case.yaml by section: type, default, meaning."""
    parts = [
        "# case.yaml",
        "",
        "Made by `make docs` from `components/core/case_file.py`. Unknown keys are refused. An editor that knows JSON",
        "Schema can use [case.schema.json](case.schema.json). A whole example:",
        "[flights](../pipelines/cases/flights/case.yaml).",
    ]
    return "\n".join([*parts, *_keys(case_file.CaseFile)]) + "\n"


def profile_page() -> str:
    """What a profile is, with examples, and every key of profiles/NAME.yaml by section."""
    return "\n".join([_PROFILE.format(*PROFILES.values()), *_keys(Profile)]) + "\n"


PROFILES = {
    "dev": """\
root: /data/esteira
sources: /data/raw
tracking: {adapter: mlflow, at: "http://127.0.0.1:5000"}
alerts: {smtp: "localhost:25", webhook_env: ESTEIRA_WEBHOOK}
""",
    "cloud": """\
sources: gs://my-bucket/data
blobs: {adapter: google, at: gs://my-bucket/esteira}
tables: {adapter: google, at: my-project.esteira}
events: {adapter: pubsub, at: my-project}
registry: {adapter: google}
endpoints: {adapter: google}
tracking: {adapter: google}
vertex:
  project: my-project
  region: europe-west1
  pipeline_root: gs://my-bucket/runs
  service_account: esteira@my-project.iam.gserviceaccount.com
""",
}
"""The examples of the page, by name."""

_PROFILE = """\
# profiles/NAME.yaml

Made by `make docs` from `components/core/profile.py` and its neighbours `sections.py` and `targets.py`.
Unknown keys are refused.

A profile says where things live: which adapter answers each port, and where. It holds no secrets. `--profile NAME`
reads `profiles/NAME.yaml` under the current folder. `local` is built in: everything under one folder, `.esteira`, and
nothing to start; a file `profiles/local.yaml` takes its place. The variable `ESTEIRA_ROOT`, where it is set, wins
over `root` in every profile. Relative paths of `root`, `sources` and `alerts.webhook_file` stand under the current
folder; `sources` may be a URL instead. A port that a profile leaves out is local, under `root`: tasks elsewhere do not
see that folder, so a profile for them names an adapter of each port that they use.

`profiles/dev.yaml`, on one machine:

```yaml
{0}```

`profiles/cloud.yaml`, for tasks on Vertex AI Pipelines (`esteira submit CASE PIPELINE --to vertex --profile cloud`):

```yaml
{1}```"""


def _keys(whole: type[BaseModel]) -> list[str]:
    """Every key of a file by section: type, default, meaning."""
    parts = []
    for section, model in _sections(whole):
        parts += ["", f"## {section}", ""]
        doc = model.__doc__
        if doc and not doc.startswith("!"):
            parts += [" ".join(doc.split()), ""]
        parts += ["| key | type | default | meaning |", "|---|---|---|---|"]
        parts += [_row(name, field) for name, field in model.model_fields.items()]
    return parts


def _sections(whole: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each model once, with the keys that hold it."""
    places: dict[type[BaseModel], list[str]] = {}
    waiting: list[tuple[str, type[BaseModel]]] = [("Top level", whole)]
    while waiting:
        place, model = waiting.pop(0)
        places.setdefault(model, []).append(place)
        if len(places[model]) > 1:
            continue
        for name, field in model.model_fields.items():
            prefix = "" if place == "Top level" else place + "."
            waiting += [(f"{prefix}{name}", inner) for inner in models_in(field.annotation)]
    for model, keys in places.items():
        yield ", ".join(keys), model


def _row(name: str, field: FieldInfo) -> str:
    default = (
        "required"
        if field.default is PydanticUndefined and field.default_factory is None
        else field.get_default(call_default_factory=True)
    )
    shown = default if default == "required" else _shown(default)
    meaning = " ".join((field.description or "").split())
    return f"| `{name}` | {_type(field.annotation)} | {shown} | {meaning} |".replace("  ", " ")


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, BaseModel):
        return "see below"
    if isinstance(default, tuple):
        return f"`{json.dumps(list(default))}`"
    return f"`{json.dumps(default)}`"


def _type(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " \\| ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, python_types.UnionType):
        return " or ".join(_type(part) for part in parts if part is not type(None))
    if origin is typing.Annotated:
        return _type(parts[0])
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"mapping of {_type(parts[0])} to {_type(parts[1])}"
    names = {str: "text", float: "number", int: "whole number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def cli_page() -> str:
    """Every command with its help, as the command line prints it."""
    from typer.testing import CliRunner

    from pipelines.cli import app

    group = typer.main.get_command(app)
    parts = ["# The command line", "", "Made by `make docs` from `pipelines/cli.py`."]
    for words in [[], *_commands(group, [])]:
        answer = CliRunner().invoke(
            app, [*words, "--help"], prog_name="esteira", env={"COLUMNS": "110", "TERM": "dumb"}
        )
        parts += [
            "",
            f"## {' '.join(['esteira', *words])}",
            "",
            "```text",
            re.sub(r" +$", "", answer.output.strip(), flags=re.M),
            "```",
        ]
    return "\n".join(parts) + "\n"


def _commands(group: Any, words: list[str]) -> Iterator[list[str]]:
    for name in sorted(getattr(group, "commands", {})):
        yield [*words, name]
        yield from _commands(group.commands[name], [*words, name])


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[1])
