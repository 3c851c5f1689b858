"""The ports of a profile, each imported when it is first used."""

from __future__ import annotations

import os
from functools import cached_property

from components.adapters.ports import Alerts, Blobs, Endpoints, Events, Jobs, Registry, Sources, Tables, Tracking
from components.core.profile import Profile


class Connected:
    """Implements `ports.Ports` for a profile."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        os.environ.update(profile.emulators.variables())  # Google's clients look there, and so do our children

    @cached_property
    def blobs(self) -> Blobs:
        if self.profile.blobs.adapter == "google":
            from components.adapters.gcp.blobs import CloudBlobs

            return CloudBlobs(self.profile.blobs.at)

        from components.adapters.local.blobs import FileBlobs

        return FileBlobs(self.profile.path("blobs"))

    @cached_property
    def sources(self) -> Sources:
        from components.adapters.sources import AnySources

        return AnySources(self.profile)

    @cached_property
    def tables(self) -> Tables:
        if self.profile.tables.adapter == "google":
            from components.adapters.gcp.tables import CloudTables

            return CloudTables(self.profile.tables.at, most_bytes=self.profile.bigquery.maximum_bytes_billed)

        from components.adapters.local.tables import ParquetTables

        return ParquetTables(self.profile.path("tables"))

    @cached_property
    def events(self) -> Events:
        if self.profile.events.adapter == "pubsub":
            from components.adapters.gcp.pubsub import PubSubEvents
            from components.adapters.gcp.pubsub_settings import Settings

            asked = self.profile.events
            return PubSubEvents(asked.at, Settings(asked.dead_letter, asked.exactly_once), most=asked.outstanding)

        from components.adapters.local.log_events import LogEvents

        return LogEvents(self.profile.path("events"))

    @cached_property
    def registry(self) -> Registry:
        if self.profile.registry.adapter == "google":
            from components.adapters.gcp.registry import VertexRegistry

            return VertexRegistry(self.blobs, self.profile)

        if self.profile.registry.adapter == "mlflow":
            from components.adapters.mlflow_server import MlflowServerRegistry

            return MlflowServerRegistry(self.blobs, self.profile.registry.at)

        from components.adapters.local.registry import MlflowRegistry

        return MlflowRegistry(self.profile.path("registry"), self.profile.path("mlflow.db"))

    @cached_property
    def endpoints(self) -> Endpoints:
        if self.profile.endpoints.adapter == "google":
            from components.adapters.gcp.endpoints import VertexEndpoints

            return VertexEndpoints(
                self.blobs, self.profile, lambda case, version: self.registry.resource(case, version)
            )

        from components.adapters.local.endpoints import PointerEndpoints

        return PointerEndpoints(self.blobs)

    @cached_property
    def tracking(self) -> Tracking:
        from components.adapters.local.tracking import MlflowTracking, NoTracking

        address = self.profile.tracking
        if address.adapter == "none":
            return NoTracking()
        if address.adapter == "google":
            from components.adapters.gcp.tracking import VertexTracking

            assert self.profile.vertex is not None, "the profile has checked it"
            return VertexTracking(self.profile.vertex, tensorboard=address.at, blobs=self.blobs)
        return MlflowTracking(
            address.at or f"sqlite:///{self.profile.path('mlflow.db')}", self.profile.path("tracking")
        )

    @cached_property
    def alerts(self) -> Alerts:
        from components.adapters.local.alerts import Channel, LocalAlerts

        wanted, channels = self.profile.alerts, dict[str, Channel]()
        if wanted.pubsub or wanted.logging:
            from components.adapters.gcp import alerts as google

            if wanted.pubsub:
                channels["pubsub"] = google.pubsub(wanted.pubsub)
            if wanted.logging:
                channels["logging"] = google.logging(wanted.logging)
        return LocalAlerts(wanted, channels=channels)

    @cached_property
    def jobs(self) -> Jobs:
        if self.profile.jobs.runner == "DataflowRunner":
            from components.adapters.gcp.dataflow import DataflowJobs

            return DataflowJobs(self.profile, self.blobs)

        from components.adapters.local.jobs import BeamJobs

        return BeamJobs(self.profile.jobs)
