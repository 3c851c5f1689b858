"""A caller of the prediction server, as an application would be: one row at a time, taken from what the stream saw."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from components.adapters.ports import Tables
from components.core import inference
from components.core.errors import DataError
from pipelines.launch.beside import Beside

PACE = 0.02
"""Seconds between two calls."""
_TIMEOUT = 10.0


class Caller(Beside):
    """Calls from `__enter__` to `__exit__`, in a thread of its own. `answers` counts by HTTP status, or error."""

    def __init__(self, url: str, token: str, tables: Tables, case: str) -> None:
        super().__init__("caller", self._calls)
        self.answers: dict[str, int] = Counter()
        self._place, self._token, self._tables, self._table = urlsplit(url).netloc, token, tables, inference.table(case)
        self._ended = threading.Event()

    def __enter__(self) -> Caller:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self.join()

    def _calls(self) -> None:
        connection = http.client.HTTPConnection(self._place, timeout=_TIMEOUT)
        calls, rows = 0, list[dict[str, Any]]()
        while not self._ended.wait(PACE):
            rows = rows or self._rows()
            if rows:
                calls += 1
                self.answers[self._call(connection, rows.pop(), f"caller-{calls}")] += 1
        connection.close()

    def _call(self, connection: http.client.HTTPConnection, row: dict[str, Any], name: str) -> str:
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {self._token}",
            "x-request-id": name,
        }
        try:
            connection.request("POST", "/predict", json.dumps({"instances": [row]}), headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__

    def _rows(self) -> list[dict[str, Any]]:
        """Some of the newest rows that the stream has predicted, as JSON objects of the model's inputs."""
        try:
            windows = [w for w in self._tables.windows(self._table) if w.startswith("stream-")]
            newest = self._tables.read(self._table, window=windows[-1]) if windows else pa.table({})
        except DataError:  # none yet
            return []
        inputs = [name for name in newest.column_names if name not in inference.COLUMNS]
        if not newest.num_rows:
            return []
        at = np.random.default_rng().integers(0, newest.num_rows, 50)
        return [_plain(row) for row in newest.select(inputs).take(pa.array(at)).to_pylist()]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
