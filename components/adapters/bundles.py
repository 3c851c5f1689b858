"""Case bundles under Blobs, by digest."""

from __future__ import annotations

from pathlib import Path

from components.adapters.ports import Ports
from components.core import artifacts, bundle
from components.core.errors import ArtifactError


def path(digest: str) -> str:
    return f"bundles/{digest}"


def fetch(ports: Ports, digest: str, scratch: Path) -> Path:
    """A local folder with the verified bundle. Raises ArtifactError where it is absent or altered."""
    folder = scratch / f"bundle-{digest}"
    prefix = path(digest) + "/"
    names = ports.blobs.names(prefix)
    if len(names) > bundle.MAX_FILES + 1:
        raise ArtifactError("bundle", f"hold at most {bundle.MAX_FILES} files", len(names), "Launch again.")
    for name in names:
        artifacts.atomic_write(folder / name.removeprefix(prefix), ports.blobs.read(name)[0])
    bundle.read(folder, digest)
    return folder
