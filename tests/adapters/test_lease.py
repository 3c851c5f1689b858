"""One at a time over Blobs: who holds it, and what is left of one that was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.adapters.lease import Lease, awaited
from components.adapters.local.blobs import FileBlobs
from components.core.errors import RunError
from tests.contract.registries import in_threads

NAME = "registry/flights/a.lease"


def lease(root: Path, seconds: float = 60) -> Lease:
    return Lease(FileBlobs(root), NAME, seconds)


def time_passes(root: Path) -> None:
    FileBlobs(root).write(NAME, json.dumps({"holder": "somebody", "until": 1}).encode())


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    assert sum(in_threads([(lease(tmp_path).take, ())] * 20)) == 1


def test_it_is_free_after_its_release_and_after_its_time(tmp_path: Path) -> None:
    first, second, third = (lease(tmp_path) for _ in range(3))
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    time_passes(tmp_path)
    assert third.take()


def test_who_was_too_slow_does_not_release_what_somebody_else_holds_now(tmp_path: Path) -> None:
    slow, next_one, third = (lease(tmp_path) for _ in range(3))
    slow.take()
    time_passes(tmp_path)
    next_one.take()
    slow.release()
    assert not third.take()


def test_one_that_is_kept_is_not_released(tmp_path: Path) -> None:
    first, second = (lease(tmp_path) for _ in range(2))
    first.take()
    first.keep()
    first.release()
    assert not second.take()
    time_passes(tmp_path)
    assert second.take()


def test_what_is_made_once_is_found_by_all_others(tmp_path: Path) -> None:
    made: list[int] = []

    def once() -> int:
        return lease(tmp_path).once(lambda: made[0] if made else None, lambda _: made.append(7) or made[0])

    assert in_threads([(once, ())] * 20) == [7] * 20
    assert made == [7]


def test_it_is_let_go_where_the_work_fails(tmp_path: Path) -> None:
    def fail(_: Lease) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        lease(tmp_path).once(lambda: None, fail)
    assert lease(tmp_path).take()


def test_one_that_never_becomes_free_is_an_error_that_names_it(tmp_path: Path) -> None:
    FileBlobs(tmp_path).write(NAME, json.dumps({"until": 1e12}).encode())
    with pytest.raises(RunError) as caught:
        lease(tmp_path, 0.01).once(lambda: None, lambda _: None)
    assert str(caught.value) == (
        f"{tmp_path / NAME}: 'lease' must become free. Got \"somebody else's\". "
        "See who else registers this model; the lease ends by itself."
    )


def test_what_is_awaited_is_given_as_soon_as_it_is_there_and_none_where_it_never_is() -> None:
    answers = iter([None, None, "there"])
    assert awaited(lambda: next(answers), 60) == "there"
    assert awaited(lambda: None, 0.01) is None
