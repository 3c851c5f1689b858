"""Lists what an image holds, as CycloneDX 1.6 (JSON): Python's distributions, the base's packages, the interpreter.

Run inside the build with the image's own interpreter, so it needs the standard library alone. The list is made of what
is installed, not of what was asked for. The same content gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
import uuid
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = Path("/var/lib/dpkg/status")
BOOT = Path("/opt/apache/beam/boot")
_SPDX = re.compile(r"[A-Za-z0-9.+()-]+( (AND|OR|WITH) [A-Za-z0-9.+()-]+)*")


def python_packages() -> list[dict[str, Any]]:
    """Every distribution on the interpreter's path."""
    found = []
    for item in distributions():
        name = re.sub(r"[-_.]+", "-", item.metadata["Name"]).lower()
        found.append(_component("library", name, item.version, f"pkg:pypi/{name}@{quote(item.version)}"))
        licence = (item.metadata.get_all("License-Expression") or [""])[0]
        if _SPDX.fullmatch(licence):
            found[-1]["licenses"] = [{"expression": licence}]
    return found


def debian_packages(status: str, wanted: set[str] | None = None) -> list[dict[str, Any]]:
    """Of dpkg's status file; `wanted` limits them by name."""
    found = []
    for entry in status.split("\n\n"):
        keys = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", entry, re.MULTILINE))
        if keys.get("Status", "").endswith(" installed") and (wanted is None or keys["Package"] in wanted):
            name, version = keys["Package"], keys["Version"]
            address = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={keys['Architecture']}"
            found.append(_component("library", name, version, address))
    return found


def _component(kind: str, name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill(image: str, components: list[dict[str, Any]]) -> dict[str, Any]:
    """The document. Its serial number is of its content."""
    unique = {part["bom-ref"]: part for part in components}
    parts = [unique[key] for key in sorted(unique)]
    digest = hashlib.sha256(json.dumps([image, parts], sort_keys=True).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": f"esteira-{image}", "name": f"esteira-{image}"},
        },
        "components": parts,
    }


def everything() -> list[dict[str, Any]]:
    """What is installed here."""
    version = platform.python_version()
    parts = [*python_packages(), _component("platform", "cpython", version, f"pkg:generic/cpython@{version}")]
    if DPKG.is_file():
        parts += debian_packages(DPKG.read_text(encoding="utf-8"))
    if BOOT.is_file():
        part = _component("application", "beam-boot", "2.77.0", "pkg:golang/github.com/apache/beam/sdks/v2@v2.77.0")
        part["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(BOOT.read_bytes()).hexdigest()}]
        parts.append(part)
    return parts


if __name__ == "__main__":
    print(json.dumps(bill(sys.argv[1], everything()), indent=1, sort_keys=True))
