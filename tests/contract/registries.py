"""The registries that the contract suite runs on, each made for a folder of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.gcp.registry import VertexRegistry
from components.adapters.local.blobs import FileBlobs
from components.adapters.mlflow_server import MlflowServerRegistry
from components.adapters.patience import Patience
from components.adapters.ports import Blobs
from components.core.profile import Profile
from tests.servers.vertex.server import PROJECT, REGION

GCS, MLFLOW = os.environ.get("ESTEIRA_GCS", ""), os.environ.get("ESTEIRA_MLFLOW", "")
IMAGE = f"europe-docker.pkg.dev/esteira-test/esteira/server@sha256:{'0' * 64}"
QUICK, BRIEF = Patience(0.01, 0.05, 20), Patience(0.01, 0.01, 0.05)


class CloudFiles(FileBlobs):
    """Files, at addresses in Cloud Storage."""

    def address(self, name: str) -> str:
        return f"gs://esteira{self._path(name).as_posix()}"


def profile(address: str, **sections: Any) -> Profile:
    vertex = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/runs", "endpoint": address}
    google = {"registry": {"adapter": "google"}, "blobs": {"adapter": "google", "at": "gs://esteira"}}
    chosen: dict[str, Any] = {**google, "endpoints": {"image": IMAGE}, "vertex": vertex}
    return Profile.model_validate(chosen | sections)


def on_vertex(
    address: str, root: Path, *, blobs: Blobs | None = None, patience: Patience = QUICK, **times: float
) -> VertexRegistry:
    chosen: dict[str, Any] = {"lease": 60.0, "settle": 0.5, **times}
    return VertexRegistry(blobs or CloudFiles(root / "blobs"), profile(address), patience=patience, **chosen)


def on_vertex_and_storage(address: str, run: str, root: Path) -> VertexRegistry:
    return on_vertex(address, root, blobs=CloudBlobs(f"gs://esteira/{run}{root.as_posix()}"))


def on_mlflow(address: str, root: Path, *, blobs: Blobs | None = None, **times: float) -> MlflowServerRegistry:
    chosen: dict[str, Any] = {"lease": 60.0, "settle": 0.5, **times}
    return MlflowServerRegistry(blobs or FileBlobs(root / "blobs"), address, patience=QUICK, **chosen)


def in_threads(calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """The results of the calls, begun together in a thread each, in order."""
    barrier = threading.Barrier(len(calls), timeout=60)

    def call(one: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
        barrier.wait()
        return one[0](*one[1])

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))
