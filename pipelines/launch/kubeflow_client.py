"""kfp's client for a profile's Kubeflow, with the token from the environment."""

from __future__ import annotations

import os
import socket
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.core.errors import SetupError
from components.core.targets import Kubeflow

TOKEN, TOKEN_FILE = "ESTEIRA_KUBEFLOW_TOKEN", "ESTEIRA_KUBEFLOW_TOKEN_FILE"  # names of variables
_PATIENCE = 10.0
"""Seconds until a host that does not answer is told."""


def connect(at: Kubeflow) -> Any:
    """The client. Raises SetupError where nothing listens at the host, or the token's file is not there."""
    _listens(at.host)
    token = os.environ.get(TOKEN) or _from_file(os.environ.get(TOKEN_FILE, ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is for version 2
        from kfp.client import Client

        # Without a namespace it would ask for its health, five times, five seconds apart. Ours are named in each call.
        return Client(host=at.host, namespace=at.namespace or "-", existing_token=token or None, ui_host=at.ui or None)


def _from_file(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SetupError(TOKEN_FILE, "be a file with the token", path, "Write it there.") from error


def _listens(host: str) -> None:
    place = urlsplit(host)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), timeout=_PATIENCE).close()
    except OSError as error:
        remedy = f"Forward its port or mend the profile ({error.strerror or error})."
        raise SetupError("kubeflow.host", "answer", host, remedy) from error
