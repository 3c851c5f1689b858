"""Tracking in Vertex Experiments, as Google's own SDK and console keep it: contexts of the metadata store `default`.

An experiment is a context of the schema system.Experiment, a run one of system.ExperimentRun under it, whose metadata
holds parameters (`_params`), metrics (`_metrics`) and state (`_state`). All ids are ours, so that a call whose answer
was lost finds what it made. A run that a Vertex pipeline of the same name made has that pipeline's context under it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.adapters.gcp import tensorboard as boards
from components.adapters.gcp import vertex
from components.adapters.patience import Patience
from components.adapters.ports import Blobs
from components.core.errors import ConflictError, RunError
from components.core.targets import Vertex

EXPERIMENT, RUN, PIPELINE_RUN = "system.Experiment", "system.ExperimentRun", "system.PipelineRun"
_ARTIFACT, _BOARD_RUN = "system.Artifact", "google.VertexTensorboardRun"
_VERSION = "0.0.1"
"""Of every schema here, as google-cloud-aiplatform writes it."""
_BOARD = "backing_tensorboard_resource"
_LONGEST = 6000
"""Characters of a parameter's value: a context's metadata has 200 KB at most."""
_LONGEST_ID = 121
"""A context's id has 128 characters, and its TensorBoard artifact's has "-tb-run" more."""
_ATTEMPTS = 5


class VertexTracking:
    """Implements `ports.Tracking`.

    Parameters
    ----------
    tensorboard
        projects/P/locations/R/tensorboards/ID that metrics and curves go to as well; empty: none.
    blobs
        Where files of runs go; an artifact has their address.
    """

    def __init__(
        self,
        at: Vertex,
        *,
        tensorboard: str = "",
        blobs: Blobs,
        patience: Patience | None = None,
        credentials: Any = None,
    ) -> None:
        self._at, self._board, self._blobs = at, tensorboard, blobs
        self._store = f"{at.parent}/metadataStores/default"
        self._patience, self._credentials = patience, credentials
        self._calls_made: vertex.Caller | None = None

    def prepare(self) -> None:
        """Nothing: a run is some ten calls of a tenth of a second."""

    def log(
        self,
        experiment: str,
        run: str,
        *,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> str:
        """Logs one finished run; its address in the console. Raises as `vertex.Caller.call`, and ConflictError."""
        from google.api_core.exceptions import Conflict, NotFound

        name, metadata = _id(f"esteira-{experiment}"), _metadata(parameters, metrics, tags)
        id = _id(f"{name}-{run}")
        try:
            parent = self._experiment(name, experiment)
            context = self._context(id, _body(RUN, run, metadata))
            self._call("add_context_children", id, {"context": parent, "child_contexts": [context]})
            self._link_pipeline(context, run)
            artifacts = [self._file(id, run, path) for path in files]
            if self._board:
                series = {**{metric: [value] for metric, value in metrics.items()}, **(curves or {})}
                artifacts.append(self._curves(name, id, run, series))
            if artifacts:
                request = {"context": context, "artifacts": artifacts}
                self._call("add_context_artifacts_and_executions", id, request)
        except (Conflict, NotFound) as error:
            remedy = "Run the training again, while nobody else changes that run."
            raise RunError("tracking", "find what it has just made", vertex.words(error), remedy, where=run) from error
        place = f"{vertex.CONSOLE}/vertex-ai/experiments/locations/{self._at.region}/experiments/{name}"
        return f"{place}/runs/{id}/metrics?project={self._at.project}"

    def _experiment(self, id: str, experiment: str) -> str:
        """Its resource name. What others wrote into its metadata stays."""
        wanted: dict[str, Any] = {"experiment_deleted": False}  # the console shows by it
        if self._board:
            wanted[_BOARD] = self._board
        return self._context(id, _body(EXPERIMENT, experiment, wanted))

    def _context(self, id: str, body: Mapping[str, Any]) -> str:
        """The name of the context of this id, made or brought to have the body's metadata among its own."""
        from google.api_core.exceptions import Conflict

        found, schema = self._made("context", id, body), body["schema_title"]
        name = str(found.name)
        for attempt in range(_ATTEMPTS):
            if found.schema_title != schema:
                remedy = "Delete that context, or give the case another name."
                raise ConflictError(name, f"be of the schema {schema}", found.schema_title, remedy, where="tracking")
            there = _plain(found)
            wanted = {**there, **body["metadata"]}
            if wanted == there:
                return name
            raw = type(found).pb(found)
            raw.metadata.Clear()
            raw.metadata.update(wanted)
            try:
                self._call("update_context", name, {"context": found})
                return name
            except Conflict:  # somebody else was first, or this one was and its answer was lost
                if attempt == _ATTEMPTS - 1:
                    raise
                found = self._call("get_context", name, {"name": name})
        raise AssertionError("the last attempt returns or raises")

    def _made(self, kind: str, id: str, body: Mapping[str, Any]) -> Any:
        """The context or artifact of this id, made if it was not there; and so is the store that holds it."""
        from google.api_core.exceptions import Conflict, NotFound

        request = {"parent": self._store, f"{kind}_id": id, kind: body}
        try:
            try:
                return self._call(f"create_{kind}", id, request)
            except NotFound:
                self._make_store()
                return self._call(f"create_{kind}", id, request)
        except Conflict:
            return self._call(f"get_{kind}", id, {"name": f"{self._store}/{kind}s/{id}"})

    def _make_store(self) -> None:
        """A project has none until its first pipeline or experiment."""
        from google.api_core.exceptions import Conflict, NotFound

        store = {"encryption_spec": {"kms_key_name": self._at.kms_key}} if self._at.kms_key else {}
        request = {"parent": self._at.parent, "metadata_store_id": "default", "metadata_store": store}
        try:
            operation = self._call("create_metadata_store", self._store, request)
            self._calls.finish(operation, self._store)
        except Conflict:
            pass
        except NotFound as error:
            raise vertex.no_service(self._at, vertex.words(error)) from error

    def _link_pipeline(self, context: str, run: str) -> None:
        """The pipeline's own context, where Vertex ran it: its id is the job's."""
        from google.api_core.exceptions import NotFound

        if not re.fullmatch(r"[a-z0-9-]{4,128}", run):
            return
        try:
            found = self._call("get_context", run, {"name": f"{self._store}/contexts/{run}"})
        except NotFound:
            return
        if found.schema_title == PIPELINE_RUN:
            self._call("add_context_children", run, {"context": context, "child_contexts": [found.name]})

    def _file(self, id: str, run: str, path: Path) -> str:
        """Stores a file of the run; its artifact's name."""
        name = f"tracking/{id}/{path.name}"
        self._blobs.write(name, path.read_bytes())
        body = {**_body(_ARTIFACT, path.name, {"run": run}), "uri": self._blobs.address(name), "state": "LIVE"}
        return str(self._made("artifact", _id(f"{id}-{path.name}", always=True), body).name)

    def _curves(self, experiment: str, id: str, run: str, curves: Mapping[str, Sequence[float]]) -> str:
        """Writes them to the TensorBoard; the name of the artifact that links its run."""
        board = boards.Board(self._at, self._board, self._patience, self._credentials)
        written = board.write(experiment, _id(run), run, curves)
        host = self._at.endpoint or f"https://{self._at.region}-aiplatform.googleapis.com"
        metadata = {"resourceName": written, "vertex_experiment_tracking": True}  # the SDK finds it by these
        body = {**_body(_BOARD_RUN, "", metadata), "uri": f"{host}/v1/{written}", "state": "LIVE"}
        return str(self._made("artifact", f"{id}-tb-run", body).name)

    def _call(self, method: str, about: str, request: Mapping[str, Any]) -> Any:
        return self._calls.call(method, about=about, request=dict(request))

    @property
    def _calls(self) -> vertex.Caller:
        if self._calls_made is None:
            self._calls_made = vertex.Caller(
                "metadata_service", self._at, patience=self._patience, credentials=self._credentials
            )
        return self._calls_made


