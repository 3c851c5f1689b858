"""Why a task failed, where its target does not tell."""

from __future__ import annotations

from typing import Any

import pytest

from components.adapters.local.blobs import FileBlobs
from components.adapters.recorded_runs import RecordedRuns
from components.adapters.runs import Run, Task, TaskState
from components.core.errors import SetupError
from components.core.record import StepRecord, step_path

REMEDY = "If memory ran out, raise resources.train.memory in the case."


class One:
    """A target with one run of one task."""

    def __init__(self, state: TaskState, error: str) -> None:
        self._run = Run("id-1", "job-1", "failed", tasks=(Task("train", state, error),))

    def get(self, id: str) -> Run:
        return self._run


def error(blobs: Any, told: str, state: TaskState = "failed") -> str:
    runs = RecordedRuns(One(state, told), lambda: blobs)  # type: ignore[arg-type]  # one method of many
    return runs.get("id-1").tasks[0].error


@pytest.fixture
def blobs(tmp_path: Any) -> FileBlobs:
    return FileBlobs(tmp_path)


def write(blobs: FileBlobs, **record: Any) -> None:
    blobs.write(step_path("job-1", "train"), StepRecord("train", started=1.0, **record).to_json())


def test_the_steps_own_error_takes_the_place_of_an_exit_code(blobs: FileBlobs) -> None:
    write(blobs, state="failed", ended=2.0, error="'rows' must be more.")
    assert error(blobs, "The replica exited with a non-zero status of 3.") == "'rows' must be more."


@pytest.mark.parametrize("told", ["", "The replica exited with a non-zero status of 9."])
def test_a_step_that_left_no_end_was_killed_and_the_key_is_named(blobs: FileBlobs, told: str) -> None:
    write(blobs, state="running")
    assert error(blobs, told) == f"{told} Killed before it ended. {REMEDY}".strip()


@pytest.mark.parametrize(
    "told",
    [
        "The replica workerpool0-0 ran out-of-memory and exited with a non-zero status of 137.",
        "Replicas low on memory: workerpool0. Specify a machine with larger memory and try again.",
        "OOMKilled (exit code 137)",
    ],
)
def test_memory_that_ran_out_in_the_targets_words_names_the_key(blobs: FileBlobs, told: str) -> None:
    write(blobs, state="running")
    assert error(blobs, told) == f"{told} {REMEDY}"


def test_without_a_record_the_targets_words_stay(blobs: FileBlobs) -> None:
    assert error(blobs, "no image") == "no image"


def test_a_record_that_cannot_be_read_hides_nothing() -> None:
    class Closed:
        def read(self, name: str) -> Any:
            raise SetupError("credentials", "be there", "none", "Log in.")

    assert error(Closed(), "no image") == "no image"


@pytest.mark.parametrize("data", [b"not JSON", b"[]", b'{"of": "another version"}'])
def test_a_record_that_is_none_hides_nothing(blobs: FileBlobs, data: bytes) -> None:
    blobs.write(step_path("job-1", "train"), data)
    assert error(blobs, "no image") == "no image"


def test_a_task_that_has_not_failed_is_left_alone(blobs: FileBlobs) -> None:
    write(blobs, state="running")
    assert error(blobs, "", "running") == ""
