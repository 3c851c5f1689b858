"""A task on Vertex AI finds Cloud Storage mounted at /gcs; Beam's workers have nothing mounted."""

from __future__ import annotations

from pathlib import Path

from components.adapters.ports import Blobs

MOUNT = "/gcs/"


def store(path: str) -> Blobs | None:
    """Cloud Storage where it would be mounted at this path, and is not."""
    if not path.startswith(MOUNT) or Path(MOUNT).is_dir():
        return None
    from components.adapters.gcp.blobs import CloudBlobs

    return CloudBlobs(f"gs://{path.removeprefix(MOUNT)}")
