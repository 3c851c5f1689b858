"""Builds the container images with docker or podman, pushes them, and keeps their names by digest.

`build/digests.json` maps an image's name to the reference by digest that a pipeline may be pinned to. What is built
here stands under a local name; `push` gives the registry's. Run by `make images` and `make push`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.artifacts import atomic_write, sha256
from components.core.errors import SetupError

HOME = Path(__file__).resolve().parents[2]
LOCKS = {
    "launcher": ("launcher",),
    "pipeline": ("pipeline", "kfp-runtime"),
    "validate": ("validate", "validate-legacy", "kfp-runtime"),
    "server": ("server",),
}
"""By stage of the Dockerfile, what it may install."""
NAMES = tuple(LOCKS)
DIGESTS = Path("build/digests.json")
PINNED = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+(?=/))?(/[a-z0-9][a-z0-9._-]*)*@sha256:[0-9a-f]{64}")
"""An image by digest, without a tag."""
ALLOWED = (
    "components/**/*.py",
    "pipelines/**/*.py",
    "pyproject.toml",
    "requirements/*.txt",
    "infra/images/*.py",
    "infra/images/*.sh",
    ".tools/image/uv",
    ".tools/image/boot",
)
"""What a build may see; of it, no case and nothing hidden."""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def image(name: str) -> str:
    """The name of a stage's image, such as esteira-server."""
    return f"esteira-{name}"


def engine() -> str:
    """docker where its daemon answers, else podman; ESTEIRA_ENGINE names one outright. Raises SetupError."""
    wanted = os.environ.get("ESTEIRA_ENGINE")
    for command in [wanted] if wanted else ["docker", "podman"]:
        if shutil.which(command) and not subprocess.run([command, "info"], capture_output=True, check=False).returncode:
            return command
    rule = "be docker or podman, on PATH and answering"
    raise SetupError("ESTEIRA_ENGINE", rule, wanted or "neither", "Install one of them, or start docker's daemon.")


@dataclass(frozen=True)
class Build:
    """What a build is told. `bases` are build arguments of the Dockerfile; one that is empty takes its default."""

    revision: str
    epoch: int
    bases: Mapping[str, str] = field(default_factory=dict)
    flags: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, base in self.bases.items():
            if name.endswith("BASE") and base and not PINNED.fullmatch(base):
                remedy = "Name it as NAME@sha256:…; `docker image inspect` tells its digest."
                raise SetupError(name, "be an image by digest", base, remedy)


def read(environment: Mapping[str, str], home: Path = HOME) -> Build:
    """A build of this checkout: its commit and time, BASE, VALIDATE_BASE, VALIDATE_LOCK and IMAGES_FLAGS."""
    epoch = environment.get("SOURCE_DATE_EPOCH") or _git(home, "log", "-1", "--format=%ct") or "0"
    bases = {name: environment.get(name, "") for name in ("BASE", "VALIDATE_BASE", "VALIDATE_LOCK")}
    return Build(revision(environment, home), int(epoch), bases, environment.get("IMAGES_FLAGS", "").split())


def revision(environment: Mapping[str, str], home: Path = HOME) -> str:
    """The environment's REVISION, or the checkout's commit, with -dirty where our code differs from it."""
    if environment.get("REVISION"):
        return environment["REVISION"]
    commit = _git(home, "rev-parse", "HEAD")
    changed = _git(home, "status", "--porcelain", "--", "components", "pipelines")
    return (commit or "unknown") + ("-dirty" if changed else "")


