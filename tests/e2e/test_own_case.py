"""A user's own case by the README's words alone: a regression on the hourly weather, as gzipped JSON lines."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pipelines.launch import environments
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own case")]


def commands() -> list[str]:
    """The commands of the README's section, without their comments."""
    section = (REPOSITORY / "README.md").read_text().split("## Your own data")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def as_json(row: dict[str, str]) -> str:
    """Without the calendar columns: a model that has learned a month by its number fails in the next, and is refused."""
    texts, left_out = {"origin", "time_hour"}, {"year", "month", "day", "hour"}
    kept = {k: v for k, v in row.items() if v != "NA" and k not in left_out}
    return json.dumps({k: v if k in texts else float(v) for k, v in kept.items()})


@pytest.fixture(scope="module")
def folder(flights_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: nothing but the hourly weather at three airports, 26,115 rows."""
    home = tmp_path_factory.mktemp("user")
    with (flights_data / "weather.csv").open() as source, gzip.open(home / "weather.jsonl.gz", "wt") as target:
        for row in csv.DictReader(source):
            target.write(as_json(row) + "\n")
    return home


def test_the_readme_is_enough(folder: Path) -> None:
    activate, init, check, batch, predict = commands()
    assert activate.startswith("source ")
    path = f"{environments.folder() / 'launcher' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    told = {}
    for command in (init, check, batch, predict):
        mine = command.replace("houses.csv", "weather.jsonl.gz").replace("houses", "climate").replace("price", "temp")
        done = subprocess.run(
            mine, shell=True, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
        assert done.returncode == 0, f"{mine}\n{done.stdout}\n{done.stderr}"
        told[command] = done.stdout
    case = (folder / "cases" / "climate" / "case.yaml").read_text()
    assert "task: regression" in case
    assert "entity_id: [origin, time_hour]" in case
    assert "laws of the transform" in told[check]
    assert "accepted" in told[batch]
    assert re.search(r"champion version 1", told[batch])
    assert "report" in told[predict]
