"""What every implementation of Sources keeps, over a local folder, a bucket and a file system of fsspec's."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from components.adapters.gcp.clients import STORAGE_EMULATOR, storage_client
from components.adapters.gcp.file_sources import CloudFiles
from components.adapters.local import sources
from components.adapters.local.sources import FileSources
from components.adapters.ports import Sources
from components.adapters.sources import AnySources
from components.core.errors import DataError, SetupError
from components.core.profile import Profile

GCS = os.environ.get("ESTEIRA_GCS", "")


@dataclass(frozen=True)
class Place:
    """Sources, ways to write an object and to take one away, and what its address begins with."""

    sources: Sources
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    at: str
    under: Callable[[str], Sources]
    """The same kind, with this root for relative paths."""


def local(root: Path) -> Place:
    def put(name: str, data: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return Place(FileSources(str(root)), put, lambda name: (root / name).unlink(), "", FileSources)


_numbers = itertools.count()


def memory(root: Path) -> Place:
    at, system = f"memory://bucket-{next(_numbers)}/", fsspec.filesystem("memory")
    put, remove = (lambda name, data: system.pipe(at + name, data)), (lambda name: system.rm(at + name))
    return Place(FileSources(str(root)), put, remove, at, FileSources)


def bucket(_: Path) -> Place:
    prefix, objects = f"{uuid.uuid4().hex}/", storage_client().bucket("esteira")

    def put(name: str, data: bytes) -> None:
        objects.blob(prefix + name).upload_from_string(data)

    return Place(
        CloudFiles(), put, lambda name: objects.blob(prefix + name).delete(), f"gs://esteira/{prefix}", CloudFiles
    )


CLOUD = pytest.param(
    bucket,
    id="cloud",
    marks=[
        pytest.mark.servers,
        pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)"),
        # Google's client looks for the bucket's region in a thread of its own, which outlives the test.
        pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    ],
)


MEMORY = pytest.param(memory, id="memory")


@pytest.fixture(params=[pytest.param(local, id="files"), MEMORY, CLOUD])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
    yield request.param(tmp_path)
    fsspec.filesystem("memory").store.clear()


def names(place: Place, path: str) -> list[str]:
    return [listed.path.removeprefix(place.at) for listed in place.sources.listing(place.at + path)]


def test_a_file_is_listed_and_read(place: Place):
    place.put("a/b.csv", b"hello")
    (listed,) = place.sources.listing(place.at + "a/b.csv")
    assert (listed.path, listed.bytes) == (place.at + "a/b.csv", 5)
    with place.sources.open(listed) as stream:
        assert stream.read() == b"hello"


@pytest.mark.parametrize("place", [MEMORY, CLOUD], indirect=True)
def test_under_a_url_a_relative_path_is_a_part_of_it(place: Place) -> None:
    place.put("a/b.csv", b"there")
    for root in (place.at, place.at.rstrip("/")):
        for asked in ("a", "a/b.csv", "a/*.csv", f"{place.at}a/b.csv"):
            (listed,) = place.under(root).listing(asked)
            assert listed.path == f"{place.at}a/b.csv"
            with place.under("/elsewhere").open(listed) as stream:  # it reads the same everywhere
                assert stream.read() == b"there"


@pytest.mark.parametrize("root", ["memory://bucket", "gs://bucket/x"])
def test_under_a_url_an_absolute_path_stays_a_file(root: str, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"here")
    found = AnySources(Profile(sources=root))
    for asked in (f"{tmp_path}/b.csv", f"file://{tmp_path}/b.csv"):
        (listed,) = found.listing(asked)
        assert listed.path == f"{tmp_path}/b.csv"
        with found.open(listed) as stream:
            assert stream.read() == b"here"


def test_a_folder_is_its_files_at_any_depth_without_hidden_ones_and_markers(place: Place):
    for name in ("a/2.csv", "a/1.csv", "a/deep/0.csv", "a/_SUCCESS", "a/.hidden", "a/_temporary/0.csv", "b/3.csv"):
        place.put(name, b"x")
    assert names(place, "a") == names(place, "a/") == ["a/1.csv", "a/2.csv", "a/deep/0.csv"]


def test_a_glob_is_the_files_that_match(place: Place):
    for name in ("a/1.csv", "a/2.csv", "a/2.txt", "a/deep/3.csv"):
        place.put(name, b"x")
    assert names(place, "a/*.csv") == ["a/1.csv", "a/2.csv"]
    assert names(place, "a/[1]*") == ["a/1.csv"]
    assert names(place, "a/**/*.csv") == ["a/1.csv", "a/2.csv", "a/deep/3.csv"]


def test_the_token_tells_a_change_and_nothing_else(place: Place):
    place.put("a.csv", b"1")
    (first,) = place.sources.listing(place.at + "a.csv")
    assert place.sources.listing(place.at + "a.csv") == [first]
    assert first.token
    place.put("a.csv", b"2")
    (second,) = place.sources.listing(place.at + "a.csv")
    assert second.token != first.token


@pytest.mark.parametrize("path", ["none.csv", "none/*.csv", "empty"])
def test_nothing_there_is_an_error_that_names_it(place: Place, path: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        place.sources.listing(place.at + path)
    assert caught.value.name == "source"
    assert caught.value.value == place.at + path


def test_an_object_that_went_is_an_error_that_names_it(place: Place):
    place.put("a.csv", b"1")
    (listed,) = place.sources.listing(place.at + "a.csv")
    place.remove("a.csv")
    with pytest.raises(DataError) as caught:
        place.sources.open(listed)
    assert caught.value.value == listed.path


def test_a_large_file_is_named_by_its_change_time_which_nobody_sets_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sources, "SMALL", 0)
    place = local(tmp_path)
    place.put("a.csv", b"1")
    (first,) = place.sources.listing("a.csv")
    before = (tmp_path / "a.csv").stat()
    assert place.sources.listing("a.csv") == [first]
    while True:  # until the clock of the file system has moved on
        place.put("a.csv", b"2")
        os.utime(tmp_path / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
        if (tmp_path / "a.csv").stat().st_ctime_ns != before.st_ctime_ns:
            break
    assert place.sources.listing("a.csv")[0].token != first.token


def test_an_absolute_path_and_a_file_url_stay_absolute(tmp_path: Path):
    place = local(tmp_path)
    place.put("a.csv", b"1")
    for path in (f"{tmp_path}/a.csv", f"file://{tmp_path}/a.csv", f"{tmp_path}/*.csv"):
        assert [listed.path for listed in FileSources("/elsewhere").listing(path)] == [f"{tmp_path}/a.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path):
    place = local(tmp_path)
    place.put("a[1].csv", b"1")
    place.put("a1.csv", b"1")
    assert names(place, "a[1].csv") == ["a[1].csv"]


def test_what_tells_neither_content_nor_time_has_no_token():
    assert sources._token({"name": "x", "size": 3}) == ""
    assert sources._token({"size": 3, "mtime": 12.5}) == "3-12.5"
    assert sources._token({"size": 3, "mtime": 12.5, "ETag": '"abc"'}) == 'ETag:"abc"'


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "https://169.254.169.254/latest",
            "'source' must be a file or one object store's URL. Got 'https://169.254.169.254/latest'. Download the file, "
            "or put it into a bucket: a web address could point into the private network.",
        ),
        (
            "zip://a.csv::http://example.org/a.zip",
            "'source' must be a file or one object store's URL. Got 'zip://a.csv::http://example.org/a.zip'. Download "
            "the file, or put it into a bucket: a web address could point into the private network.",
        ),
        (
            "ftp://me:hunter2@example.org/a.csv",
            "'source' must hold no password. Got 'a URL that has one'. Give the credentials where the file system looks "
            "for them: its environment or configuration.",
        ),
        (
            "nothing://a.csv",
            "'source' must be a URL that fsspec knows. Got 'nothing://a.csv'. Protocol not known: nothing.",
        ),
    ],
)
def test_other_urls_are_refused(url: str, message: str, tmp_path: Path):
    with pytest.raises(DataError) as caught:
        FileSources(str(tmp_path)).listing(url)
    assert str(caught.value) == message


def test_a_file_system_that_is_not_installed_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match=r"'source' must have its file system installed\. Got 'adl://x/y\.csv'"):
        FileSources(str(tmp_path)).listing("adl://x/y.csv")