def _git(home: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", home, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def command(tool: str, name: str, build: Build, *, home: Path = HOME) -> list[str]:
    """The command line that builds one image; the folder that the build sees comes last."""
    created = datetime.fromtimestamp(build.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    project = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = {"revision": build.revision, "created": created, "version": project["version"]}
    base = build.bases.get("VALIDATE_BASE" if name == "validate" else "BASE")
    if base:
        labels["base.digest"] = base.partition("@")[2]
    line = [tool, "build", "--file", os.fspath(home / "components" / "Dockerfile"), "--target", name]
    line += ["--tag", f"{image(name)}:dev", *build.flags]
    # The same files give the same layer whatever the commit: no file has a time of its own.
    line += ["--timestamp", "0"] if tool == "podman" else ["--build-arg", "SOURCE_DATE_EPOCH=0"]
    if _CERTIFICATES.is_file():
        line += ["--secret", f"id=ca,src={_CERTIFICATES}"]
    for key, value in labels.items():
        line += ["--label", f"org.opencontainers.image.{key}={value}"]
    for key, value in {"INPUTS": inputs(name, home), **build.bases}.items():
        line += ["--build-arg", f"{key}={value}"] if value else []
    return line


def context(home: Path, place: Path) -> None:
    """Fills `place` with copies of what a build may see: what lies about in a checkout stays out of every layer."""
    for found in (path.relative_to(home) for pattern in ALLOWED for path in home.glob(pattern)):
        hidden = any(part.startswith(".") for part in found.parts[1:])
        if not hidden and not found.is_relative_to("pipelines/cases"):
            (place / found).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(home / found, place / found)
    for path in place.rglob("*"):  # the same layers whatever the checkout's umask
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def inputs(name: str, home: Path = HOME) -> str:
    """The digest of what a build reads from mounts: its locks, and the scripts."""
    digest = hashlib.sha256()
    locks = [f"requirements/{lock}.txt" for lock in LOCKS[name]]
    scripts = sorted(path.relative_to(home).as_posix() for path in (home / "infra/images").iterdir() if path.is_file())
    for path in (*locks, *scripts):
        digest.update(f"{path}\0{sha256((home / path).read_bytes())}\n".encode())
    return digest.hexdigest()


def build_all(names: Sequence[str], build: Build, *, out: Path = DIGESTS) -> dict[str, str]:
    """Builds the images and writes `out`. Raises SetupError where a build fails."""
    tool = engine()
    with tempfile.TemporaryDirectory() as seen:
        context(HOME, Path(seen))
        for name in names:
            _run([*command(tool, name, build), seen], f"build of {image(name)}")
    return _keep(out, {image(name): local_reference(tool, f"{image(name)}:dev") for name in names})


def push_all(registry: str, tag: str, *, digests: Path = DIGESTS) -> dict[str, str]:
    """Pushes what `digests` names to `registry/NAME:tag`, and writes the registry's own digests there instead."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.:-]*(/[a-z0-9][a-z0-9._-]*)*", registry):
        rule = "be a registry's address without a scheme"
        raise SetupError("REGISTRY", rule, registry, "Such as europe-west1-docker.pkg.dev/PROJECT/esteira.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag):
        raise SetupError("REVISION", "be a tag", tag, "Take the commit.")
    tool, found = engine(), {}
    for name in load(digests):
        target = f"{registry}/{name}"
        _run([tool, "tag", f"{name}:dev", f"{target}:{tag}"], f"tag of {name}")
        _run([tool, "push", f"{target}:{tag}"], f"push of {name}")
        found[name] = _by_digest(tool, f"{target}:{tag}", target)
    return _keep(digests, found)


def local_reference(tool: str, name: str) -> str:
    """An image by digest as this machine knows it; docker's classic store keeps none before a push: then its id."""
    details = _inspect(tool, name)
    repository = name.partition(":")[0]
    for reference in details.get("RepoDigests") or []:
        if reference.partition("@")[0] in (repository, f"localhost/{repository}", f"docker.io/library/{repository}"):
            return str(reference)
    return "sha256:" + str(details["Id"]).removeprefix("sha256:")


def _by_digest(tool: str, name: str, repository: str) -> str:
    for reference in _inspect(tool, name).get("RepoDigests") or []:
        if reference.startswith(f"{repository}@"):
            return str(reference)
    raise SetupError(name, "have a digest after its push", None, "Push again.")


def _inspect(tool: str, name: str) -> dict[str, Any]:
    done = subprocess.run([tool, "image", "inspect", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(name, "be an image on this machine", done.stderr.strip(), "Run `make images`.")
    details: dict[str, Any] = json.loads(done.stdout)[0]
    return details


def _run(line: Sequence[str], what: str) -> None:
    done = subprocess.run(line, check=False)
    if done.returncode:
        raise SetupError(what, "succeed", f"exit code {done.returncode}", "Read what it printed above.")


def _keep(path: Path, references: Mapping[str, str]) -> dict[str, str]:
    """Adds to the file."""
    known = {**(load(path) if path.is_file() else {}), **references}
    atomic_write(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return known


def load(path: Path) -> dict[str, str]:
    """The references by image name. Raises SetupError where the file is absent or is none."""
    remedy = "Run `make images` (or `make push`) first."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError("images", "be a file of digests, as JSON", str(path), remedy) from error
    names = {image(name) for name in NAMES}
    if not isinstance(found, dict) or not found or not names.issuperset(found):
        rule = f"map some of {', '.join(sorted(names))} to references"
        raise SetupError("images", rule, found, remedy, where=str(path))
    return {str(name): str(reference) for name, reference in found.items()}


def main(arguments: Sequence[str]) -> int:
    """`build [NAME...]` or `push`, with the environment's REGISTRY, REVISION and bases."""
    try:
        if arguments[:1] == ["push"]:
            references = push_all(os.environ.get("REGISTRY", ""), read(os.environ).revision)
        else:
            references = build_all(arguments[1:] or NAMES, read(os.environ))
    except SetupError as error:
        print(f"images: {error}", file=sys.stderr)
        return error.exit_code
    for name, reference in references.items():
        print(f"{name:<20} {reference}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
