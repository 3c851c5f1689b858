"""Artifacts: whole or not there, verified, and named by their rows."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core import artifacts, shards
from components.core.errors import ArtifactError

SCHEMA = pa.schema([("t", pa.timestamp("us", tz="UTC")), ("x", pa.float64()), ("s", pa.string()), ("b", pa.bool_())])


def table(rows: int) -> pa.Table:
    times = [datetime(2013, 1, 1 + i % 28, tzinfo=UTC) for i in range(rows)]
    values = {
        "t": times,
        "x": [None if i % 5 == 0 else i / 3 for i in range(rows)],
        "s": [None if i % 7 == 0 else f"ã{i}" for i in range(rows)],
        "b": [None if i % 3 == 0 else i % 2 == 0 for i in range(rows)],
    }
    return pa.table(values, schema=SCHEMA)


def written(root: Path, rows: pa.Table, *, shard_rows: int = 10, pieces: int = 1) -> artifacts.Manifest:
    writer = shards.PartitionWriter(root, "2013-01", SCHEMA, time="t", shard_rows=shard_rows)
    step = max(1, -(-rows.num_rows // pieces))
    for start in range(0, rows.num_rows, step):
        writer.write(rows.slice(start, step))
    return artifacts.publish(root, "rows", schema=SCHEMA, partitions=[writer.close()], info={"a": 1})


def test_rows_come_back_as_they_went_in_a_shard_at_a_time(tmp_path: Path) -> None:
    manifest = written(tmp_path, table(25))
    assert [shard.rows for shard in manifest.partitions[0].shards] == [10, 10, 5]
    assert shards.read_all(tmp_path, manifest).equals(table(25))
    assert artifacts.read_manifest(tmp_path, "rows") == manifest
    assert manifest.partitions[0].time_min == 1356998400000000


@settings(max_examples=25, deadline=None)
@given(shard=st.integers(1, 40), pieces=st.integers(1, 12))
def test_the_same_rows_have_the_same_digest_however_they_were_sharded(shard: int, pieces: int) -> None:
    import tempfile

    digests = set()
    for rows_per_shard, count in ((shard, pieces), (1000, 1)):
        with tempfile.TemporaryDirectory() as folder:
            digests.add(written(Path(folder), table(30), shard_rows=rows_per_shard, pieces=count).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("column", ["x", "s", "b", "t"])
def test_any_changed_value_changes_the_digest(column: str, tmp_path: Path) -> None:
    rows = table(30)
    index = rows.column_names.index(column)
    values = rows.column(column).to_pylist()
    values[4], values[7] = values[7], values[4]
    other = rows.set_column(index, SCHEMA.field(column), pa.array(values, type=SCHEMA.field(column).type))
    assert written(tmp_path / "a", rows).digest != written(tmp_path / "b", other).digest


def test_null_is_not_zero_nor_the_empty_string(tmp_path: Path) -> None:
    one = pa.table({"t": [None], "x": [None], "s": [None], "b": [None]}, schema=SCHEMA)
    two = pa.table({"t": [None], "x": [0.0], "s": [""], "b": [False]}, schema=SCHEMA)
    assert written(tmp_path / "a", one).digest != written(tmp_path / "b", two).digest


def test_text_cannot_move_between_rows_unseen(tmp_path: Path) -> None:
    base = {"t": [None, None], "x": [1.0, 2.0], "b": [True, True]}
    one = pa.table({**base, "s": ["ab", "c"]}, schema=SCHEMA)
    two = pa.table({**base, "s": ["a", "bc"]}, schema=SCHEMA)
    assert written(tmp_path / "a", one).digest != written(tmp_path / "b", two).digest


def test_slices_of_a_table_are_hashed_by_their_own_rows() -> None:
    whole, part = shards.TableDigest(SCHEMA), shards.TableDigest(SCHEMA)
    rows = table(30)
    whole.update(rows.slice(7, 11))
    part.update(pa.Table.from_pylist(rows.slice(7, 11).to_pylist(), schema=SCHEMA))
    assert whole.hexdigest() == part.hexdigest()


def test_nothing_is_an_artifact_without_its_manifest(tmp_path: Path) -> None:
    written(tmp_path, table(5))
    (tmp_path / artifacts.MANIFEST).unlink()
    with pytest.raises(ArtifactError, match="'artifact' must be a directory with _manifest.json"):
        artifacts.read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.update(format=99), "'format' must be 1. Got 99."),
        (lambda m: m.update(extra=1), "must have the keys of a manifest"),
        (lambda m: m.pop("digest"), "must have the keys of a manifest"),
        (lambda m: m["partitions"][0]["shards"][0].update(path="../out"), "'path' must stay inside the artifact"),
        (lambda m: m["partitions"][0]["shards"][0].update(path="/etc/passwd"), "'path' must stay inside the artifact"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(change: object, text: str, tmp_path: Path) -> None:
    written(tmp_path, table(5))
    path = tmp_path / artifacts.MANIFEST
    raw = json.loads(path.read_text())
    change(raw)  # type: ignore[operator]
    path.write_text(json.dumps(raw))
    with pytest.raises(ArtifactError) as caught:
        artifacts.read_manifest(tmp_path)
    assert text in str(caught.value)


def test_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path, table(5))
    with pytest.raises(ArtifactError, match="'kind' must be 'model'. Got 'rows'."):
        artifacts.read_manifest(tmp_path, "model")


@pytest.mark.parametrize("data", [b"", b"other bytes"])
def test_an_altered_shard_is_refused(data: bytes, tmp_path: Path) -> None:
    manifest = written(tmp_path, table(5))
    shard = manifest.partitions[0].shards[0]
    (tmp_path / shard.path).write_bytes(data)
    with pytest.raises(ArtifactError, match="must have the sha256 of its manifest"):
        shards.read_all(tmp_path, manifest)


def test_a_manifest_that_was_changed_with_its_file_is_refused_for_its_digest(tmp_path: Path) -> None:
    file = artifacts.write_file(tmp_path, "model.onnx", b"ours")
    before = artifacts.publish(tmp_path, "model", files=[file])
    evil = artifacts.write_file(tmp_path, "model.onnx", b"evil")
    after = artifacts.publish(tmp_path, "model", files=[evil])
    path = tmp_path / artifacts.MANIFEST
    path.write_text(path.read_text().replace(after.digest, before.digest))
    with pytest.raises(ArtifactError) as caught:
        artifacts.verify(tmp_path, "model")
    assert str(caught.value) == (
        f"{tmp_path}: '{artifacts.MANIFEST}' must have the digest of what it names, {after.digest}. "
        f"Got '{before.digest}'. Delete the directory and run the step again."
    )


def test_a_copy_of_an_altered_artifact_is_none(tmp_path: Path) -> None:
    manifest = written(tmp_path / "a", table(25))
    (tmp_path / "a" / manifest.partitions[0].shards[1].path).write_bytes(b"x")
    with pytest.raises(ArtifactError):
        artifacts.copy(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b" / artifacts.MANIFEST).exists()


def test_a_failed_write_leaves_what_was_there_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    artifacts.atomic_write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifacts.atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = [bytes([i]) * 200_000 for i in (1, 2)]
    artifacts.atomic_write(path, versions[0])
    for attempt in range(30):
        child = os.fork()
        if child == 0:
            while True:
                for version in versions:
                    artifacts.atomic_write(path, version)
        time.sleep(0.002 + 0.0007 * attempt)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() in versions
