"""Pub/Sub's clients, and what one of their requests holds."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from components.core.errors import SetupError

if TYPE_CHECKING:
    from google.pubsub_v1 import PubsubMessage

T = TypeVar("T")
EMULATOR = "PUBSUB_EMULATOR_HOST"
MOST_AT_ONCE = 1000
"""Messages of one publish, and acknowledgements of one call."""
_BYTES_AT_ONCE = 5_000_000


def chunks(messages: Sequence[PubsubMessage]) -> Iterator[list[PubsubMessage]]:
    """As many at once as one request takes."""
    chunk: list[PubsubMessage] = []
    size = 0
    for message in messages:
        if chunk and (len(chunk) == MOST_AT_ONCE or size + len(message.data) > _BYTES_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += len(message.data)
    if chunk:
        yield chunk


def client(kind: type[T]) -> T:
    """A client of the service, or of the emulator: its messages are as large as the service's."""
    from google.auth.exceptions import DefaultCredentialsError

    make: Any = kind
    host = os.environ.get(EMULATOR)
    if host:
        sizes = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        channel = importlib.import_module("grpc").insecure_channel(host, options=sizes)
        found: T = make(transport=make.get_transport_class("grpc")(channel=channel))
        return found
    try:
        return kind()
    except DefaultCredentialsError as error:
        remedy = f"Run `gcloud auth application-default login`, or set {EMULATOR}."
        raise SetupError("credentials", "be there for Pub/Sub", str(error), remedy, where="events") from error
