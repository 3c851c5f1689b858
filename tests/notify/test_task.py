"""notify: whom it tells of what, and that nothing keeps it from telling."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.adapters import records
from components.adapters.connect import Connected
from components.core.profile import Profile
from components.core.record import RunRecord, StepRecord, launch_path, report_path, step_path
from components.notify import task
from components.step import Launch, Result, operations_path
from tests.toy import toy

BATCH = ("ingest", "evaluate", "register", "predict", "monitor", "notify")
ACCEPTED = {"verdict": json.dumps({"accepted": True, "unchanged": False, "reasons": ["roc_auc 0.9, floor 0.8."]})}
REFUSED = {"verdict": json.dumps({"accepted": False, "unchanged": False, "reasons": ["roc_auc 0.5, floor 0.8.", "ß"]})}


@dataclass
class Hook:
    """What a webhook was sent."""

    address: str = ""
    status: int = 200
    alerts: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("no_proxy", "*")
    found = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class World:
    launch: Launch
    hook: Hook

    @property
    def ports(self) -> Connected:
        return Connected(Profile.from_json(self.launch.profile))

    def ran(
        self, *, head: bool = True, route: Sequence[str] = BATCH, absent: Sequence[str] = (), **steps: Mapping[str, Any]
    ) -> None:
        """The records of a run whose steps are done, but for what `steps` says of them; the absent never started."""
        if head:
            record = RunRecord("job-1", "batch", "toy", tuple(route), {}, started=1.0)
            self.ports.blobs.write(launch_path("job-1"), records.head(record))
        for i, name in enumerate(n for n in route if n not in ("notify", *absent)):
            said = {"state": "done", "summary": f"{name} went well", **steps.get(name, {})}
            ended = None if said["state"] == "running" else 2.0 + i
            step = StepRecord(name, started=1.0 + i, ended=ended, **said)
            self.ports.blobs.write(step_path("job-1", name), step.to_json())

    def told(self, state: str = "SUCCEEDED") -> tuple[Result, list[dict[str, Any]]]:
        return task.run(self.launch, pipeline="batch", state=state), self.hook.alerts

    def page(self) -> str:
        return self.ports.blobs.read(report_path("job-1"))[0].decode()


@pytest.fixture
def world(tmp_path: Path, make_launch: Callable[..., Launch], hook: Hook) -> Callable[..., World]:
    """A launch whose alerts go to the hook; the arguments are the case's `notify`."""

    def make(**notify: Any) -> World:
        def launch(folder: Path, sources: Path) -> Launch:
            return make_launch(folder, sources, alerts={"webhook": hook.address})

        return World(toy(tmp_path, launch, notify=notify).launch, hook)

    return make


def test_a_failed_step_is_told_with_its_error_and_what_never_started(world: Callable[..., World]) -> None:
    here = world()
    here.ran(
        evaluate={"state": "failed", "error": "holdout: '_label' must be known. Got 3 missing."},
        absent=("register", "predict", "monitor"),
    )
    result, [alert] = here.told("FAILED")
    assert alert["subject"] == "toy batch: failed at evaluate"
    assert alert["severity"] == "error"
    assert alert["body"] == (
        "evaluate failed:\nholdout: '_label' must be known. Got 3 missing.\n\nNot started: register, predict, monitor"
    )
    assert alert["facts"]["job"] == "job-1"
    assert result.summary == "Told of failure"


def test_a_step_that_left_no_end_was_killed(world: Callable[..., World]) -> None:
    here = world()
    here.ran(predict={"state": "running"}, absent=("monitor",))
    _, [alert] = here.told("FAILED")
    assert alert["subject"] == "toy batch: failed at predict"
    assert alert["body"].startswith("predict was killed. ")
    assert "predict was killed" in here.page()
    assert "notify was killed" not in here.page()


def test_a_failure_that_no_step_recorded_is_told_all_the_same(world: Callable[..., World]) -> None:
    here = world()
    here.ran(absent=BATCH[1:])
    _, [alert] = here.told("FAILED")
    assert alert["subject"] == "toy batch: failed"
    assert alert["body"].startswith("No step says why: see the log of the first one that did not start.")
    assert alert["body"].endswith("Not started: evaluate, register, predict, monitor")


def test_a_cancelled_run_says_so(world: Callable[..., World]) -> None:
    here = world()
    here.ran(absent=("monitor",))
    assert here.told("CANCELLED")[1][0]["subject"] == "toy batch: cancelled"


def test_a_refused_model_is_told_with_the_gates_reasons(world: Callable[..., World]) -> None:
    here = world()
    here.ran(evaluate={"parameters": REFUSED}, monitor={"parameters": {"drift": "no drift"}, "summary": "No drift"})
    _, [alert] = here.told()
    assert (alert["subject"], alert["severity"]) == ("toy batch: model refused", "warning")
    assert alert["body"] == "The gate refused the model:\nroc_auc 0.5, floor 0.8.\nß\n\nmonitor: No drift"


