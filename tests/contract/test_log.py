"""The append-only log: whole records whoever dies, nothing altered unseen, one writer, groups apart."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.adapters.local import log as logs
from components.adapters.local.log import Log
from components.adapters.local.log_events import LogEvents
from components.adapters.local.segment import encode
from components.adapters.ports import Message
from components.core.errors import ArtifactError, CaseError, ConflictError, DataError, RunError
from tests import processes

SMALL = 300
"""Bytes of a segment: some five of `numbered`."""


NOW = 1_763_000_000_000_000


def numbered(start: int, stop: int) -> list[Message]:
    return [Message(b'{"n": %05d}' % i, {"id": str(i)}) for i in range(start, stop)]


SIZE = len(encode(Message(numbered(0, 1)[0].data, numbered(0, 1)[0].attributes, NOW)))
"""Bytes of one of them in a log."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flights"


@pytest.fixture
def rolled(folder: Path) -> Log:
    """30 messages in several segments."""
    log = Log(folder, segment_bytes=SMALL)
    for i in range(30):
        log.append(numbered(i, i + 1))
    assert len(segments(folder)) > 3
    return log


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def starts(folder: Path) -> list[int]:
    return [int(path.stem) for path in segments(folder)]


def everything(log: Log) -> list[Message]:
    found: list[Message] = []
    while more := log.read(log.first + len(found), 7):
        found += more
    return found


def test_a_log_that_nobody_wrote_is_empty_and_leaves_no_trace(folder):
    log = Log(folder)
    assert (log.first, log.end, log.read(0, 10)) == (0, 0, [])
    assert log.committed("stream") == (0, {})
    assert not folder.exists()


def test_append_gives_the_offset_of_the_first_message(folder):
    log = Log(folder)
    assert [log.append(numbered(0, 3)), log.append([]), log.append(numbered(3, 4))] == [0, 3, 3]
    assert (log.end, Log(folder).end) == (4, 4)
    assert everything(Log(folder)) == numbered(0, 4)


def test_a_message_arrives_when_it_is_appended_unless_its_topic_says_when(folder):
    before = time.time_ns() // 1000
    Log(folder).append([*numbered(0, 1), Message(b"{}", {"id": "1"}, NOW)])
    first, second = Log(folder).read(0, 2)
    assert before <= first.arrived <= time.time_ns() // 1000
    assert second.arrived == NOW
    assert (first.attributes, second.attributes) == ({"id": "0"}, {"id": "1"})


@pytest.mark.parametrize("offset", [0, 1, 7, 29, 30])
def test_reading_begins_at_any_offset_and_crosses_segments(folder, rolled, offset):
    assert Log(folder).read(offset, 20) == numbered(offset, 30)[:20]
    assert rolled.read(offset, 20) == numbered(offset, 30)[:20]


@pytest.mark.parametrize("offset", [-1, 31])
def test_an_offset_that_the_log_has_no_place_for_is_refused(rolled, offset):
    for call in (lambda: rolled.read(offset, 1), lambda: rolled.commit("stream", offset)):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value) == (f"log: 'offset' must lie from 0 to 30. Got {offset}. Begin anew at one of these.")


def test_what_another_process_appends_is_seen_by_an_open_log(folder):
    log = Log(folder)
    log.append(numbered(0, 2))
    processes.at_once([(append, (folder, 2, 5))])
    assert everything(log) == numbered(0, 5)
    assert log.append(numbered(5, 6)) == 5
    assert everything(Log(folder)) == numbered(0, 6)


def append(folder: Path, start: int, stop: int) -> int:
    return Log(folder, segment_bytes=SMALL).append(numbered(start, stop))


def test_a_read_ends_with_the_message_that_fills_its_memory(folder, monkeypatch):
    monkeypatch.setattr(logs, "READ_BYTES", 30)
    log = Log(folder)
    log.append(numbered(0, 10))
    assert log.read(2, 10) == numbered(2, 5)


