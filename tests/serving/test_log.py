"""The inference log: whole segments, and a count of what is in none."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from components.adapters.local.blobs import FileBlobs
from components.core.inference import log_prefix
from components.serving import log as logs
from components.serving.log import InferenceLog

LINE = b'{"id":"a"}\n'


def segments(blobs: FileBlobs) -> list[list[dict[str, Any]]]:
    names = blobs.names(log_prefix("toy"))
    return [[json.loads(line) for line in blobs.read(name)[0].splitlines()] for name in names]


class Blocked(FileBlobs):
    """Blobs whose first writes fail, or wait for a gate."""

    def __init__(self, root: Path, failing: int = 0) -> None:
        super().__init__(root)
        self.gate, self.failing, self.tried = threading.Event(), failing, threading.Event()

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        self.tried.set()
        assert self.gate.wait(30)
        if self.failing:
            self.failing -= 1
            raise OSError(28, "No space left on device")
        return super().write(name, data, generation=generation)


def test_lines_are_in_segments_of_their_server_with_the_count_of_drops_last(tmp_path: Path):
    blobs = FileBlobs(tmp_path)
    log = InferenceLog(blobs, "toy", "host-1")
    log.start()
    for _ in range(3):
        log.add(LINE)
    log.close()
    assert blobs.names("inference/") == ["inference/toy/host-1/00000001.jsonl"]
    assert segments(blobs) == [[{"id": "a"}] * 3 + [{"dropped": 0}]]
    assert (log.written, log.dropped) == (3, 0)


def test_a_segment_is_written_while_the_server_runs_and_none_without_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "SECONDS", 0.01)
    blobs = Blocked(tmp_path)
    blobs.gate.set()
    log = InferenceLog(blobs, "toy", "host-1")
    log.start()
    assert not blobs.tried.wait(0.1)
    log.add(LINE)
    assert blobs.tried.wait(30)
    log.close()
    assert len(segments(blobs)) == 1


def test_segments_close_by_size_and_keep_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "SEGMENT", 100)
    log = InferenceLog(FileBlobs(tmp_path), "toy", "host-1")
    for i in range(50):
        log.add(b'{"id":%d}\n' % i)
    log.start()
    log.close()
    found = segments(FileBlobs(tmp_path))
    assert len(found) > 3
    assert [line["id"] for segment in found for line in segment[:-1]] == list(range(50))
    assert [segment[-1] for segment in found] == [{"dropped": 0}] * len(found)


class Busy(FileBlobs):
    """Blobs whose first ten writes each take as long as a request of `line` does."""

    def __init__(self, root: Path, line: bytes) -> None:
        super().__init__(root)
        self.line, self.log, self.left = line, InferenceLog(self, "toy", "host-1"), 10

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        if self.left:
            self.left -= 1
            self.log.add(self.line)
        return super().write(name, data, generation=generation)


def test_what_comes_while_a_segment_is_written_waits_for_the_next_time(tmp_path: Path):
    busy = Busy(tmp_path, LINE)
    busy.log.add(LINE)
    busy.log._flush()
    assert len(segments(busy)) == 1
    busy.log._flush()
    assert segments(busy) == [[{"id": "a"}, {"dropped": 0}]] * 2


def test_whole_segments_that_come_while_one_is_written_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "SEGMENT", len(LINE))
    busy = Busy(tmp_path, LINE)
    busy.log.add(LINE)
    busy.log._flush()
    assert segments(busy) == [[{"id": "a"}, {"dropped": 0}]] * 11


def test_a_full_buffer_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "BUFFER", 10 * len(LINE))
    blobs = FileBlobs(tmp_path)
    log = InferenceLog(blobs, "toy", "host-1")
    for _ in range(25):
        log.add(LINE)
    log.start()
    log.close()
    assert segments(blobs) == [[{"id": "a"}] * 10 + [{"dropped": 15}]]
    assert (log.written, log.dropped) == (10, 15)


def test_a_segment_that_cannot_be_written_is_dropped_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    blobs = Blocked(tmp_path, failing=1)
    log = InferenceLog(blobs, "toy", "host-1")
    log.add(LINE)
    log.start()
    log._wake.set()
    assert blobs.tried.wait(30)
    blobs.gate.set()
    log.close()
    assert segments(blobs) == [[{"dropped": 1}]]
    assert (log.written, log.dropped, log.failures) == (0, 1, 1)
    told = json.loads(capsys.readouterr().err.splitlines()[0])
    assert told["message"] == "a segment of the inference log was not written"
    assert (told["lines"], "No space left" in told["error"]) == (1, True)


def test_what_is_not_written_by_the_end_is_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    blobs = Blocked(tmp_path)
    log = InferenceLog(blobs, "toy", "host-1")
    log.add(LINE)
    log.start()
    log._wake.set()
    assert blobs.tried.wait(30)
    log.add(LINE)
    log.close(patience=0.01)
    assert (log.written, log.dropped) == (0, 2)
    told = json.loads(capsys.readouterr().err)
    assert (told["message"], told["lines"]) == ("the inference log was not written to its end", 2)
    blobs.gate.set()
    log._thread.join(30)


def test_each_run_of_a_server_has_a_name_of_its_own_that_a_table_window_takes():
    names = {logs.server_name() for _ in range(20)}
    assert len(names) == 20
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(name) < 80 for name in names)


class Unheard(FileBlobs):
    """Blobs whose first write is done, and reported as failed."""

    heard = False

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        written = super().write(name, data, generation=generation)
        if not self.heard:
            self.heard = True
            raise OSError(110, "Connection timed out")
        return written


def test_a_segment_that_was_written_and_reported_as_failed_holds_up_none_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs, "SECONDS", 0.01)
    blobs = Unheard(tmp_path)
    log = InferenceLog(blobs, "toy", "host-1")
    log.add(LINE)
    log.start()
    while not log.failures:
        threading.Event().wait(0.01)
    log.add(LINE)
    log.close()
    assert (log.failures, log.written) == (1, 1)
    assert [segment[:-1] for segment in segments(blobs)] == [[{"id": "a"}]] * 2
