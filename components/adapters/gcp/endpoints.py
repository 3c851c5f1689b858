"""What is live, behind an endpoint of Vertex AI. The pointer in Blobs is the commit point; the traffic follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from components.adapters.gcp import vertex
from components.adapters.gcp.deployments import CPU, READY, Deployments, ids
from components.adapters.local.endpoints import PointerEndpoints, shares
from components.adapters.patience import Patience
from components.adapters.ports import Blobs, ModelVersion, Pointer
from components.core import container
from components.core.artifacts import sha256
from components.core.errors import RunError, SetupError
from components.core.profile import Profile


class VertexEndpoints:
    """Implements `ports.Endpoints`.

    Parameters
    ----------
    profile
        Its `vertex` and `endpoints`. Machines and replicas stand there, not in the case: they are where and how big
        a thing lives, and differ between one's development and production.
    model
        A version's name in Vertex's registry by case and number: `Registry.resource`.
    """

    def __init__(
        self,
        blobs: Blobs,
        profile: Profile,
        model: Callable[[str, int], str],
        *,
        patience: Patience | None = None,
        ready: Patience = READY,
        credentials: Any = None,
    ) -> None:
        assert profile.vertex is not None, "a profile with endpoints.adapter: google has a section vertex"
        self._pointers = PointerEndpoints(blobs)
        self._at, self._wishes, self._model, self._ready = profile.vertex, profile.endpoints, model, ready
        self._place = profile.blobs.at or str(profile.path("blobs"))
        self._patience, self._credentials = patience, credentials
        self.resources: Path | None = None

    def pointer(self, case: str) -> Pointer:
        return self._pointers.pointer(case)

    def change(self, pointer: Pointer) -> Pointer:
        return self._pointers.change(pointer)

    def history(self, case: str) -> list[Pointer]:
        return self._pointers.history(case)

    def resource(self, case: str) -> str:
        """With the blobs' place in its id: two profiles of one project have a pointer each, and so an endpoint each."""
        return f"{self._at.parent}/endpoints/esteira-{case}-{sha256(self._place.encode())[:8]}"

    def prepare(self, version: ModelVersion) -> None:
        self._deploy(version.name, version.version)

    def project(self, pointer: Pointer) -> None:
        deployments = self._deployments(pointer.case)
        try:
            moved = self._ready.retry(
                lambda: self._moved(deployments, pointer), lambda error: isinstance(error, _Changed)
            )
        except _Changed as error:
            remedy = "See who changes it, in its activity; the next command moves the traffic."
            raise RunError(
                "traffic",
                "follow the pointer",
                "the endpoint changed, or was busy, at every try",
                remedy,
                where=deployments.name,
            ) from error
        found = deployments.get() if moved else None
        if found is not None and self.pointer(pointer.case).generation == pointer.generation:
            deployments.undeploy(self._unused(pointer, found))

    def _moved(self, deployments: Deployments, pointer: Pointer) -> bool:
        """Whether the traffic is the pointer's; else there is a newer one, or none. Raises _Changed."""
        wanted = shares(pointer)
        named = {version: self._wanted(pointer.case, version)["id"] for version in wanted}
        split = {named[version]: share for version, share in wanted.items() if share}
        while True:
            # Its etag is older than the pointer that is read next: a newer state's traffic is never moved back.
            found = deployments.get()
            if self.pointer(pointer.case).generation != pointer.generation:
                return False  # whoever changed it brings the traffic along
            missing = [version for version, id in named.items() if found is None or id not in ids(found)]
            if missing:
                for version in missing:
                    self._deploy(pointer.case, version)
            elif found is None:
                return False
            elif _traffic(found) == split or deployments.move(found, split):
                return True
            else:
                raise _Changed

    def traffic(self, case: str) -> dict[int, int]:
        found = self._deployments(case).get()
        if found is None:
            return {}
        percent: dict[int, int] = {}
        for id in ids(found):
            version = container.deployed(id)
            if version is not None:  # somebody else's has no number
                percent[version] = percent.get(version, 0) + _traffic(found).get(id, 0)
        return percent

    def _unused(self, pointer: Pointer, found: Any) -> list[str]:
        """Deployments without traffic. One that somebody prepares at this moment is deployed again by its `project`."""
        kept = {version for version in (pointer.champion, pointer.challenger) if version is not None}
        if self._wishes.keep_previous and pointer.previous is not None:
            kept.add(pointer.previous)
        wanted = {self._wanted(pointer.case, version)["id"] for version in kept}
        return sorted(ids(found) - wanted - set(_traffic(found)))

    def _deployments(self, case: str) -> Deployments:
        return Deployments(*self._callers, self._ready, self.resource(case), self._settings(case))

    @cached_property
    def _callers(self) -> tuple[vertex.Caller, vertex.Caller]:
        """Made when they are first needed: whoever asks for the pointer alone needs no service."""
        quick, slow = (
            vertex.Caller("endpoint_service", self._at, patience=patience, credentials=self._credentials)
            for patience in (self._patience, self._ready)
        )
        return quick, slow

    def _deploy(self, case: str, version: int) -> None:
        self._deployments(case).deploy(self._wanted(case, version), self.resources)

    def _settings(self, case: str) -> dict[str, Any]:
        """What the case's endpoint is made with."""
        wishes = self._wishes
        made: dict[str, Any] = {"display_name": f"esteira {case}", "labels": {"esteira-case": case}}
        made["predict_request_response_logging_config"] = {"enabled": bool(wishes.requests)}
        if wishes.requests:
            logging = {"sampling_rate": 1.0, "bigquery_destination": {"output_uri": wishes.requests}}
            made["predict_request_response_logging_config"] |= logging
        if self._at.kms_key:
            made["encryption_spec"] = {"kms_key_name": self._at.kms_key}
        if wishes.projects:
            allowed = {"enable_private_service_connect": True, "project_allowlist": list(wishes.projects)}
            made["private_service_connect_config"] = allowed
        return made

    def _wanted(self, case: str, version: int) -> dict[str, Any]:
        """A version's deployment, whose id says the version and these settings.

        Raises SetupError where the registry is not Vertex's.
        """
        model = self._model(case, version)
        if not model:
            remedy = "Set registry.adapter: google beside endpoints.adapter: google in the profile."
            raise SetupError("registry.adapter", "be google for a Vertex endpoint", "another", remedy, where="profile")
        wishes = self._wishes
        resources: dict[str, Any] = {
            "machine_spec": {"machine_type": wishes.machine},
            "min_replica_count": wishes.replicas[0],
            "max_replica_count": wishes.replicas[1],
            "autoscaling_metric_specs": [{"metric_name": CPU, "target": wishes.utilization}],
        }
        wanted: dict[str, Any] = {"model": model, "dedicated_resources": resources}
        account = wishes.service_account or self._at.service_account
        if account:
            wanted["service_account"] = account
        shown = f"{case} version {version}"
        return {"id": container.deployment(version, wanted), "display_name": shown, **wanted}


def _traffic(found: Any) -> Mapping[str, int]:
    """Percent by deployment, without those that have none."""
    return {id: share for id, share in dict(found.traffic_split).items() if share}


class _Changed(Exception):
    """Somebody changed the endpoint since it was looked at."""
