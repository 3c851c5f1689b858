"""A contract server for what looks at a Google Cloud project: one server, whose paths begin with the service's host.

It keeps who has which permission on what, and refuses what the real services refuse: no token, a permission that no
service has, a look for which the caller lacks the right, a service that is not enabled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.servers import http
from tests.servers.http import Refused, Request

PROJECT, NUMBER = "esteira-test", "123456789"
YOU, TASKS = "you@example.org", "tasks@esteira-test.iam.gserviceaccount.com"
_PERMISSION = re.compile(r"[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+")
_SERVICES = {"aiplatform", "bigquery", "cloudscheduler", "dataflow", "iam", "logging", "pubsub", "run", "storage"}
Method = Callable[["Cloud", Request, re.Match[str]], Any]
_METHODS: list[tuple[re.Pattern[str], Method]] = []


def method(pattern: str) -> Callable[[Method], Method]:
    def kept(found: Method) -> Method:
        _METHODS.append((re.compile(pattern), found))
        return found

    return kept


@dataclass
class Cloud:
    """`rights`: by account and resource, its permissions there; a project's hold for what is in it. Tokens are accounts."""

    enabled: set[str] = field(default_factory=set)
    state: str = "ACTIVE"
    rights: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    pubsub: set[str] = field(default_factory=set)
    boards: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=lambda: {TASKS})
    images: set[str] = field(default_factory=set)
    quotas: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    compute: dict[str, tuple[float, float]] = field(default_factory=dict)

    def refusal(self, refused: Refused) -> Any:
        return {"error": {"code": refused.status, "message": refused.message, "status": refused.reason}}

    def answer(self, request: Request) -> Any:
        self.who(request)
        for pattern, found in _METHODS:
            match = pattern.fullmatch(f"{request.method} {request.path.removeprefix('/')}")
            if match:
                return found(self, request, match)
        raise Refused(404, "NOT_FOUND", f"no method {request.method} {request.path}")

    def who(self, request: Request) -> str:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token not in {YOU, *self.accounts}:
            raise Refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        return token

    def has(self, who: str, resource: str, permission: str) -> bool:
        return any(permission in self.rights.get((who, on), ()) for on in (resource, f"projects/{PROJECT}"))

    def need(self, request: Request, resource: str, permission: str) -> None:
        if not self.has(self.who(request), resource, permission):
            raise Refused(403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{resource}'")

    def service(self, name: str) -> None:
        if f"{name}.googleapis.com" not in self.enabled:
            raise Refused(403, "PERMISSION_DENIED", f"{name} API has not been used in project {NUMBER} before")

    def tested(self, request: Request, resource: str, asked: list[str]) -> Any:
        for permission in asked:
            if not _PERMISSION.fullmatch(permission) or permission.partition(".")[0] not in _SERVICES:
                raise Refused(400, "INVALID_ARGUMENT", f"Permission {permission} is not valid for this resource.")
        if not asked or len(asked) > 100:
            raise Refused(400, "INVALID_ARGUMENT", "permissions")
        found = [permission for permission in asked if self.has(self.who(request), resource, permission)]
        return {"permissions": found} if found else {}  # none is left out, as JSON of a proto does


def _permissions(request: Request) -> list[str]:
    body = request.json()
    if set(body) != {"permissions"}:
        raise Refused(400, "INVALID_ARGUMENT", f"Unknown name in {sorted(body)}")
    return list(body["permissions"])


@method(r"GET cloudresourcemanager\.googleapis\.com/v3/projects/([a-z0-9-]+)")
def _project(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.need(request, f"projects/{match[1]}", "resourcemanager.projects.get")  # 403 as well where there is none
    return {"name": f"projects/{NUMBER}", "projectId": match[1], "state": cloud.state}


@method(r"POST cloudresourcemanager\.googleapis\.com/v3/(projects/[a-z0-9-]+):testIamPermissions")
def _project_permissions(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    return cloud.tested(request, match[1], _permissions(request))


@method(r"GET serviceusage\.googleapis\.com/v1/(projects/[a-z0-9-]+)/services:batchGet")
def _services(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.need(request, match[1], "serviceusage.services.get")
    names = request.every["names"]
    if not 0 < len(names) <= 30:
        raise Refused(400, "INVALID_ARGUMENT", "names must have 1 to 30")
    found = []
    for name in names:
        api = name.removeprefix(f"{match[1]}/services/")
        state = "ENABLED" if api in cloud.enabled else "DISABLED"
        found.append({"name": f"projects/{NUMBER}/services/{api}", "config": {"name": api}, "state": state})
    return {"services": found}


@method(
    r"GET serviceusage\.googleapis\.com/v1beta1/(projects/[a-z0-9-]+)/services/[a-z.]+/consumerQuotaMetrics/([^/]+)"
)
def _quota(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.need(request, match[1], "serviceusage.quotas.get")
    metric = unquote(match[2])
    if metric not in cloud.quotas:
        raise Refused(404, "NOT_FOUND", f"Quota metric {metric} not found.")
    limits = [{"unit": "1/{project}/{region}", "quotaBuckets": cloud.quotas[metric]}]
    return {"metric": metric, "consumerQuotaLimits": limits}


@method(r"GET compute\.googleapis\.com/compute/v1/(projects/[a-z0-9-]+)/regions/([a-z0-9-]+)")
def _region(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.service("compute")
    cloud.need(request, match[1], "compute.regions.get")
    quotas = [{"metric": metric, "limit": limit, "usage": used} for metric, (limit, used) in cloud.compute.items()]
    return {"name": match[2], "quotas": quotas}


@method(r"GET storage\.googleapis\.com/storage/v1/b/([^/]+)/iam/testPermissions")
def _bucket_permissions(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    if match[1] not in cloud.buckets:
        raise Refused(404, "notFound", "The specified bucket does not exist.")
    return cloud.tested(request, f"gs://{match[1]}", request.every["permissions"])


@method(r"GET storage\.googleapis\.com/storage/v1/b/([^/]+)")
def _bucket(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    if match[1] not in cloud.buckets:
        raise Refused(404, "notFound", "The specified bucket does not exist.")
    cloud.need(request, f"gs://{match[1]}", "storage.buckets.get")
    return {"name": match[1], **cloud.buckets[match[1]]}


@method(r"GET bigquery\.googleapis\.com/bigquery/v2/projects/([a-z0-9-]+)/datasets/(\w+)")
def _dataset(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.service("bigquery")
    cloud.need(request, f"projects/{match[1]}", "bigquery.datasets.get")
    if match[2] not in cloud.datasets:
        raise Refused(404, "notFound", f"Not found: Dataset {match[1]}:{match[2]}")
    return {"id": f"{match[1]}:{match[2]}", "location": cloud.datasets[match[2]]}


@method(r"POST pubsub\.googleapis\.com/v1/(projects/[a-z0-9-]+/topics/[^/:]+):testIamPermissions")
def _topic_permissions(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    return cloud.tested(request, match[1], _permissions(request))


@method(r"GET pubsub\.googleapis\.com/v1/(projects/[a-z0-9-]+/(topics|subscriptions)/[^/:]+)")
def _topic(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.service("pubsub")
    cloud.need(request, match[1], f"pubsub.{match[2]}.get")
    if match[1] not in cloud.pubsub:
        raise Refused(404, "NOT_FOUND", f"Resource not found (resource={match[1]}).")
    return {"name": match[1]}


@method(r"POST iam\.googleapis\.com/v1/projects/-/serviceAccounts/([^/:]+):testIamPermissions")
def _account_permissions(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    if match[1] not in cloud.accounts:
        raise Refused(404, "NOT_FOUND", "Unknown service account")
    return cloud.tested(request, match[1], _permissions(request))


@method(r"POST iamcredentials\.googleapis\.com/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken")
def _token(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.need(request, match[1], "iam.serviceAccounts.getAccessToken")
    body = request.json()
    if set(body) - {"scope", "lifetime", "delegates"} or not body.get("scope"):
        raise Refused(400, "INVALID_ARGUMENT", "scope is required")
    return {"accessToken": match[1], "expireTime": "2100-01-01T00:00:00Z"}


@method(r"GET [a-z0-9-]+-aiplatform\.googleapis\.com/v1/(projects/[^/]+/locations/[^/]+/tensorboards/[^/]+)")
def _board(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    cloud.service("aiplatform")
    if match[1] not in cloud.boards:
        raise Refused(404, "NOT_FOUND", f"Tensorboard {match[1]} is not found.")
    return {"name": match[1]}


@method(r"GET ([a-z0-9-]+-docker\.pkg\.dev)/v2/(.+)/manifests/(sha256:[0-9a-f]{64})")
def _manifest(cloud: Cloud, request: Request, match: re.Match[str]) -> Any:
    if "application/vnd.oci.image.index.v1+json" not in request.headers.get("Accept", ""):
        raise Refused(404, "MANIFEST_UNKNOWN", "OCI index found, but Accept header does not support OCI indexes")
    cloud.need(request, f"{match[1]}/{match[2]}", "artifactregistry.repositories.downloadArtifacts")
    if f"{match[1]}/{match[2]}@{match[3]}" not in cloud.images:
        raise Refused(404, "MANIFEST_UNKNOWN", "Failed to fetch")
    return {"schemaVersion": 2}


@contextmanager
def serving() -> Iterator[tuple[http.Server, Cloud]]:
    cloud = Cloud()
    with http.serving(cloud) as server:
        yield server, cloud
