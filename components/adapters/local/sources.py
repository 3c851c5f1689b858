"""Sources as files: a path, a glob, a folder, or any URL that fsspec reads."""

from __future__ import annotations

import glob
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from components.adapters.ports import Bounds, Listed, Scan
from components.core.addresses import is_relative
from components.core.artifacts import sha256
from components.core.columns import ColumnType
from components.core.errors import DataError, SetupError

SMALL = 4 * 1024 * 1024
"""A local file up to this size is named by its content; a larger one by when it changed."""

MAGIC = "*?["
_ABSENT = "Check the path, the working directory and the profile's 'sources'."
# Content first; else a time with the size. What has none of these cannot be told from its successor.
_CONTENT = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "generation", "sha256")
_CHANGED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class FileSources:
    """Implements `ports.Sources`. A relative path stands under `root`, a folder or a URL; what has '://' is a URL.

    A listed path is given as it was asked for (relative stays relative), so that it reads the same everywhere; under a
    URL it is a URL, which does so too.
    An object whose store tells neither checksum nor time has the token "": nobody can say that it is unchanged.
    """

    def __init__(self, root: str) -> None:
        self._root, self._base = Path(root), f"{root.rstrip('/')}/" if "://" in root else ""

    def listing(self, path: str) -> list[Listed]:
        plain = path.removeprefix("file://")
        if self._base and is_relative(plain):
            plain = self._base + plain
        found = _remote_listing(plain) if "://" in plain else self._listing(plain)
        if not found:
            raise DataError("source", "name at least one file", path, _ABSENT)
        return sorted(found, key=lambda listed: listed.path)

    def open(self, listed: Listed) -> IO[bytes]:
        try:
            if "://" in listed.path:
                system, path = _filesystem(listed.path)
                stream: IO[bytes] = system.open(path, "rb")
                return stream
            return open(self._root / listed.path, "rb")
        except OSError as error:
            raise _unreadable(listed.path, error) from error

    def scan(self, listed: Listed, columns: Mapping[str, ColumnType], bounds: Bounds | None = None) -> Scan:  # noqa: ARG002  # no file is one
        raise DataError("source", "be a stored table", listed.path, "Read it as a file.")

    def _listing(self, path: str) -> list[Listed]:
        place = self._root / path
        try:
            if place.is_dir():
                files = [p for p in place.rglob("*") if p.is_file() and visible(p.relative_to(place).as_posix())]
            elif place.exists() or not any(c in path for c in MAGIC):
                files = [place]
            else:
                names = glob.glob(path, root_dir=self._root, recursive=True)  # noqa: PTH207  # takes absolute ones too
                files = [p for p in (self._root / name for name in names) if p.is_file()]
            return [self._listed(p, absolute=Path(path).is_absolute()) for p in files]
        except OSError as error:
            raise _unreadable(path, error) from error

    def _listed(self, file: Path, *, absolute: bool) -> Listed:
        stat = file.stat()
        if stat.st_size <= SMALL:
            token = sha256(file.read_bytes())
        else:
            # Nobody sets the change time back, as copies do with the modification time.
            token = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
        return Listed(str(file) if absolute else str(file.relative_to(self._root)), stat.st_size, token)


def visible(name: str) -> bool:
    """Not hidden, and no marker such as _SUCCESS."""
    return not any(part.startswith((".", "_")) for part in name.split("/"))


def _unreadable(path: str, error: OSError) -> DataError:
    rule = "exist" if isinstance(error, FileNotFoundError) else "be readable"
    return DataError("source", rule, path, _ABSENT if rule == "exist" else str(error))


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    fsspec = importlib.import_module("fsspec")
    if urlsplit(url).password:
        remedy = "Give the credentials where the file system looks for them: its environment or configuration."
        raise DataError("source", "hold no password", "a URL that has one", remedy)
    if "::" in url or url.startswith(("http://", "https://")):
        remedy = "Download the file, or put it into a bucket: a web address could point into the private network."
        raise DataError("source", "be a file or one object store's URL", url, remedy)
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SetupError("source", "have its file system installed", url, f"{error}.") from error
    except ValueError as error:
        raise DataError("source", "be a URL that fsspec knows", url, f"{error}.") from error
    return system, str(path)


def _remote_listing(url: str) -> list[Listed]:
    system, path = _filesystem(url)
    try:
        if any(c in path for c in MAGIC):
            found = system.glob(path, detail=True)
        elif system.isdir(path):
            found = system.find(path, detail=True)
            base = path.rstrip("/") + "/"
            found = {name: info for name, info in found.items() if visible(name.removeprefix(base))}
        else:
            found = {path: system.info(path)}
    except OSError as error:
        raise _unreadable(url, error) from error
    # Where the path is the URL's end, what stands before it (the host) must not be lost.
    plain = url.rstrip("/")
    prefix = plain.removesuffix(path) if plain.endswith(path) else ""
    return [
        Listed(prefix + name if prefix else system.unstrip_protocol(name), int(info.get("size") or 0), _token(info))
        for name, info in found.items()
        if info.get("type") == "file"
    ]


def _token(info: dict[str, Any]) -> str:
    for key in _CONTENT:
        if info.get(key):
            return f"{key}:{info[key]}"
    for key in _CHANGED:
        if info.get(key):
            return f"{info.get('size')}-{info[key]}"
    return ""
