"""A contract server for Cloud Logging's gRPC: what it documents as refused is refused, and equal entries are one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.logging_v2.types import LogEntry, WriteLogEntriesRequest, WriteLogEntriesResponse

PROJECT = "esteira-test"
# https://cloud.google.com/logging/quotas and the LogEntry reference
_MOST_ENTRY, _MOST_REQUEST, _MOST_LABELS = 256 * 1024, 10_000_000, 64


@dataclass
class Logging:
    """`fail` are the codes that the next calls end with; `done`: after their work."""

    entries: dict[tuple[str, str], LogEntry] = field(default_factory=dict)
    calls: int = 0
    fail: list[grpc.StatusCode] = field(default_factory=list)
    done: bool = False
    address: str = ""

    def write(self, asked: WriteLogEntriesRequest, context: grpc.ServicerContext) -> WriteLogEntriesResponse:
        self.calls += 1
        code = self.fail.pop(0) if self.fail else None
        if code is not None and not self.done:
            context.abort(code, "told to")
        if len(WriteLogEntriesRequest.serialize(asked)) > _MOST_REQUEST:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The request is larger than 10 MB.")
        for entry in asked.entries:
            _check(entry, context.abort)
            self.entries[entry.insert_id, str(entry.timestamp)] = entry
        if code is not None:
            context.abort(code, "told to")
        return WriteLogEntriesResponse()


def _check(entry: LogEntry, refuse: Callable[[grpc.StatusCode, str], Any]) -> None:
    name = re.fullmatch(r"projects/([a-z][a-z0-9-]+)/logs/[A-Za-z0-9_.%-]{1,511}", entry.log_name)
    if name is None:
        refuse(grpc.StatusCode.INVALID_ARGUMENT, f"log_name {entry.log_name!r}")
    elif name[1] != PROJECT:
        refuse(grpc.StatusCode.PERMISSION_DENIED, "Permission 'logging.logEntries.create' denied on resource")
    faults = {
        "resource": entry.resource.type != "global" or dict(entry.resource.labels) != {"project_id": PROJECT},
        "entry is larger than 256 KB": len(LogEntry.serialize(entry)) > _MOST_ENTRY,
        "labels": len(entry.labels) > _MOST_LABELS
        or any(len(k) > 512 or len(v) > 65536 for k, v in entry.labels.items()),
        "trace": bool(entry.trace) and not re.fullmatch(r"projects/[a-z0-9-]+/traces/[0-9a-f]{32}", entry.trace),
        "span_id": bool(entry.span_id) and not re.fullmatch(r"[0-9a-f]{16}", entry.span_id),
        "insert_id": not re.fullmatch(r"[A-Za-z0-9_.-]{1,512}", entry.insert_id),
        "timestamp": abs(entry.timestamp.timestamp() - time.time()) > 86_400,
        "payload": not entry.json_payload,
    }
    for what, wrong in faults.items():
        if wrong:
            refuse(grpc.StatusCode.INVALID_ARGUMENT, what)


@contextmanager
def serving() -> Iterator[Logging]:
    service = Logging()
    method = grpc.unary_unary_rpc_method_handler(
        service.write,
        request_deserializer=WriteLogEntriesRequest.deserialize,
        response_serializer=WriteLogEntriesResponse.serialize,
    )
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        name = "google.logging.v2.LoggingServiceV2"
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"WriteLogEntries": method})])
        service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield service
        finally:
            server.stop(None).wait()
