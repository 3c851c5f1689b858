"""Model Registry: models, their versions and aliases, and imported evaluations.

A version is there when its upload's operation has ended, whether or not whoever asked for it still looks.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from tests.servers.http import Refused, Request
from tests.servers.vertex import metrics, rules
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.model_rules import check_alias, check_model, check_model_id
from tests.servers.vertex.service import PARENT, REGION, Service, labelled, moment, page, snake, written

Model = aiplatform_v1.Model
_MODEL_FIELDS, _VERSION_FIELDS = {"display_name", "description"}, {"version_description"}
SLICES = 50
"""Evaluation slices in one request: Google's own importer splits by it."""


@dataclass
class Kept:
    """One model: its versions by number, and the version of each alias."""

    versions: dict[int, Any] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    last: int = 0


@dataclass
class Models(Service):
    """`upload_looks` requests about models pass before an upload has ended, `list_looks` listings lack the newest."""

    models: dict[str, Kept] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By ID@N, and by their own id."""
    slices: dict[str, list[Any]] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    upload_looks: int = 1
    list_looks: int = 0

    # what other parts ask

    def resolved(self, reference: str) -> tuple[str, int]:
        """The id and the version's number that ID, ID@2 or ID@alias names. Raises Refused."""
        id, at, which = reference.rpartition("/")[2].partition("@")
        if id not in self.models:
            raise Refused(404, "NOT_FOUND", f"The Model {PARENT}/models/{id} does not exist.")
        kept = self.models[id]
        wanted = which if at and which != "-" else "default"
        number = int(wanted) if wanted.isdigit() else kept.aliases.get(wanted, 0)
        if number not in kept.versions:
            raise Refused(404, "NOT_FOUND", f"The Model {PARENT}/models/{id}@{which} does not exist.")
        return id, number

    def version(self, reference: str) -> Any:
        """The version with its container, which no answer of the service shows."""
        id, number = self.resolved(reference)
        return self.models[id].versions[number]

    # models

    def _post_models_upload(self, request: Request) -> Any:
        self._settle()
        asked = rules.parsed(aiplatform_v1.UploadModelRequest, request.json())
        check_model(asked.model, REGION)
        if asked.parent_model and asked.model_id:
            raise rules.invalid("model_id names a new model, parent_model one that is there")
        id = self._parent(asked.parent_model) if asked.parent_model else self._new(asked.model_id)
        begun = self.begin(lambda: self._add(id, asked), f"{PARENT}/models/{id}", self.upload_looks)
        self.uploads.append(begun["name"].rpartition("/")[2])
        return begun

    def _parent(self, name: str) -> str:
        if not name.startswith(f"{PARENT}/models/") or "@" in name:
            raise rules.invalid(f"parent_model {name!r} must be projects/…/locations/…/models/ID")
        return self.resolved(name)[0]

    def _new(self, id: str) -> str:
        if not id:
            return str(7_000_000_000 + next(self.numbers))
        check_model_id(id)
        if id in self.models:
            raise Refused(409, "ALREADY_EXISTS", f"The Model {PARENT}/models/{id} already exists.")
        return id

    def _add(self, id: str, asked: Any) -> Any:
        if not asked.parent_model and id in self.models:
            raise Refused(409, "ALREADY_EXISTS", f"The Model {PARENT}/models/{id} already exists.")
        kept = self.models.setdefault(id, Kept())
        kept.last += 1
        added = type(asked.model).wrap(_copied(asked.model))
        added.name, added.version_id = f"{PARENT}/models/{id}", str(kept.last)
        added.create_time = added.update_time = moment(self.clock)
        added.version_create_time = added.version_update_time = moment(self.clock)
        kept.versions[kept.last] = added
        aliases = [*added.version_aliases, *(["default"] if kept.last == 1 else [])]
        kept.aliases |= dict.fromkeys(aliases, kept.last)  # from whichever version has them now
        return aiplatform_v1.UploadModelResponse(model=added.name, model_version_id=added.version_id)

    def _settle(self) -> None:
        """Uploads end by themselves."""
        for id in list(self.uploads):
            operation = self.operations[id]
            if operation.done is None:
                operation.left -= 1
                if operation.left < 0:
                    operation.done = self._ended(operation.work)
            if operation.done is not None:
                self.uploads.remove(id)

    def _shown(self, id: str, number: int, *, versioned: bool = False) -> Any:
        kept = self.models[id]
        found = Model.wrap(_copied(kept.versions[number]))
        found.name = f"{PARENT}/models/{id}" + (f"@{number}" if versioned else "")
        found.version_aliases = sorted(alias for alias, of in kept.aliases.items() if of == number)
        found.etag = self._etag(id, number)
        data = written(found)
        data.pop("containerSpec", None)  # input only
        return data

    def _etag(self, id: str, number: int) -> str:
        found = self.models[id].versions[number]
        return f"AMEw9y{int(found.update_time.timestamp())}-{number}"

    def _get_models(self, request: Request) -> Any:
        self._settle()
        found = [self.version(id) for id in self.models]
        shown, token = page([m for m in found if labelled(m, request.query.get("filter", ""))], request)
        return {"models": [self._shown(*self.resolved(m.name)) for m in shown], **token}

    def _get_models_one(self, request: Request, id: str) -> Any:
        self._settle()
        return self._shown(*self.resolved(id), versioned="@" in id)

    def _get_models_one_listVersions(self, request: Request, id: str) -> Any:
        self._settle()
        model = self.resolved(id.partition("@")[0])[0]
        every = list(self.models[model].versions.values())[: -1 if self.list_looks else None]
        self.list_looks = max(self.list_looks - 1, 0)
        found = [m for m in every if labelled(m, request.query.get("filter", ""))]
        shown, token = page(found, request)
        return {"models": [self._shown(model, int(m.version_id), versioned=True) for m in shown], **token}

    def _post_models_one_mergeVersionAliases(self, request: Request, id: str) -> Any:
        model, number = self._numbered(id)
        asked = [str(alias) for alias in request.json().get("versionAliases", [])]
        if set(request.json()) != {"versionAliases"} or not asked:
            raise rules.invalid("version_aliases is required")
        kept = self.models[model]
        for alias in asked:
            check_alias(alias.removeprefix("-"))
            if alias == "-default":
                raise Refused(400, "FAILED_PRECONDITION", "There must be exactly one default version.")
        both = {a for a in asked if f"-{a}" in asked}  # the two cancel each other out
        for alias in asked:
            if alias.startswith("-"):
                if alias[1:] not in both and kept.aliases.get(alias[1:]) == number:
                    del kept.aliases[alias[1:]]
            elif alias not in both:
                kept.aliases[alias] = number
        return self._shown(model, number, versioned=True)

    def _numbered(self, reference: str) -> tuple[str, int]:
        if not reference.partition("@")[2].isdigit():
            raise rules.invalid(f"{reference} needs a version id, as ID@1")
        return self.resolved(reference)

    def _patch_models_one(self, request: Request, id: str) -> Any:
        model, number = self.resolved(id)
        asked, mask = rules.parsed(Model, request.json()), request.query.get("updateMask", "")
        paths = {snake(path) for path in mask.split(",") if path}
        version = "@" in id and not id.endswith("@-")
        mine, other = (_VERSION_FIELDS, _MODEL_FIELDS) if version else (_MODEL_FIELDS, _VERSION_FIELDS)
        if not paths or not paths <= mine | other | {"labels"}:
            raise rules.invalid(f"update_mask {mask!r}")
        if paths & other:
            raise Refused(400, "FAILED_PRECONDITION", "A request updates the fields of a model or of a version.")
        if asked.etag and asked.etag != self._etag(model, number):
            raise Refused(409, "ABORTED", "The etag does not match: the model has changed.")
        rules.labels(asked.labels)
        for one in [self.models[model].versions[number]] if version else self.models[model].versions.values():
            for path in paths:
                setattr(one, path, getattr(asked, path))
            one.update_time = moment(self.clock)
        return self._shown(model, number, versioned=version)

    def _delete_models_one_deleteVersion(self, request: Request, id: str) -> Any:
        model, number = self._numbered(id)
        kept = self.models[model]
        if kept.aliases["default"] == number:
            raise Refused(400, "FAILED_PRECONDITION", "The default version cannot be deleted.")

        def work() -> None:
            del kept.versions[number]
            kept.aliases = {alias: of for alias, of in kept.aliases.items() if of != number}

        return self.begin(work, f"{PARENT}/models/{model}")

    # evaluations

    def _post_models_evaluations_import(self, request: Request, id: str) -> Any:
        asked = rules.parsed(aiplatform_v1.ImportModelEvaluationRequest, request.json()).model_evaluation
        data = json_format.MessageToDict(aiplatform_v1.ModelEvaluation.pb(asked).metrics)
        metrics.check(asked.metrics_schema_uri, data)
        if asked.name or asked.create_time:
            raise rules.invalid("name and create_time are output only")
        model, number = self.resolved(id)
        key = str(5_000_000_000 + next(self.numbers))
        asked.name, asked.create_time = f"{PARENT}/models/{model}/evaluations/{key}", moment(self.clock)
        self.evaluations.setdefault(f"{model}@{number}", {})[key] = asked
        self.slices[key] = []
        return written(asked)

    def _get_models_evaluations(self, request: Request, id: str) -> Any:
        model, number = self.resolved(id)
        shown, token = page(list(self.evaluations.get(f"{model}@{number}", {}).values()), request)
        return {"modelEvaluations": [written(one) for one in shown], **token}

    def _post_models_evaluations_slices_batchImport(self, request: Request, id: str, key: str) -> Any:
        kept = self._slices(id, key)
        asked = rules.parsed(aiplatform_v1.BatchImportModelEvaluationSlicesRequest, request.json())
        given = list(asked.model_evaluation_slices)
        if not 0 < len(given) <= SLICES:
            raise rules.invalid(f"1 to {SLICES} slices in a request, not {len(given)}")
        for one in given:
            raw = aiplatform_v1.ModelEvaluationSlice.pb(one)
            metrics.check(one.metrics_schema_uri, json_format.MessageToDict(raw.metrics))
            if one.slice_.dimension not in ("slice", "annotationSpec") or not one.slice_.value:
                raise rules.invalid(f"slice {one.slice_.dimension!r} {one.slice_.value!r}")
            one.name = f"{PARENT}/models/{id}/evaluations/{key}/slices/{next(self.numbers)}"
        kept.extend(given)
        return {"importedModelEvaluationSlices": [one.name for one in given]}

    def _get_models_evaluations_slices(self, request: Request, id: str, key: str) -> Any:
        shown, token = page(self._slices(id, key), request)
        return {"modelEvaluationSlices": [written(one) for one in shown], **token}

    def _slices(self, id: str, key: str) -> list[Any]:
        self.resolved(id)
        return self.there(self.slices, key, "ModelEvaluation")  # type: ignore[no-any-return]


def _copied(message: Any) -> Any:
    return deepcopy(type(message).pb(message))
