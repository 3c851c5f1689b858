"""Artifacts: directories that are whole or not there.

A directory is an artifact once its `_manifest.json` stands, which is written last. The manifest names every file with
its sha256; a reader trusts nothing else. What tables are made of: `core.shards`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import ArtifactError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MANIFEST = "_manifest.json"
_REMEDY = "Delete the directory and run the step again."


@dataclass(frozen=True)
class File:
    """One file of an artifact: its path inside it, size in bytes, sha256 and, for a shard, its rows."""

    path: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class Partition:
    """Rows of one stretch of event time, in order. Times are microseconds since 1970 in UTC, None without rows."""

    key: str
    rows: int
    digest: str
    shards: tuple[File, ...]
    time_min: int | None = None
    time_max: int | None = None


@dataclass(frozen=True)
class Manifest:
    kind: str
    digest: str
    rows: int = 0
    schema: tuple[tuple[str, str], ...] = ()
    partitions: tuple[Partition, ...] = ()
    files: tuple[File, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    """What the writer says of it (source, counts); not part of the digest."""
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        return sum(f.bytes for f in self.all_files())

    def all_files(self) -> Iterator[File]:
        for partition in self.partitions:
            yield from partition.shards
        yield from self.files

    def partition(self, key: str) -> Partition | None:
        return next((p for p in self.partitions if p.key == key), None)


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def atomic_write(path: Path, data: bytes) -> None:
    """Writes the whole file or leaves what was there; no temporary file stays behind, however it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def write_file(root: Path, name: str, data: bytes, *, rows: int = 0) -> File:
    """`data` as `root/name`, and its entry for the manifest."""
    atomic_write(root / name, data)
    return File(name, len(data), sha256(data), rows)


def schema_pairs(schema: pa.Schema) -> list[list[str]]:
    return [[f.name, str(f.type)] for f in schema]


def publish(
    root: Path,
    kind: str,
    *,
    schema: pa.Schema | None = None,
    partitions: Iterable[Partition] = (),
    files: Iterable[File] = (),
    info: Mapping[str, Any] | None = None,
) -> Manifest:
    """Writes the manifest, which makes the directory an artifact.

    The digest covers kind, schema, partitions (key and digest) and the names and sha256 of other files.
    """
    parts = tuple(sorted(partitions, key=lambda p: p.key))
    others = tuple(sorted(files, key=lambda f: f.path))
    pairs = schema_pairs(schema) if schema is not None else []
    manifest = Manifest(
        kind,
        _digest(kind, pairs, parts, others),
        sum(p.rows for p in parts) + sum(f.rows for f in others),
        tuple((name, kind_) for name, kind_ in pairs),
        parts,
        others,
        dict(info or {}),
    )
    body = json.dumps(asdict(manifest), indent=1, sort_keys=True, allow_nan=False)
    atomic_write(root / MANIFEST, body.encode())
    return manifest


def _digest(kind: str, pairs: Iterable[Iterable[str]], parts: Iterable[Partition], others: Iterable[File]) -> str:
    named = [[p.key, p.digest] for p in parts], [[f.path, f.sha256] for f in others]
    return sha256(json.dumps([kind, [list(pair) for pair in pairs], *named]).encode())


def read_manifest(root: Path, kind: str | None = None) -> Manifest:
    """The manifest of the artifact at `root`.

    Raises
    ------
    ArtifactError
        There is none (half-written, or no artifact), it is of another format or kind, or a path leaves the directory.
    """
    path = root / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError("artifact", f"be a directory with {MANIFEST}", str(root), _REMEDY) from error
    except ValueError as error:
        raise ArtifactError(MANIFEST, "be JSON", str(error), _REMEDY, where=str(root)) from error
    try:
        manifest = _manifest(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(MANIFEST, "have the keys of a manifest", str(error), _REMEDY, where=str(root)) from error
    if manifest.format != FORMAT:
        raise ArtifactError(
            "format", f"be {FORMAT}", manifest.format, "Use the release that wrote it.", where=str(root)
        )
    if kind is not None and manifest.kind != kind:
        raise ArtifactError("kind", f"be {kind!r}", manifest.kind, "Hand over the right artifact.", where=str(root))
    base = root.resolve()
    for file in manifest.all_files():
        if not (base / file.path).resolve().is_relative_to(base):
            raise ArtifactError("path", "stay inside the artifact", file.path, _REMEDY, where=str(root))
    return manifest


def _manifest(raw: dict[str, Any]) -> Manifest:
    partitions = tuple(
        Partition(**{**p, "shards": tuple(File(**f) for f in p["shards"])}) for p in raw.pop("partitions")
    )
    files = tuple(File(**f) for f in raw.pop("files"))
    schema = tuple((str(a), str(b)) for a, b in raw.pop("schema"))
    return Manifest(**raw, partitions=partitions, files=files, schema=schema)


def read_verified(root: Path, file: File) -> bytes:
    """The bytes of one file, refused unless they are those that the manifest names."""
    try:
        data = (root / file.path).read_bytes()
    except OSError as error:
        raise ArtifactError(file.path, "be readable", str(error), _REMEDY, where=str(root)) from error
    if len(data) != file.bytes or sha256(data) != file.sha256:
        raise ArtifactError(file.path, "have the sha256 of its manifest", "other bytes", _REMEDY, where=str(root))
    return data


def read_named(root: Path, manifest: Manifest, name: str) -> bytes:
    """The verified bytes of the file called `name`."""
    file = next((f for f in manifest.files if f.path == name), None)
    if file is None:
        raise ArtifactError(name, "be in the manifest", "absent", _REMEDY, where=str(root))
    return read_verified(root, file)


def verify(root: Path, kind: str | None = None) -> Manifest:
    """Reads every file once; the manifest, if all are as it says and its digest is theirs."""
    manifest = read_manifest(root, kind)
    for file in manifest.all_files():
        read_verified(root, file)
    found = _digest(manifest.kind, manifest.schema, manifest.partitions, manifest.files)
    if found != manifest.digest:
        raise ArtifactError(
            MANIFEST, f"have the digest of what it names, {found}", manifest.digest, _REMEDY, where=str(root)
        )
    return manifest


def copy(source: Path, target: Path) -> Manifest:
    """Copies a verified artifact; the target is one only when all of it is there."""
    manifest = read_manifest(source)
    for file in manifest.all_files():
        write_file(target, file.path, read_verified(source, file))
    atomic_write(target / MANIFEST, (source / MANIFEST).read_bytes())
    return manifest


def clear(root: Path) -> None:
    """Removes what a killed attempt left, the manifest first, so that no reader sees half."""
    (root / MANIFEST).unlink(missing_ok=True)
    if root.is_dir():
        shutil.rmtree(root)
