"""The topic of a case where no stream keeps a log of it: what each run of fast took stands under Blobs, for the next.

A piece of the topic is pulled, written whole under the next free number, and acknowledged then: a kill in between
brings it again, and it stands there twice, where it is judged a duplicate. What is older than the case's
`streaming.retention` is deleted, the oldest first; the newest piece stays, so that no number comes twice, and so does
what a run has just taken: a backlog that waited for longer is used once.
"""

from __future__ import annotations

from contextlib import closing
from time import monotonic, time_ns

import pyarrow as pa

from components.adapters.local.log import Log
from components.adapters.ports import Blobs, Message
from components.core.declared import seconds
from components.core.errors import ArtifactError, ConflictError
from components.core.sections import Pull
from components.step import Context

GROUP = "fast"
_AT_ONCE = 1000
_WAIT = 2.0
"""Seconds: a topic that gives nothing for so long is read up."""
_SCHEMA = pa.schema({"data": pa.binary(), "attributes": pa.map_(pa.string(), pa.string()), "arrived": pa.int64()})


def gather(context: Context, case: str) -> tuple[Log, str]:
    """A log in the step's scratch folder of all that is kept, what the topic holds now among it; and its first piece.

    No more is taken than the profile's `events.pull` allows; the rest waits for the next run.
    """
    blobs, prefix = context.ports.blobs, f"events/{case}/"
    there = set(blobs.names(prefix))
    taken = _take(context, case, prefix)
    context.say(f"{case}: {len(there)} pieces of the topic taken before, {taken:,} messages now")
    log, names, first = Log(context.scratch / "topic"), blobs.names(prefix), ""
    oldest = _oldest(context.operations.streaming.retention)
    for name in names:
        messages = _read(blobs, name)
        if not first and name in there and name != names[-1] and _older(messages, oldest):
            blobs.delete(name)
        else:
            first = first or name
            log.append(messages)
    return log, first


def _oldest(retention: str | None) -> int:
    """The arrival, in microseconds since 1970, before which a message may go."""
    return time_ns() // 1000 - seconds(retention) * 1_000_000 if retention is not None else 0


def _older(messages: list[Message], oldest: int) -> bool:
    return all(message.arrived is not None and message.arrived < oldest for message in messages)


def _read(blobs: Blobs, name: str) -> list[Message]:
    """Empty where another run has deleted it meanwhile."""
    try:
        return _messages(blobs.read(name)[0])
    except ArtifactError:
        if blobs.exists(name):
            raise
        return []


def _take(context: Context, case: str, prefix: str) -> int:
    """How many messages were pulled, stored and acknowledged."""
    most: Pull = context.profile.events.pull
    until, taken, size, number = monotonic() + most.seconds, 0, 0, 0
    with closing(context.ports.events.subscribe(case, GROUP)) as subscription:
        while taken < most.messages and size < most.bytes and monotonic() < until:
            received = subscription.pull(min(_AT_ONCE, most.messages - taken), _WAIT)
            if not received:
                break
            number = _store(context.ports.blobs, prefix, [one.message for one in received], number + 1)
            subscription.ack(received)
            taken += len(received)
            size += sum(len(one.message.data) for one in received)
    return taken


def _store(blobs: Blobs, prefix: str, messages: list[Message], number: int = 1) -> int:
    """Under the next free number, which another run may take first; it.

    From 2 on `number` is what is likely free: a listing for each piece would take longer with every run.
    """
    names = blobs.names(prefix) if number == 1 else []
    number = int(names[-1].removeprefix(prefix).removesuffix(".arrow")) + 1 if names else number
    while True:
        try:
            blobs.write(f"{prefix}{number:08d}.arrow", _bytes(messages), generation=0)
        except ConflictError:
            number += 1
        else:
            return number


def _bytes(messages: list[Message]) -> bytes:
    columns = [
        [m.data for m in messages],
        [list(m.attributes.items()) for m in messages],
        [m.arrived for m in messages],
    ]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _messages(data: bytes) -> list[Message]:
    rows = pa.ipc.open_stream(data).read_all()
    columns = (rows.column(name).to_pylist() for name in _SCHEMA.names)
    return [Message(d, dict(a), arrived) for d, a, arrived in zip(*columns, strict=True)]
