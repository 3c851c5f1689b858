"""`python -m components.streaming.beam`: the stream as a job that lasts as long as the process, or on Dataflow by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.adapters.gcp.clients import STORAGE_EMULATOR
from components.adapters.local.jobs import BeamJobs
from components.core.profile import Profile
from components.step import Launch
from components.streaming.beam import commits
from components.streaming.beam.__main__ import main
from components.streaming.beam.commits import GROUP
from components.streaming.state import State
from tests import prism
from tests.conftest import REPOSITORY
from tests.servers.dataflow import PROJECT, REGION, Dataflow, serving

from .conftest import CLOCK, LATENESS, TABLES, Stream, make_stream, messages, offsets

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Beam's own imports warn
    import apache_beam
    from apache_beam.runners.dataflow import dataflow_runner

    from components.streaming.beam import job

assert apache_beam
assert dataflow_runner

pytestmark = pytest.mark.slow
GCS = os.environ.get("ESTEIRA_GCS", "")
PATIENCE = 120.0


@contextmanager
def begun(stream: Stream) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on the job service, and what it says first; killed where a test fails meanwhile."""
    asked = arguments(stream, beam_profile(stream, environment_type="LOOPBACK"))
    command = [sys.executable, "-m", "components.streaming.beam", *asked]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, next(line for line in process.stderr if line.startswith("[stream]"))
        finally:
            process.kill()


def beam_profile(stream: Stream, **options: str) -> str:
    """On the job service."""
    jobs = {"runner": "PortableRunner", "options": {"job_endpoint": prism.PRISM or "127.0.0.1:1", **options}}
    return Profile.model_validate({**stream.profile.model_dump(), "jobs": jobs}).to_json()


def arguments(stream: Stream, profile: str) -> list[str]:
    return ["--bundle", stream.toy.launch.bundle, "--profile", profile, "--lateness", str(LATENESS)]


def until(stream: Stream, offset: int) -> None:
    """Waits until so much is committed."""
    deadline = time.monotonic() + PATIENCE
    while stream.log.committed(GROUP)[0] < offset:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@prism.needed
def test_on_a_job_service_it_goes_on_where_a_killed_one_had_written_until_a_signal_ends_it(stream: Stream) -> None:
    stream.point(stream.register())
    stream.log.append(messages(10, seed=1))
    origin, sent = stream.log.end, messages(90)
    parts = sent[:50], sent[50:100], sent[100:]
    with begun(stream) as (process, said):
        assert said == f"[stream] toy from offset {origin} on, until Ctrl+C\n"
        stream.log.append(parts[0])
        until(stream, origin + len(parts[0]))
        stream.log.append(parts[1])
        process.kill()
    stream.log.append(parts[2])
    between = origin + len(parts[0]) - 13  # some of what stands in the tables had not been committed either
    stream.log.commit(GROUP, between, stream.log.committed(GROUP)[1])
    with begun(stream) as (process, said):
        assert said == f"[stream] toy from offset {between} on, until Ctrl+C\n"
        until(stream, stream.log.end)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE)[1].endswith("[stream] toy: ended\n")
    assert process.returncode == 0
    whole = stream.steps()(State.nothing(), sent, origin)[1]
    for name, rows in zip(TABLES, (whole.live, whole.labels, whole.letters), strict=True):
        assert rows.num_rows
        assert stream.table(name).equals(rows.drop_columns([n for n in CLOCK if n in rows.column_names])), name


@pytest.fixture
def no_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is not refused ends at once; the command takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(BeamJobs, "run", lambda *_, **__: None)
    yield
    signal.signal(signal.SIGTERM, before)


def wrote(stream: Stream, *numbers: int) -> None:
    """As a Beam job did."""
    stream.ports.tables.append("live_toy", job.window(numbers[0]), pa.table({"_arrival": numbers}), key="_arrival")


@pytest.mark.usefixtures("no_job")
@pytest.mark.parametrize(
    ("numbers", "begun_before"),
    [((1_700_000_000_000_000,), False), ((1_700_000_000_000_000,), True), ((7, 21), False), ((20_000,), False)],
    ids=["by the clock", "by the clock, after a job over this log", "a lost log's", "a lost log's, windows away"],
)
def test_it_takes_no_rows_out_that_this_log_cannot_have_given(
    stream: Stream, capsys: pytest.CaptureFixture[str], numbers: tuple[int, ...], begun_before: bool
) -> None:
    stream.log.append(messages(10)[:12])
    if begun_before:
        commits.begin(stream.log)
    wrote(stream, *numbers)
    assert main(arguments(stream, beam_profile(stream, environment_type="LOOPBACK"))) == 7
    assert capsys.readouterr().err == (
        f"esteira: {stream.log.folder}: 'log' must be the log that live_toy was written from: it ends at 12. "
        f"Got '1 windows up to {job.window(numbers[0])}'. "
        "Restore the log with its groups, or move live_toy, labels_toy, dead_letter_toy away to begin anew.\n"
    )
    assert offsets(stream.table("live_toy")) == list(numbers)
    assert bool(stream.log.committed(GROUP)[1]) == begun_before


