"""Model artifacts under Blobs, and the cache of those that were fetched."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from components.adapters import stored_models
from components.adapters.local.blobs import FileBlobs
from components.adapters.stored_models import StoredModels
from components.core import artifacts
from components.core.errors import ArtifactError, RunError
from tests.contract.registries import in_threads
from tests.contract.test_registry import a_model


class Counting(FileBlobs):
    """Keeps the names of what is read and written, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []
        self.writes: list[str] = []

    def read(self, name: str) -> tuple[bytes, int]:
        self.reads.append(name)
        return super().read(name)

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        self.writes.append(name)
        return super().write(name, data, generation=generation)


class Together(Counting):
    """A file goes on only when as many as may be under way at a time are."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._barrier = threading.Barrier(stored_models._AT_ONCE, timeout=60)

    def read(self, name: str) -> tuple[bytes, int]:
        self._wait(name)
        return super().read(name)

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        self._wait(name)
        return super().write(name, data, generation=generation)

    def _wait(self, name: str) -> None:
        if not name.endswith(artifacts.MANIFEST):
            self._barrier.wait()


class Refusing(Counting):
    """Keeps one file out, or gives it to nobody."""

    def __init__(self, root: Path, refused: str) -> None:
        super().__init__(root)
        self.refused = refused

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        self._refuse(name)
        return super().write(name, data, generation=generation)

    def read(self, name: str) -> tuple[bytes, int]:
        self._refuse(name)
        return super().read(name)

    def _refuse(self, name: str) -> None:
        if self.refused and name.endswith(self.refused):
            raise RunError("blobs", "take it", name, "Run it again.")


def of_files(folder: Path, count: int) -> tuple[Path, str]:
    """A model artifact of so many files, and an identity."""
    files = [artifacts.write_file(folder, f"part-{n:02d}", b"%d" % n * 100) for n in range(count)]
    artifacts.publish(folder, "model", files=files)
    return folder, "c" * 64


@pytest.fixture
def blobs(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "blobs")


@pytest.fixture
def models(blobs: Counting, tmp_path: Path) -> StoredModels:
    return StoredModels(blobs, tmp_path / "cache")


def test_an_address_says_the_identity_and_the_digest(models: StoredModels, tmp_path: Path) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    assert stored_models.named(models.address(identity, digest)) == (identity, digest)
    assert stored_models.named("gs://somebody/model") is None


def test_what_is_there_is_not_written_again(models: StoredModels, blobs: Counting, tmp_path: Path) -> None:
    model, identity = a_model(tmp_path, "a")
    models.store(model, identity)
    written = list(blobs.writes)
    models.store(model, identity)
    assert blobs.writes == written


def test_files_come_and_go_several_at_a_time_and_the_manifest_comes_last(tmp_path: Path) -> None:
    blobs = Together(tmp_path / "blobs")
    models = StoredModels(blobs, tmp_path / "cache")
    model, identity = of_files(tmp_path / "many", 3 * stored_models._AT_ONCE)
    digest = models.store(model, identity)
    prefix = stored_models.name(identity, digest)
    assert blobs.writes[-1] == f"{prefix}/{artifacts.MANIFEST}"
    assert sorted(blobs.writes[:-1]) == [f"{prefix}/part-{n:02d}" for n in range(3 * stored_models._AT_ONCE)]
    assert artifacts.verify(models.fetch(identity, digest), "model").digest == digest
    assert sorted(blobs.reads) == sorted(blobs.writes)


def test_one_file_that_cannot_be_stored_ends_it_and_nothing_is_published(tmp_path: Path) -> None:
    blobs = Refusing(tmp_path / "blobs", "part-03")
    models = StoredModels(blobs, tmp_path / "cache")
    model, identity = of_files(tmp_path / "many", 20)
    with pytest.raises(RunError, match="'blobs' must take it"):
        models.store(model, identity)
    assert not any(name.endswith(artifacts.MANIFEST) for name in blobs.writes)
    blobs.refused = ""
    artifacts.verify(models.fetch(identity, models.store(model, identity)), "model")


def test_one_file_that_cannot_be_fetched_ends_it_and_leaves_no_copy(tmp_path: Path) -> None:
    blobs = Refusing(tmp_path / "blobs", "")
    models = StoredModels(blobs, tmp_path / "cache")
    model, identity = of_files(tmp_path / "many", 20)
    digest = models.store(model, identity)
    blobs.refused = "part-03"
    with pytest.raises(RunError, match="'blobs' must take it"):
        models.fetch(identity, digest)
    assert list((tmp_path / "cache").iterdir()) == []


def test_one_that_is_half_there_is_completed(models: StoredModels, blobs: Counting, tmp_path: Path) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    for name in (artifacts.MANIFEST, "model.onnx"):
        blobs.delete(f"{stored_models.name(identity, digest)}/{name}")
    with pytest.raises(ArtifactError, match="'blob' must exist"):
        models.fetch(identity, digest)
    models.store(model, identity)
    artifacts.verify(models.fetch(identity, digest), "model")


def test_it_is_fetched_once(models: StoredModels, blobs: Counting, tmp_path: Path) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    first, read = models.fetch(identity, digest), list(blobs.reads)
    assert models.fetch(identity, digest) == first
    assert blobs.reads == read


@pytest.mark.parametrize("harm", ["altered", "half", "no manifest"])
def test_a_copy_that_was_harmed_is_fetched_anew(models: StoredModels, tmp_path: Path, harm: str) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    folder = models.fetch(identity, digest)
    if harm == "altered":
        (folder / "model.onnx").write_bytes(b"evil")
    else:
        (folder / ("model.onnx" if harm == "half" else artifacts.MANIFEST)).unlink()
    assert artifacts.verify(models.fetch(identity, digest), "model").digest == digest


def test_many_that_fetch_at_once_get_the_same_whole_copy_and_leave_nothing_else(
    models: StoredModels, tmp_path: Path
) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    assert set(in_threads([(models.fetch, (identity, digest))] * 8)) == {tmp_path / "cache" / digest}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [digest]


def test_a_copy_that_is_harmed_again_and_again_is_given_up(
    models: StoredModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    folder, removed = tmp_path / "cache" / digest, 0

    def harm(_: Path) -> None:
        nonlocal removed
        removed += 1
        folder.mkdir(exist_ok=True)
        (folder / "half").write_bytes(b"")

    folder.parent.mkdir()
    harm(folder)
    monkeypatch.setattr(stored_models, "_remove", harm)
    with pytest.raises(ArtifactError) as caught:
        models.fetch(identity, digest)
    assert str(caught.value).startswith(f"{folder}: 'cache' must take a copy of the model. Got ")
    assert str(caught.value).endswith("Remove it, and see who else writes there.")
    assert removed == 11
    assert [path.name for path in folder.parent.iterdir()] == [digest]


def test_a_whole_copy_that_came_meanwhile_stays(
    models: StoredModels, blobs: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, identity = a_model(tmp_path, "a")
    digest = models.store(model, identity)
    folder, real = tmp_path / "cache" / digest, models._read

    def read(*given: Any) -> None:
        real(*given)
        artifacts.copy(model, folder)

    monkeypatch.setattr(models, "_read", read)
    monkeypatch.setattr(stored_models, "_remove", lambda _: pytest.fail("it is whole"))
    assert models.fetch(identity, digest) == folder


def test_an_artifact_with_another_digest_than_its_name_is_refused(
    models: StoredModels, blobs: Counting, tmp_path: Path
) -> None:
    (model, identity), (other, _) = a_model(tmp_path, "a"), a_model(tmp_path, "b")
    digest = models.store(model, identity)
    shutil.rmtree(tmp_path / "blobs" / "models" / identity / digest)
    artifacts.copy(other, tmp_path / "blobs" / "models" / identity / digest)
    with pytest.raises(ArtifactError, match=f"'model' must have the digest {digest}"):
        models.fetch(identity, digest)


def test_a_shared_temporary_folder_that_somebody_else_made_is_not_trusted(
    blobs: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"esteira-models-{os.getuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(ArtifactError) as caught:
        StoredModels(blobs).fetch("a" * 64, "b" * 64)
    assert str(caught.value) == (
        f"'cache' must be a folder of this user's alone. Got '{folder}'. Remove it: somebody else has made it."
    )
