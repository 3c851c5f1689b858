"""What every implementation of Events takes: Pub/Sub's limits hold for the log too, so that what runs here runs there.

Source: https://cloud.google.com/pubsub/quotas#resource_limits
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.adapters.ports import Message
from components.core.errors import CaseError, DataError

MOST_BYTES = 10_000_000
"""Of one message: its data, and the names and values of its attributes."""
MOST_ATTRIBUTES, MOST_NAME, MOST_VALUE = 100, 256, 1024
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def checked_name(kind: str, name: str) -> str:
    """The name of a topic or group. Raises CaseError for one that could leave its place."""
    if not _NAME.fullmatch(name):
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        raise CaseError(kind, rule, name, "Name the topic by the case, and the group by what reads it.", where="events")
    return name


def check(messages: Sequence[Message]) -> None:
    """Raises DataError for the first message that could not be published everywhere."""
    for message in messages:
        size = len(message.data)
        if not size and not message.attributes:
            raise _refused("message", "hold data or an attribute", "nothing")
        if len(message.attributes) > MOST_ATTRIBUTES:
            raise _refused("attributes", f"be at most {MOST_ATTRIBUTES}", len(message.attributes))
        for name, value in message.attributes.items():
            size += _bytes("attribute", name, MOST_NAME) + _bytes(name, value, MOST_VALUE)
            if not name or name.startswith("goog"):
                raise _refused("attribute", "have a name that does not begin with 'goog'", name)
        if size > MOST_BYTES:
            raise _refused("message", f"hold at most {MOST_BYTES:,} bytes", f"{size:,} bytes")


def _bytes(name: str, text: str, most: int) -> int:
    """The length of the text in UTF-8."""
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise _refused(name, "be text that UTF-8 can hold", text) from error
    if size > most:
        raise _refused(name, f"hold at most {most:,} bytes", text)
    return size


def _refused(name: str, rule: str, value: object) -> DataError:
    return DataError(
        name, rule, value, "Mend what makes the messages; none of this call was published.", where="events"
    )
