"""What every implementation of Alerts keeps: a mail relay and a web server on loopback, Pub/Sub and Cloud Logging."""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import os
import re
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.adapters.connect import Connected
from components.adapters.gcp import alerts as google
from components.adapters.local import alerts
from components.adapters.local.alerts import LocalAlerts, Patience
from components.adapters.ports import Alert
from components.core import profile, sections
from tests.servers import logging

QUICK = Patience(attempts=3, attempt=10, pause=0.01, deadline=30)
DRIFT = Alert("flights: drift", "dep_delay moved", "warning", {"job": "job-1"})


class Relay(socketserver.ThreadingTCPServer):
    """Takes mail; `refuse` is the number of connections that it turns away first."""

    daemon_threads = True

    def __init__(self, refuse: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.refuse, self.connections = refuse, 0
        self.mails: list[tuple[list[str], email.message.EmailMessage]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Smtp(socketserver.StreamRequestHandler):
    server: Relay

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        self.server.connections += 1
        if self.server.connections <= self.server.refuse:
            return self.say("421 later")
        self.say("220 relay")
        to: list[str] = []
        while line := self.rfile.readline().decode().strip():
            word = line.split(":")[0].split(" ")[0].upper()
            if word == "RCPT":
                if "unknown" in line:
                    self.say("550 no such mailbox")
                    continue
                to.append(line.partition("<")[2].rstrip(">"))
            if word == "DATA":
                self.say("354 go on")
                self.server.mails.append((to, self.message()))
            self.say("221 bye" if word == "QUIT" else "250 fine")
            if word == "QUIT":
                return None
        return None

    def message(self) -> email.message.EmailMessage:
        data = b""
        while (line := self.rfile.readline()) != b".\r\n":
            data += line.removeprefix(b".").replace(b"\r\n", b"\n")
        found = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(found, email.message.EmailMessage)
        return found


class Hook(http.server.ThreadingHTTPServer):
    """Answers with each status in turn, the last one for ever; `drip` sends a byte now and then instead."""

    daemon_threads = True

    def __init__(self, *statuses: int, drip: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Http)
        self.statuses, self.drip, self.requests = list(statuses), drip, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook/s3cret"


class _Http(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), json.loads(body)))
        if self.server.drip:
            for byte in b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        status = self.server.statuses[min(len(self.server.requests), len(self.server.statuses)) - 1]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.requests.append(("GET", {}, None))

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def make(**addresses: str) -> LocalAlerts:
    return LocalAlerts(sections.Alerts(**addresses), QUICK)


def test_the_console_always_gets_it(capsys):
    assert make().send(DRIFT, email=("a@example.org",)) == []
    assert capsys.readouterr().out == "[warning] flights: drift\ndep_delay moved\n\njob: job-1\n"


def test_a_mail_holds_subject_body_and_facts():
    with serving(Relay()) as relay:
        assert make(smtp=relay.address, sender="esteira@example.org").send(DRIFT, email=("a@x.org", "b@x.org")) == []
    [(to, message)] = relay.mails
    assert to == ["a@x.org", "b@x.org"]
    assert message["Subject"] == "[warning] flights: drift"
    assert message["From"] == "esteira@example.org"
    assert message.get_content() == "dep_delay moved\n\njob: job-1\n"


def test_nobody_to_mail_is_no_mail():
    with serving(Relay()) as relay:
        assert make(smtp=relay.address).send(DRIFT) == []
    assert relay.connections == 0


def test_a_webhook_gets_json():
    with serving(Hook(204)) as hook:
        assert make(webhook=hook.address).send(DRIFT) == []
    [(path, headers, body)] = hook.requests
    assert path == "/hook/s3cret"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "text": "flights: drift\ndep_delay moved",
        "subject": "flights: drift",
        "body": "dep_delay moved",
        "severity": "warning",
        "facts": {"job": "job-1"},
    }


def test_odd_unicode_arrives_whole():
    alert = Alert("größer ß 漢字", "línea 1\n.\n..línea 2 🛫", "info")
    with serving(Relay()) as relay, serving(Hook(200)) as hook:
        assert make(smtp=relay.address, webhook=hook.address).send(alert, email=("a@x.org",)) == []
    assert relay.mails[0][1]["Subject"] == "[info] größer ß 漢字"
    assert relay.mails[0][1].get_content().splitlines() == ["línea 1", ".", "..línea 2 🛫"]
    assert hook.requests[0][2]["body"] == alert.body


