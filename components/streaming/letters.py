"""Dead letters as messages of the dead-letter topic, beside the table that holds them."""

from __future__ import annotations

import pyarrow as pa

from components.adapters.messages import MOST_BYTES, MOST_VALUE
from components.adapters.ports import Events, Message
from components.core.events import ARRIVAL

_ROOM = 8 * MOST_VALUE
"""What the attributes of a message may take of its bytes."""


def bury(events: Events, topic: str, rows: pa.Table) -> None:
    """Sends the rows of `rows.buried`: raw bytes, and as attributes the reason, the step, the topic, and an id.

    The id names the message of the topic: a kill may send it again, with the same one.
    """
    messages = [
        Message(row["raw"][: MOST_BYTES - _ROOM] or b" ", _attributes(topic, row))
        for row in rows.select(["reason", "raw", "step", ARRIVAL]).to_pylist()
    ]
    if messages:
        events.bury(messages)


def _attributes(topic: str, row: dict[str, object]) -> dict[str, str]:
    reason = str(row["reason"]).encode()[:MOST_VALUE].decode(errors="ignore")
    return {"id": f"{topic}-{row[ARRIVAL]}", "reason": reason, "step": str(row["step"]), "topic": topic}
