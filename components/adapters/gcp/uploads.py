"""An upload to Vertex Model Registry that makes one version, although the service offers no precondition for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from components.adapters.gcp import errors
from components.adapters.gcp.vertex import Caller, no_service, words
from components.adapters.lease import Lease, awaited
from components.core.errors import ArtifactError, CaseError, EsteiraError, RunError, SetupError

LEASE = 300.0
"""Seconds that registering one model may take; whoever is killed at it keeps the same model out for so long."""
SETTLE = 60.0
"""Seconds within which an upload whose answer was lost shows, or was never made."""
_ROUNDS = 7
"""Tries where somebody else makes or takes away the model meanwhile: about two minutes, with their pauses."""


class Uploads:
    """Uploads into `model` (projects/…/models/ID), which is made with its first version."""

    def __init__(self, calls: Caller, model: str, settle: float) -> None:
        self._calls, self._name, self._settle = calls, model, settle
        self._lost = False
        """Whether an upload may be under way of which no answer came."""
        self._operation: Any = None
        """The last one that was answered: the service copies the model."""

    def make(self, asked: Mapping[str, Any], find: Callable[[], Any | None], lease: Lease) -> Any:
        """Vertex's version of what is asked for: aiplatform_v1's Model as a mapping.

        `find` gives the version once it is there; the lease keeps everybody else from uploading it. It is kept to its
        end where an upload may be under way or come to light, as no answer came, or a signal: whoever runs it again
        looks for the version until then.

        Raises
        ------
        RunError
            It does not come, or the lease would end before an upload had.
        SetupError
            The region has no Vertex AI, or the image of the profile is not there.
        ArtifactError
            The model is not where it was stored.
        """
        try:
            return self._make(asked, find, lease)
        except BaseException as error:
            # Also one that has succeeded, as it may be listed late; one that failed has left nothing.
            if not (self._lost or (self._operation is not None and not self._operation.operation.error.code)):
                raise
            lease.keep()
            if not self._lost or not isinstance(error, RunError):  # it says itself what is to be done
                raise
            told = error.value if error.__cause__ else "no answer"
            remedy = f"It may come all the same: run it again, which looks for it for {max(lease.left, 0):.0f} s first."
            raise RunError("upload", "be answered", told, remedy, where=self._name) from error

    def _make(self, asked: Mapping[str, Any], find: Callable[[], Any | None], lease: Lease) -> Any:
        from google.api_core.exceptions import Conflict, NotFound

        told: object = "none came"
        pause = 1.0
        for _ in range(_ROUNDS):
            try:
                operation = self._calls.again(lambda: self._attempt(asked, find, lease), self._name)
                if operation is not None:
                    made = self._calls.finish(operation, self._name, lease.left)  # the service copies the model
                    return self._shown(made.model_version_id, find, lease)
                seconds = self._settle
            except (Conflict, NotFound, CaseError) as error:  # somebody makes the model, or takes it away
                if isinstance(error, CaseError) and not errors.under_way(error):
                    raise
                if isinstance(error, NotFound) and (missing := _missing(asked, words(error))) is not None:
                    raise missing from error
                told = error.value if isinstance(error, CaseError) else words(error)
                seconds, pause = min(pause, self._settle), 2 * pause
            if (found := awaited(find, seconds)) is not None:
                return found
        remedy = "Run it again: it goes on with what is there."
        raise RunError("upload", "end in a version", told, remedy, where=self._name)

    def _shown(self, number: str, find: Callable[[], Any | None], lease: Lease) -> Any:
        """The version that the service says it made, which a listing may show later than that."""
        if (found := awaited(find, self._settle)) is None:
            lease.keep()  # whoever registers it again looks for it until then
            found = self._got(number) if number else None
        if found is None:
            remedy = "Run it again, which looks for it first; see in the console whether somebody deleted it."
            raise RunError("version", "show once it is uploaded", number, remedy, where=self._name)
        return found

    def _got(self, number: str) -> Any | None:
        from google.api_core.exceptions import NotFound

        try:
            return self._calls.call("get_model", about=self._name, name=f"{self._name}@{number}")
        except NotFound:
            return None

    def _attempt(self, asked: Mapping[str, Any], find: Callable[[], Any | None], lease: Lease) -> Any | None:
        """The operation of an upload; None where an earlier one has come through."""
        from google.api_core.exceptions import ClientError, NotFound

        if self._lost and awaited(find, self._settle) is not None:
            return None
        if lease.left < self._settle:
            raise RunError("lease", "last for another upload", f"{lease.left:.0f} s", "Run it again.", where=self._name)
        there = self._there()
        into = {"parent_model": self._name} if there else {"model_id": self._name.rpartition("/")[2]}
        request = {"parent": self._name.rpartition("/models/")[0], "model": dict(asked), **into}
        before, self._lost = self._lost, True
        try:
            operation = self._calls.once("upload_model", request=request)
        except ClientError as error:  # an answer: nothing was begun
            self._lost = before
            if isinstance(error, NotFound) and not there and not self._served():
                raise no_service(self._calls.at, words(error)) from error
            raise
        self._lost, self._operation = False, operation
        return operation

    def _served(self) -> bool:
        """Whether the region has Vertex AI: what is not found may be the image or the artifact."""
        from google.api_core.exceptions import NotFound

        try:
            self._calls.once("list_models", request={"parent": self._name.rpartition("/models/")[0], "page_size": 1})
        except NotFound:
            return False
        return True

    def _there(self) -> bool:
        from google.api_core.exceptions import NotFound

        try:
            self._calls.once("get_model", name=self._name)
        except NotFound:
            return False
        return True


def _missing(asked: Mapping[str, Any], told: str) -> EsteiraError | None:
    """The image or the artifact, where the service says that it does not find it."""
    image, artifact = str(asked["container_spec"]["image_uri"]), str(asked["artifact_uri"]).rstrip("/")
    if image.partition("@")[0] in told:
        remedy = "Push it, or name another in the profile; Vertex's service agent needs roles/artifactregistry.reader."
        return SetupError("endpoints.image", "be an image that Vertex finds", told, remedy, where=image)
    if artifact in told:
        remedy = "Restore it, or train it again; Vertex's service agent needs roles/storage.objectViewer."
        return ArtifactError("model", "be where Vertex finds it", told, remedy, where=artifact)
    return None
