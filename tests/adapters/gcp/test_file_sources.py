"""Objects of Cloud Storage as sources: what is read is what was listed, and every failure says what to do."""

from __future__ import annotations

import glob
import gzip
import io
import itertools
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import Forbidden

from components.adapters.gcp import file_sources
from components.adapters.gcp.clients import STORAGE_EMULATOR, storage_client
from components.adapters.gcp.file_sources import CloudFiles
from components.adapters.reading import from_parquet
from components.adapters.reading.expand import Member, members
from components.core.errors import DataError, RunError, SetupError
from tests.adapters.gcp.proxy import FOREVER, Proxy, google_error

servers = pytest.mark.servers
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
MEDIA = "^GET /download/"
PIECE = 64 * 1024


def put(url: str, data: bytes, *, encoding: str | None = None) -> None:
    bucket, _, name = url.removeprefix("gs://").partition("/")
    blob = storage_client().bucket(bucket).blob(name)
    blob.content_encoding = encoding
    blob.upload_from_string(data, content_type="text/csv")


@pytest.fixture
def sources(gcs: Proxy, monkeypatch: pytest.MonkeyPatch) -> CloudFiles:
    monkeypatch.setattr(file_sources, "PIECE", PIECE)
    return CloudFiles(deadline=10.0)


@servers
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7])
def test_an_object_comes_whole_and_each_of_its_bytes_once(gcs, prefix, sources, size):
    data = random.Random(size).randbytes(size)
    put(f"{prefix}/a.csv", data)
    (listed,) = sources.listing(f"{prefix}/a.csv")
    before = gcs.count(MEDIA)
    with sources.open(listed) as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == data
    assert gcs.count(MEDIA) - before == -(-size // PIECE)


@servers
def test_no_more_than_a_piece_is_asked_for_at_once(gcs, prefix, sources, monkeypatch):
    asked = []
    fetch = CloudFiles._piece
    monkeypatch.setattr(CloudFiles, "_piece", lambda s, one, at, size: asked.append(size) or fetch(s, one, at, size))
    put(f"{prefix}/a.csv", bytes(6 * PIECE))
    (listed,) = sources.listing(f"{prefix}/a.csv")
    with sources.open(listed) as stream:
        assert len(stream.read(PIECE // 2)) == PIECE // 2
        assert asked == [PIECE]
        while stream.read(PIECE):
            pass
    assert asked == [PIECE] * 6


@servers
def test_of_parquet_the_wanted_columns_alone_are_read_from_a_verified_copy(gcs, prefix, sources, tmp_path):
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), sink)
    put(f"{prefix}/t.parquet", sink.getvalue())
    (listed,) = sources.listing(f"{prefix}/t.parquet")
    with sources.open(listed) as stream:
        assert not stream.seekable()
        (block,) = from_parquet.blocks(Member(listed.path, "parquet", stream), ["b"], tmp_path)
    assert {name: column.to_pylist() for name, column in block.columns.items()} == {"b": [b"x", b"y"]}
    assert list(tmp_path.iterdir()) == []


@servers
@pytest.mark.parametrize("fault", [{"action": "cut"}, {"action": "lose"}, {"action": "answer", "status": 503}])
def test_a_piece_that_did_not_come_is_asked_for_again(gcs, prefix, sources, fault):
    data = random.Random(3).randbytes(3 * PIECE)
    put(f"{prefix}/a.csv", data)
    (listed,) = sources.listing(f"{prefix}/a.csv")
    gcs.fail(MEDIA, skip=1, **fault)
    with sources.open(listed) as stream:
        assert stream.read() == data


@servers
def test_bytes_that_were_changed_on_the_way_are_refused_before_the_last_of_them(gcs, prefix, sources):
    put(f"{prefix}/a.csv", bytes(2 * PIECE))
    (listed,) = sources.listing(f"{prefix}/a.csv")
    gcs.fail(MEDIA, "alter", change=lambda data: b"x" + data[1:])
    with sources.open(listed) as stream:
        assert len(stream.read(PIECE)) == PIECE
        with pytest.raises(DataError) as caught:
            stream.read(PIECE)
    assert str(caught.value).startswith(
        f"{prefix}/a.csv: 'source' must arrive with the checksum that it was stored with, {listed.token[-8:]}. Got '"
    )
    assert str(caught.value).endswith("'. Run it again.")


@servers
@pytest.mark.parametrize("skip", [0, 1])
def test_an_object_that_is_written_over_while_it_is_read_is_refused(gcs, prefix, sources, skip):
    url = f"{prefix}/a.csv"
    put(url, bytes(3 * PIECE))
    (listed,) = sources.listing(url)
    # Before the first piece, and between two.
    gcs.fail(MEDIA, "answer", status=503, skip=skip, then=lambda: put(url, b"1" * 3 * PIECE))
    with pytest.raises(DataError) as caught, sources.open(listed) as stream:
        stream.read()
    assert str(caught.value) == (
        f"'source' must stay as it is while it is read. Got '{url}'. Run again when nobody writes to it."
    )


@servers
def test_nothing_there_is_told_with_the_whole_address(gcs, prefix):
    for asked, rule in (("a.csv", "exist"), ("*.csv", "name at least one object")):
        with pytest.raises(DataError) as caught:
            CloudFiles(prefix).listing(asked)
        assert str(caught.value) == (
            f"'source' must {rule}. Got '{prefix}/{asked}'. Check the path in the bucket, and the profile's 'sources'."
        )


@servers
@pytest.mark.parametrize("path", ["a.csv", "a", "*.csv", ""])
def test_a_bucket_that_is_not_there_is_named(gcs, path):
    with pytest.raises(SetupError) as caught:
        CloudFiles().listing(f"gs://no-such-bucket/{path}")
    assert str(caught.value) == (
        "gs://no-such-bucket: 'bucket' must exist. Got 'no-such-bucket'. "
        "Mend its name in the case's source, or in the profile's 'sources'."
    )


@servers
def test_without_the_right_the_role_is_named(gcs, prefix, sources):
    put(f"{prefix}/a.csv", b"1")
    (listed,) = sources.listing(f"{prefix}/a.csv")
    gcs.fail("^GET", "answer", times=FOREVER, **google_error(403, "forbidden", "you do not have storage.objects.get"))
    for call in (lambda: sources.listing(f"{prefix}/*.csv"), lambda: sources.open(listed)):
        with pytest.raises(SetupError) as caught:
            call()
        assert isinstance(caught.value.__cause__, Forbidden)
        assert str(caught.value) == (
            "gs://esteira: 'Cloud Storage' must be open to this account. Got 'you do not have storage.objects.get'. "
            "Give the account roles/storage.objectViewer."
        )


@servers
def test_a_service_that_never_answers_is_an_error_that_says_so(gcs, prefix):
    put(f"{prefix}/a.csv", b"1")
    gcs.fail("^GET", "refuse", times=FOREVER)
    with pytest.raises(RunError, match="gs://esteira: 'Cloud Storage' must answer in time"):
        CloudFiles(deadline=0.5).listing(f"{prefix}/a.csv")


@servers
def test_what_is_stored_in_gzip_is_read_as_stored_and_must_say_so_in_its_name(gcs, prefix, sources, tmp_path):
    put(f"{prefix}/a/1.csv.gz", gzip.compress(b"id\n1\n"), encoding="gzip")
    (listed,) = sources.listing(f"{prefix}/a")
    (member,) = ((m.name, m.stream.read()) for m in members(sources, listed, None, tmp_path))
    assert member == (f"{prefix}/a/1.csv.gz", b"id\n1\n")
    put(f"{prefix}/a/2.csv", gzip.compress(b"id\n1\n"), encoding="gzip")
    url = f"{prefix}/a/2.csv"
    with pytest.raises(DataError) as caught:
        sources.listing(f"{prefix}/a")
    assert str(caught.value) == (
        f"'source' must be named .gz where it is stored with Content-Encoding: gzip. Got '{url}'. "
        f"Rename it: gcloud storage mv '{url}' '{url}.gz'"
    )


@servers
def test_a_flat_glob_does_not_list_what_lies_deeper(gcs, prefix, sources):
    put(f"{prefix}/a/1.csv", b"1")
    put(f"{prefix}/a/deep/2.csv", b"2")
    for asked, deep in (("*/1.csv", 0), ("a/*.csv", 1), ("a/**", 0)):
        before = gcs.count("delimiter=%2F")
        sources.listing(f"{prefix}/{asked}")
        assert gcs.count("delimiter=%2F") - before == deep


@pytest.mark.parametrize("url", ["gs://", "gs:///a.csv", "gs://*/a.csv", "gs://me:hunter2@bucket/a.csv"])
def test_an_address_without_a_bucket_is_refused_and_no_secret_told(url):
    with pytest.raises(DataError) as caught:
        CloudFiles().listing(url)
    name = "" if url == "gs://" else "a.csv"
    assert str(caught.value) == f"'source' must be gs://bucket/path. Got 'gs://…/{name}'. Name the bucket as it is."


def test_without_credentials_the_error_says_how_to_get_them(monkeypatch, tmp_path):
    for name in (STORAGE_EMULATOR, "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(SetupError) as caught:
        CloudFiles().listing("gs://bucket/x.csv")
    assert (caught.value.name, caught.value.rule) == ("credentials", "be there for Cloud Storage")


FILES = ("a", "ab", ".a", "a.csv", "[a]", "d/a", "d/.a", "d/.h/a", ".h/a", ".h/.a", "d/e/a", "d/[a]/b", "x/y/.a")
GLOBS = ("*", "**", "a", "d", "a*", ".*", "?", "[ab]", "*.csv", "[!a]*")


def test_a_glob_matches_what_it_does_among_files(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for parts in (parts for length in (1, 2, 3) for parts in itertools.product(GLOBS, repeat=length)):
        found = glob.glob("/".join(parts), root_dir=tmp_path, recursive=True)  # noqa: PTH207  # what the local sources do
        matching = {name for name in FILES if file_sources._matches(name.split("/"), parts)}
        assert matching == set(found) & set(FILES), parts
