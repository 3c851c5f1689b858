"""Model artifacts under Blobs, for a registry that numbers versions and keeps no files.

models/IDENTITY/DIGEST/ holds one artifact, its manifest written last. Its name says its content, so whoever writes
there writes the same bytes: nothing needs a lock, and a half-written one is completed by the next.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from components.adapters.names import checked_blob
from components.adapters.ports import Blobs
from components.core import artifacts
from components.core.errors import ArtifactError

_NAME = re.compile(r"models/([0-9a-f]{64})/([0-9a-f]{64})/?$")
_REMEDY = "Restore it, or roll back to another version."
_AT_ONCE = 8
"""Files under way at a time."""
_TRIES = 10
"""At putting a copy into the cache while others put or harm theirs."""


class StoredModels:
    """The artifacts, and a cache of those that were fetched: `cache`, or the user's own under the temporary folder."""

    def __init__(self, blobs: Blobs, cache: Path | None = None) -> None:
        self._blobs, self._given = blobs, cache

    def store(self, model: Path, identity: str) -> str:
        """Stores the artifact at `model`, every byte verified on the way; its digest."""
        manifest = artifacts.read_manifest(model, "model")
        prefix = name(identity, manifest.digest)
        if self._blobs.exists(f"{prefix}/{artifacts.MANIFEST}"):
            artifacts.verify(model, "model")
            return manifest.digest

        def store(file: artifacts.File) -> None:
            self._blobs.write(f"{prefix}/{file.path}", artifacts.read_verified(model, file))

        _each(store, manifest.all_files())
        self._blobs.write(f"{prefix}/{artifacts.MANIFEST}", (model / artifacts.MANIFEST).read_bytes())
        return manifest.digest

    def address(self, identity: str, digest: str) -> str:
        return self._blobs.address(name(identity, digest))

    def fetch(self, identity: str, digest: str) -> Path:
        """A local folder with the verified artifact; fetched once, by however many processes.

        Raises
        ------
        ArtifactError
            It is gone, half there or altered, or the cache cannot be written to.
        """
        cache = self._cache()
        folder = cache / digest
        if _intact(folder, digest):
            return folder
        fetched = Path(tempfile.mkdtemp(prefix=".", dir=cache))
        try:
            self._read(name(identity, digest), digest, fetched)
            _put(fetched, folder, digest)
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
        return folder

    def _read(self, prefix: str, digest: str, folder: Path) -> None:
        artifacts.atomic_write(folder / artifacts.MANIFEST, self._blobs.read(f"{prefix}/{artifacts.MANIFEST}")[0])
        manifest = artifacts.read_manifest(folder, "model")  # which refuses a path that leaves the folder

        def read(file: artifacts.File) -> None:
            artifacts.atomic_write(folder / file.path, self._blobs.read(checked_blob(f"{prefix}/{file.path}"))[0])

        _each(read, manifest.all_files())
        found = artifacts.verify(folder, "model").digest
        if found != digest:
            raise ArtifactError("model", f"have the digest {digest}", found, _REMEDY, where=prefix)

    def _cache(self) -> Path:
        """A folder that nobody else can write to."""
        folder = self._given or Path(tempfile.gettempdir()) / f"esteira-models-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat(follow_symlinks=False)
        if state.st_uid != os.getuid() or (self._given is None and state.st_mode & 0o077):
            remedy = "Remove it: somebody else has made it."
            raise ArtifactError("cache", "be a folder of this user's alone", str(folder), remedy)
        return folder


def name(identity: str, digest: str) -> str:
    return f"models/{identity}/{digest}"


def named(address: str) -> tuple[str, str] | None:
    """Identity and digest in an artifact's address; None for one that is not ours."""
    found = _NAME.search(address)
    return (found[1], found[2]) if found else None


def _each(do: Callable[[artifacts.File], None], files: Iterable[artifacts.File]) -> None:
    """Does it for every file, several at a time. After the first error none is begun any more."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun = [pool.submit(do, file) for file in files]
        try:
            for one in as_completed(begun):
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _intact(folder: Path, digest: str) -> bool:
    try:
        return artifacts.verify(folder, "model").digest == digest
    except ArtifactError:
        return False


def _put(fetched: Path, folder: Path, digest: str) -> None:
    """Moves the copy to its place, unless somebody else's stands there whole."""
    told: OSError | None = None
    for _ in range(_TRIES):
        try:
            fetched.rename(folder)
        except OSError as error:  # one stands there
            told = error
        else:
            return
        if _intact(folder, digest):
            return
        _remove(folder)
    remedy = "Remove it, and see who else writes there."
    raise ArtifactError("cache", "take a copy of the model", str(told), remedy, where=str(folder)) from told


def _remove(folder: Path) -> None:
    """Takes a broken folder out of the way at once, then deletes it."""
    with suppress(OSError):  # gone already
        aside = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        folder.rename(aside / "broken")
        shutil.rmtree(aside, ignore_errors=True)