@pytest.mark.parametrize("line", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
def test_a_newline_in_a_subject_makes_no_header_and_no_recipient(line):
    alert = Alert(f"drift{line}Bcc: evil@example.org{line}{line}<b>body</b>", "text", "error")
    with serving(Relay()) as relay:
        assert make(smtp=relay.address).send(alert, email=("a@x.org",)) == []
    [(to, message)] = relay.mails
    assert to == ["a@x.org"]
    assert message["Bcc"] is None
    assert message["Subject"] == "[error] drift Bcc: evil@example.org <b>body</b>"


def test_a_newline_in_a_recipient_is_a_failed_channel():
    with serving(Relay()) as relay:
        [failed] = make(smtp=relay.address).send(DRIFT, email=("a@x.org\nBcc: evil@x.org",))
    assert failed.startswith("email to a@x.org Bcc: evil@x.org: ValueError: Header values may not contain linefeed")
    assert relay.mails == []


@given(subject=st.text(), body=st.text(st.characters()), fact=st.text())
def test_no_text_raises(subject, body, fact):
    assert make().send(Alert(subject, body, "info", {fact: fact})) == []
    clean = alerts._clean(Alert(subject, body, "info", {fact: fact}))
    assert len(clean.subject.splitlines()) <= 1
    clean.body.encode()


def test_a_relay_that_is_busy_at_first_gets_the_mail_once():
    with serving(Relay(refuse=2)) as relay:
        assert make(smtp=relay.address).send(DRIFT, email=("a@x.org",)) == []
    assert (relay.connections, len(relay.mails)) == (3, 1)


def test_a_server_in_trouble_is_asked_again_under_the_same_key():
    with serving(Hook(503, 429, 200)) as hook:
        assert make(webhook=hook.address).send(DRIFT) == []
    assert len({headers["Idempotency-Key"] for _, headers, _ in hook.requests}) == 1
    assert len(hook.requests) == 3


def test_attempts_are_bounded():
    with serving(Hook(500)) as hook:
        assert make(webhook=hook.address).send(DRIFT) == ["webhook: OSError: answered 500"]
    assert len(hook.requests) == QUICK.attempts


def test_a_refusal_is_not_repeated():
    with serving(Hook(404)) as hook:
        assert make(webhook=hook.address).send(DRIFT) == ["webhook: answered 404"]
    assert len(hook.requests) == 1


def test_a_redirect_is_not_followed():
    with serving(Hook(302)) as hook:
        assert make(webhook=hook.address).send(DRIFT) == ["webhook: answered 302"]
    assert len(hook.requests) == 1


def test_a_refused_recipient_is_named_and_the_others_get_the_mail_once():
    with serving(Relay()) as relay:
        failed = make(smtp=relay.address).send(DRIFT, email=("a@x.org", "unknown@x.org"))
    assert failed == ["email to a@x.org, unknown@x.org: refused for unknown@x.org"]
    assert [to for to, _ in relay.mails] == [["a@x.org"]]


@pytest.mark.slow
def test_a_webhook_that_hangs_or_drips_ends_at_the_deadline():
    patience = Patience(attempts=1, attempt=0.5, deadline=0.7)
    with serving(Hook(200, drip=True)) as hook:
        sender = LocalAlerts(sections.Alerts(webhook=hook.address), patience)
        assert sender.send(DRIFT) == ["webhook: no answer in 0.7 s"]
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Silent)) as silent:
        sender = LocalAlerts(sections.Alerts(webhook=f"http://127.0.0.1:{silent.server_address[1]}"), patience)
        assert sender.send(DRIFT) == ["webhook: TimeoutError: timed out"]


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        time.sleep(2)


def test_a_body_over_1_mb_is_cut_off_and_says_so():
    alert = Alert("large", "ß" * 800_000, "error")
    with serving(Relay()) as relay, serving(Hook(200)) as hook:
        assert make(smtp=relay.address, webhook=hook.address).send(alert, email=("a@x.org",)) == []
    body = hook.requests[0][2]["body"]
    assert body == "ß" * 500_000 + "\n… cut off: 1600000 bytes"
    assert relay.mails[0][1].get_content().splitlines()[0] == "ß" * 500_000


