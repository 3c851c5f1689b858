"""Channels of alerts on Google Cloud: a Pub/Sub topic, and Cloud Logging, whose entries alerting policies look at.

PUBSUB_EMULATOR_HOST and LOGGING_EMULATOR_HOST (ours; host:port of a gRPC server) take them elsewhere.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import time_ns
from typing import Any

from components.adapters.gcp import errors
from components.adapters.local.alerts import Attempt, Channel, Final, cut, data, key
from components.adapters.ports import Alert
from components.core.artifacts import canonical_json, sha256
from components.core.errors import EsteiraError, RunError, SetupError

LOGGING_EMULATOR = "LOGGING_EMULATOR_HOST"
PUBSUB_EMULATOR = "PUBSUB_EMULATOR_HOST"
PUBSUB = errors.Service(
    "Pub/Sub", "pubsub.googleapis.com", "roles/pubsub.publisher on the topic", "Ask for more of the quota."
)
LOGGING = errors.Service(
    "Cloud Logging", "logging.googleapis.com", "roles/logging.logWriter", "Ask for more of the quota."
)
MOST_LOGGED = 150_000
"""Bytes of a body in Cloud Logging, whose entries have 256 KB."""
_SEVERITY = {"info": 200, "warning": 400, "error": 500}
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def pubsub(topic: str) -> Channel:
    """To projects/P/topics/T: subject, body, severity and facts as JSON; severity and key as attributes."""

    def channel(alert: Alert) -> Attempt:
        attributes = {"severity": alert.severity, "key": key(alert)}

        def send(timeout: float) -> None:
            with _told(PUBSUB, topic):
                message = {"data": canonical_json(data(alert)).encode(), "attributes": attributes}
                with _client("google.pubsub_v1", "PublisherClient", PUBSUB_EMULATOR) as client:
                    if os.environ.get(PUBSUB_EMULATOR):
                        _make_topic(client, topic, timeout)
                    client.publish(topic=topic, messages=[message], retry=None, timeout=timeout)

        return send

    return channel


def logging(project: str) -> Channel:
    """To the log `esteira` of a project: one structured entry, which counts once however often it comes."""

    def channel(alert: Alert) -> Attempt:
        wanted = entry(alert, project)

        def send(timeout: float) -> None:
            with _told(LOGGING, f"projects/{project}"):
                service = "google.cloud.logging_v2.services.logging_service_v2"
                with _client(service, "LoggingServiceV2Client", LOGGING_EMULATOR) as client:
                    client.write_log_entries(request={"entries": [wanted]}, retry=None, timeout=timeout)

        return send

    return channel


def entry(alert: Alert, project: str) -> dict[str, Any]:
    """The alert as a LogEntry."""
    seconds, nanos = divmod(time_ns(), 1_000_000_000)
    return {
        "log_name": f"projects/{project}/logs/esteira",
        "resource": {"type": "global", "labels": {"project_id": project}},
        "timestamp": {"seconds": seconds, "nanos": nanos},  # with insert_id: the same entry, however often it comes
        "insert_id": key(alert),
        "severity": _SEVERITY[alert.severity],
        "labels": dict(list(alert.facts.items())[:64]),
        "json_payload": {**data(alert), "message": alert.subject, "body": cut(alert.body, MOST_LOGGED)},
        **_traced(alert, project),
    }


def _traced(alert: Alert, project: str) -> dict[str, Any]:
    """The trace that TRACEPARENT (W3C) names; else one of the run, so that all that it says stands together."""
    found = _TRACE_PARENT.fullmatch(os.environ.get("TRACEPARENT", ""))
    if found:
        sampled = bool(int(found[3], 16) & 1)
        return {"trace": f"projects/{project}/traces/{found[1]}", "span_id": found[2], "trace_sampled": sampled}
    job = alert.facts.get("job")
    return {"trace": f"projects/{project}/traces/{sha256(job.encode())[:32]}"} if job else {}


def _make_topic(client: Any, topic: str, timeout: float) -> None:
    """The emulator has none at first; a cloud's topic is never made."""
    from google.api_core.exceptions import AlreadyExists

    with suppress(AlreadyExists):
        client.create_topic(name=topic, retry=None, timeout=timeout)


def _client(module: str, name: str, emulator: str) -> Any:
    """A client over gRPC; nobody in particular to an emulator."""
    try:
        made: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        distribution = "google-cloud-pubsub" if "pubsub" in module else "google-cloud-logging"
        remedy = "Install it into this environment, or leave the channel out of the profile."
        raise SetupError(distribution, "be installed", str(error), remedy, where="alerts") from error
    host = os.environ.get(emulator)
    if not host:
        return made()
    channel = importlib.import_module("grpc").insecure_channel(host)
    return made(transport=made.get_transport_class("grpc")(channel=channel))  # type: ignore[attr-defined]


@contextmanager
def _told(service: errors.Service, where: str) -> Iterator[None]:
    """Google's errors in our words: final ones, and those that another attempt may not meet."""
    try:
        with errors.translated(service, where):
            yield
    except RunError as error:
        raise OSError(str(error)) from error
    except EsteiraError as error:
        raise Final(str(error)) from error
