"""`esteira schedule` as a person gives it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.errors import CaseError, ConflictError, SetupError
from tests.launch.test_submit import Desk, desk, release  # noqa: F401  # fixtures
from tests.servers.vertex.server import vertex

pytestmark = pytest.mark.slow
NIGHTLY = {"pipeline": "batch", "cron": "0 4 * * *", "time_zone": "Europe/Lisbon"}


@pytest.fixture
def on_vertex(desk: Callable[..., Desk]) -> Iterator[Desk]:  # noqa: F811
    with vertex() as (server, service):
        yield desk("vertex", server, service)


def give(desk: Desk, verb: str, *arguments: str) -> Any:  # noqa: F811
    fixed = ["--to", "vertex", "--profile", "cloud"]
    made = ["--allow-local-blobs"] if verb in ("apply", "create", "update") else []
    return desk.give("schedule", verb, "cases/flights", *arguments, *fixed, *made)


def says(desk: Desk, **schedules: Any) -> None:  # noqa: F811
    """The case's schedules; the release stays the one from before, which needs none of them."""
    path = desk.folder / "cases" / "flights" / "case.yaml"
    text = path.read_text().partition("\nschedules:")[0]
    path.write_text(text + "\n" + yaml.safe_dump({"schedules": schedules}))


def test_apply_tells_the_difference_then_makes_it_and_again_there_is_none(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY, scores={"pipeline": "predict", "cron": "15 * * * *"})
    dry = give(on_vertex, "apply", "--dry-run")
    assert dry.output == (
        "create  nightly: batch at 0 4 * * * Europe/Lisbon\ncreate  scores: predict at 15 * * * * UTC\n"
    )
    assert on_vertex.service.schedules == {}
    assert not (on_vertex.folder / ".esteira").exists()
    assert give(on_vertex, "apply").output == dry.output + "done\n"
    assert len(on_vertex.service.schedules) == 2
    assert give(on_vertex, "apply").output == "vertex has what the case says: 2 schedules\n"
    bundles = on_vertex.folder / ".esteira" / "blobs" / "bundles"
    job = next(iter(on_vertex.service.schedules.values())).create_pipeline_job_request.pipeline_job
    assert (bundles / dict(job.runtime_config.parameter_values)["bundle"]).is_dir()


