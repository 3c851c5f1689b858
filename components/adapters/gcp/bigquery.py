"""A dataset of BigQuery: its names, its location, and the calls that a table needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.adapters.gcp import errors, sql
from components.adapters.gcp.clients import bigquery_client, read_client, write_client
from components.core.errors import CaseError, SetupError

_AT = re.compile(r"(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])\.(?P<dataset>[A-Za-z0-9_]{1,1024})")
MOST_BYTES = 100 * 2**30
"""What one query may be billed for."""
_STREAMS = 4
_JOB = 3600.0
"""Seconds that a job may take."""
_BUSY = {"rateLimitExceeded", "backendError", "jobRateLimitExceeded", "jobBackendError", "jobInternalError"}
"""Reasons after which Google's client starts a job again too, which it may not for ours."""


class Dataset:
    """project.dataset. Google's errors pass: whoever calls says what they mean, within `translated`.

    Parameters
    ----------
    at
        project.dataset.
    deadline
        Seconds that a call is tried again while the service is busy or away, with jitter.
    most
        Bytes that one statement may be billed for.
    """

    def __init__(self, at: str, deadline: float, most: int = MOST_BYTES) -> None:
        found = _AT.fullmatch(at)
        if not found:
            raise CaseError("tables.at", "be project.dataset", at, "Write both into the profile.", where="profile")
        self.at, self.project, self._dataset = at, found["project"], found["dataset"]
        self.deadline, self.most = deadline, most

    @contextmanager
    def translated(self, table: str = "") -> Iterator[None]:
        """Google's errors as ours."""
        with errors.translated(errors.BIGQUERY, f"{self.at}.{table}" if table else self.at):
            yield

    def name(self, table: str) -> str:
        """As SQL names it."""
        return f"`{self.at}.{table}`"

    @cached_property
    def client(self) -> Any:
        return bigquery_client(self.project)

    @cached_property
    def _reading(self) -> Any:
        return read_client()

    @cached_property
    def _writing(self) -> Any:
        return write_client()

    @cached_property
    def location(self) -> str:
        """The dataset's: jobs run there. Raises SetupError where there is no such dataset."""
        from google.api_core.exceptions import NotFound

        try:
            return str(self.client.get_dataset(self._dataset, **self.calls).location)
        except NotFound as error:
            remedy = f"Make it (bq mk --location=LOCATION {self.project}:{self._dataset}), or mend tables.at."
            raise SetupError("dataset", "exist", self.at, remedy, where="BigQuery") from error

    @property
    def calls(self) -> dict[str, Any]:
        """How long one call is tried, and tried again."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        chosen: Any = DEFAULT_RETRY
        return {"retry": chosen.with_timeout(self.deadline).with_delay(0.2, 10.0, 2.0), "timeout": 60.0}

    def reference(self, table: str) -> Any:
        from google.cloud.bigquery import DatasetReference

        return DatasetReference(self.project, self._dataset).table(table)

    def tables(self) -> set[str]:
        found = self.client.list_tables(f"{self.project}.{self._dataset}", **self.calls)
        return {one.table_id for one in found}

    def get(self, table: str) -> Any:
        return self.client.get_table(self.reference(table), **self.calls)

    def query(self, text: str, values: Mapping[str, Any], **settings: Any) -> Any:
        """A query job, begun."""
        from google.cloud.bigquery import QueryJobConfig

        config = QueryJobConfig(query_parameters=sql.parameters(values), **settings)
        return self.client.query(text, job_config=config, location=self.location, job_retry=None, **self.calls)

    def short(self, text: str) -> list[Any]:
        """The few rows of a small query, in one request."""
        from google.cloud.bigquery import QueryJobConfig

        config = QueryJobConfig(maximum_bytes_billed=self.most)
        asked = {"location": self.location, "job_retry": None, "retry": self.calls["retry"]}
        return list(self.client.query_and_wait(text, job_config=config, **asked))

    def change(self, text: str, **values: Any) -> None:
        """A statement that changes something, done."""
        self.done(self.query(text, values, maximum_bytes_billed=self.most))

    def done(self, job: Any) -> Any:
        """A job's result, waited for."""
        return job.result(retry=self.calls["retry"], timeout=_JOB)

    def load(self, target: Any, rows: pa.Table, job: str) -> None:
        """Appends the rows by one load job called `job`: all of them or none.

        An error that `transient` tells leaves open whether they come: who sends them again marks them as others.
        """
        from google.api_core.exceptions import Conflict, GoogleAPIError, NotFound
        from google.cloud.bigquery import LoadJobConfig

        data = BytesIO()
        pq.write_table(rows, data)
        data.seek(0)
        config = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND", schema=target.schema)
        config.create_disposition = "CREATE_NEVER"
        known: dict[str, Any] = {"job_id": job, "location": self.location}
        try:  # without a size it is a resumable upload
            begun = self.client.load_table_from_file(
                data, target.reference, job_config=config, num_retries=0, timeout=60.0, **known
            )
        except (GoogleAPIError, OSError) as error:
            if not (isinstance(error, Conflict) or transient(error)):
                raise
            try:  # it may have been begun, and the answer lost
                begun = self.client.get_job(**known, **self.calls)
            except NotFound:
                raise error from None
        self.done(begun)

    def append(self, table: str, rows: pa.RecordBatch) -> None:
        """Adds the rows by the Storage Write API's default stream: once, or twice where the answer was lost."""
        from google.api_core import exceptions
        from google.cloud.bigquery_storage_v1 import types

        said: Callable[..., Exception] = exceptions.from_grpc_status
        stream = f"{self._path(table)}/streams/_default"
        data = types.AppendRowsRequest.ArrowData()
        data.writer_schema.serialized_schema = rows.schema.serialize().to_pybytes()
        data.rows.serialized_record_batch = rows.serialize().to_pybytes()
        asked = types.AppendRowsRequest(write_stream=stream, arrow_rows=data)
        # The generated client does not say by itself to which region this call goes.
        told = [("x-goog-request-params", f"write_stream={stream}")]
        for answer in self._writing.append_rows(iter([asked]), retry=None, timeout=60.0, metadata=told):
            if answer.error.code:
                listed = "; ".join(one.message for one in answer.row_errors[:3])
                raise said(answer.error.code, f"{answer.error.message} {listed}".strip())

    def _path(self, table: str) -> str:
        return "/".join(("projects", self.project, "datasets", self._dataset, "tables", table))

    def read(self, table: str, columns: Sequence[str], where: str) -> pa.Table:
        """The columns of the rows that `where` chooses, by the Storage Read API; in no order."""
        session = Session(self._reading, self.project, self._path(table), columns, where, streams=_STREAMS)
        with ThreadPoolExecutor(_STREAMS) as pool:
            parts: Iterator[list[pa.RecordBatch]] = pool.map(list, session.streams())
            found = [batch for part in parts for batch in part]
        return pa.Table.from_batches(found, session.schema).select(list(columns))


