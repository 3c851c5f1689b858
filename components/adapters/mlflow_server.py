"""An MLflow server as registry: it numbers the versions and shows them; their artifacts lie in Blobs.

A new version carries no precondition, so it is made under a lease, and looked for after an answer that was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.adapters import stored_models
from components.adapters.lease import Lease, awaited
from components.adapters.mlflow_calls import Calls, Refused
from components.adapters.names import ALIASES, checked_aliases, checked_identity, checked_model, unknown_version
from components.adapters.patience import Patience
from components.adapters.ports import Blobs, ModelVersion
from components.adapters.stored_models import StoredModels
from components.core.errors import RunError
from components.core.evaluated import Evaluation

LEASE = 120.0
"""Seconds that registering one model may take; whoever is killed at it keeps the same model out for so long."""
SETTLE = 15.0
"""Seconds within which a version whose answer was lost shows, or was never made."""
_IDENTITY = "esteira.identity"
_ATTEMPTS = 5


class MlflowServerRegistry:
    """Implements `ports.Registry`. Versions that a person made of the same model are left alone.

    Parameters
    ----------
    address
        The server's, http(s)://….
    lease, settle
        Seconds; see LEASE and SETTLE.
    """

    def __init__(
        self,
        blobs: Blobs,
        address: str,
        *,
        patience: Patience | None = None,
        lease: float = LEASE,
        settle: float = SETTLE,
    ) -> None:
        self._blobs, self._calls, self._models = blobs, Calls(address, patience), StoredModels(blobs)
        self._at = address
        self._lease, self._settle = lease, settle

    def register(self, name: str, model: Path, identity: str, tags: Mapping[str, str]) -> ModelVersion:
        checked_identity(identity)
        checked_model(name)

        def make(lease: Lease) -> dict[str, Any]:
            source = self._source(identity, self._models.store(model, identity))
            every = {**tags, _IDENTITY: identity}
            body = {"name": name, "source": source, "tags": [{"key": k, "value": v} for k, v in every.items()]}
            return self._make(name, identity, body, lease)

        lease = Lease(self._blobs, f"registry/{name}/{identity}.lease", self._lease)
        return self._version(lease.once(lambda: self._find(name, identity), make), {})

    def versions(self, name: str) -> list[ModelVersion]:
        aliases = self._aliases(checked_model(name))
        return [self._version(found, aliases) for found in self._list(name)]

    def get(self, name: str, version: int) -> ModelVersion:
        return self._version(self._get(name, version), self._aliases(name))

    def fetch(self, name: str, version: int) -> Path:
        identity, digest = stored_models.named(str(self._get(name, version)["source"])) or ("", "")
        return self._models.fetch(identity, digest)

    def evaluated(self, name: str, version: int, evaluation: Evaluation) -> None:
        """Its tags say it."""

    def resource(self, name: str, version: int) -> str:  # noqa: ARG002  # a server of one's own is no cloud
        return ""

    def project(self, name: str, aliases: Mapping[str, int]) -> None:
        checked_model(name)
        checked_aliases(aliases)
        known = {int(found["version"]) for found in self._list(name)}
        for version in aliases.values():
            if version not in known:
                raise unknown_version(name, version)
        there = self._aliases(name)
        for alias in ALIASES:
            if alias in aliases and there.get(alias) != aliases[alias]:
                body = {"name": name, "alias": alias, "version": str(aliases[alias])}
                self._calls.again("POST", "registered-models/alias", json=body)
            elif alias not in aliases and alias in there:
                self._calls.again("DELETE", "registered-models/alias", json={"name": name, "alias": alias})

    def _make(self, name: str, identity: str, body: Mapping[str, Any], lease: Lease) -> dict[str, Any]:
        """The version that is made. Raises as `Calls.again`."""
        for _ in range(_ATTEMPTS):
            if lease.left < self._settle:
                break
            try:
                return dict(self._calls.once("POST", "model-versions/create", json=body)["model_version"])
            except Exception as error:
                if isinstance(error, Refused) and error.code == "RESOURCE_DOES_NOT_EXIST":
                    self._make_model(name)
                elif self._calls.transient(error):
                    found = awaited(lambda: self._find(name, identity), self._settle)
                    if found is not None:
                        return found
                elif (ours := self._calls.translated(error, "model-versions/create")) is not None:
                    raise ours from error
                else:
                    raise
        remedy = "See that the server runs, and run it again: nothing is done twice."
        raise RunError("version", "be made in time", identity, remedy, where=self._calls.address)

    def _make_model(self, name: str) -> None:
        try:
            self._calls.again("POST", "registered-models/create", json={"name": name})
        except Refused as refused:
            if refused.code != "RESOURCE_ALREADY_EXISTS":  # somebody else made it, or we did and the answer was lost
                raise

    def _find(self, name: str, identity: str) -> dict[str, Any] | None:
        return next(iter(self._list(name, f" and tags.`{_IDENTITY}` = '{identity}'")), None)

    def _list(self, name: str, narrower: str = "") -> list[dict[str, Any]]:
        """Ours, oldest first, one for each identity."""
        wanted = {"filter": f"name = '{name}'{narrower}", "max_results": "200"}
        every = list(self._calls.pages("model-versions/search", "model_versions", **wanted))
        oldest: dict[str, dict[str, Any]] = {}
        for found in sorted(every, key=lambda one: int(one["version"])):
            if _ours(found):
                oldest.setdefault(_tags(found)[_IDENTITY], found)
        return list(oldest.values())

    def _get(self, name: str, version: int) -> dict[str, Any]:
        try:
            found = self._calls.get("model-versions/get", name=checked_model(name), version=str(int(version)))
        except Refused as refused:
            raise unknown_version(name, version) from refused
        if not _ours(found["model_version"]):
            raise unknown_version(name, version)
        return dict(found["model_version"])

    def _aliases(self, name: str) -> dict[str, int]:
        try:
            found = self._calls.get("registered-models/get", name=name)["registered_model"]
        except Refused:
            return {}
        return {str(one["alias"]): int(one["version"]) for one in found.get("aliases", [])}

    def _version(self, found: Mapping[str, Any], aliases: Mapping[str, int]) -> ModelVersion:
        name, tags, number = str(found["name"]), _tags(found), int(found["version"])
        identity = tags.pop(_IDENTITY)
        mine = tuple(alias for alias in ALIASES if aliases.get(alias) == number)
        created, (_, digest) = found["creation_timestamp"] / 1000, stored_models.named(str(found["source"])) or ("", "")
        return ModelVersion(name, number, identity, tags, mine, created, digest, self._at)

    def _source(self, identity: str, digest: str) -> str:
        """MLflow refuses a path of this machine."""
        address = self._models.address(identity, digest)
        return address if "://" in address else f"esteira:/{stored_models.name(identity, digest)}"


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["key"]): str(tag["value"]) for tag in found.get("tags", [])}


def _ours(found: Mapping[str, Any]) -> bool:
    stored = stored_models.named(str(found.get("source", "")))
    return stored is not None and _tags(found).get(_IDENTITY) == stored[0]
