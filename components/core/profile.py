"""The profile: where things live. It names the adapter and address of each port, without secrets.

`local` is built in: everything under one folder, nothing to start.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import model_validator

from components.core import written
from components.core.artifacts import canonical_json
from components.core.declared import Strict, validate
from components.core.errors import CaseError
from components.core.operations import Workers
from components.core.sections import (
    Alerts,
    BigQuery,
    Containers,
    Emulators,
    EndpointsAddress,
    EventsAddress,
    Jobs,
    RegistryAddress,
    StoreAddress,
    TrackingAddress,
)
from components.core.targets import CloudRun, Dataflow, Kubeflow, Vertex

LOCAL_ROOT = ".esteira"
Shared = TypeVar("Shared", Dataflow, CloudRun)
"""Sections whose project, region, account and key may be the section vertex's."""
_SECRET = re.compile(r"token|key|secret|password|passwd|credential|signature|\bsig\b|auth", re.IGNORECASE)


class Profile(Strict):
    name: str = "local"
    root: str = LOCAL_ROOT
    """The local adapters' folder."""
    sources: str = "."
    """What a case's relative source paths stand under: a folder, or a URL such as gs://bucket/prefix."""
    blobs: StoreAddress = StoreAddress()
    """Bundles, models, records of runs: small objects by name."""
    tables: StoreAddress = StoreAddress()
    """Predictions, and what the stream writes."""
    bigquery: BigQuery = BigQuery()
    events: EventsAddress = EventsAddress()
    """The topics of events."""
    registry: RegistryAddress = RegistryAddress()
    """Who numbers the models."""
    endpoints: EndpointsAddress = EndpointsAddress()
    """Where the prediction server runs."""
    tracking: TrackingAddress = TrackingAddress()
    """Where each training is logged."""
    alerts: Alerts = Alerts()
    """Whom notify tells, and by which way."""
    jobs: Jobs = Jobs()
    """Where Beam runs."""
    containers: Containers = Containers()
    """What --runner docker asks of the engine."""
    emulators: Emulators = Emulators()
    vertex: Vertex | None = None
    """Vertex AI: of the pipelines' runs and schedules, and of every port whose adapter is `google`."""
    kubeflow: Kubeflow | None = None
    """Kubeflow Pipelines: of the pipelines' runs and schedules."""
    cloud_run: CloudRun = CloudRun()
    """Cloud Run: of predictions on demand or by the clock, without a pipelines' platform."""

    @model_validator(mode="after")
    def _stores_are_somewhere(self) -> Self:
        kinds = {"blobs": "gs://bucket/prefix", "tables": "project.dataset"}
        for port, such in kinds.items():
            if getattr(self, port).adapter == "google" and not getattr(self, port).at:
                raise ValueError(f"name {such} in {port}.at, which {port}.adapter: google needs")
        if self.events.adapter == "pubsub" and not self.events.at:
            raise ValueError("name the project in events.at, which events.adapter: pubsub needs")
        return self

    @model_validator(mode="after")
    def _google_is_somewhere(self) -> Self:
        for port in ("registry", "endpoints", "tracking"):
            if getattr(self, port).adapter == "google" and self.vertex is None:
                raise ValueError(f"have a section vertex (project, region), which {port}.adapter: google needs")
        for port in ("registry", "endpoints"):
            if getattr(self, port).adapter == "google" and self.blobs.adapter != "google":
                raise ValueError(f"have blobs.adapter: google, where {port}.adapter: google has Vertex read the models")
        return self

    @model_validator(mode="after")
    def _mlflow_is_a_server(self) -> Self:
        if self.registry.adapter == "mlflow" and not re.fullmatch(r"https?://\S+", self.registry.at):
            raise ValueError("name the MLflow server in registry.at, as http(s)://…")
        return self

    @model_validator(mode="after")
    def _dataflow_is_somewhere(self) -> Self:
        if self.jobs.runner == "DataflowRunner":
            if not (self.dataflow.project and self.dataflow.region):
                raise ValueError("name project and region, in jobs.dataflow or vertex, for runner: DataflowRunner")
            if self.blobs.adapter != "google":
                raise ValueError("have blobs.adapter: google, where runner: DataflowRunner stages its jobs")
        return self

    @property
    def dataflow(self) -> Dataflow:
        """Where Dataflow runs and as whom: what jobs.dataflow leaves out is the section vertex's."""
        return self._with_vertex(self.jobs.dataflow)

    def cloud_run_there(self) -> CloudRun:
        """Where Cloud Run is and as whom, in the same way."""
        return self._with_vertex(self.cloud_run)

    def _with_vertex(self, given: Shared) -> Shared:
        vertex, names = self.vertex, ("project", "region", "service_account", "kms_key")
        found = {name: getattr(vertex, name) for name in names if vertex is not None and not getattr(given, name)}
        return given.model_copy(update=found)

    def with_workers(self, workers: Workers) -> Self:
        """As a case wants Beam's workers."""
        asked = self.jobs.dataflow.model_copy(update=workers.model_dump(exclude_none=True))
        return self.model_copy(update={"jobs": self.jobs.model_copy(update={"dataflow": asked})})

    @model_validator(mode="after")
    def _without_secrets(self) -> Self:
        for key, text in _texts(self.model_dump(), ()):
            if "://" in text and _credentials(text):
                raise ValueError(
                    f"hold no credentials in {key}: it is logged; give them where its client looks for them"
                )
        return self

    def billed(self) -> str:
        """The project that pays for BigQuery's reading; empty: the source's own."""
        tables = self.tables.at.split(".")[0] if self.tables.adapter == "google" else ""
        return self.bigquery.project or tables or (self.vertex.project if self.vertex is not None else "")

    def to_json(self) -> str:
        """The one string that travels as a pipeline parameter."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str) -> Profile:
        return validate(cls, json.loads(text), where="profile")

    def path(self, name: str) -> Path:
        """A folder of the local adapters."""
        return Path(self.root) / name


def _texts(data: Any, key: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every text with its key, such as tracking.at."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _texts(value, (*key, str(name)))
    elif isinstance(data, str):
        yield ".".join(key), data


def _credentials(url: str) -> bool:
    """Whether a URL brings a password, a query that names one, or over HTTP a name, which may be a token."""
    place = urlsplit(url)
    asked = any(_SECRET.search(name) for name, _ in parse_qsl(place.query, keep_blank_values=True))
    return bool(place.password) or asked or ("@" in place.netloc and place.scheme in ("http", "https"))


def load(name: str, folder: Path | None = None) -> Profile:
    """The profile called `name` from `folder/NAME.yaml`, or the built-in `local`; paths made absolute.

    ESTEIRA_ROOT overrides where the local adapters keep their files.
    """
    place = (folder or Path.cwd() / "profiles") / f"{name}.yaml"
    if place.is_file():
        remedy = "See docs/profile.md."
        data = written.mapping(written.text_of(place), place.name, where=str(place), remedy=remedy)
        profile = validate(Profile, {"name": name, **data}, where=str(place))
    elif name == "local":
        profile = Profile()
    else:
        raise CaseError("profile", f"be 'local' or a file {place}", name, "Write that file, or use --profile local.")
    root = os.environ.get("ESTEIRA_ROOT") or profile.root
    alerts = profile.alerts
    if alerts.webhook_file:
        alerts = alerts.model_copy(update={"webhook_file": str(Path(alerts.webhook_file).resolve())})
    sources = profile.sources if "://" in profile.sources else str(Path(profile.sources).resolve())
    paths = {"root": str(Path(root).resolve()), "sources": sources}
    return profile.model_copy(update={**paths, "alerts": alerts})
