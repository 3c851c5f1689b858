"""A release: pipelines whose images and case are pinned by digest, one manifest that names them all, and its check.

`manifest.json` holds what the files beside it were made from; `require` accepts the folder only as a whole.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.core.artifacts import atomic_write, sha256
from components.core.errors import CaseError, EsteiraError
from components.core.profile import Profile
from pipelines.launch import compile, images, lint
from pipelines.launch.cases import Snapshot
from pipelines.launch.lint import Finding

MANIFEST = "manifest.json"
FORMAT = 1
HOME = Path(__file__).resolve().parents[2]

SECRETS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a service account's key": re.compile(r"\bprivate_key(_id)?\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    "a Google OAuth token or secret": re.compile(r"\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[0-9A-Za-z_-]{20,}"),
    "an AWS key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[0-9A-Za-z]{30,}|\bgithub_pat_[0-9A-Za-z_]{30,}"),
    "a Slack token or webhook": re.compile(r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}|hooks\.slack\.com/services/\S+"),
    "a JSON web token": re.compile(r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\."),
    "a URL with a password": re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@'\"]+:[^\s/@'\"]+@"),
    "a bearer token": re.compile(r"\bBearer [0-9A-Za-z._~+/-]{16,}"),
    "a password": re.compile(
        r"(?i)\b(password|passwd|secret|token|api_?key)\b\\?[\"']?\s*[:=]\s*\\?[\"'][^\s\"'\\]{8,}"
    ),
}
_WORD = re.compile(r"[0-9A-Za-z+/_-]{32,}")
_HEX = re.compile(r"[0-9a-f]+")
_RANDOM = 4.3
"""Bits of each character: digests in hexadecimal have at most 4, words of a language fewer."""


def write(
    folder: Path, taken: Snapshot | None, profile: Profile, *, images: Path | None = None, components: bool = False
) -> list[Path]:
    """Compiles pipelines, or components, into `folder`. With `images`, a file of digests, it becomes a release: pinned,
    with a manifest, and checked.

    Raises
    ------
    CaseError, SetupError
        A reference is not by digest, or the release breaks a rule; the manifest is then not written.
    """
    pinned = _pinned(images) if images else None
    (folder / MANIFEST).unlink(missing_ok=True)
    if pinned is not None:
        profile = completed(profile, pinned)
    if components:
        taken = None  # they are for any case
        paths = compile.write_components(folder, pinned)
    elif taken is None:
        paths = compile.write_all(folder, images=pinned)
    else:
        defaults = {"bundle": taken.bundle, "operations": taken.operations, "profile": profile.to_json()}
        paths = compile.write_all(folder, defaults, taken.file.resources, pinned)
    if pinned is not None:
        manifest = _manifest(paths, pinned, taken)
        for finding in _findings(manifest, {path.name: path.read_text(encoding="utf-8") for path in paths}):
            raise _error(finding, folder)
        atomic_write(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        paths.append(folder / MANIFEST)
    return paths


def completed(profile: Profile, references: Mapping[str, str]) -> Profile:
    """The profile with the release's own server, where Vertex runs one and the profile names none. Raises CaseError."""
    wanted = "google" in (profile.registry.adapter, profile.endpoints.adapter)
    if profile.endpoints.image or not wanted:
        return profile
    server = references.get(images.image("server"))
    if server is None:
        remedy = "Push the server's image and compile again, or name one in endpoints.image of the profile."
        raise CaseError("esteira-server", "be among the release's images", sorted(references), remedy, where="release")
    return profile.model_copy(update={"endpoints": profile.endpoints.model_copy(update={"image": server})})


def _pinned(path: Path) -> dict[str, str]:
    found = images.load(path)
    for name, reference in found.items():
        if not images.PINNED.fullmatch(reference):
            remedy = "Push it first: make push; its digest is the registry's."
            raise CaseError(name, "be an image by digest, without a tag", reference, remedy, where=str(path))
    return found


def _manifest(paths: Sequence[Path], pinned: Mapping[str, str], taken: Snapshot | None) -> dict[str, Any]:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "format": FORMAT,
        "version": project["version"],
        "revision": images.revision(os.environ),
        "case": taken.file.name if taken else None,
        "bundle": taken.bundle if taken else None,
        "operations": taken.operations if taken else None,
        "images": dict(pinned),
        "files": {path.name: sha256(path.read_bytes()) for path in paths},
        "locks": {
            name: sha256((HOME / "requirements" / f"{name}.txt").read_bytes())
            for name in sorted({name for names in images.LOCKS.values() for name in names})
        },
    }


