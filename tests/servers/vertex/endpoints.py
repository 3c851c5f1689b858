"""Endpoints: state, etags, deployments and their traffic. What is deployed is a process of our real prediction server.

Refused is what the messages' own references refuse (Endpoint, DeployedModel, DedicatedResources, DeployModelRequest,
UndeployModelRequest), and a prediction without a traffic split, as the service was seen to.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.http import Refused, Request
from tests.servers.vertex import rules
from tests.servers.vertex.containers import Container
from tests.servers.vertex.endpoint_rules import check_deployment, check_endpoint, check_endpoint_id, check_split
from tests.servers.vertex.messages import aiplatform_v1
from tests.servers.vertex.models import Models
from tests.servers.vertex.service import PARENT, Pending, moment, page, snake, written

Endpoint, Deployed = aiplatform_v1.Endpoint, aiplatform_v1.DeployedModel
_UPDATED = {"display_name", "description", "labels", "traffic_split", "predict_request_response_logging_config"}
_LARGEST = 1_572_864
"""Bytes of a request to a shared public endpoint: 1.5 MB."""


@dataclass
class Endpoints(Models):
    """`starts` begins a deployment's container. What is begun here goes on by itself, with each request."""

    endpoints: dict[str, Any] = field(default_factory=dict)
    containers: dict[tuple[str, str], Container] = field(default_factory=dict)
    starts: Callable[[Any, str, str], Container] = Container.start
    begun: dict[str, str] = field(default_factory=dict)
    """The operations under way, by id; of which endpoint each is."""
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queries |= {"endpointId"}

    def close(self) -> None:
        """Ends what was deployed."""
        for container in self.containers.values():
            container.end()
        self.containers.clear()
        super().close()

    def answer(self, request: Request) -> Any:
        for id in self.begun:
            self.look(self.operations[id])
        self.begun = {id: of for id, of in self.begun.items() if self.operations[id].done is None}
        return super().answer(request)

    def _begin(self, work: Callable[[], Any], endpoint: str, undo: Callable[[], None] | None = None) -> Any:
        operation = self.begin(work, f"{PARENT}/endpoints/{endpoint}", undo=undo)
        self.begun[operation["name"].rpartition("/")[2]] = endpoint
        return operation

    def _alone(self, id: str) -> None:
        """One operation at a time: the service was seen to refuse a second one of an IndexEndpoint and a RagCorpus so."""
        if id in self.begun.values():
            message = f"There are other operations running on the Endpoint {PARENT}/endpoints/{id}."
            raise Refused(400, "FAILED_PRECONDITION", message)

    # endpoints

    def _post_endpoints(self, request: Request) -> Any:
        id = request.query.get("endpointId", "")
        if id:
            check_endpoint_id(id)
        id = id or str(6_000_000_000 + next(self.numbers))
        asked = rules.parsed(Endpoint, request.json())
        check_endpoint(asked)
        if id in self.endpoints:
            raise _exists(f"Endpoint {PARENT}/endpoints/{id}")

        def work() -> Any:
            if id in self.endpoints:
                raise _exists(f"Endpoint {PARENT}/endpoints/{id}")
            asked.name, asked.create_time = f"{PARENT}/endpoints/{id}", moment(self.clock)
            self.endpoints[id] = asked
            return self._touched(asked)

        return self._begin(work, id)

    def _touched(self, found: Any) -> Any:
        found.update_time, found.etag = moment(self.clock), f"AMEw9y{next(self.numbers)}"
        return found

    def _get_endpoints(self, request: Request) -> Any:
        if request.query.get("filter"):
            raise rules.invalid("this server has no filter for endpoints")
        shown, token = page(list(self.endpoints.values()), request)
        return {"endpoints": [written(one) for one in shown], **token}

    def _get_endpoints_one(self, request: Request, id: str) -> Any:
        return written(self.there(self.endpoints, id, "Endpoint"))

    def _patch_endpoints_one(self, request: Request, id: str) -> Any:
        found = self.there(self.endpoints, id, "Endpoint")
        asked, mask = rules.parsed(Endpoint, request.json()), request.query.get("updateMask", "")
        paths = {snake(path) for path in mask.split(",") if path}
        if not paths or not paths <= _UPDATED:
            raise rules.invalid(f"update_mask {mask!r}: not mutable")
        self._alone(id)
        if asked.etag and asked.etag != found.etag:
            raise Refused(409, "ABORTED", f"The etag {asked.etag} does not match the current one, {found.etag}.")
        if "traffic_split" in paths:
            check_split(asked.traffic_split, {one.id for one in found.deployed_models})
        rules.labels(asked.labels)
        for path in paths:
            setattr(found, path, getattr(asked, path))
        return written(self._touched(found))

    def _delete_endpoints_one(self, request: Request, id: str) -> Any:
        if self.there(self.endpoints, id, "Endpoint").deployed_models:
            raise Refused(400, "FAILED_PRECONDITION", f"Endpoint {id} has deployed or being-deployed models.")
        return self._begin(lambda: self.endpoints.pop(id) and None, id)

    # deployments

    def _post_endpoints_one_deployModel(self, request: Request, id: str) -> Any:
        found = self.there(self.endpoints, id, "Endpoint")
        asked = rules.parsed(aiplatform_v1.DeployModelRequest, request.json())
        deployed = asked.deployed_model
        check_deployment(deployed)
        model = self.version(deployed.model)
        deployed.id = deployed.id or str(8_000_000_000 + next(self.numbers))
        if (id, deployed.id) in self.containers:
            raise _exists(f"DeployedModel {deployed.id}")
        if asked.traffic_split:
            check_split(asked.traffic_split, {"0", *(one.id for one in found.deployed_models)})
        if found.network and found.deployed_models:
            raise rules.invalid("a private endpoint takes one model")
        self._alone(id)
        container = self.containers[id, deployed.id] = self.starts(model, id, deployed.id)

        def work() -> Any:
            if container.failed:
                self.containers.pop((id, deployed.id)).end()
                raise Refused(400, "FAILED_PRECONDITION", f"Model server exited unexpectedly. {container.failed}")
            if not container.healthy():
                raise Pending
            deployed.create_time, deployed.model_version_id = moment(self.clock), model.version_id
            deployed.model = model.name
            deployed.display_name = deployed.display_name or model.display_name
            deployed.status.available_replica_count = deployed.dedicated_resources.min_replica_count
            if asked.traffic_split:
                found.traffic_split = {deployed.id if k == "0" else k: v for k, v in asked.traffic_split.items()}
            found.deployed_models.append(deployed)
            self._touched(found)
            return aiplatform_v1.DeployModelResponse(deployed_model=deployed)

        return self._begin(work, id, lambda: self.containers.pop((id, deployed.id)).end())

    def _post_endpoints_one_undeployModel(self, request: Request, id: str) -> Any:
        found = self.there(self.endpoints, id, "Endpoint")
        asked = rules.parsed(aiplatform_v1.UndeployModelRequest, request.json())
        mine = asked.deployed_model_id
        if mine not in {one.id for one in found.deployed_models}:
            raise Refused(404, "NOT_FOUND", f"DeployedModel {mine} is not found in Endpoint {id}.")
        self._alone(id)
        split = dict(asked.traffic_split or found.traffic_split)
        if split.get(mine):
            raise Refused(400, "FAILED_PRECONDITION", f"DeployedModel {mine} has traffic: {split}.")
        check_split(split, {one.id for one in found.deployed_models})
        self.containers.pop((id, mine)).end()
        found.deployed_models = [one for one in found.deployed_models if one.id != mine]
        found.traffic_split = {k: v for k, v in split.items() if k != mine}
        self._touched(found)
        return self._begin(aiplatform_v1.UndeployModelResponse, id)

    # predictions

    def _post_endpoints_one_predict(self, request: Request, id: str) -> Any:
        data = request.json()
        if not isinstance(data, dict) or not set(data) <= {"instances", "parameters"}:
            raise rules.invalid(f"Invalid JSON payload received. {sorted(data)}")
        mine, answer = self._asked(request, id)
        deployed = next(one for one in self.endpoints[id].deployed_models if one.id == mine)
        if set(answer) != {"predictions"}:
            raise Refused(500, "INTERNAL", "The container's answer must hold predictions and nothing else.")
        said = {"deployedModelId": mine, "model": deployed.model, "modelDisplayName": deployed.display_name}
        return answer | said | {"modelVersionId": deployed.model_version_id}

    def _post_endpoints_one_rawPredict(self, request: Request, id: str) -> Any:
        return self._asked(request, id)[1]

    def _asked(self, request: Request, id: str) -> tuple[str, Any]:
        """A deployment by the traffic split, and what its container answers."""
        found = self.there(self.endpoints, id, "Endpoint")
        if len(request.body) > _LARGEST:
            raise rules.invalid(f"Request payload size exceeds the limit: {_LARGEST} bytes.")
        split = dict(found.traffic_split)
        if not any(split.values()):
            raise Refused(400, "FAILED_PRECONDITION", f"Endpoint {found.name} doesn't have traffic_split.")
        (mine,) = self.chance.choices(list(split), list(split.values()))
        status, body = self.containers[id, mine].predict(request.body)
        if status != 200:
            raise Refused(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL", body.decode())
        return mine, json.loads(body)


def _exists(what: str) -> Refused:
    return Refused(409, "ALREADY_EXISTS", f"{what} already exists.")
