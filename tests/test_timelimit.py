"""A step that takes too long ends by itself, whatever it is doing, and says which key to raise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from components import step, timelimit
from components.adapters.connect import Connected
from components.core.errors import RunError
from components.core.profile import Profile
from components.core.record import StepRecord, step_path
from components.step import Context, Launch, Result

TEXT = (
    "'resources.deploy.time_limit' must be enough for the step. Got '0.1s'. "
    "Raise it in the case, or find out in the log what the step was waiting for."
)


def record(launch: Launch) -> StepRecord:
    blobs = Connected(Profile.from_json(launch.profile)).blobs
    return StepRecord.from_json(blobs.read(step_path(launch.job, "deploy"))[0])


def ended(launch: Launch, work: Callable[[Context], Result]) -> int:
    """The exit code of a process of its own that performs the work with a limit of 0.1 s."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ[timelimit.VARIABLE] = "0.1"
        try:
            step.perform("deploy", launch, work)
        except SystemExit as error:
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()  # as Python itself does at its end
            os._exit(int(error.code or 0))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def waits(context: Context) -> Result:
    time.sleep(60)
    return Result()


def wraps(context: Context) -> Result:
    """As a library that tells of an interruption in words of its own."""
    try:
        time.sleep(60)
    except BaseException as error:
        raise ValueError("something went wrong") from error
    return Result()


def swallows(context: Context) -> Result:
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            continue


def leaves_a_thread(context: Context) -> Result:
    threading.Thread(target=lambda: (time.sleep(5), os._exit(77))).start()
    return waits(context)


@pytest.mark.parametrize("work", [waits, wraps])
def test_a_step_past_its_time_limit_has_failed_by_name(
    make_launch: Callable[..., Launch], work: Callable[[Context], Result]
) -> None:
    launch = make_launch()
    assert ended(launch, work) == RunError.exit_code
    assert (record(launch).state, record(launch).error) == ("failed", TEXT)


@pytest.mark.parametrize("work", [swallows, leaves_a_thread])
def test_a_step_that_cannot_be_interrupted_ends_all_the_same(
    make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch, work: Callable[[Context], Result]
) -> None:
    monkeypatch.setattr(timelimit, "GRACE", 0.2)
    launch = make_launch()
    assert ended(launch, work) == RunError.exit_code
    assert (record(launch).state, record(launch).error) == ("failed", TEXT)


def test_a_step_within_its_time_limit_is_done(make_launch: Callable[..., Launch]) -> None:
    launch = make_launch()
    assert ended(launch, lambda context: Result(summary="quick")) == 0
    assert record(launch).state == "done"


def test_without_a_variable_there_is_no_limit() -> None:
    limit = timelimit.of("deploy", {})
    with limit.watched(lambda error: None):
        pass
    assert not limit.reached
