"""A case's endpoint on Vertex AI: made once, its deployments, and how much of the traffic each has.

DeployModel and UndeployModel carry no precondition, so neither is given a traffic split: that moves by UpdateEndpoint
alone, with an etag. Endpoint and deployments have ids of ours, so what was asked for twice is there once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from components.adapters.gcp import errors, vertex
from components.adapters.patience import Patience
from components.core.artifacts import atomic_write
from components.core.errors import ArtifactError, CaseError, ConflictError, EsteiraError, RunError

_LOGGING = "predict_request_response_logging_config"
CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
_OTHER = "another operation is still under way"
READY = Patience(first=0.5, longest=20.0, deadline=2700.0)
"""How long a version may take until it serves: machines come up, and Vertex itself gives up after some 30 minutes."""


class Deployments:
    """The endpoint `name` (projects/…/endpoints/ID) and what is deployed there.

    Parameters
    ----------
    calls, slow
        Of the endpoint service: the second waits for what takes minutes, as long as `ready`.
    settings
        What the endpoint is made with: aiplatform_v1's Endpoint as a mapping.
    """

    def __init__(
        self, calls: vertex.Caller, slow: vertex.Caller, ready: Patience, name: str, settings: Mapping[str, Any]
    ) -> None:
        self._calls, self._slow, self._ready = calls, slow, ready
        self.name, self._settings = name, settings
        self._id = name.rpartition("/")[2]

    def get(self) -> Any | None:
        """The endpoint; None where there is none."""
        from google.api_core.exceptions import NotFound

        try:
            return self._calls.call("get_endpoint", about=self._id, name=self.name)
        except NotFound:
            return None

    def _made(self) -> Any:
        """The endpoint with Vertex's log of requests as the settings say. Raises _Busy once it is asked for.

        Raises
        ------
        ConflictError
            It is there, and encrypted with another key.
        """
        found = self.get()
        if found is None:
            self._make()
            raise _Busy("the endpoint is not there yet")
        key = self._settings.get("encryption_spec", {}).get("kms_key_name", "")
        if found.encryption_spec.kms_key_name != key:
            rule, there = f"be encrypted with {key or 'no key of yours'}", found.encryption_spec.kms_key_name or "none"
            remedy = "An endpoint keeps its key: delete it in the console, or name its key in vertex.kms_key."
            raise ConflictError("endpoint", rule, there, remedy, where=self.name)
        wanted = self._settings[_LOGGING]
        there = found.predict_request_response_logging_config
        same = (there.enabled, there.bigquery_destination.output_uri) == (wanted["enabled"], _table(wanted))
        if not same and not self._update(found, _LOGGING, wanted):
            raise _Busy("somebody changes the endpoint")
        return found

    def _make(self) -> None:
        from google.api_core.exceptions import Conflict, NotFound

        parent = self.name.rpartition("/endpoints/")[0]
        request = {"parent": parent, "endpoint": dict(self._settings), "endpoint_id": self._id}
        with suppress(Conflict):  # somebody makes it at this moment, or we did and the answer was lost
            try:
                operation = self._calls.call("create_endpoint", about=self._id, request=request)
            except NotFound as error:  # the one thing that it stands on is the location
                raise vertex.no_service(self._calls.at, vertex.words(error)) from error
            with suppress(NotFound):  # somebody deletes it at this moment
                self._slow.finish(operation, self._id)

    def deploy(self, wanted: Mapping[str, Any], resources: Path | None = None) -> None:
        """Deploys without traffic, unless it is there; returns when it serves.

        Parameters
        ----------
        wanted
            aiplatform_v1's DeployedModel as a mapping, with its id.
        resources
            The file in which the operation is named, as Google's own pipeline components name theirs (VertexLro).

        Raises
        ------
        ArtifactError
            The model is not in the registry.
        RunError
            It never became ready. Nothing of it is left, or the error says why.
        """
        try:
            self._ready.retry(lambda: self._deploy(wanted, resources), _busy)
        except _Busy as error:
            remedy = "Wait for it or cancel it in the console, then run it again."
            raise self._never(wanted, str(error), remedy) from error

    def _deploy(self, wanted: Mapping[str, Any], resources: Path | None) -> None:
        from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound

        found = self._made()
        if wanted["id"] in ids(found):
            return
        about = str(wanted["display_name"])
        try:
            request = {"endpoint": self.name, "deployed_model": dict(wanted)}
            operation = self._calls.call("deploy_model", about=about, request=request)
        except (Conflict, CaseError) as error:  # under way: somebody else's, or ours, whose answer was lost
            if not errors.under_way(error):
                raise
            raise _Busy(_OTHER) from error
        except NotFound as error:
            if self.get() is None:
                raise _Busy("somebody deletes the endpoint") from error
            remedy = "See `esteira models list`; register it again."
            raise ArtifactError("model", "be in Vertex's registry", wanted["model"], remedy, where=about) from error
        if resources is not None:
            uri = f"https://{self._calls.at.region}-aiplatform.googleapis.com/v1/{operation.operation.name}"
            named = {"resources": [{"resourceType": "VertexLro", "resourceUri": uri}]}
            atomic_write(resources, json.dumps(named).encode())
        try:
            self._slow.finish(operation, about)
        except (EsteiraError, GoogleAPICallError) as error:
            if errors.under_way(error):
                raise _Busy(_OTHER) from error
            own, left = self._clear(operation, wanted["id"])
            raise self._never(wanted, *_why(own or error), left) from (own or error)

    def _clear(self, operation: Any, id: str) -> tuple[Exception | None, str]:
        """Leaves nothing of a deployment that did not become ready; its own error, and why something is left."""
        from google.api_core.exceptions import GoogleAPICallError

        own: Exception | None = None
        with suppress(EsteiraError, GoogleAPICallError):  # Vertex promises no more than to try
            if self._calls.again(lambda: operation.done(retry=None), id):
                own = operation.exception()
            else:
                self._calls.call("cancel_operation", about=id, request={"name": operation.operation.name})
        try:
            found = self.get()
            if found is not None and id in ids(found) and not found.traffic_split.get(id):
                self.undeploy([id])
        except EsteiraError as error:  # it must not hide why the deployment failed
            return own, str(error)
        return own, ""

    def _never(self, wanted: Mapping[str, Any], told: str, remedy: str, left: str = "") -> RunError:
        query = f'resource.type="aiplatform.googleapis.com/Endpoint" resource.labels.endpoint_id="{self._id}"'
        remedy = remedy or f"Its log: {vertex.logs(self._calls.at, query)}"
        if left:
            remedy = f"{remedy} See in the console that nothing of it is left: {left}"
        rule = "become ready to serve; what was live keeps all of the traffic"
        return RunError("version", rule, told, remedy, where=str(wanted["display_name"]))

    def move(self, found: Any, split: Mapping[str, int]) -> bool:
        """Gives each deployment its percentage, and the others none.

        False where the endpoint changed since `found`, or is busy.
        """
        return self._update(found, "traffic_split", dict(split))

    def _update(self, found: Any, field: str, value: Any) -> bool:
        from google.api_core.exceptions import Conflict, NotFound

        endpoint = {"name": self.name, "etag": found.etag, field: value}
        request = {"endpoint": endpoint, "update_mask": {"paths": [field]}}
        try:
            self._calls.call("update_endpoint", about=self._id, request=request)
        except (Conflict, NotFound):
            return False
        except CaseError as error:  # a deployment that somebody took away, or an etag that is told so
            now = self.get()
            if now is None or now.etag != found.etag or errors.under_way(error):
                return False
            raise
        return True

    def undeploy(self, gone: Iterable[str]) -> None:
        """Takes these deployments away, but for one that somebody gave traffic meanwhile.

        Raises
        ------
        RunError
            The endpoint is busy for all of the patience.
        """
        for id in gone:
            try:
                self._ready.retry(partial(self._undeploy, id), _busy)
            except _Busy as error:
                remedy = "Undeploy it in the console; the next command tries again."
                raise RunError("deployment", "be taken away", str(error), remedy, where=self._id) from error

    def _undeploy(self, id: str) -> None:
        from google.api_core.exceptions import Conflict, NotFound

        request = {"endpoint": self.name, "deployed_model_id": id}
        try:
            with suppress(NotFound):
                self._slow.finish(self._calls.call("undeploy_model", about=self._id, request=request), self._id)
        except (Conflict, CaseError) as error:
            found = self.get()
            if found is None or id not in ids(found) or found.traffic_split.get(id):
                return
            if not errors.under_way(error):
                raise
            raise _Busy(_OTHER) from error


def ids(found: Any) -> set[str]:
    """Of the endpoint's deployments."""
    return {deployed.id for deployed in found.deployed_models}


def _table(logging: Mapping[str, Any]) -> str:
    return str(logging.get("bigquery_destination", {}).get("output_uri", ""))


class _Busy(Exception):
    """What is wanted is under way, or has to wait for what is."""


def _busy(error: Exception) -> bool:
    return isinstance(error, _Busy)


def _why(error: Exception) -> tuple[str, str]:
    """What Vertex says of a deployment that failed, and the remedy where the container's log has none."""
    from google.api_core import exceptions

    cause = error.__cause__ if isinstance(error, EsteiraError) else error
    told = vertex.words(cause) if isinstance(cause, Exception) else "it took too long"
    if isinstance(cause, exceptions.TooManyRequests):
        remedy = "Ask for more of the quota, or name a smaller machine or fewer replicas in the profile's endpoints."
        return told, remedy
    if isinstance(cause, exceptions.Forbidden):
        return told, (
            "Give Vertex's service agent roles/artifactregistry.reader on the image, and "
            "yourself roles/iam.serviceAccountUser on the server's account."
        )
    return told, ""
