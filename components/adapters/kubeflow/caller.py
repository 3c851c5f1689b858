"""What Kubeflow's runs and schedules share: calls with patience, our errors, and the pipeline's version."""

from __future__ import annotations

import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import yaml

from components.adapters.patience import Patience
from components.adapters.runs import Asked
from components.core.errors import CaseError, EsteiraError, RunError, SetupError
from components.core.targets import Kubeflow

T = TypeVar("T")
CALL = 60
"""Seconds that one call may take."""
_PATIENCE = Patience()
SAME_KEY = "Give the same command again, with the same --key: nothing is done twice."
_AGAIN = "Run it again: what is there already is found."
_BUSY = (429, 500, 502, 503, 504)


class Caller:
    """Calls of one installation.

    Parameters
    ----------
    connect
        Gives the kfp.Client, or raises SetupError.
    """

    def __init__(self, at: Kubeflow, connect: Callable[[], Any], *, patience: Patience | None = None) -> None:
        self.at, self._connect, self._patience = at, connect, patience or _PATIENCE
        self._client: Any = None
        self._experiment = ""

    @property
    def client(self) -> Any:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def call(self, call: Callable[[], T], about: str, remedy: str = _AGAIN) -> T:
        """What a call gives that may be made twice. Raises our errors; Absent where the thing is not there.

        `call` asks `client` for its API each time: after a 401 that is another. `remedy` is said where no answer came.
        """
        with translated(about, remedy), redirect_stdout(io.StringIO()):  # kfp prints addresses
            try:
                return self._patience.retry(call, transient)
            except Exception as error:
                if _status(error) != 401 or self._client is None:
                    raise
            self._client = None  # a token lives for an hour, and whoever follows a run may have a new one by now
            return self._patience.retry(call, transient)

    def ensure(
        self, find: Callable[[], T | None], create: Callable[[], T], about: str, remedy: str = _AGAIN
    ) -> tuple[T, bool]:
        """What `find` finds, else what `create` makes; and whether it was there.

        Creating is not idempotent, so after an answer that was lost it is looked for before anything is made again.
        """
        tried = False

        def attempt() -> tuple[T, bool]:
            nonlocal tried
            there = find()
            if there is not None:
                return there, not tried
            tried = True
            try:
                return create(), False
            except Exception as error:
                there = find() if _status(error) == 409 else None
                if there is None:
                    raise
                return there, True

        return self.call(attempt, about, remedy)

    def experiment(self) -> str:
        """The id of the profile's experiment, made where it is not there."""
        name = self.at.experiment

        def create() -> Any:
            made = self.client.api_models.V2beta1Experiment(display_name=name, namespace=self.at.namespace or None)
            return self.client.experiments.experiment_service_create_experiment(experiment=made, _request_timeout=CALL)

        if not self._experiment:
            about = f"experiment {name}"
            self._experiment = self.ensure(self._find_experiment, create, about)[0].experiment_id
        return self._experiment

    def known_experiment(self) -> str:
        """Its id, empty where it is not there: nothing of ours is then."""
        if not self._experiment:
            found = self.call(self._find_experiment, f"experiment {self.at.experiment}")
            self._experiment = found.experiment_id if found is not None else ""
        return self._experiment

    def _find_experiment(self) -> Any:
        listing = self.client.experiments.experiment_service_list_experiments
        found = listing(filter=named(self.at.experiment), _request_timeout=CALL, **self.where)
        return next(iter(found.experiments or []), None)

    @property
    def where(self) -> dict[str, str]:
        """What names the namespace, if there are several."""
        return {"namespace": self.at.namespace} if self.at.namespace else {}

    def version(self, asked: Asked) -> tuple[str, str]:
        """The ids of the pipeline and of its version with this content, uploaded where it is not there."""
        name = f"esteira-{asked.pipeline}"

        def find_pipeline() -> Any:
            listing = self.client.pipelines.pipeline_service_list_pipelines
            found = listing(filter=named(name), _request_timeout=CALL, **self.where)
            return next(iter(found.pipelines or []), None)

        def create_pipeline() -> Any:
            made = self.client.api_models.V2beta1Pipeline(display_name=name, name=name, **self.where)
            return self.client.pipelines.pipeline_service_create_pipeline(pipeline=made, _request_timeout=CALL)

        pipeline = self.ensure(find_pipeline, create_pipeline, f"pipeline {name}")[0].pipeline_id

        def find() -> Any:
            listing = self.client.pipelines.pipeline_service_list_pipeline_versions
            found = listing(pipeline, filter=named(asked.pipeline_digest), _request_timeout=CALL)
            return next(iter(found.pipeline_versions or []), None)

        def create() -> Any:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "pipeline.yaml"
                path.write_text(yaml.dump(dict(asked.spec), Dumper=yaml.CSafeDumper, sort_keys=True), encoding="utf-8")
                return self.client.upload_pipeline_version(str(path), asked.pipeline_digest, pipeline_id=pipeline)

        version = self.ensure(find, create, f"version of {name}")[0].pipeline_version_id
        return pipeline, version


def named(name: str, key: str = "display_name") -> str:
    """The filter for one display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": name}]})


class Absent(Exception):
    """What was asked for is not there."""


def transient(error: Exception) -> bool:
    """Whether the same call may succeed later; it may also have succeeded already."""
    urllib3: Any = importlib.import_module("urllib3")
    return _status(error) in _BUSY or isinstance(error, urllib3.exceptions.HTTPError)


def _status(error: Exception) -> int:
    """The HTTP status of the API's error; 0: it is another's."""
    api: Any = importlib.import_module("kfp_server_api")
    return int(error.status or 0) if isinstance(error, api.ApiException) else 0


@contextmanager
def translated(about: str, remedy: str) -> Iterator[None]:
    """The client's errors as ours."""
    urllib3: Any = importlib.import_module("urllib3")
    api: Any = importlib.import_module("kfp_server_api")
    try:
        yield
    except api.ApiException as error:
        if _status(error) == 404:
            raise Absent(about) from error
        raise _translation(error, about, remedy) from error
    except urllib3.exceptions.HTTPError as error:
        raise _no_answer(type(error).__name__, about, remedy) from error


def _translation(error: Any, about: str, again: str) -> EsteiraError:
    told = _words(error)
    if error.status in (401, 403):
        remedy = "Set ESTEIRA_KUBEFLOW_TOKEN to a token that may use this namespace."
        return SetupError(about, "be open to this caller", told, remedy, where="kubeflow")
    if error.status in (400, 409, 422):
        return CaseError(about, "be a request that Kubeflow takes", told, "Mend what it names.")
    return _no_answer(told, about, again)


def _no_answer(told: str, about: str, remedy: str) -> RunError:
    return RunError("Kubeflow", "answer", told, remedy, where=about)


def _words(error: Any) -> str:
    """What the service itself says."""
    try:
        found = json.loads(error.body)
        return " ".join(str(found.get("message") or found.get("error_message") or found).split())
    except (TypeError, ValueError, AttributeError):
        return f"{error.status} {error.reason}"


def seconds(moment: Any) -> float | None:
    """A datetime, if it is one that was set: the API writes 1970 for none."""
    return float(moment.timestamp()) if moment is not None and moment.timestamp() > 0 else None
