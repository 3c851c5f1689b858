"""The same scenes over Google's adapters: emulators, and Vertex's contract server."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from components.adapters import patience
from components.adapters.gcp import clients, vertex
from tests.servers.vertex.service import PROJECT, REGION

SERVERS = ("ESTEIRA_PUBSUB", "ESTEIRA_GCS", "ESTEIRA_BIGQUERY")
"""The variables that name the emulators."""
_USED = ("storage", "bigquery", "bigquery_storage_v1")
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/esteira/server@sha256:{'0' * 64}"


@dataclass(frozen=True)
class Cloud:
    emulators: dict[str, str]
    """As a profile names them."""
    vertex: str = ""
    """The contract server's address; empty: registry and endpoints are local."""
    wire: dict[str, str] = field(default_factory=dict)
    """The emulators, and "vertex", behind a proxy that fails, for the attempts with the fault "wire"."""

    def profile(self) -> dict[str, Any]:
        """Sections of a profile over places of its own, which are made."""
        mark = uuid.uuid4().hex[:12]
        found: dict[str, Any] = {
            "emulators": self.emulators,
            "blobs": {"adapter": "google", "at": f"gs://esteira/{mark}"},
            "tables": {"adapter": "google", "at": f"esteira.f_{mark}"},
            "events": {"adapter": "pubsub", "at": f"faults-{mark}"},
        }
        if self.vertex:
            place = {"project": PROJECT, "region": REGION, "pipeline_root": "gs://esteira/runs"}
            found |= {"vertex": {**place, "endpoint": self.vertex}, "registry": {"adapter": "google"}}
            found |= {"endpoints": {"adapter": "google", "image": IMAGE}}
        return found


def emulators() -> dict[str, str]:
    """Those that the environment names, as a profile does."""
    rest, _, read = os.environ["ESTEIRA_BIGQUERY"].partition(",")
    found = {"storage": f"http://{os.environ['ESTEIRA_GCS']}", "bigquery": f"http://{rest}"}
    return found | {"bigquery_storage": read, "pubsub": os.environ["ESTEIRA_PUBSUB"]}


def make_dataset(at: str) -> None:
    """The dataset of a profile's tables; its emulator stands in the environment."""
    project, _, name = at.partition(".")
    clients.bigquery_client(project).create_dataset(name)


def import_clients() -> None:
    """What a fork would else import: no client is made, as gRPC's threads would not be there after the fork.

    Our own pauses between two tries are cut short: nobody else asks.
    """
    vars(patience)["random"] = SimpleNamespace(uniform=lambda _, most: min(most, 0.02))
    for package in _USED:
        clients.load(package)
    import_module("google.pubsub_v1")
    for module in ("types", "services.model_service", "services.endpoint_service"):
        vertex.load(module)
