"""Pub/Sub's own: what is made where, and Google's errors as ours."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest
from google import pubsub_v1
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.rpc.error_details_pb2 import ErrorInfo

from components.adapters.connect import Connected
from components.adapters.gcp import pubsub
from components.adapters.gcp.pubsub import EMULATOR, PubSubEvents
from components.adapters.gcp.pubsub_settings import Settings
from components.adapters.ports import Message, Received
from components.core.errors import CaseError, DataError, EsteiraError, RunError, SetupError
from components.core.profile import Profile
from components.core.sections import EventsAddress

PUBSUB = os.environ.get("ESTEIRA_PUBSUB", "")
SUBSCRIPTION = "projects/p/subscriptions/flights.stream"


def emulated(test: Callable[..., None]) -> Callable[..., None]:
    """Needs the emulator that `make servers` starts."""
    reason = "ESTEIRA_PUBSUB names no Pub/Sub emulator (host:port)"
    marked: Callable[..., None] = pytest.mark.servers(pytest.mark.skipif(not PUBSUB, reason=reason)(test))
    return marked


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            exceptions.NotFound("no such thing"),
            SetupError,
            f"events: 'subscription' must exist. Got '{SUBSCRIPTION}'. Make it: gcloud …",
        ),
        (
            exceptions.PermissionDenied("not yours"),
            SetupError,
            f"{SUBSCRIPTION}: 'subscription' must be open to this account. Got '403 not yours'. "
            "Give the account roles/pubsub.publisher or roles/pubsub.subscriber.",
        ),
        (
            RefreshError("expired"),
            SetupError,
            f"{SUBSCRIPTION}: 'subscription' must be open to this account. Got 'expired'. "
            "Give the account roles/pubsub.publisher or roles/pubsub.subscriber.",
        ),
        (
            exceptions.InvalidArgument("too long"),
            DataError,
            f"{SUBSCRIPTION}: 'subscription' must get a request that Pub/Sub takes. Got '400 too long'. "
            "Mend the message or name.",
        ),
        (
            exceptions.ResourceExhausted("too much"),
            RunError,
            f"{SUBSCRIPTION}: 'Pub/Sub' must have quota left for the request. Got '429 too much'. "
            "Wait and run it again; one ordering key takes 1 MB a second. Else ask for more of the quota.",
        ),
        (
            exceptions.RetryError("for a minute", exceptions.ResourceExhausted("too much")),
            RunError,
            f"{SUBSCRIPTION}: 'Pub/Sub' must have quota left for the request. Got '429 too much'. "
            "Wait and run it again; one ordering key takes 1 MB a second. Else ask for more of the quota.",
        ),
        (
            exceptions.PermissionDenied("not used before", error_info=ErrorInfo(reason="SERVICE_DISABLED")),
            SetupError,
            f"{SUBSCRIPTION}: 'pubsub.googleapis.com' must be enabled in the project. Got '403 not used before'. "
            "Enable it: gcloud services enable pubsub.googleapis.com",
        ),
        (
            exceptions.ServiceUnavailable("later"),
            RunError,
            f"{SUBSCRIPTION}: 'subscription' must answer. Got '503 later'. "
            "Publish or read again; what was done already comes twice at most.",
        ),
        (
            exceptions.RetryError("for a minute", exceptions.ServiceUnavailable("later")),
            RunError,
            f"{SUBSCRIPTION}: 'subscription' must answer. Got 'for a minute, last exception: 503 later'. "
            "Publish or read again; what was done already comes twice at most.",
        ),
    ],
)
def test_googles_errors_are_ours(error: Exception, kind: type[EsteiraError], text: str) -> None:
    with pytest.raises(EsteiraError) as caught, pubsub._translated("gcloud …", SUBSCRIPTION):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value) == text
    assert caught.value.__cause__ is error


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR, PUBSUB)


@emulated
def test_a_topic_that_is_gone_is_named_with_the_command_that_makes_it(emulator: None) -> None:
    topic, events = f"t-{uuid.uuid4().hex[:12]}", PubSubEvents("esteira")
    events.publish(topic, [Message(b"x")])
    events._publisher.delete_topic(topic=f"projects/esteira/topics/{topic}")
    with pytest.raises(SetupError) as caught:
        events.publish(topic, [Message(b"x")])
    assert caught.value.name == "topic"
    assert caught.value.remedy == f"Make it: gcloud pubsub topics create {topic} --project=esteira"


@emulated
def test_a_subscription_that_is_gone_is_named_with_the_command_that_makes_it(emulator: None) -> None:
    topic, events = f"t-{uuid.uuid4().hex[:12]}", PubSubEvents("esteira")
    subscription = events.subscribe(topic, "stream")
    events._subscriber.delete_subscription(subscription=f"projects/esteira/subscriptions/{topic}.stream")
    with pytest.raises(SetupError) as caught:
        subscription.pull(1, 0.2)
    command = f"subscriptions create {topic}.stream --topic={topic} --enable-message-ordering --project=esteira"
    assert caught.value.name == "subscription"
    assert caught.value.remedy == f"Make it: gcloud pubsub {command}"


@emulated
def test_more_messages_and_bytes_than_one_request_takes_are_published_in_order(emulator: None) -> None:
    topic, events = f"t-{uuid.uuid4().hex[:12]}", PubSubEvents("esteira")
    subscription = events.subscribe(topic, "stream")
    sent = [Message(b"x" * (4_000_000 if i % 1000 == 0 else 1), {"id": str(i)}) for i in range(2500)]
    events.publish(topic, sent)
    found: list[str] = []
    while pulled := subscription.pull(1000, 2.0):
        subscription.ack(pulled)
        found += [one.message.attributes["id"] for one in pulled]
    assert found == [str(i) for i in range(2500)]
    subscription.close()


def test_a_server_that_never_answers_ends_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR, "127.0.0.1:1")
    monkeypatch.setattr(pubsub, "_PATIENCE", 0.3)
    with pytest.raises(RunError) as caught:
        PubSubEvents("esteira").publish("flights", [Message(b"x")])
    assert (caught.value.name, caught.value.rule) == ("topic", "answer")


def test_a_reader_bears_a_server_that_is_away_until_its_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def pull(self, **asked: object) -> None:
            raise exceptions.ServiceUnavailable("away")

    subscription = pubsub.PubSubSubscription(Away(), SUBSCRIPTION, "flights")  # type: ignore[arg-type]
    assert subscription.pull(1, 0.0) == []
    monkeypatch.setattr(pubsub, "_PATIENCE", -1.0)
    with pytest.raises(RunError, match="Got '503 away'"):
        subscription.pull(1, 0.0)


def test_without_a_project_the_profile_is_named(tmp_path) -> None:
    profile = Profile(root=str(tmp_path)).model_copy(update={"events": EventsAddress(adapter="pubsub")})
    with pytest.raises(CaseError) as caught:
        _ = Connected(profile).events
    assert str(caught.value) == (
        "profile: 'events.at' must name a Google Cloud project. Got ''. Write the project's id into the profile."
    )


def test_without_googles_library_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub, "_installed", lambda module: False)
    with pytest.raises(SetupError) as caught:
        PubSubEvents("esteira")
    assert str(caught.value) == (
        "events: 'google-cloud-pubsub' must be installed. Got 'no such module'. "
        "Install google-cloud-pubsub into this environment, or use the log: events.adapter: log."
    )


def test_without_credentials_the_error_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in (EMULATOR, "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(SetupError) as caught:
        PubSubEvents("esteira").publish("flights", [Message(b"x")])
    assert (caught.value.name, caught.value.rule) == ("credentials", "be there for Pub/Sub")
    assert caught.value.remedy == "Run `gcloud auth application-default login`, or set PUBSUB_EMULATOR_HOST."


@pytest.mark.slow
def test_the_adapter_imports_nothing_of_googles_until_it_is_used() -> None:
    code = (
        "import sys; from components.adapters.gcp.pubsub import PubSubEvents; PubSubEvents('p'); "
        "print([m for m in sys.modules if m.startswith(('google.pubsub', 'google.api_core', 'grpc'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@emulated
def test_what_was_not_taken_goes_to_the_dead_letter_topic_of_the_profile(emulator: None, tmp_path) -> None:
    topic, dead = (f"t-{uuid.uuid4().hex[:12]}" for _ in range(2))
    address = EventsAddress(adapter="pubsub", at="esteira", dead_letter=dead)
    events = Connected(Profile(root=str(tmp_path), events=address)).events
    reader = PubSubEvents("esteira").subscribe(dead, "people")
    subscription = events.subscribe(topic, "stream")
    events.bury([Message(b"{", {"reason": "no JSON", "id": "t-1"})])
    (found,) = reader.pull(10, 5.0)
    assert found.message == Message(b"{", {"reason": "no JSON", "id": "t-1"})
    reader.ack([found])
    made = subscription._client.get_subscription(subscription=subscription._path)
    assert made.dead_letter_policy.dead_letter_topic == f"projects/esteira/topics/{dead}"
    assert made.dead_letter_policy.max_delivery_attempts == 100
    PubSubEvents("esteira").bury([Message(b"{")])
    assert reader.pull(10, 0.3) == [], "without a dead-letter topic nothing is sent"


@emulated
@pytest.mark.parametrize(
    ("settings", "name", "rule", "flags"),
    [
        (Settings("dead"), "dead_letter_topic", "be dead", "--dead-letter-topic=dead --max-delivery-attempts=100"),
        (Settings(exactly_once=True), "enable_exactly_once_delivery", "be on", "--enable-exactly-once-delivery"),
    ],
)
def test_a_subscription_that_is_not_as_the_profile_asks_is_refused_with_the_command(
    emulator: None, settings: Settings, name: str, rule: str, flags: str
) -> None:
    topic = f"t-{uuid.uuid4().hex[:12]}"
    PubSubEvents("esteira").subscribe(topic, "stream").close()
    with pytest.raises(SetupError) as caught:
        PubSubEvents("esteira", settings).subscribe(topic, "stream")
    assert (caught.value.name, caught.value.rule) == (name, f"{rule}, as the profile asks for it")
    assert caught.value.remedy == (
        f"Change it: gcloud pubsub subscriptions update {topic}.stream {flags} --project=esteira"
    )


def test_a_subscription_without_order_is_refused() -> None:
    found = pubsub_v1.Subscription(name=SUBSCRIPTION, enable_exactly_once_delivery=True)
    with pytest.raises(SetupError) as caught:
        Settings(exactly_once=True).check(found)
    assert str(caught.value) == (
        f"{SUBSCRIPTION}: 'enable_message_ordering' must be on. Got 'off'. Make it anew with --enable-message-ordering: "
        "gcloud pubsub subscriptions delete flights.stream --project=p"
    )


@emulated
def test_messages_are_delivered_exactly_once_where_the_profile_asks_for_it(emulator: None, tmp_path) -> None:
    address = EventsAddress(adapter="pubsub", at="esteira", exactly_once=True)
    topic, events = f"t-{uuid.uuid4().hex[:12]}", Connected(Profile(root=str(tmp_path), events=address)).events
    subscription = events.subscribe(topic, "stream")
    made = subscription._client.get_subscription(subscription=subscription._path)
    assert (made.enable_exactly_once_delivery, made.enable_message_ordering) == (True, True)
    events.publish(topic, [Message(b"a"), Message(b"b")])
    found = subscription.pull(10, 5.0)
    subscription.ack(found)
    assert [one.message.data for one in found] == [b"a", b"b"]
    assert subscription.pull(10, 0.3) == []


class Refusing:
    """Acknowledges but for some tokens, as the service says it of exactly-once delivery."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self.answers, self.asked = list(answers), list[list[str]]()

    def acknowledge(self, *, ack_ids: list[str], **_: object) -> None:
        self.asked.append(ack_ids)
        if self.answers:
            failed = self.answers.pop(0)
            details = [ErrorInfo(reason="x", domain="pubsub.googleapis.com", metadata=failed)]
            raise exceptions.FailedPrecondition("some failed", details=details, error_info=details[0])