def read(folder: Path) -> dict[str, Any]:
    """The manifest. Raises CaseError."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        rule, remedy = f"be a release: hold a {MANIFEST}", "Make one: esteira compile --images build/digests.json."
        raise CaseError("release", rule, str(folder), remedy) from error
    keys = {"format", "version", "revision", "case", "bundle", "operations", "images", "files", "locks"}
    if not isinstance(found, dict) or set(found) != keys or found["format"] != FORMAT:
        rule = f"have format {FORMAT} and the keys {', '.join(sorted(keys))}"
        raise CaseError(MANIFEST, rule, sorted(found) if isinstance(found, dict) else found, "Compile again.")
    return found


def check(folder: Path) -> list[Finding]:
    """Every rule that the release breaks; none of an empty list. Raises CaseError where it is no release."""
    manifest = read(folder)
    texts = {p.name: p.read_text(encoding="utf-8") for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    return [*_findings(manifest, texts), *_secrets(MANIFEST, (folder / MANIFEST).read_text(encoding="utf-8"))]


def require(folder: Path) -> dict[str, Any]:
    """The manifest of a release that keeps every rule. Raises CaseError with the first that it breaks."""
    for finding in check(folder):
        raise _error(finding, folder)
    return read(folder)


def _error(finding: Finding, folder: Path) -> CaseError:
    rule = f"keep the rule {finding.rule}"
    return CaseError(finding.where, rule, "it does not", finding.remedy, where=str(folder))


def _findings(manifest: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[Finding]:
    yield from _files(manifest["files"], texts)
    for name, reference in manifest["images"].items():
        if not images.PINNED.fullmatch(str(reference)):
            yield Finding("images-by-digest", f"{MANIFEST}: {name}", "Pin it: NAME@sha256:…, without a tag.")
    for name, text in texts.items():
        yield from _secrets(name, text)
        broken = lint.check(text)
        yield from (Finding(found.rule, f"{name}: {found.where}", found.remedy) for found in broken)
        if not broken:
            spec = yaml.load(text, yaml.CSafeLoader)  # safe, and in C
            for rule in (_images, _case):
                yield from rule(name, spec, manifest)


def _files(named: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(set(named) | set(texts)):
        if name not in named:
            yield Finding(
                "files-of-the-manifest", name, "Delete it, or compile again: the manifest names no such file."
            )
        elif name not in texts:
            yield Finding("files-of-the-manifest", name, "Compile again: it is gone.")
        elif sha256(texts[name].encode()) != named[name]:
            yield Finding("files-of-the-manifest", name, "Compile again: it was changed.")


def _images(name: str, spec: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[Finding]:
    for executor, body in spec.get("deploymentSpec", {}).get("executors", {}).items():
        reference = body.get("container", {}).get("image", "")
        if not images.PINNED.fullmatch(reference):
            yield Finding("images-by-digest", f"{name}: {executor}", "Pin it: NAME@sha256:…, without a tag.")
        elif reference not in manifest["images"].values():
            yield Finding("images-of-the-manifest", f"{name}: {executor}", "Compile again with the same digests.")


def _case(name: str, spec: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[Finding]:
    if manifest["bundle"] is None:
        return
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for key in ("bundle", "operations"):
        if key in parameters and parameters[key].get("defaultValue") != manifest[key]:
            yield Finding("case-of-the-manifest", f"{name}: {key}", "Compile again for the case.")


def _secrets(name: str, text: str) -> Iterator[Finding]:
    """Says what and where, never what it reads."""
    remedy = "Take it out and make a new one: name where the secret is kept, not the secret."
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in SECRETS.items():
            if pattern.search(line):
                yield Finding(f"no-secrets ({kind})", f"{name}, line {number}", remedy)
        if any(_random(word) for word in _WORD.findall(line)):
            yield Finding("no-secrets (a random word)", f"{name}, line {number}", remedy)


def _random(word: str) -> bool:
    kinds: tuple[Callable[[str], bool], ...] = (str.isupper, str.islower, str.isdigit)
    if _HEX.fullmatch(word) or not all(any(map(kind, word)) for kind in kinds):
        return False
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts) >= _RANDOM


def main(arguments: Sequence[str]) -> int:
    """`python -m pipelines.launch.release FOLDER`: 0, or the first broken rule on standard error."""
    folder = Path(arguments[0]) if arguments else Path("release")
    try:
        manifest = require(folder)
        wanted = os.environ.get("REVISION")
        if wanted and manifest["revision"] != wanted:
            raise CaseError(
                "revision", f"be {wanted}", manifest["revision"], "Fetch that commit's release.", where=MANIFEST
            )
    except EsteiraError as error:
        print(f"release: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{folder}: {len(manifest['files'])} files, {len(manifest['images'])} images by digest")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
