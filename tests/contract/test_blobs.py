"""What every implementation of Blobs keeps."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.clients import STORAGE_EMULATOR
from components.adapters.local.blobs import FileBlobs
from components.adapters.ports import Blobs
from components.core.errors import ArtifactError, ConflictError
from tests import processes

Make = Callable[[Path], Blobs]
GCS = os.environ.get("ESTEIRA_GCS", "")


def cloud(run: str, root: Path) -> Blobs:
    """Of the emulator; in other processes as well, which do not see the fixture's environment."""
    os.environ[STORAGE_EMULATOR] = f"http://{GCS}"
    return CloudBlobs(f"gs://esteira/{run}{root.as_posix()}")


MAKERS = [
    pytest.param(FileBlobs, id="files"),
    pytest.param(
        partial(cloud, uuid.uuid4().hex),
        id="cloud",
        marks=[
            pytest.mark.servers,
            pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)"),
        ],
    ),
]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")  # taken back after the test, whoever set it
    made: Make = request.param
    return made


@pytest.fixture
def blobs(make: Make, tmp_path: Path) -> Blobs:
    return make(tmp_path / "blobs")


def test_a_person_opens_a_blob_by_its_link(blobs):
    blobs.write("runs/job 1/report.html", b"<p>Here</p>")
    link = blobs.link("runs/job 1/report.html")
    with urlopen(link if "://" in link else Path(link).as_uri()) as found:
        assert found.read() == b"<p>Here</p>"
        assert found.headers["Content-Type"] == "text/html"


def test_what_was_written_is_read(blobs):
    generation = blobs.write("runs/job/run.json", b"{}")
    assert blobs.read("runs/job/run.json") == (b"{}", generation)
    assert generation != 0
    assert blobs.exists("runs/job/run.json")


def test_an_absent_blob_is_an_error_that_names_it(blobs):
    with pytest.raises(ArtifactError) as caught:
        blobs.read("a/b")
    assert str(caught.value) == "'blob' must exist. Got 'a/b'. Check the name, or run the step that writes it."
    assert not blobs.exists("a/b")


def test_a_folder_is_no_blob(blobs):
    blobs.write("a/b", b"1")
    assert not blobs.exists("a")
    with pytest.raises(ArtifactError):
        blobs.read("a")


def test_names_start_with_the_prefix_and_are_sorted(blobs):
    for name in ("a/2", "a/1", "ab/3", "b/4", "a/deep/5"):
        blobs.write(name, b"x")
    assert blobs.names("a/") == ["a/1", "a/2", "a/deep/5"]
    assert blobs.names("a") == ["a/1", "a/2", "a/deep/5", "ab/3"]
    assert blobs.names("none/") == []


def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(blobs):
    blobs.write("a", b"x")
    blobs.delete("a")
    blobs.delete("a")
    assert not blobs.exists("a")


def test_generation_0_creates_only(blobs):
    blobs.write("a", b"1", generation=0)
    with pytest.raises(ConflictError):
        blobs.write("a", b"2", generation=0)
    assert blobs.read("a")[0] == b"1"


def test_a_write_over_what_somebody_else_wrote_is_a_conflict(blobs):
    mine = blobs.write("a", b"1")
    theirs = blobs.write("a", b"2", generation=mine)
    with pytest.raises(ConflictError) as caught:
        blobs.write("a", b"3", generation=mine)
    assert f"'a' must be at generation {mine}" in str(caught.value)
    assert blobs.read("a") == (b"2", theirs)


def test_a_write_over_what_was_deleted_is_a_conflict(blobs):
    mine = blobs.write("a", b"1")
    blobs.delete("a")
    with pytest.raises(ConflictError):
        blobs.write("a", b"2", generation=mine)


def create(make: Make, root: Path, data: bytes) -> int:
    return make(root).write("one", data, generation=0)


def test_of_8_creators_at_once_one_wins(make, tmp_path):
    results = processes.at_once([(create, (make, tmp_path, b"%d" % i)) for i in range(8)])
    winners = [i for i, result in enumerate(results) if isinstance(result, int)]
    assert len(winners) == 1
    assert all(isinstance(r, ConflictError) for i, r in enumerate(results) if i not in winners)
    assert make(tmp_path).read("one")[0] == b"%d" % winners[0]


def overwrite(make: Make, root: Path) -> None:
    make(root).write("a/one", b"new" * 1000)


def test_a_writer_killed_at_any_point_leaves_the_old_blob_or_the_new_one(make, tmp_path):
    old, new = b"old", b"new" * 1000
    seen = []
    for n in range(1, 100):
        blobs = make(tmp_path)
        blobs.write("a/one", old)
        killed = processes.dies_at(n, overwrite, make, tmp_path)
        seen.append(blobs.read("a/one")[0])
        assert blobs.names("a/") == ["a/one"]
        if not killed:
            break
    assert set(seen) == {old, new}
    assert seen[-1] == new


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/../b", "a/.", "a\0b", "a\\b", "a/"])
def test_a_name_that_could_leave_the_store_is_refused(blobs, name):
    for call in (blobs.read, blobs.exists, blobs.delete, lambda n: blobs.write(n, b"x")):
        with pytest.raises(ArtifactError) as caught:
            call(name)
        assert caught.value.rule == "be a relative name without '..'"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=100), other=st.binary(max_size=100))
def test_the_generation_changes_with_the_content(make, tmp_path_factory, data, other):
    blobs = make(tmp_path_factory.mktemp("blobs"))
    first = blobs.write("a", data)
    second = blobs.write("a", other, generation=first)
    assert blobs.read("a") == (other, second)
    assert data == other or first != second


@given(data=st.binary(max_size=100))
def test_a_files_generation_is_its_contents(tmp_path_factory, data):
    blobs = FileBlobs(tmp_path_factory.mktemp("blobs"))
    assert blobs.write("a", data) == blobs.write("a", data)


@pytest.mark.slow
def test_more_names_than_one_page_holds_are_all_listed(make, tmp_path):
    blobs = make(tmp_path)
    wanted = [f"many/{i:04d}" for i in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: blobs.write(name, b"", generation=0), wanted))
    assert blobs.names("many/") == wanted


def test_a_blob_of_many_megabytes_is_whole(blobs):
    data = random.Random(7).randbytes(9 << 20)
    generation = blobs.write("large", data, generation=0)
    assert blobs.read("large") == (data, generation)
    with pytest.raises(ConflictError):
        blobs.write("large", data, generation=0)
