"""A contract server for Vertex AI: every request is strictly a proto of Google's, and what Vertex refuses is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.servers import http
from tests.servers.vertex.endpoints import Endpoints
from tests.servers.vertex.metadata import Metadata
from tests.servers.vertex.monitors import Monitors
from tests.servers.vertex.pipelines import Pipelines
from tests.servers.vertex.service import PARENT, PROJECT, REGION
from tests.servers.vertex.tensorboards import Tensorboards

__all__ = ["PARENT", "PROJECT", "REGION", "Vertex", "vertex"]


@dataclass
class Vertex(Pipelines, Endpoints, Monitors, Metadata, Tensorboards):
    """The service, of its parts."""


@contextmanager
def vertex() -> Iterator[tuple[http.Server, Vertex]]:
    service = Vertex()
    try:
        with http.serving(service) as server:
            yield server, service
    finally:
        service.close()
