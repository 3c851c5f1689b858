"""The routes: who may ask what, and who answers.

What says how to ask is free (health, metadata, OpenAPI, the page); what answers or counts needs the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from urllib.parse import unquote

import orjson
from prometheus_client.core import Metric

from components.core.errors import EsteiraError
from components.serving import metrics, oip, openapi, page, refusal
from components.serving.asked import Reply
from components.serving.calls import Calls
from components.serving.exchange import Exchange
from components.serving.log import InferenceLog
from components.serving.metrics import Metrics
from components.serving.refusal import ABSENT, Refused
from components.serving.say import failed
from components.serving.scoring import Call
from components.serving.settings import Settings
from components.serving.versions import Versions

NAME, VERSION = "esteira", "0.1.0"
_HTML = b"text/html; charset=utf-8"
_JSON_TYPES = (b"application/json", b"application/octet-stream")
_NO_STORE = b"cache-control: no-store\r\n"
_BEARER = b"bearer "
_READ = (b"GET", b"HEAD")

Handler = Callable[[Exchange], None]


class App:
    """Answers every exchange that the protocol hands over. Lives on the loop."""

    def __init__(self, settings: Settings, versions: Versions, log: InferenceLog | None) -> None:
        self._settings, self._versions, self._log = settings, versions, log
        self._token = settings.token
        self.metrics = Metrics(self._gauges)
        self.calls = Calls(versions, settings.limits, self.metrics, log)
        self.draining = False
        self.connections: Callable[[], int] = lambda: 0
        self._predict = settings.predict.encode()
        self._fixed: Mapping[str, tuple[str, Handler]] = {
            settings.health: ("health", self._health),
            "/v2": ("server", self._server),
            "/v2/health/live": ("live", self._live),
            "/v2/health/ready": ("ready", self._ready),
            "/metrics": ("metrics", self._metrics),
            "/openapi.json": ("openapi", self._openapi),
            "/docs": ("docs", self._docs),
        }

    @property
    def ready(self) -> bool:
        return self._versions.state.champion is not None and not self.draining

    def refused(self, status: int) -> None:
        """Counts what was no whole request."""
        self.metrics.observe(("http", status, "", ""), 0.0)

    def handle(self, exchange: Exchange) -> None:
        """Answers now, or hands the exchange on. Never raises."""
        route = "unknown"
        try:
            if exchange.target == self._predict:  # the one that is hot
                self._ask(exchange, Call(exchange, "predict"))
                return
            path = unquote(exchange.target.partition(b"?")[0].decode("latin-1"))
            if path == self._settings.predict:
                self._ask(exchange, Call(exchange, "predict"))
                return
            route, handler = self._fixed.get(path) or self._model(path)
            handler(exchange)
        except Refused as refused:
            self._answer(exchange, route, refused.status, Reply(refusal.body(refused)), _hint(refused))
        except Exception as error:  # a mistake of ours is told as one, and the server goes on
            failed(error)
            told = EsteiraError("server", "answer without an error", type(error).__name__, "See the server's log.")
            self._answer(exchange, route, 500, Reply(refusal.body(told)))

    def _model(self, path: str) -> tuple[str, Handler]:
        """/v2/models/NAME[/versions/VERSION][/ready|/infer]"""
        parts = path.split("/")[1:]
        if parts[:2] != ["v2", "models"] or not 3 <= len(parts) <= 6:
            raise Refused(404, "path", "be a route of this server", path, "See /docs.")
        name, rest = parts[2], parts[3:]
        if name != self._case:
            raise Refused(404, "model", f"be {self._case}", name, "Ask for the case that is served.")
        version = None
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = _version(rest[1]), rest[2:]
        if rest == ["infer"]:
            return "infer", lambda exchange: self._ask(exchange, Call(exchange, "infer", version))
        if rest == ["ready"]:
            return "model ready", lambda exchange: self._model_ready(exchange, version)
        if not rest:
            return "model", lambda exchange: self._metadata(exchange, version)
        raise Refused(404, "path", "be a route of this server", path, "See /docs.")

    @property
    def _case(self) -> str:
        champion = self._versions.state.champion
        return champion.case if champion is not None else self._settings.case

    def _ask(self, exchange: Exchange, call: Call) -> None:
        try:
            self._allow(exchange, (b"POST",))
            self._authorize(exchange)
            headers = exchange.headers
            kind = headers.get(b"content-type", _JSON_TYPES[0])
            if kind != _JSON_TYPES[0]:
                _check_type(kind)
            if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
                encoding = headers[b"content-encoding"].decode("latin-1")
                raise Refused(415, "content-encoding", "be identity", encoding, "Send the body as it is.")
        except Refused as refused:
            self._answer(exchange, call.route, refused.status, Reply(refusal.body(refused)), _hint(refused))
        else:
            self.calls.take(call)

    def _authorize(self, exchange: Exchange) -> None:
        """The token is compared as bytes in constant time; what was sent is never shown."""
        if self._token is None:
            return
        given = exchange.headers.get(b"authorization", b"")
        if given[:7].lower() != _BEARER or not hmac.compare_digest(given[7:], self._token):
            shown = "another" if given else ABSENT
            raise Refused(401, "authorization", "be Bearer and the server's token", shown, "Send the token.")

    def _allow(self, exchange: Exchange, methods: tuple[bytes, ...]) -> None:
        if exchange.method not in methods:
            allowed = b", ".join(methods).decode()
            raise Refused(405, "method", f"be {allowed}", exchange.method.decode("latin-1"), "See /docs.")

    def _answer(self, exchange: Exchange, route: str, status: int, reply: Reply, headers: bytes = b"") -> None:
        self.metrics.observe((route, status, "", ""), perf_counter() - exchange.started)
        exchange.reply(status, reply, headers)

    def _said(self, exchange: Exchange, route: str, status: int, data: object) -> None:
        self._answer(exchange, route, status, Reply(orjson.dumps(data)), _NO_STORE)

    def _health(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        self._readiness(exchange, "health", self.ready)

    def _ready(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        self._readiness(exchange, "ready", self.ready)

    def _model_ready(self, exchange: Exchange, version: int | None) -> None:
        self._allow(exchange, _READ)
        served = version is None or version in self._versions.state.numbers()
        if not served:
            self._versions.state.route("", version)
        self._readiness(exchange, "model ready", self.ready)

    def _readiness(self, exchange: Exchange, route: str, ready: bool) -> None:
        why = {} if ready else {"why": "shutting down" if self.draining else "no champion is loaded"}
        self._said(exchange, route, 200 if ready else 503, {"ready": ready, **why})

    def _live(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        self._said(exchange, "live", 200, {"live": True})

    def _server(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        said = {"name": NAME, "version": VERSION, "extensions": ["binary_tensor_data"]}
        self._said(exchange, "server", 200, said)

    def _metadata(self, exchange: Exchange, version: int | None) -> None:
        self._allow(exchange, _READ)
        state = self._versions.state
        served = state.route("", version)[0]
        found = oip.metadata(served.case, state.numbers(), served.inputs, served.scorer.model.classes)
        self._said(exchange, "model", 200, found)

    def _metrics(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        self._authorize(exchange)
        self._answer(exchange, "metrics", 200, Reply(self.metrics.text(), metrics.TEXT), _NO_STORE)

    def _openapi(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        champion = self._versions.state.champion
        self._said(exchange, "openapi", 200, openapi.document(self._settings, self._case, champion))

    def _docs(self, exchange: Exchange) -> None:
        self._allow(exchange, _READ)
        self._answer(exchange, "docs", 200, Reply(page.html(self._case), _HTML), _NO_STORE + page.POLICY)

    def _gauges(self) -> Iterable[Metric]:
        state = self._versions.state
        roles = {"champion": state.champion, "challenger": state.challenger}
        yield metrics.served({role: served.version for role, served in roles.items() if served is not None})
        yield metrics.gauge("esteira_split_percent", "The challenger's share of the traffic.", state.split)
        yield metrics.gauge("esteira_ready", "1 where the server is ready.", float(self.ready))
        yield metrics.gauge("esteira_pending", "Requests accepted and not yet answered.", self.calls.pending)
        yield metrics.gauge("esteira_connections", "Open connections.", self.connections())
        yield metrics.counter("esteira_swaps", "Times that what is served changed.", self._versions.swaps)
        yield metrics.counter("esteira_swap_failures", "Looks or loads that failed.", self._versions.failures)
        if self._log is not None:
            yield metrics.counter("esteira_log_lines", "Requests in the inference log.", self._log.written)
            yield metrics.counter("esteira_log_dropped", "Requests that the log lost.", self._log.dropped)
            yield metrics.counter("esteira_log_failures", "Segments that were not written.", self._log.failures)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and text[0] != "0"):
        raise Refused(404, "version", "be a whole number from 1", text, "Ask for a version that is served.")
    return int(text)


def _check_type(kind: bytes) -> None:
    """Refuses a content type that is neither JSON in UTF-8 nor JSON with binary tensors behind it."""
    name, _, parameters = kind.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if name.strip() not in _JSON_TYPES or charset not in (b"", b"charset=utf-8", b"charset=utf8"):
        shown = kind.decode("latin-1")
        raise Refused(415, "content-type", "be application/json in UTF-8", shown, "Send JSON.")


def _hint(refused: Refused) -> bytes:
    """The header that goes with a status."""
    if refused.status == 401:
        return b"www-authenticate: Bearer\r\n"
    if refused.status == 405:
        return b"allow: " + refused.rule.removeprefix("be ").encode() + b"\r\n"
    return b"retry-after: 1\r\n" if refused.status == 503 else b""