def test_a_schedule_is_created_shown_paused_resumed_updated_and_deleted(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    assert "created nightly: https://" in give(on_vertex, "create", "nightly").output
    assert "there already" in give(on_vertex, "create", "nightly").output
    listed = give(on_vertex, "list").output
    assert "nightly" in listed
    assert "Europe/Lisbon" in listed
    (kept,) = on_vertex.service.schedules.values()
    for verb, state in (("pause", "PAUSED"), ("resume", "ACTIVE")):
        assert f"nightly {verb}d: https://" in give(on_vertex, verb, "nightly").output
        assert kept.state.name == state
    says(on_vertex, nightly=NIGHTLY | {"cron": "30 4 * * *"})
    refused = give(on_vertex, "create", "nightly").exception
    assert isinstance(refused, ConflictError)
    assert refused.remedy == "Give: esteira schedule update flights nightly --to vertex --profile cloud"
    dry = give(on_vertex, "update", "nightly", "--dry-run").output
    assert dry == "update  nightly: cron 0 4 * * * -> 30 4 * * *\n"
    assert give(on_vertex, "update", "nightly").output == dry + "done\n"
    assert give(on_vertex, "update", "nightly").output == "nightly is as the case says\n"
    assert "deleted" in give(on_vertex, "delete", "nightly").output
    assert on_vertex.service.schedules == {}


def test_a_pause_that_the_case_takes_back_is_told_before_it_is(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    give(on_vertex, "apply")
    give(on_vertex, "pause", "nightly")
    (kept,) = on_vertex.service.schedules.values()
    resumed = "paused -> active; schedules.nightly.paused: true in the case keeps it paused\n"
    assert give(on_vertex, "apply", "--dry-run").output == f"resume  nightly: {resumed}"
    says(on_vertex, nightly=NIGHTLY | {"cron": "30 4 * * *"})
    told = give(on_vertex, "apply", "--dry-run").output
    assert told == f"update  nightly: cron 0 4 * * * -> 30 4 * * *; {resumed}"
    assert kept.state.name == "PAUSED"
    assert give(on_vertex, "apply").output == told + "done\n"
    assert kept.state.name == "ACTIVE"
    says(on_vertex, nightly=NIGHTLY | {"cron": "30 4 * * *", "paused": True})
    assert give(on_vertex, "apply").output == "pause   nightly: active -> paused, as the case says\ndone\n"
    assert kept.state.name == "PAUSED"


def test_what_a_target_has_is_shown_for_people_and_as_json(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    give(on_vertex, "apply")
    (id,) = on_vertex.service.schedules
    shown = give(on_vertex, "show", "nightly").output.splitlines()
    assert shown[0] == "nightly"
    for line in (
        "  pipeline     batch",
        "  cron         0 4 * * *",
        "  time zone    Europe/Lisbon",
        "  state        active",
    ):
        assert line in shown
    assert f"  id           {id}" in shown
    assert "{" not in "".join(shown)
    (found,) = json.loads(give(on_vertex, "show", "nightly", "--json").output)
    assert (found["id"], found["cron"], found["paused"]) == (id, "0 4 * * *", False)
    assert set(found["about"]) > {"bundle", "profile"}


def test_json_is_of_what_a_target_has(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    result = on_vertex.give("schedule", "show", "cases/flights", "--json")
    assert isinstance(result.exception, CaseError)
    assert str(result.exception).startswith("'--json' must be with --to alone. Got ")


def test_what_a_schedule_starts_is_listed_as_the_cases_and_a_manual_run_touches_no_schedule(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    give(on_vertex, "apply")
    (id,) = on_vertex.service.schedules
    on_vertex.service.fire(id)
    before = str(on_vertex.service.schedules[id])
    asked = on_vertex.server.called("/schedules")
    assert on_vertex.submit("--key", "by-hand").exit_code == 0
    assert str(on_vertex.service.schedules[id]) == before
    assert on_vertex.server.called("/schedules") == asked
    listed = on_vertex.give("runs", "list", "--on", "vertex", "--profile", "cloud", "--case", "flights").output
    assert "scheduled-" in listed
    assert "by-hand" in listed


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (NIGHTLY | {"cron": "0 25 * * *"}, "'schedules.nightly.cron' must have its hour from 0 to 23"),
        (NIGHTLY | {"concurrency": 0}, "'schedules.nightly.concurrency' must be greater than or equal to 1"),
        (NIGHTLY | {"cronn": "x"}, "'schedules.nightly.cronn' must not be there"),
    ],
)
def test_a_wrong_schedule_is_refused_before_anything_is_asked(on_vertex: Desk, schedule: Any, text: str) -> None:
    path = on_vertex.folder / "cases" / "flights" / "case.yaml"
    path.write_text(path.read_text() + yaml.safe_dump({"schedules": {"nightly": schedule}}))
    result = give(on_vertex, "apply")
    assert isinstance(result.exception, CaseError)
    assert text in str(result.exception)
    assert on_vertex.server.seen == []


def test_a_pipeline_that_nobody_knows_is_refused(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY | {"pipeline": "nightly"})
    result = give(on_vertex, "apply")
    assert isinstance(result.exception, CaseError)
    assert "'schedules.nightly.pipeline' must be one of batch, predict, fast" in str(result.exception)
    assert on_vertex.server.seen == []


def test_a_schedule_that_the_case_or_the_target_lacks_is_named(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    created = give(on_vertex, "create", "weekly")
    assert "must be one of the case's schedules: nightly. Got 'weekly'" in str(created.exception)
    paused = give(on_vertex, "pause", "nightly")
    told = (
        "must be one of flights on the target. Got 'nightly'. See `esteira schedule list flights --to vertex --profile"
    )
    assert told in str(paused.exception)


def test_schedules_need_blobs_that_the_tasks_reach(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    result = on_vertex.give("schedule", "apply", "cases/flights", "--to", "vertex", "--profile", "cloud")
    assert isinstance(result.exception, SetupError)
    assert "'profile.blobs' must be reachable from vertex" in str(result.exception)
    assert on_vertex.server.seen == []


def test_the_crontab_holds_a_line_that_a_shell_can_run(on_vertex: Desk, tmp_path: Path) -> None:
    says(on_vertex, nightly=NIGHTLY, often={"cron": "*/30 * * * *", "concurrency": 2, "paused": True})
    shown = on_vertex.give("schedule", "show", "cases/flights", "--crontab").output.splitlines()
    assert shown.pop(0) == "# CRON_TZ is known to cronie; Debian's cron keeps to the machine's own zone."
    assert shown[:2] == ["# flights nightly", "CRON_TZ=Europe/Lisbon"]
    assert shown[2].startswith(f"0 4 * * * cd {shlex.quote(str(on_vertex.folder))} && mkdir -p .esteira && flock -n ")
    esteira = Path(sys.executable).with_name("esteira")
    assert f"{esteira} run flights batch --profile local" in shown[2]
    assert shown[3:5] == ["# flights often: paused", "CRON_TZ=UTC"]
    assert shown[5].startswith("# 0,30 * * * * cd ")
    assert "flock" not in shown[5]
    fake = tmp_path / "bin" / "esteira"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho ran $*\n")
    fake.chmod(0o755)
    command = shown[2].removeprefix("0 4 * * * ").replace(r"\%", "%").replace(str(esteira), str(fake))
    subprocess.run(["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, check=True)
    log = on_vertex.folder / ".esteira" / "flights.nightly.log"
    assert log.read_text() == "ran run flights batch --profile local\n"


@pytest.mark.parametrize("options", [[], ["--crontab"]])
def test_that_a_case_has_no_schedules_is_said_on_standard_error(on_vertex: Desk, options: list[str]) -> None:
    says(on_vertex)
    shown = on_vertex.give("schedule", "show", "cases/flights", *options)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "cases/flights has no schedules: add them to case.yaml\n"


def test_without_a_target_the_case_itself_is_shown(on_vertex: Desk) -> None:
    says(on_vertex, nightly=NIGHTLY)
    shown = on_vertex.give("schedule", "show", "cases/flights").output
    assert shown == "nightly: batch at 0 4 * * * Europe/Lisbon, 1 at once\n"
