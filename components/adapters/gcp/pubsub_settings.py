"""How a subscription is set up: in the order of publishing, and as the profile asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.core.errors import SetupError

DELIVERIES = 100
"""A message that is delivered so often in vain goes to the dead-letter topic: the most that Pub/Sub takes, as a stream
that is started again and again delivers what it had not stored."""
_ACK_SECONDS = 10
"""Of the subscriptions that are made on the emulator: what a killed reader held comes again after this."""


@dataclass(frozen=True)
class Settings:
    """What the profile asks of every subscription; `dead_letter` is a topic of the project, "" for none."""

    dead_letter: str = ""
    exactly_once: bool = False

    @property
    def asked(self) -> bool:
        return bool(self.dead_letter or self.exactly_once)

    def request(self, path: str, topic: str) -> dict[str, Any]:
        """What makes the subscription of this name to the topic."""
        made: dict[str, Any] = {"name": path, "topic": topic, "enable_message_ordering": True}
        made |= {"ack_deadline_seconds": _ACK_SECONDS, "enable_exactly_once_delivery": self.exactly_once}
        if self.dead_letter:
            policy = {"dead_letter_topic": self._topic(path), "max_delivery_attempts": DELIVERIES}
            made["dead_letter_policy"] = policy
        return made

    def flags(self) -> str:
        """The same for gcloud, of a subscription that can be changed."""
        parts = ["--enable-exactly-once-delivery"] if self.exactly_once else []
        if self.dead_letter:
            parts += [f"--dead-letter-topic={self.dead_letter}", f"--max-delivery-attempts={DELIVERIES}"]
        return " ".join(parts)

    def check(self, found: Any) -> None:
        """Raises SetupError where the subscription (Google's message) is not as it is asked for."""
        name, project = found.name.rpartition("/")[2], found.name.split("/")[1]
        if not found.enable_message_ordering:
            remedy = f"Make it anew with --enable-message-ordering: gcloud pubsub subscriptions delete {name}"
            remedy += f" --project={project}"
            raise SetupError("enable_message_ordering", "be on", "off", remedy, where=found.name)
        remedy = f"Change it: gcloud pubsub subscriptions update {name} {self.flags()} --project={project}"
        if self.exactly_once and not found.enable_exactly_once_delivery:
            where = "be on, as the profile asks for it"
            raise SetupError("enable_exactly_once_delivery", where, "off", remedy, where=found.name)
        there = found.dead_letter_policy.dead_letter_topic
        if self.dead_letter and there != self._topic(found.name):
            rule = f"be {self.dead_letter}, as the profile asks for it"
            raise SetupError("dead_letter_topic", rule, there or "none", remedy, where=found.name)

    def _topic(self, subscription: str) -> str:
        return f"projects/{subscription.split('/')[1]}/topics/{self.dead_letter}"