def acknowledged(client: Refusing) -> None:
    subscription = pubsub.PubSubSubscription(client, SUBSCRIPTION, "flights")  # type: ignore[arg-type]
    subscription._held = {"1": False, "2": False, "3": False}
    subscription.ack([Received(Message(b"x"), token) for token in ("1", "2", "3")])
    assert not subscription._held


def test_an_acknowledgement_that_may_pass_later_is_sent_again_and_no_other() -> None:
    client = Refusing({"2": "TRANSIENT_FAILURE_UNORDERED_ACK_ID", "3": "PERMANENT_FAILURE_INVALID_ACK_ID"})
    acknowledged(client)
    assert client.asked == [["1", "2", "3"], ["2"]]


def test_a_refusal_that_names_no_token_is_told() -> None:
    with pytest.raises(RunError, match="some failed"):
        acknowledged(Refusing({}))


@emulated
def test_no_more_messages_are_open_at_once_than_the_profile_allows(emulator: None, tmp_path) -> None:
    address = EventsAddress(adapter="pubsub", at="esteira", outstanding=2)
    topic, events = f"t-{uuid.uuid4().hex[:12]}", Connected(Profile(root=str(tmp_path), events=address)).events
    subscription = events.subscribe(topic, "stream")
    events.publish(topic, [Message(data) for data in (b"a", b"b", b"c")])
    first = subscription.pull(10, 5.0)
    assert len(first) == 2
    assert subscription.pull(10, 0.3) == []
    subscription.ack(first)
    assert [one.message.data for one in subscription.pull(10, 5.0)] == [b"c"]
    subscription.close()
