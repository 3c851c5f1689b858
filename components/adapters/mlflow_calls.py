"""Calls of an MLflow server's REST API (2.0), which is stable; its own client takes seconds to import.

The variables of MLflow's own client say who calls: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from components.adapters.patience import Patience
from components.core.errors import CaseError, EsteiraError, RunError, SetupError

CALL = 60.0
"""Seconds that one call may take."""
_BUSY = (429, 500, 502, 503, 504)


class Refused(Exception):
    """What the server answered instead."""

    def __init__(self, status: int, code: str, told: str) -> None:
        super().__init__(told)
        self.status, self.code, self.told = status, code, told

    @property
    def busy(self) -> bool:
        """Also where every connection to its database is taken, which MLflow calls the caller's fault."""
        return self.status in _BUSY or "QueuePool limit" in self.told


class Calls:
    """Of the server at `address`, http(s)://…."""

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        self.address, self._patience = address.rstrip("/"), patience or Patience()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Raises as `again`; Refused where the thing is not there."""
        return self.again("GET", path, params=query)

    def pages(self, path: str, key: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every entry of a listing."""
        token = ""
        while True:
            found = self.get(path, **query, **({"page_token": token} if token else {}))
            yield from found.get(key, [])
            token = found.get("next_page_token", "")
            if not token:
                return

    def again(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """A call that may be made twice, made again while the server is busy or away.

        Raises
        ------
        SetupError, CaseError, RunError
        Refused
            The thing is not there (RESOURCE_DOES_NOT_EXIST), or is already (RESOURCE_ALREADY_EXISTS).
        """
        try:
            return self._patience.retry(lambda: self.once(method, path, **sent), self.transient)
        except Exception as error:
            if (ours := self.translated(error, path)) is None:
                raise
            raise ours from error

    def once(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """One attempt. Raises Refused, or what `requests` raises."""
        answer = self._session.request(method, f"{self.address}/api/2.0/mlflow/{path}", timeout=CALL, **sent)
        try:
            data: Any = answer.json()
        except ValueError:
            data = None
        if answer.status_code >= 400 or not isinstance(data, dict):
            told: Mapping[str, Any] = data if isinstance(data, dict) else {}
            text = str(told.get("message") or " ".join(answer.text.split())[:200])
            raise Refused(answer.status_code, str(told.get("error_code", "")), text)
        return data

    def transient(self, error: Exception) -> bool:
        """Whether the same call may succeed later; it may also have succeeded already."""
        failed = self._requests.exceptions
        return isinstance(error, failed.ConnectionError | failed.Timeout) or (isinstance(error, Refused) and error.busy)

    def translated(self, error: Exception, about: str) -> EsteiraError | None:
        """The error as ours; None for what the caller is to understand."""
        if isinstance(error, Refused):
            if error.code in ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"):
                return None
            if not error.busy:
                return self._refusal(error, about)
        elif not isinstance(error, self._requests.exceptions.RequestException):
            return None
        remedy = "See that the server runs, and run it again: nothing is done twice."
        return RunError("MLflow", "answer", str(error), remedy, where=self.address)

    def _refusal(self, error: Refused, about: str) -> EsteiraError:
        if error.status in (401, 403):
            remedy = "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            return SetupError("MLflow", "be open to this account", error.told, remedy, where=self.address)
        if not error.code:
            told, remedy = f"{error.status} {error.told}", "Mend registry.at in the profile."
            return SetupError("registry.at", "be an MLflow server's address", told, remedy, where=self.address)
        return CaseError(about, "be a call that MLflow takes", error.told, "Mend it.", where=self.address)

    @cached_property
    def _requests(self) -> Any:
        return importlib.import_module("requests")  # it has no types

    @cached_property
    def _session(self) -> Any:
        session = self._requests.Session()
        user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
        if user:
            session.auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        elif token:
            session.headers["Authorization"] = f"Bearer {token}"
        return session
