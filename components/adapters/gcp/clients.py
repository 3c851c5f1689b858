"""Google's clients, each made once for a port. The emulators are found by the variables that Google's clients know.

STORAGE_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST are URLs; BIGQUERY_STORAGE_EMULATOR_HOST, which is ours, is host:port
of the gRPC of the Storage Read and Write APIs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from components.core.errors import SetupError

STORAGE_EMULATOR = "STORAGE_EMULATOR_HOST"
BIGQUERY_EMULATOR = "BIGQUERY_EMULATOR_HOST"
READ_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"


def load(package: str) -> ModuleType:
    """The client's package google.cloud.PACKAGE, imported when it is first needed: it takes a second."""
    try:
        return importlib.import_module(f"google.cloud.{package}")
    except ModuleNotFoundError as error:
        distribution = f"google-cloud-{package.replace('_', '-')}"
        remedy = f"Install {distribution} into this environment, or use the local adapter."
        raise SetupError(distribution, "be installed", str(error), remedy) from error


def storage_client() -> Any:
    """A client of Cloud Storage. No project: objects are reached by their bucket."""
    made: Callable[..., Any] = load("storage").Client
    return _with_credentials("Cloud Storage", lambda: made(project=None))


def _with_credentials(service: str, make: Callable[[], Any]) -> Any:
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return make()
    except DefaultCredentialsError as error:
        remedy = "Run `gcloud auth application-default login`, or run it as a service account."
        raise SetupError("credentials", f"be there for {service}", str(error), remedy) from error


def emulated(variable: str) -> bool:
    return bool(os.environ.get(variable))


def bigquery_client(project: str) -> Any:
    """A client of BigQuery; nobody in particular to the emulator."""
    made: Callable[..., Any] = load("bigquery").Client
    credentials = _nobody() if emulated(BIGQUERY_EMULATOR) else None
    return _with_credentials("BigQuery", lambda: made(project=project, credentials=credentials))


def read_client() -> Any:
    """A client of BigQuery's Storage Read API, over gRPC."""
    return _storage_api("BigQueryReadClient")


def write_client() -> Any:
    """A client of BigQuery's Storage Write API, over gRPC."""
    return _storage_api("BigQueryWriteClient")


def _storage_api(name: str) -> Any:
    made: Callable[..., Any] = getattr(load("bigquery_storage_v1"), name)
    host = os.environ.get(READ_EMULATOR)
    if not host:
        return _with_credentials("BigQuery", made)
    channel = importlib.import_module("grpc").insecure_channel(host, options=[("grpc.max_receive_message_length", -1)])
    return made(transport=made.get_transport_class("grpc")(channel=channel))  # type: ignore[attr-defined]


def _nobody() -> Any:
    from google.auth.credentials import AnonymousCredentials

    made: Callable[..., Any] = AnonymousCredentials
    return made()
