"""Sources as objects in Cloud Storage: gs://bucket/path, where a path is a name, a glob or a folder as for files."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from typing import IO, Any

from components.adapters.gcp import errors
from components.adapters.gcp.clients import storage_client
from components.adapters.local.sources import MAGIC, visible
from components.adapters.ports import Bounds, Listed, Scan
from components.core.addresses import BUCKET
from components.core.columns import ColumnType
from components.core.errors import DataError, SetupError

DEADLINE = 120.0
"""Seconds that a call is tried again while the service is busy or away, with jitter."""
PIECE = 8 * 1024 * 1024
"""Bytes that one request asks for: what is held in memory of an object."""
_CALL = (5.0, 60.0)
"""Seconds to connect, and between two bytes of an answer."""
_FIELDS = "name,size,generation,crc32c,contentEncoding"
_SERVICE = replace(errors.STORAGE, roles="roles/storage.objectViewer")


class CloudFiles:
    """Implements `ports.Sources` for gs:// addresses; a relative path stands under `root`, if that is one.

    An object is read at the generation that was listed, a piece after the other and once, and its bytes must have the
    checksum (CRC32C) that was listed: the token holds both.
    """

    def __init__(self, root: str = "", *, deadline: float = DEADLINE) -> None:
        self._base, self._deadline = f"{root.rstrip('/')}/", deadline

    def listing(self, path: str) -> list[Listed]:
        url = path if path.startswith(BUCKET) else self._base + path
        bucket, name = _placed(url)
        with self._translated(bucket):
            found = self._named(bucket, name) or self._inside(bucket, name)
            if not found and any(c in name for c in MAGIC):
                found = self._matching(bucket, name)
        if not found:
            rule = "name at least one object" if any(c in name for c in MAGIC) else "exist"
            raise DataError("source", rule, url, "Check the path in the bucket, and the profile's 'sources'.")
        return sorted((_listed(bucket, blob) for blob in found), key=lambda listed: listed.path)

    def open(self, listed: Listed) -> IO[bytes]:
        """Not seekable: who needs that spools it. What is wrong with the object is said here, or by a read."""
        reader = io.BufferedReader(_Reader(partial(self._piece, listed), listed), PIECE)
        reader.peek()
        return reader

    def scan(self, listed: Listed, columns: Mapping[str, ColumnType], bounds: Bounds | None = None) -> Scan:  # noqa: ARG002  # no file is one
        raise DataError("source", "be a stored table", listed.path, "Read it as a file.")

    def _piece(self, listed: Listed, start: int, size: int) -> bytes:
        """Some bytes of the generation that was listed, as stored. Raises DataError where it is gone."""
        from google.api_core.exceptions import NotFound

        bucket, name = _placed(listed.path)
        blob = self._client.bucket(bucket).blob(name, generation=int(listed.token.partition("-")[0]))
        with self._translated(bucket):
            try:
                # A piece has no checksum of its own; what is stored in gzip must not be unpacked on the way.
                how: dict[str, Any] = {"checksum": None, "raw_download": True, "timeout": _CALL, "retry": self._retry()}
                data: bytes = blob.download_as_bytes(start=start, end=start + size - 1, **how)
            except NotFound as error:
                rule, remedy = "stay as it is while it is read", "Run again when nobody writes to it."
                raise DataError("source", rule, listed.path, remedy) from error
        return data

    def _named(self, bucket: str, name: str) -> list[Any]:
        """The object of that very name; an absent one and an absent bucket have the same status."""
        from google.api_core.exceptions import NotFound

        blob = self._client.bucket(bucket).blob(name)
        if not name or name.endswith("/"):
            return []
        try:
            blob.reload(timeout=_CALL, retry=self._retry())
        except NotFound:
            return []
        return [blob]

    def _inside(self, bucket: str, name: str) -> list[Any]:
        prefix = f"{name.rstrip('/')}/" if name else ""
        return [b for b in self._objects(bucket, prefix=prefix) if visible(b.name.removeprefix(prefix))]

    def _matching(self, bucket: str, pattern: str) -> list[Any]:
        first = min(pattern.index(c) for c in MAGIC if c in pattern)
        flat = "/" not in pattern[first:] and "**" not in pattern
        found = self._objects(bucket, prefix=pattern[:first], delimiter="/" if flat else None)
        return [blob for blob in found if _matches(blob.name.split("/"), pattern.split("/"))]

    def _objects(self, bucket: str, **which: Any) -> Iterator[Any]:
        fields = f"items({_FIELDS}),nextPageToken"
        found = self._client.list_blobs(bucket, fields=fields, timeout=_CALL, retry=self._retry(), **which)
        return (blob for blob in found if not blob.name.endswith("/"))  # the console's empty folders

    @contextmanager
    def _translated(self, bucket: str) -> Iterator[None]:
        """Google's errors as ours; what is not found here is the bucket."""
        from google.api_core.exceptions import NotFound

        where = f"{BUCKET}{bucket}"
        with errors.translated(_SERVICE, where):
            try:
                yield
            except NotFound as error:
                remedy = "Mend its name in the case's source, or in the profile's 'sources'."
                raise SetupError("bucket", "exist", bucket, remedy, where=where) from error

    def _retry(self) -> Any:
        from google.cloud.storage.retry import DEFAULT_RETRY

        chosen: Any = DEFAULT_RETRY
        return chosen.with_timeout(self._deadline).with_delay(0.2, 10.0, 2.0)

    @cached_property
    def _client(self) -> Any:
        return storage_client()


