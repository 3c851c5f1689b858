"""An endpoint on Vertex's contract server whose containers do what a test says, and the port over it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.adapters.gcp.endpoints import VertexEndpoints
from components.adapters.local.blobs import FileBlobs
from components.adapters.patience import Patience
from components.adapters.ports import ModelVersion, Pointer
from components.core import container
from components.core.profile import Profile
from tests.servers.http import Server
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.models import Kept
from tests.servers.vertex.server import PARENT, PROJECT, REGION, Vertex, vertex

CASE = "toy"
QUICK = Patience(first=0.002, longest=0.02, deadline=60.0)
MODEL = f"{PARENT}/models/esteira-toy"


@dataclass
class Fake:
    """Stands where a process would."""

    failed: str = ""
    ready: bool = True
    ended: bool = False

    def healthy(self) -> bool:
        return self.ready

    def end(self) -> None:
        self.ended = True


@dataclass
class Scene:
    server: Server
    service: Vertex
    root: Path
    next: Fake | None = None
    """The container of the next deployment."""
    started: list[Fake] = field(default_factory=list)

    def profile(self, endpoints: dict[str, Any] | None = None, root: Path | None = None, **vertex: Any) -> Profile:
        place = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/runs"}
        return Profile.model_validate(
            {
                "root": str(root or self.root),
                "blobs": {"adapter": "google", "at": f"gs://esteira{root or self.root}"},
                "registry": {"adapter": "google"},
                "endpoints": {"adapter": "google", **(endpoints or {})},
                "vertex": {**place, "endpoint": self.server.address, **vertex},
            }
        )

    def endpoints(
        self, endpoints: dict[str, Any] | None = None, ready: Patience = QUICK, **more: Any
    ) -> VertexEndpoints:
        profile = self.profile(endpoints, **more)
        blobs = FileBlobs(profile.path("blobs"))
        return VertexEndpoints(blobs, profile, lambda _, version: f"{MODEL}@{version}", patience=QUICK, ready=ready)

    def container(self, *_: object) -> Any:
        fake, self.next = self.next or Fake(), None
        self.started.append(fake)
        return fake

    def live(self, endpoints: VertexEndpoints, **roles: Any) -> Pointer:
        """The pointer's next state with these roles, projected."""
        before = endpoints.pointer(CASE)
        for version in {roles.get("champion"), roles.get("challenger")} - {None}:
            endpoints.prepare(version_of(version))
        after = endpoints.change(Pointer(CASE, generation=before.generation, **roles))
        endpoints.project(after)
        return after

    @property
    def endpoint(self) -> Any:
        """The only one."""
        (found,) = self.service.endpoints.values()
        return found

    def deployed(self) -> set[int | None]:
        return {container.deployed(one.id) for one in self.endpoint.deployed_models}

    def split(self) -> dict[int | None, int]:
        return {container.deployed(id): share for id, share in dict(self.endpoint.traffic_split).items()}

    def bodies(self, match: str) -> list[Any]:
        """What was sent by requests whose path ends so."""
        return [json.loads(r.body or b"{}") for r in self.server.seen if f"{r.method} {r.path}".endswith(match)]


def version_of(number: int) -> ModelVersion:
    return ModelVersion(CASE, number, f"{number:064x}")


@contextmanager
def scene(root: Path, versions: int = 9) -> Iterator[Scene]:
    """With these versions of the case's model in the registry."""
    with vertex() as (server, service):
        kept = service.models["esteira-toy"] = Kept()
        for number in range(1, versions + 1):
            kept.versions[number] = aiplatform_v1.Model(name=MODEL, version_id=str(number), display_name="esteira toy")
        made = Scene(server, service, root)
        service.starts = made.container
        yield made