def test_reading_on_does_not_read_again_what_lies_before(folder):
    Log(folder).append(numbered(0, 5000))
    log = Log(folder)
    assert log.end == 5000
    flip(segments(folder)[0], 5)  # in the first record
    assert log.read(4500, 2) == numbered(4500, 4502)
    assert log.read(4502, 2) == numbered(4502, 4504)
    with pytest.raises(ArtifactError):
        log.read(0, 1)


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3 * SIZE))
def test_cut_off_at_any_byte_whole_messages_are_read_and_appending_goes_on(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("log") / "flights"
    writer, reader = Log(folder), Log(folder)
    writer.append(numbered(0, 3))
    os.truncate(segments(folder)[0], cut)
    whole = cut // SIZE
    assert everything(reader) == numbered(0, whole)
    assert Log(folder).append(numbered(7, 9)) == whole
    assert everything(reader) == numbered(0, whole) + numbered(7, 9)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3 * SIZE), zeros=st.integers(1, 4 * SIZE))
def test_what_a_power_cut_left_zero_was_never_there_and_appending_goes_on(tmp_path_factory, cut, zeros):
    folder = tmp_path_factory.mktemp("log") / "flights"
    Log(folder).append(numbered(0, 3))
    [segment] = segments(folder)
    os.truncate(segment, cut)
    os.truncate(segment, cut + zeros)
    whole = cut // SIZE
    reader = Log(folder)
    assert (reader.end, everything(reader)) == (whole, numbered(0, whole))
    assert Log(folder).append(numbered(7, 9)) == whole
    assert everything(reader) == numbered(0, whole) + numbered(7, 9)


def test_zeros_before_other_records_are_altered_bytes(folder):
    Log(folder).append(numbered(0, 3))
    [segment] = segments(folder)
    data = bytearray(segment.read_bytes())
    data[SIZE + 20 : 2 * SIZE] = bytes(SIZE - 20)
    segment.write_bytes(data)
    with pytest.raises(ArtifactError, match="Offset 1 is the first that is lost"):
        Log(folder).append(numbered(3, 4))