def test_drift_is_told_with_its_columns_and_the_version(world: Callable[..., World]) -> None:
    here = world()
    found = "Drift: 2 of 4 columns: x, _score"
    here.ran(
        evaluate={"parameters": ACCEPTED},
        register={"parameters": {"version": "7"}},
        monitor={"parameters": {"drift": "drift"}, "summary": found},
    )
    _, [alert] = here.told()
    assert (alert["subject"], alert["severity"]) == ("toy batch: drift", "warning")
    assert alert["body"].endswith(f"monitor: {found}")
    page = here.ports.profile.path("blobs") / report_path("job-1")
    assert alert["facts"] == {"job": "job-1", "version": "7", "report": str(page)}
    assert page.is_file()


def test_what_happened_together_is_one_alert(world: Callable[..., World]) -> None:
    here = world()
    here.ran(evaluate={"parameters": REFUSED}, monitor={"parameters": {"drift": "drift"}})
    result, [alert] = here.told()
    assert alert["subject"] == "toy batch: model refused and drift"
    assert result.parameters == {"told": "refused, drift"}


def test_a_run_that_went_well_tells_nobody_who_did_not_ask(world: Callable[..., World]) -> None:
    here = world()
    here.ran(evaluate={"parameters": ACCEPTED}, monitor={"parameters": {"drift": "insufficient data"}})
    result, alerts = here.told()
    assert alerts == []
    assert result.summary == "Nobody is to be told of: success"
    assert here.page().startswith("<!doctype html>")


def test_a_run_that_went_well_is_told_where_that_is_asked(world: Callable[..., World]) -> None:
    here = world(when=["success"])
    here.ran(route=("ingest", "predict", "notify"), predict={"parameters": {"version": "3"}, "summary": "9 rows"})
    _, [alert] = here.told()
    assert (alert["subject"], alert["severity"]) == ("toy batch: finished", "info")
    assert alert["body"] == "ingest: ingest went well\n\npredict: 9 rows"
    assert alert["facts"]["version"] == "3"


@pytest.mark.parametrize("when", [[], ["refused"]])
def test_an_event_that_nobody_asked_for_is_not_told(world: Callable[..., World], when: list[str]) -> None:
    here = world(when=when)
    here.ran(monitor={"state": "failed", "error": "x"})
    result, alerts = here.told("FAILED")
    assert alerts == []
    assert result.summary == "Nobody is to be told of: failure"


def test_each_run_of_it_tells_again(world: Callable[..., World]) -> None:
    here = world(when=["success"])
    here.ran()
    here.told()
    result, alerts = here.told()
    assert len(alerts) == 2
    assert not result.reused


def test_a_channel_that_fails_fails_nothing_else(world: Callable[..., World]) -> None:
    here = world(when=["success"])
    here.hook.status = 404
    here.ran()
    assert here.told()[0].summary == "Told of success; webhook: answered 404"
    assert here.ports.blobs.exists(report_path("job-1"))


def test_a_webhooks_url_reaches_nothing_that_is_kept_or_printed(
    tmp_path: Path,
    make_launch: Callable[..., Launch],
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOOK", f"{hook.address}services/hunter2")

    def launch(folder: Path, sources: Path) -> Launch:
        return make_launch(folder, sources, alerts={"webhook_env": "HOOK"})

    here = World(toy(tmp_path, launch, notify={"when": ["success"]}).launch, hook)
    here.ran()
    for status, summary in ((200, "Told of success"), (404, "Told of success; webhook: answered 404")):
        hook.status = status
        assert here.told()[0].summary == summary
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert (len(hook.alerts), kept) == (2, [])
    assert "hunter2" not in here.launch.profile + "".join(capfd.readouterr())


def test_without_a_launchers_record_the_names_come_from_the_launch(world: Callable[..., World]) -> None:
    here = world()
    here.ran(head=False, evaluate={"parameters": REFUSED})
    assert here.told()[1][0]["subject"] == "toy batch: model refused"
    assert re.search(r"<title>toy · batch · job-1</title>", here.page())


def test_it_tells_although_the_case_is_what_is_broken(world: Callable[..., World]) -> None:
    here = world()
    here.ran(head=False, route=("ingest", "notify"), ingest={"state": "failed", "error": "bundle: altered"})
    for name in here.ports.blobs.names("bundles/") + here.ports.blobs.names(operations_path(here.launch.operations)):
        here.ports.blobs.write(name, b"altered")
    _, [alert] = here.told("FAILED")
    assert alert["subject"] == "batch: failed at ingest"


def test_a_page_that_cannot_be_written_keeps_no_alert_back(world: Callable[..., World]) -> None:
    here = world(when=["success"])
    here.ran()
    place = here.ports.profile.path("blobs") / report_path("job-1")
    place.mkdir(parents=True)
    (place / "in-the-way").touch()
    result, [_] = here.told()
    assert result.summary.startswith("Told of success; report: ")


@pytest.mark.parametrize("text", ["toy\nBcc: a@x", "x" * 10_000])
def test_a_hostile_error_stays_in_the_body(world: Callable[..., World], text: str) -> None:
    here = world()
    here.ran(ingest={"state": "failed", "error": text})
    _, [alert] = here.told("FAILED")
    assert alert["subject"] == "toy batch: failed at ingest"
    assert text in alert["body"]
