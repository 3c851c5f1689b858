"""What the server is told by its environment.

| variable | meaning |
|---|---|
| ESTEIRA_CASE, ESTEIRA_ROOT | follow this case's pointer, under the local profile's root |
| ESTEIRA_REGISTRY | `local`, the default: its files under the root; `remote`: records and models in the blobs there |
| AIP_STORAGE_URI, ESTEIRA_BUNDLE | or serve the one model in this folder or under gs://, by its bundle's digest |
| AIP_DEPLOYED_MODEL_ID or ESTEIRA_VERSION (1) | that model's version, which our ids tell (`core.container`) |
| ESTEIRA_LOG | the blobs, a folder or gs://, that the inference log goes to; without it those under ESTEIRA_ROOT |
| AIP_HTTP_PORT (8080), ESTEIRA_HOST (0.0.0.0) | where to listen; port 0 takes a free one |
| AIP_HEALTH_ROUTE (/health), AIP_PREDICT_ROUTE (/predict) | Vertex AI's routes |
| ESTEIRA_TOKEN or ESTEIRA_TOKEN_FILE | the token that predictions need |
| ESTEIRA_AUTH | `token`, or `platform` where a platform keeps the gate: that is never inferred |
| ESTEIRA_BODY, ESTEIRA_ROWS, ESTEIRA_QUEUE | `operations.serving` of the case |
| ESTEIRA_DRAIN (1.0) | seconds between "not ready" and the end of listening, after SIGTERM |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.core import container
from components.core.errors import SetupError
from components.serving.asked import Limits

_WHERE = "environment"
_CLOUD = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^?#]*)?")


@dataclass(frozen=True)
class Fixed:
    """One model that never changes."""

    at: str
    """A folder, or gs://bucket/prefix."""
    bundle: str
    version: int


@dataclass(frozen=True)
class Settings:
    case: str
    root: Path | None
    """The local adapters' folder: pointer and registry."""
    recorded: bool
    """Whether the versions are recorded beside the pointer, for a registry that is elsewhere."""
    log: str
    """The blobs for the inference log, a folder or gs://bucket/prefix; empty: none."""
    fixed: Fixed | None
    host: str
    port: int
    health: str
    predict: str
    token: bytes | None
    """None: a platform keeps the gate."""
    limits: Limits
    drain: float


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in the environment. Raises SetupError, which never shows the token."""
    case, root = environment.get("ESTEIRA_CASE", ""), environment.get("ESTEIRA_ROOT", "")
    fixed = _fixed(environment)
    if "://" in root:
        remedy = "Follow a pointer under a folder, or name a model by AIP_STORAGE_URI, which may be gs://."
        raise SetupError("ESTEIRA_ROOT", "be a folder", root, remedy, where=_WHERE)
    if fixed is None and not (case and root):
        remedy = "Set ESTEIRA_CASE and ESTEIRA_ROOT to follow a pointer, or AIP_STORAGE_URI and ESTEIRA_BUNDLE."
        raise SetupError("ESTEIRA_CASE", "be given with ESTEIRA_ROOT, or a model", case, remedy, where=_WHERE)
    routes = [_route(environment, "AIP_HEALTH_ROUTE", "/health"), _route(environment, "AIP_PREDICT_ROUTE", "/predict")]
    if routes[0] == routes[1]:
        raise SetupError("AIP_PREDICT_ROUTE", "differ from AIP_HEALTH_ROUTE", routes[1], "Change one.", where=_WHERE)
    plain = Limits()
    return Settings(
        case,
        Path(root) if root else None,
        _one_of(environment, "ESTEIRA_REGISTRY", ("local", "remote")) == "remote",
        _place(environment, "ESTEIRA_LOG") or (str(Path(root) / "blobs") if root else ""),
        fixed,
        environment.get("ESTEIRA_HOST") or "0.0.0.0",  # noqa: S104  # in a container nothing else is reached
        _number(environment, "AIP_HTTP_PORT", 8080, 0, 65_535),
        routes[0],
        routes[1],
        _token(environment),
        Limits(
            _number(environment, "ESTEIRA_BODY", plain.body, 1_000),
            _number(environment, "ESTEIRA_ROWS", plain.rows, 1),
            _number(environment, "ESTEIRA_QUEUE", plain.queue, 1),
        ),
        _seconds(environment, "ESTEIRA_DRAIN", 1.0),
    )


def _fixed(environment: Mapping[str, str]) -> Fixed | None:
    uri, bundle = _place(environment, "AIP_STORAGE_URI"), environment.get("ESTEIRA_BUNDLE", "")
    if not uri:
        return None
    if not bundle:
        remedy = "Set it to the digest that the registry's record names: it says which code may run."
        raise SetupError("ESTEIRA_BUNDLE", "be given with AIP_STORAGE_URI", bundle, remedy, where=_WHERE)
    version = container.deployed(environment.get("AIP_DEPLOYED_MODEL_ID", ""))
    return Fixed(uri, bundle, version or _number(environment, "ESTEIRA_VERSION", 1, 1))


def _place(environment: Mapping[str, str], name: str) -> str:
    place = environment.get(name, "")
    if "://" in place and not _CLOUD.fullmatch(place):
        remedy = "Mount it as a folder, or copy it to Cloud Storage."
        raise SetupError(name, "be a folder or gs://bucket/prefix", place, remedy, where=_WHERE)
    return place


def _token(environment: Mapping[str, str]) -> bytes | None:
    auth = _one_of(environment, "ESTEIRA_AUTH", ("token", "platform"))
    token, file = environment.get("ESTEIRA_TOKEN", ""), environment.get("ESTEIRA_TOKEN_FILE", "")
    if auth == "platform":
        return None
    if file and not token:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            remedy = "Write the token into it."
            raise SetupError("ESTEIRA_TOKEN_FILE", "be a readable text file", file, remedy, where=_WHERE) from error
    if not token:
        remedy = "Set ESTEIRA_TOKEN, or ESTEIRA_AUTH=platform where a platform keeps the gate."
        raise SetupError("ESTEIRA_TOKEN", "be given", None, remedy, where=_WHERE)
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > 512:
        rule = "be at most 512 visible ASCII characters"
        raise SetupError("ESTEIRA_TOKEN", rule, f"{len(token)} others", "Make a new one.", where=_WHERE)
    return token.encode()


def _route(environment: Mapping[str, str], name: str, default: str) -> str:
    route = environment.get(name) or default
    if not route.startswith("/") or not route.isascii() or not route.isprintable() or "?" in route or " " in route:
        raise SetupError(name, "be a path that starts with /", route, f"Such as {default}.", where=_WHERE)
    return route


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, str]) -> str:
    """The first where none is given."""
    value = environment.get(name, known[0])
    if value not in known:
        raise SetupError(name, f"be {' or '.join(known)}", value, "Set one of these.", where=_WHERE)
    return value


def _number(environment: Mapping[str, str], name: str, default: int, low: int, high: int = 2**31) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise SetupError(name, f"be a whole number from {low}", text, f"Such as {default}.", where=_WHERE)
    return int(text)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 600:
        raise SetupError(name, "be seconds from 0 to 600", text, f"Such as {default}.", where=_WHERE)
    return value