@pytest.mark.parametrize(
    ("addresses", "failed"),
    [
        ({"smtp": "127.0.0.1:1"}, "email to a@x.org: ConnectionRefusedError: "),
        ({"smtp": "nonsense"}, "email to a@x.org: ValueError: "),
        ({"webhook": "http://127.0.0.1:1/s3cret"}, "webhook: URLError: "),
    ],
)
def test_an_address_where_nobody_is_fails_that_channel_alone_and_keeps_its_secret(addresses, failed, capsys):
    [line] = make(**addresses).send(DRIFT, email=("a@x.org",))
    assert line.startswith(failed)
    assert "s3cret" not in line
    assert capsys.readouterr().err == f"alert not sent by {line}\n"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/s3cret", "its URL must begin with http:// or https://"),
        ("127.0.0.1/s3cret", "its URL must begin with http:// or https://"),
        ("http://127.0.0.1:1/a s3cret", "its URL is not valid"),
        ("http://127.0.0.1:s3cret/", "its URL is not valid"),
        ("http://127.0.0.1:1/s3crét", "its URL is not valid"),
        ("http://[127.0.0.1/s3cret", "its URL is not valid"),
        ("http://me:s3cret@127.0.0.1/", "its URL is not valid"),
        ("http://127.0.0.1:1/s3cret", "URLError: <urlopen error [Errno 111] Connection refused>"),
        ("", "'HOOK' must be an environment variable with the webhook's URL. Got 'none'. Set it where the steps run."),
    ],
)
def test_no_error_of_a_webhook_tells_its_secret(monkeypatch, capsys, url, why):
    monkeypatch.setenv("HOOK", url)
    assert make(webhook_env="HOOK").send(DRIFT) == [f"webhook: {why}"]
    told = capsys.readouterr()
    assert "s3cr" not in told.out + told.err