class Session:
    """One snapshot of a table, by the Storage Read API. `bytes` is what the service thinks that it reads."""

    def __init__(
        self, client: Any, project: str, table: str, columns: Sequence[str], where: str, *, streams: int = 1
    ) -> None:
        from google.cloud.bigquery_storage_v1 import types

        options = types.ReadSession.TableReadOptions(selected_fields=list(columns), row_restriction=where)
        asked = types.ReadSession(table=table, data_format=types.DataFormat.ARROW, read_options=options)
        self._client = client
        self._made = client.create_read_session(
            parent=f"projects/{project}", read_session=asked, max_stream_count=streams, timeout=60.0
        )
        self.bytes = int(self._made.estimated_total_bytes_scanned)
        self.schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(self._made.arrow_schema.serialized_schema))

    def streams(self) -> list[Iterator[pa.RecordBatch]]:
        """Each may be read beside the others; what breaks off goes on where it was."""
        return [self._read(stream.name) for stream in self._made.streams]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One stream after the other."""
        for stream in self.streams():
            yield from stream

    def _read(self, stream: str) -> Iterator[pa.RecordBatch]:
        for answer in self._client.read_rows(stream):
            buffer = pa.py_buffer(answer.arrow_record_batch.serialized_record_batch)
            yield pa.ipc.read_record_batch(buffer, self.schema)


def transient(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError

    busy = (exceptions.ServerError, exceptions.TooManyRequests, TransportError, OSError)
    return isinstance(error, busy) or bool(errors.reasons_of(error) & _BUSY)
