"""Vertex ML Metadata: one store `default`, which a project has not before it is made; contexts and artifacts in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.service import PARENT, Service, moment, written

STORE = f"{PARENT}/metadataStores/default"
# The service's own, of those that the SDK's metadata/schema and metadata/constants.py name with this version.
_SCHEMAS = {
    "system.Experiment",
    "system.ExperimentRun",
    "system.PipelineRun",
    "system.Artifact",
    "system.Metrics",
    "google.VertexTensorboardRun",
}
_MOST_METADATA = 200_000


@dataclass
class Metadata(Service):
    stores: set[str] = field(default_factory=set)
    contexts: dict[str, aiplatform_v1.Context] = field(default_factory=dict)
    artifacts: dict[str, aiplatform_v1.Artifact] = field(default_factory=dict)
    held: dict[str, list[str]] = field(default_factory=dict)
    """By context's id: the names of its artifacts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"metadataStoreId", "contextId", "artifactId", "allowMissing"}

    def _post_metadataStores(self, request: Request) -> Any:
        id = request.query.get("metadataStoreId", "")
        if not re.fullmatch(r"[a-z0-9-]{4,128}", id):
            raise rules.invalid(f"metadata_store_id {id!r}")
        found = rules.parsed(aiplatform_v1.MetadataStore, request.json())
        if id in self.stores:
            raise Refused(409, "ALREADY_EXISTS", f"MetadataStore {id} already exists.")
        found.name = f"{PARENT}/metadataStores/{id}"

        def work() -> Any:
            self.stores.add(id)
            return found

        return self.begin(work)

    def _post_metadataStores_contexts(self, request: Request, store: str) -> Any:
        return self._make(request, store, "context", aiplatform_v1.Context, self.contexts)

    def _get_metadataStores_contexts_one(self, request: Request, store: str, id: str) -> Any:
        return written(self._of(store, self.contexts, id, "Context"))

    def _patch_metadataStores_contexts_one(self, request: Request, store: str, id: str) -> Any:
        there = self._of(store, self.contexts, id, "Context")
        given = rules.parsed(aiplatform_v1.Context, request.json())
        if given.etag and given.etag != there.etag:
            told = f"Specified Context `etag`: `{given.etag}` does not match server `etag`: `{there.etag}`"
            raise Refused(409, "ABORTED", told)
        if given.schema_title and given.schema_title != there.schema_title:
            raise rules.invalid("schema_title is immutable")
        _check(given)
        raw, new = aiplatform_v1.Context.pb(there), aiplatform_v1.Context.pb(given)
        for path in request.query.get("updateMask", "metadata,displayName,description,labels").split(","):
            name = {"displayName": "display_name"}.get(path, path)
            if name not in ("metadata", "display_name", "description", "labels"):
                raise rules.invalid(f"update_mask {path}")
            if "updateMask" in request.query or name in {f.name for f, _ in new.ListFields()}:
                raw.ClearField(name)
                part = type(raw)()
                part.CopyFrom(new)
                for other in {f.name for f in part.DESCRIPTOR.fields} - {name}:
                    part.ClearField(other)
                raw.MergeFrom(part)
        self._stamp(there)
        return written(there)

    def _post_metadataStores_contexts_one_addContextChildren(self, request: Request, store: str, id: str) -> Any:
        asked = rules.parsed(aiplatform_v1.AddContextChildrenRequest, request.json())
        parent = self._of(store, self.contexts, id, "Context")
        children = [self._of(store, self.contexts, _last(name), "Context") for name in asked.child_contexts]
        for child in children:
            if child.name == parent.name:
                raise rules.invalid("A context cannot be its own child.")
            if parent.name not in child.parent_contexts:
                if len(child.parent_contexts) == 10:
                    raise Refused(400, "FAILED_PRECONDITION", "A Context may have at most 10 parent contexts.")
                child.parent_contexts.append(parent.name)
        return {}

    def _post_metadataStores_contexts_one_addContextArtifactsAndExecutions(
        self, request: Request, store: str, id: str
    ) -> Any:
        asked = rules.parsed(aiplatform_v1.AddContextArtifactsAndExecutionsRequest, request.json())
        self._of(store, self.contexts, id, "Context")
        for name in asked.artifacts:
            self._of(store, self.artifacts, _last(name), "Artifact")
        held = self.held.setdefault(id, [])
        held += [name for name in asked.artifacts if name not in held]
        return {}

    def _post_metadataStores_artifacts(self, request: Request, store: str) -> Any:
        return self._make(request, store, "artifact", aiplatform_v1.Artifact, self.artifacts)

    def _get_metadataStores_artifacts_one(self, request: Request, store: str, id: str) -> Any:
        return written(self._of(store, self.artifacts, id, "Artifact"))

    def _make(self, request: Request, store: str, kind: str, message: Any, kept: dict[str, Any]) -> Any:
        id = request.query.get(f"{kind}Id", "")
        if not re.fullmatch(r"[a-z0-9-]{4,128}", id):
            raise rules.invalid(f"{kind}_id {id!r} must have 4 to 128 characters of a-z, 0-9 and -")
        found = rules.parsed(message, request.json())
        _check(found)
        if store not in self.stores:
            raise Refused(404, "NOT_FOUND", f"MetadataStore {store} is not found.")
        if (found.schema_title not in _SCHEMAS) or found.schema_version != "0.0.1":
            raise Refused(404, "NOT_FOUND", f"MetadataSchema {found.schema_title} {found.schema_version} not found.")
        if id in kept:
            raise Refused(409, "ALREADY_EXISTS", f"{kind} with name {STORE}/{kind}s/{id} already exists")
        found.name, found.create_time = f"{STORE}/{kind}s/{id}", moment(self.clock)
        self._stamp(found)
        kept[id] = found
        return written(found)

    def _stamp(self, found: Any) -> None:
        found.update_time, found.etag = moment(self.clock), str(int(self.clock * 1000))

    def _of(self, store: str, kept: dict[str, Any], id: str, kind: str) -> Any:
        if store not in self.stores:
            raise Refused(404, "NOT_FOUND", f"MetadataStore {store} is not found.")
        return self.there(kept, id, kind)


def _last(name: str) -> str:
    if not name.startswith(f"{STORE}/"):
        raise rules.invalid(f"{name} is not in {STORE}")
    return name.rpartition("/")[2]


def _check(found: Any) -> None:
    raw = type(found).pb(found)
    if len(found.display_name) > 128:
        raise rules.invalid("display_name is longer than 128 characters")
    rules.labels(found.labels)
    if len(json_format.MessageToJson(raw.metadata)) > _MOST_METADATA:
        raise rules.invalid("metadata exceeds 200KB")