class _Echo(socketserver.StreamRequestHandler):
    """Answers with the request's own first line."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def test_an_answer_that_repeats_the_secret_is_not_told(monkeypatch, capsys):
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)) as echo:
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{echo.server_address[1]}/s3cret")
        assert make(webhook_env="HOOK").send(DRIFT) == ["webhook: OSError: no answer in HTTP: BadStatusLine"]
    assert "s3cret" not in "".join(capsys.readouterr())


def test_a_webhook_by_variable_or_file_gets_the_alert(monkeypatch, tmp_path):
    with serving(Hook(200)) as hook:
        monkeypatch.setenv("HOOK", hook.address)
        (tmp_path / "hook").write_text(f"{hook.address}\n")
        for addresses in ({"webhook_env": "HOOK"}, {"webhook_file": str(tmp_path / "hook")}):
            assert make(**addresses).send(DRIFT) == []
    assert [path for path, _, _ in hook.requests] == ["/hook/s3cret"] * 2


# Pub/Sub and Cloud Logging

PUBSUB = os.environ.get("ESTEIRA_PUBSUB", "")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logging]:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    with logging.serving() as service:
        monkeypatch.setenv(google.LOGGING_EMULATOR, service.address)
        yield service


def to_logging(project: str = logging.PROJECT) -> LocalAlerts:
    return LocalAlerts(sections.Alerts(), QUICK, {"logging": google.logging(project)})


def test_cloud_logging_gets_one_structured_entry(logged, monkeypatch):
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert to_logging().send(DRIFT) == []
    [entry] = logged.entries.values()
    assert entry.log_name == f"projects/{logging.PROJECT}/logs/esteira"
    assert entry.severity == 400
    assert dict(entry.labels) == {"job": "job-1"}
    assert dict(entry.json_payload) | {"facts": dict(entry.json_payload["facts"])} == {
        "message": "flights: drift",
        "subject": "flights: drift",
        "body": "dep_delay moved",
        "severity": "warning",
        "facts": {"job": "job-1"},
    }
    assert entry.trace == f"projects/{logging.PROJECT}/traces/0af7651916cd43dd8448eb211c80319c"
    assert (entry.span_id, entry.trace_sampled) == ("b7ad6b7169203331", True)


@pytest.mark.parametrize("given", ["", "nonsense", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01/x"])
def test_without_a_trace_in_the_environment_all_entries_of_a_run_have_one(logged, monkeypatch, given):
    monkeypatch.setenv("TRACEPARENT", given)
    other = replace(DRIFT, subject="flights: failed")
    for alert in (DRIFT, other, replace(DRIFT, facts={"job": "job-2"}), replace(DRIFT, facts={})):
        assert to_logging().send(alert) == []
    first, second, another, none = [entry.trace for entry in logged.entries.values()]
    assert re.fullmatch(rf"projects/{logging.PROJECT}/traces/[0-9a-f]{{32}}", first)
    assert first == second != another != none == ""


@pytest.mark.parametrize("done", [False, True])
def test_cloud_logging_in_trouble_is_asked_again_for_the_same_entry(logged, done):
    logged.fail, logged.done = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED], done
    assert to_logging().send(DRIFT) == []
    assert (logged.calls, len(logged.entries)) == (3, 1)


def test_attempts_at_cloud_logging_are_bounded(logged):
    logged.fail = [grpc.StatusCode.UNAVAILABLE] * 9
    [failed] = to_logging().send(DRIFT)
    assert failed.startswith(f"logging: OSError: projects/{logging.PROJECT}: 'Cloud Logging' must answer in time. Got ")
    assert logged.calls == QUICK.attempts


def test_a_closed_project_is_told_with_the_role_and_not_asked_again(logged):
    [failed] = to_logging("another-project").send(DRIFT)
    assert failed == (
        "logging: projects/another-project: 'Cloud Logging' must be open to this account. "
        "Got \"403 Permission 'logging.logEntries.create' denied on resource\". Give the account roles/logging.logWriter."
    )
    assert logged.calls == 1


def test_a_large_body_fits_into_an_entry_of_cloud_logging(logged):
    assert to_logging().send(Alert("large", "ß" * 800_000, "error", {str(n): "x" for n in range(100)})) == []
    [entry] = logged.entries.values()
    assert re.search("ß\n… cut off: 10000.. bytes$", entry.json_payload["body"])


def test_a_channel_that_fails_leaves_the_others(logged):
    with serving(Hook(204)) as hook:
        sender = LocalAlerts(
            sections.Alerts(webhook=hook.address), QUICK, {"logging": google.logging("another-project")}
        )
        failed = sender.send(DRIFT)
    assert [line.partition(":")[0] for line in failed] == ["logging"]
    assert len(hook.requests) == 1


@pytest.fixture
def topic() -> Iterator[tuple[str, Any]]:
    """A topic of its own on the emulator, and what takes its messages."""
    from google.pubsub_v1 import PublisherClient, SubscriberClient

    if not PUBSUB:
        pytest.skip("ESTEIRA_PUBSUB names no Pub/Sub emulator (host:port)")
    name = f"t-{uuid.uuid4().hex}"
    at, subscription = f"projects/esteira/topics/{name}", f"projects/esteira/subscriptions/{name}"
    made = [
        kind.get_transport_class("grpc")(channel=grpc.insecure_channel(PUBSUB))
        for kind in (PublisherClient, SubscriberClient)
    ]
    with PublisherClient(transport=made[0]) as publisher, SubscriberClient(transport=made[1]) as subscriber:
        publisher.create_topic(name=at)
        subscriber.create_subscription(name=subscription, topic=at)
        yield (
            at,
            lambda: [m.message for m in subscriber.pull(subscription=subscription, max_messages=9).received_messages],
        )


@pytest.mark.servers
def test_a_topic_gets_json_with_severity_and_key_beside_it(topic, monkeypatch):
    at, pull = topic
    monkeypatch.setenv(google.PUBSUB_EMULATOR, PUBSUB)
    alert = Alert("größer ß\nBcc: x", "línea 1\n🛫", "error", {"job": "job-1"})
    assert LocalAlerts(sections.Alerts(), QUICK, {"pubsub": google.pubsub(at)}).send(alert) == []
    [message] = pull()
    told = {"subject": "größer ß Bcc: x", "body": alert.body, "severity": "error", "facts": {"job": "job-1"}}
    assert json.loads(message.data) == told
    assert dict(message.attributes) == {"severity": "error", "key": alerts.key(alerts._clean(alert))}


@pytest.mark.servers
def test_a_profile_names_both_channels(topic, logged, monkeypatch, tmp_path):
    at, pull = topic
    given = {"pubsub": at, "logging": logging.PROJECT}
    emulators = {"pubsub": PUBSUB, "logging": logged.address}
    monkeypatch.setenv(google.PUBSUB_EMULATOR, "")  # so that what the profile sets is undone
    made = Connected(profile.Profile(root=str(tmp_path), alerts=given, emulators=emulators)).alerts
    assert made.send(DRIFT) == []
    assert (len(pull()), len(logged.entries)) == (1, 1)


def test_a_topic_where_nobody_is_fails_that_channel_alone(monkeypatch):
    monkeypatch.setenv(google.PUBSUB_EMULATOR, "127.0.0.1:1")
    [failed] = LocalAlerts(sections.Alerts(), QUICK, {"pubsub": google.pubsub("projects/p/topics/t")}).send(DRIFT)
    assert failed.startswith("pubsub: OSError: projects/p/topics/t: 'Pub/Sub' must answer in time. Got ")


def test_without_its_client_a_channel_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.pubsub_v1", None)
    [failed] = LocalAlerts(sections.Alerts(), QUICK, {"pubsub": google.pubsub("projects/p/topics/t")}).send(DRIFT)
    assert failed.startswith("pubsub: alerts: 'google-cloud-pubsub' must be installed. Got ")
    assert failed.endswith("Install it into this environment, or leave the channel out of the profile.")