def _id(text: str, *, always: bool = False) -> str:
    """The text as an id of lower-case letters, digits and -; with a digest where it says less than the text."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower())
    if plain == text and len(plain) <= _LONGEST_ID and not always:
        return plain
    return f"{plain[: _LONGEST_ID - 17]}-{sha256(text.encode()).hexdigest()[:16]}"


def _body(schema: str, shown: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    body = {"schema_title": schema, "schema_version": _VERSION, "metadata": dict(metadata)}
    return {**body, "display_name": shown[:128]} if shown else body


def _metadata(
    parameters: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str]
) -> dict[str, dict[str, str | float] | str]:
    """A context has labels of 63 characters only, so that the tags stand among the parameters."""
    tagged = {f"tags.{name}": value for name, value in tags.items()}
    return {
        "_params": {name: value[:_LONGEST] for name, value in {**parameters, **tagged}.items()},
        "_metrics": {name: float(v) if math.isfinite(v) else str(v) for name, v in metrics.items()},  # JSON has no NaN
        "_state": "COMPLETE",
    }


def _plain(found: Any) -> dict[str, Any]:
    """A context's metadata as plain data."""
    from google.protobuf import json_format

    data: dict[str, Any] = json_format.MessageToDict(type(found).pb(found).metadata)
    return data