class _Reader(io.RawIOBase):
    """An object's bytes from its first to its last; the last come only if the checksum of all is right.

    `fetch` gives the bytes from an offset on, so many of them.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], listed: Listed) -> None:
        made: Callable[[], Any] = importlib.import_module("google_crc32c").Checksum  # Google's client brings it
        self._fetch, self._listed, self._at, self._sum = fetch, listed, 0, made()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self._listed.bytes - self._at)
        if size == 0:
            return 0
        data = self._fetch(self._at, size)[:size]
        buffer[: len(data)] = data
        self._sum.update(data)
        self._at += len(data)
        if not data or self._at == self._listed.bytes:
            self._check()
        return len(data)

    def _check(self) -> None:
        wanted, found = self._listed.token.partition("-")[2], base64.b64encode(self._sum.digest()).decode()
        if found != wanted:
            rule = f"arrive with the checksum that it was stored with, {wanted}"
            raise DataError("source", rule, found, "Run it again.", where=self._listed.path)


def _placed(url: str) -> tuple[str, str]:
    """Bucket and name."""
    bucket, _, name = url.removeprefix(BUCKET).partition("/")
    if not bucket or any(c in bucket for c in f"{MAGIC}:@"):
        raise DataError("source", f"be {BUCKET}bucket/path", f"{BUCKET}…/{name}", "Name the bucket as it is.")
    return bucket, name


def _listed(bucket: str, blob: Any) -> Listed:
    url = f"{BUCKET}{bucket}/{blob.name}"
    if blob.content_encoding == "gzip" and not blob.name.endswith(".gz"):
        rule = "be named .gz where it is stored with Content-Encoding: gzip"
        raise DataError("source", rule, url, f"Rename it: gcloud storage mv '{url}' '{url}.gz'")
    return Listed(url, int(blob.size), f"{blob.generation}-{blob.crc32c}")


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """As `glob` does: `**` is folders at any depth; only a pattern that begins with a dot finds what does."""
    if not pattern or not parts:
        return not pattern and not parts
    hidden, rest = parts[0].startswith("."), pattern[1:]
    if pattern[0] == "**":
        last = len(parts) == 1 and all(one == "**" for one in rest)
        return _matches(parts, rest) or (not hidden and (last or _matches(parts[1:], pattern)))
    fits = fnmatchcase(parts[0], pattern[0]) and (not hidden or pattern[0].startswith("."))
    return fits and _matches(parts[1:], rest)
