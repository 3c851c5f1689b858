"""Vertex Model Registry: it numbers the versions; their artifacts and records lie in Blobs.

Vertex's alias `default` is the version that who names none gets. It comes with the first version and moves with the
champion; an upload leaves it where it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.adapters import stored_models
from components.adapters.gcp import errors, vertex
from components.adapters.gcp.imports import Imports
from components.adapters.gcp.uploads import LEASE, SETTLE, Uploads
from components.adapters.lease import Lease
from components.adapters.names import ALIASES, checked_aliases, checked_identity, checked_model, unknown_version
from components.adapters.patience import Patience
from components.adapters.ports import Blobs, ModelVersion
from components.adapters.stored_models import StoredModels
from components.core import container
from components.core.artifacts import canonical_json, sha256
from components.core.errors import ArtifactError, CaseError, ConflictError, SetupError
from components.core.evaluated import Evaluation
from components.core.profile import Profile

_READERS = 8
_LABEL = re.compile(r"[^a-z0-9_-]")


class VertexRegistry:
    """Implements `ports.Registry`.

    A version is ours by its artifact's address, models/IDENTITY/DIGEST; what a person uploaded beside ours is left
    alone. Should one identity have two versions all the same, everybody means the older one.

    Parameters
    ----------
    profile
        Its `vertex`, and `endpoints.image`: the server's image by digest, which a version is served by.
    lease, settle
        Seconds; see `uploads`.
    """

    def __init__(
        self,
        blobs: Blobs,
        profile: Profile,
        *,
        patience: Patience | None = None,
        lease: float = LEASE,
        settle: float = SETTLE,
        credentials: Any = None,
    ) -> None:
        assert profile.vertex is not None, "a profile with registry.adapter: google has a section vertex"
        self._blobs, self._at, self._image = blobs, profile.vertex, profile.endpoints.image
        self._models, self._lease, self._settle = StoredModels(blobs), lease, settle
        self._place = blobs.address("models").removesuffix("/models")
        self._patience = patience or Patience()
        self._calls = vertex.Caller("model_service", self._at, patience=patience, credentials=credentials)

    def register(self, name: str, model: Path, identity: str, tags: Mapping[str, str]) -> ModelVersion:
        checked_identity(identity)
        checked_model(name)

        def find() -> Any | None:
            return next(iter(self._list(name, identity)), None)

        def make(lease: Lease) -> Any:
            digest = self._models.store(model, identity)
            asked = self._asked(name, identity, digest, tags)
            self._blobs.write(_record(name, identity), _json(identity, tags))
            return Uploads(self._calls, self._model(name), self._settle).make(asked, find, lease)

        lease = Lease(self._blobs, f"{_record(name, identity)}.lease", self._lease)
        return self._version(name, lease.once(find, make))

    def versions(self, name: str) -> list[ModelVersion]:
        found = self._list(checked_model(name))
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(lambda one: self._version(name, one), found))

    def get(self, name: str, version: int) -> ModelVersion:
        return self._version(name, self._get(name, version)[0])

    def fetch(self, name: str, version: int) -> Path:
        return self._models.fetch(*self._get(name, version)[1])

    def resource(self, name: str, version: int) -> str:
        return f"{self._model(name)}@{version}"

    def evaluated(self, name: str, version: int, evaluation: Evaluation) -> None:
        from google.api_core.exceptions import Conflict, NotFound

        (_, (identity, _)), place = self._get(name, version), self.resource(name, version)
        imports = Imports(self._calls, place)
        lease = Lease(self._blobs, f"{_record(name, identity)}.evaluation.lease", self._lease)
        try:
            lease.once(lambda: imports.find(evaluation), lambda _: imports.make(evaluation))
        except NotFound as error:  # somebody deletes it at this moment
            raise unknown_version(name, version) from error
        except Conflict as error:
            told, remedy = vertex.words(error), "Somebody else changes it: run it again."
            raise ConflictError("version", "take its evaluation", told, remedy, where=place) from error

    def project(self, name: str, aliases: Mapping[str, int]) -> None:
        checked_model(name)
        checked_aliases(aliases)
        known = {int(found.version_id) for found in self._list(name)}
        for version in aliases.values():
            if version not in known:
                raise unknown_version(name, version)

        def move() -> None:
            for version, merged in _differences(self._every(name), aliases):
                request = {"name": self.resource(name, version), "version_aliases": merged}
                self._calls.once("merge_version_aliases", request=request)

        self._moved(name, move)

    def _moved(self, name: str, move: Callable[[], None]) -> None:
        """Moves aliases past whoever changes the model at this moment. Raises ConflictError where a version is gone."""
        from google.api_core.exceptions import Conflict, NotFound

        about = self._model(name)
        try:
            self._patience.retry(lambda: self._calls.again(move, about), errors.under_way)
        except (Conflict, NotFound) as error:
            rule, remedy = "stay as it is while its aliases move", "Somebody else changes it: run it again."
            raise ConflictError("model", rule, vertex.words(error), remedy, where=about) from error

    def _list(self, name: str, identity: str = "") -> list[Any]:
        """Ours, oldest first, one for each identity."""
        wanted = f'labels.esteira-identity="{identity[:32]}"' if identity else ""
        every = self._calls.again(lambda: self._every(name, wanted), self._model(name))
        oldest: dict[str, Any] = {}
        for found in sorted(every, key=lambda one: int(one.version_id)):
            stored = stored_models.named(found.artifact_uri)
            if stored and (not identity or stored[0] == identity):
                oldest.setdefault(stored[0], found)
        return list(oldest.values())

    def _every(self, name: str, wanted: str = "") -> list[Any]:
        """Every version of the model, a person's own too; none without the model. One attempt."""
        from google.api_core.exceptions import NotFound

        request = {"name": self._model(name), "page_size": 100, "filter": wanted}
        try:
            return list(self._calls.once("list_model_versions", request=request))
        except NotFound:
            return []

    def _get(self, name: str, version: int) -> tuple[Any, tuple[str, str]]:
        """Vertex's version, and the identity and digest of its artifact."""
        from google.api_core.exceptions import NotFound

        checked_model(name)
        try:
            found = self._calls.call("get_model", about=self._model(name), name=self.resource(name, version))
        except NotFound as error:
            raise unknown_version(name, version) from error
        stored = stored_models.named(found.artifact_uri)
        if stored is None:
            raise unknown_version(name, version)
        return found, stored

    def _version(self, name: str, found: Any) -> ModelVersion:
        identity, _ = stored_models.named(found.artifact_uri) or ("", "")
        path = _record(name, identity)
        try:
            raw: dict[str, Any] = json.loads(self._blobs.read(path)[0])
            if raw["identity"] != identity:
                raise ValueError(f"it is of {raw['identity']}")
            tags = {str(key): str(value) for key, value in raw["tags"].items()}
        except (ArtifactError, ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "Restore the blob: it was written before its version."
            raise ArtifactError("record", "be a version's", str(error), remedy, where=path) from error
        aliases = tuple(alias for alias in ALIASES if alias in found.version_aliases)
        created = vertex.seconds(found.version_create_time) or 0.0
        return ModelVersion(name, int(found.version_id), identity, tags, aliases, created)

    def _asked(self, name: str, identity: str, digest: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """aiplatform_v1's Model as a mapping.

        Raises
        ------
        SetupError
            The profile names no image of the server.
        CaseError
            The artifacts are not in Cloud Storage.
        """
        if not self._image:
            remedy = "Name the server's image there, REGISTRY/NAME@sha256:…."
            raise SetupError("endpoints.image", "be given: a version is served by it", "", remedy, where="profile")
        address = self._models.address(identity, digest)
        if not address.startswith("gs://"):
            remedy = "Set blobs.adapter: google beside registry.adapter: google in the profile."
            raise CaseError("blobs", "be in Cloud Storage: Vertex copies the model from there", address, remedy)
        bundle = tags.get("bundle", "")
        variables = container.variables(name, bundle, self._place)
        spec = {
            "image_uri": self._image,
            "env": [{"name": key, "value": value} for key, value in variables.items()],
            "ports": [{"container_port": container.PORT}],
            "health_route": container.HEALTH,
            "predict_route": container.PREDICT,
        }
        labels = {"case": name, "identity": identity[:32], "bundle": bundle[:32], "run": _label(tags.get("run", ""))}
        asked: dict[str, Any] = {
            "display_name": f"esteira {name}",
            "version_description": f"{tags.get('estimator', 'model')} of run {tags.get('run', 'unknown')}",
            "labels": {f"esteira-{key}": value for key, value in labels.items() if value},
            "artifact_uri": address,
            "container_spec": spec,
        }
        if self._at.kms_key:
            asked["encryption_spec"] = {"kms_key_name": self._at.kms_key}
        return asked

    def _model(self, name: str) -> str:
        """With the blobs' place in its id: two profiles of one project have a registry each."""
        return f"{self._at.parent}/models/esteira-{name}-{sha256(self._place.encode())[:8]}"


def _differences(found: Sequence[Any], aliases: Mapping[str, int]) -> Iterator[tuple[int, list[str]]]:
    """By version, what is to be merged so that the aliases are exactly these, and `default` is champion's."""
    wanted = dict(aliases) | ({"default": aliases["champion"]} if "champion" in aliases else {})
    for one in found:
        version, has = int(one.version_id), set(one.version_aliases)
        added = [alias for alias, of in wanted.items() if of == version and alias not in has]
        # An alias that another version gets leaves this one by itself.
        removed = [f"-{alias}" for alias in ALIASES if alias in has and alias not in wanted]
        if added or removed:
            yield version, [*added, *removed]


def _record(name: str, identity: str) -> str:
    return f"registry/{name}/{identity}.json"


def _json(identity: str, tags: Mapping[str, str]) -> bytes:
    return canonical_json({"format": 1, "identity": identity, "tags": dict(tags)}).encode()


def _label(text: str) -> str:
    """As much of a text as a label holds."""
    return _LABEL.sub("_", text.lower())[:63]
