"""What the server reads and writes elsewhere: its one model, and the blobs that its log goes to. gs:// or a folder.

Google's client is imported for gs:// alone.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from components.adapters.ports import Blobs
from components.core import artifacts
from components.core.artifacts import MANIFEST
from components.core.errors import ArtifactError, SetupError


def cloud(at: str) -> bool:
    return at.startswith("gs://")


def blobs(at: str) -> Blobs:
    if cloud(at):
        from components.adapters.gcp.blobs import CloudBlobs

        return CloudBlobs(at)

    from components.adapters.local.blobs import FileBlobs

    return FileBlobs(Path(at))


def model(at: str) -> Path:
    """The folder of the model artifact at `at`; one at gs:// is fetched into a folder that ends with the process.

    Raises
    ------
    SetupError
        There is no such bucket, or it is not open to this account.
    ArtifactError
        There is no artifact, or a byte of it is not what its manifest says.
    """
    if not cloud(at):
        return Path(at)
    store, folder = blobs(at), Path(tempfile.mkdtemp(prefix="esteira-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not _there(store, at):
        remedy = "Name the folder that holds the whole artifact: registering a version stores it."
        raise ArtifactError("AIP_STORAGE_URI", f"hold a model's {MANIFEST}", at, remedy, where="environment")
    artifacts.atomic_write(folder / MANIFEST, store.read(MANIFEST)[0])
    manifest = artifacts.read_manifest(folder, "model")  # which refuses a path that leaves the folder
    for file in manifest.all_files():
        artifacts.atomic_write(folder / file.path, store.read(file.path)[0])
    artifacts.verify(folder, "model")
    return folder


def _there(store: Blobs, at: str) -> bool:
    try:
        return store.exists(MANIFEST)
    except SetupError as error:
        if error.name != "bucket":
            raise
        remedy = "Mend the address: Vertex AI gives the one of its own copy of the model."
        raise SetupError("AIP_STORAGE_URI", "name a bucket that is there", at, remedy, where="environment") from error
