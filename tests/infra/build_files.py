"""Cloud Build's files, parsed strictly into its own Build message, and what that message lets pass."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf import json_format

GIVEN = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION", "COMMIT_SHA", "SHORT_SHA", "REVISION_ID", "REPO_NAME",
         "REPO_FULL_NAME", "BRANCH_NAME", "TAG_NAME", "REF_NAME", "TRIGGER_NAME", "TRIGGER_BUILD_CONFIG_PATH",
         "SERVICE_ACCOUNT_EMAIL", "SERVICE_ACCOUNT"}  # fmt: skip
"""The substitutions that Cloud Build itself defines."""
LONGEST = 24 * 3600
"""Seconds that Cloud Build allows a build."""
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_OWN = re.compile(r"_[A-Z0-9_]+")
_ACCOUNT = re.compile(
    r"projects/\$PROJECT_ID/serviceAccounts/\$\{(_[A-Z0-9_]+)\}@\$PROJECT_ID\.iam\.gserviceaccount\.com"
)
_NAME = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""IAM's own rule for the part of an account's address before the @."""
WRITING = {"push", "release-keep", "cache-save", "submit", "schedule"}
"""What make's targets do to the world outside of a build."""
MAY: dict[str, set[str]] = {
    "esteira-check": set(),
    "esteira-build": {"push", "release-keep", "cache-save", "submit"},
    "esteira-promote": {"submit", "schedule"},
}
"""Of it, what each account is given roles for: docs/images.md names them."""


def parse(path: Path) -> dict[str, Any]:
    """The file as data, once the message has taken all of it. Raises json_format.ParseError."""
    data = yaml.safe_load(path.read_text())
    json_format.ParseDict(data, Build.pb(Build()))
    found: dict[str, Any] = data
    return found


def targets(script: str) -> list[str]:
    """What a script asks of make."""
    calls = re.findall(r"^(?:[A-Z]+=\S+ )*make (.+)$", script, re.MULTILINE)
    return [word for call in calls for word in call.split()]


def account(build: dict[str, Any]) -> str:
    """As whom it runs where nobody says otherwise; empty: as whom the project's defaults say."""
    found = _ACCOUNT.fullmatch(build.get("serviceAccount", ""))
    return str(build.get("substitutions", {}).get(found[1], "")) if found else ""


def lint(build: dict[str, Any]) -> Iterator[str]:
    """Each fault that the message does not see."""
    steps = build.get("steps", [])
    ids = [step.get("id", "") for step in steps]
    for id, count in Counter(ids).items():
        if count > 1 or not id:
            yield f"the id {id!r} is used {count} times"
    for step in steps:
        where = step.get("id")
        if not step.get("name"):
            yield f"{where}: no image"
        elif not _PINNED.fullmatch(step["name"]):
            yield f"{where}: an image that is not by digest"
        earlier = ids[: ids.index(step.get("id", ""))]
        for other in step.get("waitFor", []):
            if other != "-" and other not in earlier:
                yield f"{where}: waits for {other!r}, which is no step before it"
        if "script" in step and ("args" in step or "entrypoint" in step):
            yield f"{where}: a script and args"
        if "script" not in step:
            yield f"{where}: no script"
        elif not step["script"].startswith("#!/usr/bin/env bash\nset -euo pipefail\n"):
            yield f"{where}: a script that goes on after a failure"
        yield from (f"{where}: {fault}" for fault in _limit(step.get("timeout"), build.get("timeout")))
    yield from _limit(build.get("timeout"), f"{LONGEST}s")
    if not build.get("options", {}).get("automapSubstitutions"):
        yield "no automapSubstitutions: scripts see no values"
    if build.get("options", {}).get("logging") not in ("CLOUD_LOGGING_ONLY", "GCS_ONLY", "NONE"):
        yield "no logging setting: a service account of one's own is refused without"
    yield from _rights(build)
    yield from _substitutions(build)


def _rights(build: dict[str, Any]) -> Iterator[str]:
    name = account(build)
    if not _NAME.fullmatch(name):
        yield "no service account of this project's, named by a substitution"
    for step in build.get("steps", []):
        for target in targets(step.get("script", "")):
            if target in WRITING - MAY.get(name, set()):
                yield f"{step.get('id')}: {name or 'nobody'} may not {target}"


def _limit(limit: str | None, most: str | None) -> Iterator[str]:
    if limit is not None and not 0 < float(limit.removesuffix("s")) <= float((most or f"{LONGEST}s").removesuffix("s")):
        yield f"the time limit {limit} is not above 0 and at most {most}"


def _substitutions(build: dict[str, Any]) -> Iterator[str]:
    defined = set(build.get("substitutions", {}))
    for name in defined:
        if not _OWN.fullmatch(name):
            yield f"the substitution {name} does not start with _"
    used = set(_VARIABLE.findall(build.get("serviceAccount", "")))
    for step in build.get("steps", []):
        names = set(_VARIABLE.findall(step.get("script", "")))
        used |= names
        for name in sorted(names - defined - GIVEN):
            yield f"{step.get('id')}: ${name} is defined nowhere"
        for key, value in step.items():
            if key != "script" and "$" in str(value):
                yield f"{step.get('id')}: a substitution in {key}"
    for name in sorted(defined - used):
        yield f"the substitution {name} is used nowhere"
