"""Alerts to the console, by mail, to a webhook and over other channels; one that fails is reported, never raised."""

from __future__ import annotations

import random
import smtplib
import sys
import threading
import time
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from hashlib import sha256
from http.client import HTTPException, InvalidURL

from components.adapters.ports import Alert
from components.core import sections
from components.core.artifacts import canonical_json
from components.core.errors import SetupError

MAX_BODY = 1_000_000
"""Bytes of the text that is sent; the rest is cut off, and it says so."""
_MAX_SUBJECT = 200
Attempt = Callable[[float], None]
"""Sends one alert within so many seconds. Raises Final where another attempt would repeat the failure."""
Channel = Callable[[Alert], Attempt]
"""What sends an alert, whose texts every channel can carry; all attempts send the same. It raises nothing itself."""


@dataclass(frozen=True)
class Patience:
    """How long a channel may take. Seconds."""

    attempts: int = 3
    attempt: float = 5.0
    pause: float = 0.5
    """Before the second attempt, at most; doubled before each further one."""
    deadline: float = 20.0


class LocalAlerts:
    """Implements `ports.Alerts` for a profile's addresses, and other channels by name. At least once: a relay that
    answers too late is asked again, with the same Message-ID or Idempotency-Key."""

    def __init__(
        self,
        addresses: sections.Alerts,
        patience: Patience | None = None,
        channels: Mapping[str, Channel] | None = None,
    ) -> None:
        self._addresses, self._patience, self._others = addresses, patience or Patience(), dict(channels or {})

    def send(self, alert: Alert, *, email: Sequence[str] = ()) -> list[str]:
        clean = _clean(alert)
        _console(clean)
        channels: dict[str, Attempt] = {name: other(clean) for name, other in self._others.items()}
        if self._addresses.smtp and email:
            channels[f"email to {', '.join(map(_line, email))}"] = lambda timeout: self._mail(clean, email, timeout)
        if self._addresses.webhook or self._addresses.webhook_env or self._addresses.webhook_file:
            channels["webhook"] = lambda timeout: self._post(clean, timeout)
        failed = [f"{name}: {why}" for name, send in channels.items() if (why := _tried(send, self._patience))]
        for line in failed:
            print(f"alert not sent by {line}", file=sys.stderr, flush=True)
        return failed

    def _mail(self, alert: Alert, to: Sequence[str], timeout: float) -> None:
        message = EmailMessage()
        message["Subject"] = f"[{alert.severity}] {alert.subject}"
        message["From"] = self._addresses.sender
        message["To"] = ", ".join(to)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{key(alert)}@esteira>"
        message.set_content(_text(alert), cte="base64")  # any text, lines of any length, at one cost
        host, _, port = self._addresses.smtp.rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=timeout) as relay:
            refused = relay.send_message(message, from_addr=self._addresses.sender, to_addrs=list(to))
        if refused:
            raise Final(f"refused for {', '.join(map(_line, refused))}")

    def _post(self, alert: Alert, timeout: float) -> None:
        try:
            url = self._addresses.webhook_url()
        except SetupError as error:
            raise Final(str(error)) from None
        if not url.lower().startswith(("http://", "https://")):
            raise Final("its URL must begin with http:// or https://")
        body = {"text": f"{alert.subject}\n{alert.body}", **data(alert)}
        headers = {"Content-Type": "application/json", "Idempotency-Key": key(alert)}
        try:
            request = urllib.request.Request(url, canonical_json(body).encode(), headers, method="POST")  # noqa: S310  # checked above
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                raise Final(f"answered {error.code}") from None
            raise OSError(f"answered {error.code}") from None
        except (InvalidURL, ValueError):  # what they say may hold the path, which is a secret
            raise Final("its URL is not valid") from None
        except HTTPException as error:  # a peer may answer with what it was asked
            raise OSError(f"no answer in HTTP: {type(error).__name__}") from None


class Final(Exception):
    """A failure that another attempt would repeat."""


def data(alert: Alert) -> dict[str, object]:
    """The alert as JSON data."""
    told = {"subject": alert.subject, "body": alert.body, "severity": alert.severity}
    return {**told, "facts": dict(alert.facts)}


def key(alert: Alert) -> str:
    """What is the same for the same alert, and for no other."""
    return sha256(canonical_json([alert.subject, alert.body, dict(alert.facts)]).encode()).hexdigest()[:32]


def cut(text: str, most: int) -> str:
    """The text, or so many bytes of it in UTF-8 and a line that says how many there were."""
    data = text.encode("utf-8", "replace")
    if len(data) > most:
        data = data[:most] + f"\n… cut off: {len(data)} bytes".encode()
    return data.decode("utf-8", "ignore")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


def _tried(send: Attempt, patience: Patience) -> str:
    """Why it could not be sent, after all attempts; empty if it was.

    The attempts run in a thread of their own: a peer that sends a byte now and then never lets a socket time out.
    """
    outcome = [f"no answer in {patience.deadline:g} s"]
    worker = threading.Thread(target=lambda: outcome.append(_attempts(send, patience)), daemon=True)
    worker.start()
    worker.join(patience.deadline)
    return outcome[-1]


def _attempts(send: Attempt, patience: Patience) -> str:
    why = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(random.uniform(0, patience.pause * 2 ** (attempt - 1)))  # noqa: S311  # jitter
        try:
            send(patience.attempt)
            return ""
        except Final as error:
            return str(error)
        except Exception as error:  # whatever it is, it becomes the line that says so
            why = f"{type(error).__name__}: {_line(str(error))}"
            if isinstance(error, ValueError):  # an address that is none
                break
    return why


def _clean(alert: Alert) -> Alert:
    """With a subject of one line, and texts that every channel can encode and carry."""
    facts = {_line(name): _line(value) for name, value in alert.facts.items()}
    return Alert(_line(alert.subject), cut(alert.body, MAX_BODY), alert.severity, facts)


def _line(text: str) -> str:
    """One line of at most 200 characters: control and line characters would end a header."""
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in str(text))
    return " ".join(plain.split())[:_MAX_SUBJECT]


def _text(alert: Alert) -> str:
    return "\n".join([alert.body, "", *(f"{name}: {value}" for name, value in alert.facts.items())])


def _console(alert: Alert) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    text = f"[{alert.severity}] {alert.subject}\n{_text(alert)}".rstrip()
    with suppress(OSError):  # nobody listens any more
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
