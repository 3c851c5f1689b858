"""Events over Pub/Sub. With PUBSUB_EMULATOR_HOST in the environment it is the emulator, as Google's clients do it.

A topic is published with one ordering key, its name, so that the order stays (Pub/Sub takes 1 MB/s of one key). A
group is the subscription TOPIC.GROUP. While messages of a key are pulled and not acknowledged, Pub/Sub keeps back
those after them: pull, write, acknowledge, pull again.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from components.adapters.gcp import errors
from components.adapters.gcp.pubsub_clients import EMULATOR as EMULATOR
from components.adapters.gcp.pubsub_clients import MOST_AT_ONCE, chunks, client
from components.adapters.gcp.pubsub_settings import Settings
from components.adapters.messages import check, checked_name
from components.adapters.ports import Message, Received
from components.core.errors import CaseError, DataError, EsteiraError, RunError, SetupError

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherClient, SubscriberClient

PLAIN = Settings()
_PATIENCE = 60.0
"""Seconds that a call is tried again while the service cannot be reached."""
_PAUSE = 0.05
_SHORTEST = 0.2
"""Seconds: a pull that waits less would not survive its round trip."""


class PubSubEvents:
    """Implements `ports.Events` over the topics of a project. They are made on the emulator, and never in the cloud.

    `most`: so many messages are pulled and not acknowledged at most.
    """

    def __init__(self, project: str, settings: Settings = PLAIN, *, most: int = MOST_AT_ONCE) -> None:
        if not project:
            remedy = "Write the project's id into the profile."
            raise CaseError("events.at", "name a Google Cloud project", project, remedy, where="profile")
        if not _installed("google.pubsub_v1"):
            remedy = "Install google-cloud-pubsub into this environment, or use the log: events.adapter: log."
            raise SetupError("google-cloud-pubsub", "be installed", "no such module", remedy, where="events")
        self._project, self._settings, self._most = project, settings, most
        self._made: set[str] = set()

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        from google.pubsub_v1 import PubsubMessage

        check(messages)
        path = self._topic(topic)
        wrapped = [PubsubMessage(data=m.data, attributes=dict(m.attributes), ordering_key=topic) for m in messages]
        for chunk in chunks(wrapped):
            with _translated(f"gcloud pubsub topics create {topic} --project={self._project}", path):
                self._publisher.publish(topic=path, messages=chunk, retry=_retry(), timeout=_PATIENCE)

    def subscribe(self, topic: str, group: str) -> PubSubSubscription:
        path = f"projects/{self._project}/subscriptions/{checked_name('topic', topic)}.{checked_name('group', group)}"
        at = self._topic(topic)
        if self._settings.dead_letter:
            self._topic(self._settings.dead_letter)
        if os.environ.get(EMULATOR):
            self._make(path, partial(self._subscriber.create_subscription, self._settings.request(path, at)))
        found = PubSubSubscription(self._subscriber, path, topic, self._settings, self._most)
        if self._settings.asked:
            found.check()
        return found

    def bury(self, messages: Sequence[Message]) -> None:
        if self._settings.dead_letter and messages:
            self.publish(self._settings.dead_letter, messages)

    def _topic(self, topic: str) -> str:
        path = f"projects/{self._project}/topics/{checked_name('topic', topic)}"
        if os.environ.get(EMULATOR):
            self._make(path, partial(self._publisher.create_topic, name=path))
        return path

    def _make(self, path: str, create: Callable[..., Any]) -> None:
        """What is not there yet on the emulator."""
        from google.api_core.exceptions import AlreadyExists

        if path not in self._made:
            with _translated("", path), suppress(AlreadyExists):
                create(retry=_retry(), timeout=_PATIENCE)
            self._made.add(path)

    @cached_property
    def _publisher(self) -> PublisherClient:
        from google.pubsub_v1 import PublisherClient

        return client(PublisherClient)

    @cached_property
    def _subscriber(self) -> SubscriberClient:
        from google.pubsub_v1 import SubscriberClient

        return client(SubscriberClient)


class PubSubSubscription:
    """Implements `ports.Subscription`. A token is an acknowledgement id.

    The last acknowledgement of an ordering key may stand for those before it: they are sent in the order of pulling.
    """

    def __init__(
        self, client: SubscriberClient, path: str, topic: str, settings: Settings = PLAIN, most: int = MOST_AT_ONCE
    ) -> None:
        self._client, self._path, self._settings, self._most = client, path, settings, min(most, MOST_AT_ONCE)
        flags = " ".join(filter(None, ["--enable-message-ordering", settings.flags()]))
        self._create = f"gcloud pubsub subscriptions create {path.rpartition('/')[2]} --topic={topic}"
        self._create += f" {flags} --project={path.split('/')[1]}"
        self._held: dict[str, bool] = {}  # the tokens pulled, in order, and whether each is done with
        self._answered = time.monotonic()

    def check(self) -> None:
        """Raises SetupError where the subscription is not as the profile asks for it."""
        with _translated(self._create, self._path):
            found = self._client.get_subscription(subscription=self._path, retry=_retry(), timeout=_PATIENCE)
        self._settings.check(found)

    def pull(self, most: int, wait: float) -> list[Received]:
        most, until = min(most, self._most - len(self._held)), time.monotonic() + wait
        if most <= 0:
            return []
        while True:
            found = self._pull(most, max(until - time.monotonic(), _SHORTEST))
            if found or time.monotonic() + _PAUSE >= until:
                return found
            time.sleep(_PAUSE)  # the emulator answers early

    def _pull(self, most: int, wait: float) -> list[Received]:
        from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable

        with _translated(self._create, self._path):
            try:
                answer: Any = self._client.pull(subscription=self._path, max_messages=most, timeout=wait, retry=None)
            except DeadlineExceeded:
                return []
            except ServiceUnavailable:
                if time.monotonic() - self._answered > _PATIENCE:
                    raise
                return []
        self._answered = time.monotonic()
        raw = type(answer).pb(answer).received_messages  # Google's wrapper around each message is slow
        self._held.update((one.ack_id, False) for one in raw)
        return [Received(_message(one.message), one.ack_id) for one in raw]

    def ack(self, received: Sequence[Received]) -> None:
        self._held.update((one.token, True) for one in received)
        done = [token for token, _ in takewhile(itemgetter(1), self._held.items())]
        self._each(done, self._acknowledge)
        for token in done:
            del self._held[token]

    def _acknowledge(self, ack_ids: list[str], **asked: Any) -> None:
        """Of exactly-once delivery the service says which were not taken: some later are, the others come again."""
        from google.api_core.exceptions import GoogleAPICallError

        until = time.monotonic() + _PATIENCE
        while ack_ids:
            try:
                self._client.acknowledge(ack_ids=ack_ids, **asked)
            except GoogleAPICallError as error:
                told = {token: code for token, code in (error.metadata or {}).items() if token in set(ack_ids)}
                ack_ids = [token for token, code in told.items() if code.startswith("TRANSIENT_")]
                if not told or (ack_ids and time.monotonic() > until):
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def close(self) -> None:
        self._each(list(self._held), partial(self._client.modify_ack_deadline, ack_deadline_seconds=0))
        self._held.clear()

    def _each(self, tokens: Sequence[str], call: Callable[..., None]) -> None:
        for start in range(0, len(tokens), MOST_AT_ONCE):
            with _translated(self._create, self._path):
                chunk = tokens[start : start + MOST_AT_ONCE]
                call(subscription=self._path, ack_ids=chunk, retry=_retry(), timeout=_PATIENCE)


def _message(raw: Any) -> Message:
    """It arrived when Pub/Sub took it."""
    return Message(raw.data, dict(raw.attributes), raw.publish_time.ToMicroseconds())


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _retry() -> Any:
    """With jitter, until the service answers or patience ends."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    busy = (exceptions.Aborted, exceptions.InternalServerError, exceptions.ServiceUnavailable, exceptions.Unknown)
    transient = (*busy, exceptions.DeadlineExceeded, exceptions.ResourceExhausted)
    return Retry(predicate=if_exception_type(*transient), initial=0.1, maximum=5.0, timeout=_PATIENCE)


@contextmanager
def _translated(create: str, path: str) -> Iterator[None]:
    """Google's errors as ours; `create` is the command that makes what is not there."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise _translation(error, create, path) from error


def _translation(error: Exception, create: str, path: str) -> EsteiraError:
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    kind, name = path.split("/")[2].removesuffix("s"), path
    said = error.cause if isinstance(error, exceptions.RetryError) else error
    if isinstance(said, exceptions.TooManyRequests) or errors.reasons_of(error) & errors.DISABLED:
        return errors.translation(error, errors.PUBSUB, name)
    if isinstance(error, exceptions.NotFound):
        return SetupError(kind, "exist", name, f"Make it: {create}", where="events")
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized | GoogleAuthError):
        remedy = "Give the account roles/pubsub.publisher or roles/pubsub.subscriber."
        return SetupError(kind, "be open to this account", str(error), remedy, where=name)
    if isinstance(error, exceptions.InvalidArgument):
        return DataError(kind, "get a request that Pub/Sub takes", str(error), "Mend the message or name.", where=name)
    remedy = "Publish or read again; what was done already comes twice at most."
    return RunError(kind, "answer", str(error), remedy, where=name)