@settings(max_examples=150, deadline=None)
@given(byte=st.integers(0, 5 * SIZE - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_where_it_is(tmp_path_factory, byte, bit):
    folder = tmp_path_factory.mktemp("log") / "flights"
    Log(folder).append(numbered(0, 5))
    [segment] = segments(folder)
    flip(segment, byte, bit)
    offset = byte // SIZE
    log = Log(folder)
    assert log.read(0, offset) == numbered(0, offset)
    with pytest.raises(ArtifactError) as caught:
        log.read(0, 5)
    assert str(caught.value) == (
        f"log: '{segment.name}' must hold its records as they were written. Got 'other bytes at {offset * SIZE}, "
        f"offset {offset}'. Restore the segment from a copy. Offset {offset} is the first that is lost."
    )
    with pytest.raises(ArtifactError):  # it would write behind what nobody can read
        Log(folder).append(numbered(5, 6))


LOOKS = {
    "read": (lambda log: log.read(0, 5), numbered(0, 5)),
    "end": (lambda log: log.end, 5),
    "commit": (lambda log: log.commit("stream", 5), None),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_a_writer_changes_meanwhile_is_looked_at_again_while_none_writes(folder, monkeypatch, look):
    Log(folder).append(numbered(0, 5))
    log = Log(folder)
    [segment] = segments(folder)
    flip(segment, 70)
    locked = log._locked

    @contextmanager
    def written() -> Iterator[None]:
        with locked():
            flip(segment, 70)
            yield

    monkeypatch.setattr(log, "_locked", written)
    call, expected = LOOKS[look]
    assert call(log) == expected


def test_a_segment_that_lost_its_end_is_no_torn_tail(folder, rolled):
    first, second = segments(folder)[:2]
    os.truncate(first, first.stat().st_size - 1)
    with pytest.raises(ArtifactError) as caught:
        everything(Log(folder))
    assert str(caught.value) == (
        f"log: '{first.name}' must hold every record before {second.name}. "
        f"Got 'an end at offset {int(second.stem) - 1}'. Restore the segment from a copy."
    )


def test_of_4_processes_that_append_at_once_each_batch_stays_together(folder):
    calls = [(append, (folder, 100 * i, 100 * i + 25)) for i in range(4)]
    firsts = processes.at_once(calls)
    assert sorted(firsts) == [0, 25, 50, 75]
    log = Log(folder)
    for i, first in enumerate(firsts):
        assert log.read(first, 25) == numbered(100 * i, 100 * i + 25)


@pytest.mark.slow
def test_a_reader_sees_whole_messages_in_order_while_another_process_appends(folder):
    writer = processes.context().Process(target=append_singly, args=(folder, 600))
    writer.start()
    log, found = Log(folder), []
    while len(found) < 600 and (writer.is_alive() or log.end > len(found)):
        found += log.read(len(found), 50)
    writer.join()
    assert found == numbered(0, 600)


def append_singly(folder: Path, count: int) -> None:
    log = Log(folder, segment_bytes=SMALL)
    for i in range(count):
        log.append(numbered(i, i + 1))


@pytest.mark.slow
def test_an_append_killed_at_any_side_effect_leaves_whole_messages_and_the_next_goes_on(tmp_path):
    counts = []
    for n in range(1, 60):
        folder = tmp_path / str(n)
        append(folder, 0, 6)
        tear(folder)
        killed = processes.dies_at(n, append, folder, 6, 18)
        log = Log(folder, segment_bytes=SMALL)
        counts.append(log.end)
        assert everything(log) == numbered(0, log.end)
        assert log.append(numbered(log.end, log.end + 1)) == counts[-1]
        assert everything(log) == numbered(0, counts[-1] + 1)
        if not killed:
            break
    assert not killed
    assert counts[0] == 6
    assert counts[-1] == 18


def tear(folder: Path) -> None:
    """As a kill in the middle of a write leaves it."""
    with open(segments(folder)[-1], "ab") as file:
        file.write(encode(numbered(99, 100)[0])[:-1])


@pytest.mark.slow
def test_of_a_writer_killed_in_the_middle_whole_batches_before_are_there(folder):
    for _ in range(3):
        told, tell = processes.context().Pipe(duplex=False)
        writer = processes.context().Process(target=append_and_tell, args=(folder, tell))
        writer.start()
        tell.close()
        newest = told.recv()
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        with told, suppress(EOFError):
            while True:
                newest = told.recv()
        log = Log(folder)
        assert log.end > newest
        assert {message.data for message in everything(log)} == {b"x" * 300_000}


def append_and_tell(folder: Path, tell) -> None:
    log = Log(folder)
    while True:
        tell.send(log.append([Message(b"x" * 300_000)]))


def test_where_the_disk_takes_no_more_the_error_says_so_and_appending_goes_on_later(folder):
    [result] = processes.at_once([(append_to_a_full_disk, (folder,))])
    assert isinstance(result, RunError)
    assert (result.name, result.rule) == ("log", "take an append")
    assert "File too large" in str(result)
    log = Log(folder)
    kept = log.end
    assert 0 < kept < 100
    assert log.append(numbered(kept, 100)) == kept
    assert everything(log) == numbered(0, 100)


def append_to_a_full_disk(folder: Path) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return Log(folder).append(numbered(0, 100))


def test_a_group_keeps_its_offset_and_its_note(folder, rolled):
    assert rolled.committed("stream") == (0, {})
    rolled.commit("stream", 12, {"bucket": 3, "é": [1.5, None]})
    rolled.commit("monitor", 5)
    assert Log(folder).committed("stream") == (12, {"bucket": 3, "é": [1.5, None]})
    assert Log(folder).committed("monitor") == (5, {})


def test_a_group_that_is_no_record_is_refused(folder, rolled):
    rolled.commit("stream", 12)
    (folder / "groups" / "stream.json").write_text('{"offset": 12}')
    with pytest.raises(ArtifactError) as caught:
        rolled.committed("stream")
    assert str(caught.value) == (
        f"{folder / 'groups'}: 'stream.json' must be a group's record. Got \"'note'\". "
        "Delete it to begin with the log's start."
    )


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "A", "a\0", ".lock", "a" * 41])
def test_a_groups_name_that_could_leave_its_folder_is_refused(rolled, bad):
    for call in (lambda: rolled.committed(bad), lambda: rolled.commit(bad, 0)):
        with pytest.raises(CaseError) as caught:
            call()
        assert caught.value.name == "group"


def commit(folder: Path, offset: int) -> None:
    Log(folder).commit("stream", offset, {"at": offset})


@pytest.mark.slow
def test_a_commit_killed_at_any_side_effect_is_the_old_one_or_the_new_one(folder, rolled):
    seen = []
    for n in range(1, 30):
        rolled.commit("stream", 3, {"at": 3})
        killed = processes.dies_at(n, commit, folder, 20)
        offset, note = Log(folder).committed("stream")
        assert note == {"at": offset}
        seen.append(offset)
        if not killed:
            break
    assert set(seen) == {3, 20}
    assert seen[-1] == 20


def test_trim_keeps_what_a_group_has_not_committed_and_the_newest_segment(folder, rolled):
    first, second, third, *_, last = starts(folder)
    rolled.commit("slow", second)
    assert rolled.trim(30) == second
    assert rolled.read(second, 30) == numbered(second, 30)
    rolled.commit("slow", 30)
    assert rolled.trim(third) == third
    assert rolled.trim(30) == last
    assert (rolled.end, rolled.append(numbered(30, 31))) == (30, 30)
    with pytest.raises(DataError, match=f"'offset' must lie from {last} to 31. Got {first}."):
        rolled.read(first, 1)
    assert Log(folder).committed("new") == (last, {})


def test_a_segment_that_is_trimmed_while_it_is_read_is_an_offset_that_is_gone(folder, rolled, monkeypatch):
    reader, known = Log(folder), []
    everything(reader)
    stale = reader._segments()
    monkeypatch.setattr(reader, "_segments", lambda: known.pop() if known else Log._segments(reader))
    known += [stale] * 2
    first = rolled.trim(30)
    with pytest.raises(DataError) as caught:
        reader.read(0, 1)
    assert str(caught.value) == f"log: 'offset' must lie from {first} to 30. Got 0. Begin anew at one of these."


def test_a_log_that_was_cut_or_replaced_under_an_open_one_is_refused(folder):
    log = Log(folder)
    log.append(numbered(0, 5))
    [segment] = segments(folder)
    size = segment.stat().st_size
    os.truncate(segment, 10)
    for call in (lambda: log.append(numbered(5, 6)), lambda: log.end):
        with pytest.raises(ArtifactError) as caught:
            call()
        assert str(caught.value) == (
            f"log: '{segment.name}' must keep its whole records. Got '10 bytes of {size}'. "
            "Open the log anew: it was cut or replaced."
        )


def test_a_group_is_read_by_one_subscription_at_a_time(tmp_path):
    events = LogEvents(tmp_path)
    first = events.subscribe("flights", "stream")
    with pytest.raises(ConflictError) as caught:
        events.subscribe("flights", "stream")
    assert str(caught.value) == (
        f"{tmp_path / 'flights' / 'groups'}: 'group' must be read by one at a time. Got 'stream'. "
        "End the other reader, or name another group."
    )
    first.close()
    events.subscribe("flights", "stream").close()


def subscribe_and_die(root: Path) -> None:
    subscription = LogEvents(root).subscribe("flights", "stream")
    subscription.pull(5, 0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_reader_lets_go_of_its_group_and_its_messages_come_again(tmp_path):
    events = LogEvents(tmp_path)
    events.publish("flights", numbered(0, 3))
    assert processes.dies_at(10**6, subscribe_and_die, tmp_path)
    again = events.subscribe("flights", "stream")
    assert [one.message for one in again.pull(5, 0)] == numbered(0, 3)
    again.close()


def test_what_a_subscription_has_not_read_is_kept_from_trimming(tmp_path):
    events = LogEvents(tmp_path)
    subscription = events.subscribe("flights", "stream")
    log = Log(tmp_path / "flights", segment_bytes=SMALL)
    for i in range(30):
        log.append(numbered(i, i + 1))
    assert log.trim(30) == 0
    subscription.ack(subscription.pull(30, 0))
    assert log.trim(30) > 0
    subscription.close()