@pytest.mark.usefixtures("no_job")
def test_a_group_that_was_deleted_begins_at_the_end_behind_the_rows_of_this_log(
    stream: Stream,
) -> None:
    stream.log.append(messages(10)[:12])
    wrote(stream, 7, 11)
    assert main(arguments(stream, beam_profile(stream, environment_type="LOOPBACK"))) == 0
    assert stream.log.committed(GROUP) == (12, {"origin": 12, "written": []})
    assert offsets(stream.table("live_toy")) == [7, 11]


@pytest.mark.usefixtures("no_job")
@pytest.mark.parametrize("options", [{}, {"environment_type": "DOCKER"}, {"environment_type": "EXTERNAL"}])
def test_workers_that_would_outlive_a_killed_start_are_refused(
    stream: Stream, capsys: pytest.CaptureFixture[str], options: dict[str, str]
) -> None:
    assert main(arguments(stream, beam_profile(stream, **options))) == 2
    assert capsys.readouterr().err == (
        "esteira: profile local: 'jobs.options.environment_type' must be LOOPBACK for a stream over the log: other "
        "workers outlive a killed start, and write beside the next. "
        f"Got '{options.get('environment_type', 'none')}'. Set it in the profile; Beam's default is DOCKER.\n"
    )
    assert not stream.log.committed(GROUP)[1]


@dataclass
class Cloud:
    stream: Stream
    service: Dataflow
    profile: dict[str, Any]
    capsys: pytest.CaptureFixture[str]

    def do(self, action: str, *more: str, lateness: int = LATENESS) -> tuple[int, Any]:
        """The exit code, and the job as JSON or what was said."""
        profile = Profile.model_validate(self.profile).to_json()
        asked = ["--bundle", self.stream.toy.launch.bundle, "--profile", profile, "--lateness", str(lateness)]
        code = main([*asked, "--action", action, "--json", *more])
        out, err = self.capsys.readouterr()
        return code, json.loads(out.splitlines()[-1]) if code == 0 else err

    def look(self) -> None:
        """A starting job runs at its second look."""
        for _ in range(2):
            self.do("status")
            for job in self.service.active():
                self.service._show(job, self.service.frames[job.id].pop(0)) if self.service.frames[job.id] else None


@pytest.fixture
def cloud(
    tmp_path: Path,
    make_launch: Callable[..., Launch],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Cloud]:
    if not GCS:
        pytest.skip("ESTEIRA_GCS names no Cloud Storage emulator (host:port)")
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
    blobs = {"adapter": "google", "at": f"gs://esteira/{uuid.uuid4().hex}"}
    made = make_stream(tmp_path, lambda *a, **k: make_launch(*a, **k, blobs=blobs))
    with serving() as (server, service):
        at = {"image": f"e@sha256:{'a' * 64}", "endpoint": server.address}
        place = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/runs"}
        profile = {
            **made.profile.model_dump(),
            "vertex": place,
            "events": {"adapter": "pubsub", "at": "demo-project"},
            "tables": {"adapter": "google", "at": "esteira.esteira"},
            "registry": {"adapter": "google"},
            "jobs": {"runner": "DataflowRunner", "dataflow": at},
        }
        yield Cloud(made, service, profile, capsys)


@pytest.mark.servers
def test_on_dataflow_it_is_started_updated_looked_at_and_drained_by_the_cases_name(cloud: Cloud) -> None:
    code, first = cloud.do("start")
    assert (code, first["name"], first["state"], first["streaming"]) == (0, "stream-toy", "starting", True)
    assert cloud.do("start")[1]["id"] == first["id"]
    cloud.look()
    assert cloud.do("status")[1]["state"] == "running"
    code, said = cloud.do("start", lateness=LATENESS + 1)
    assert code == 6
    assert "'stream-toy' must not be under way with other content." in said
    code, second = cloud.do("update", "--rename", "points=score", lateness=LATENESS + 1)
    job = cloud.service.jobs[second["id"]]
    assert (code, job.replace_job_id, dict(job.transform_name_mapping)) == (0, first["id"], {"points": "score"})
    assert cloud.do("drain")[1]["state"] == "draining"
    code, said = cloud.do("start")
    assert code == 6
    assert "'stream-toy' must have ended. Got 'drain" in said


@pytest.mark.servers
def test_on_dataflow_there_must_be_a_job_to_look_at_and_ports_that_workers_reach(cloud: Cloud) -> None:
    assert cloud.do("status") == (
        6,
        "esteira: 'stream-toy' must have been started. Got 'none'. Start it: esteira stream toy --beam.\n",
    )
    assert cloud.do("update", "--rename", "points") == (
        2,
        "esteira: '--rename' must be OLD=NEW. Got 'points'. Name a transform as it was and as it is.\n",
    )
    cloud.profile["tables"] = {"adapter": "local"}
    assert cloud.do("start") == (
        2,
        "esteira: profile: 'tables.adapter' must be one that Dataflow's workers reach. Got 'local'. "
        "Name an adapter that stands elsewhere.\n",
    )


def test_a_runner_that_runs_no_stream_is_refused(stream: Stream, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--bundle", stream.toy.launch.bundle, "--profile", stream.toy.launch.profile, "--lateness", "60"]
    assert main(asked) == 2
    assert capsys.readouterr().err == (
        "esteira: profile local: 'jobs.runner' must be DataflowRunner, or to start a stream over the log, "
        "PortableRunner. Got 'FnApiRunner'. Choose another profile; `esteira stream` without --beam needs neither.\n"
    )
