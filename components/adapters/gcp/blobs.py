"""Blobs on Cloud Storage. With STORAGE_EMULATOR_HOST in the environment it is the emulator, as Google's client does it.

Every write carries a generation precondition, so that each may be sent again, and a mark of its own: where the answer
was lost, the mark tells one's own write from somebody else's.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote

from components.adapters.gcp import errors
from components.adapters.gcp.clients import STORAGE_EMULATOR, storage_client
from components.adapters.names import checked_blob
from components.core.errors import ArtifactError, CaseError, ConflictError, RunError, SetupError

DEADLINE = 120.0
"""Seconds that a call is tried again while the service is busy or away, with jitter."""
CALL = (5.0, 60.0)
"""Seconds to connect, and between two bytes of an answer."""
_PIECE = 8 << 20
"""Bytes of a larger blob in one request: what a broken wire costs at most. Google's own default is 100 MiB."""
_MARK = "esteira-write"
_AT = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(/(?P<prefix>.+?))?/?")


class CloudBlobs:
    """Implements `ports.Blobs` under gs://bucket/prefix. The generation is Google's.

    Up to 8 MiB are one request; a larger blob is a resumable upload in pieces of as much, of which nothing is seen
    before its end, and which goes on with the piece at which the wire broke. Checksums (CRC32C) are verified both ways.
    """

    def __init__(self, at: str, *, deadline: float = DEADLINE) -> None:
        found = _AT.fullmatch(at)
        if not found:
            remedy = "Write the bucket and a prefix into the profile."
            raise CaseError("blobs.at", "be gs://bucket/prefix", at, remedy, where="profile")
        self._bucket_name, prefix = found["bucket"], found["prefix"]
        self._prefix = f"{checked_blob(prefix)}/" if prefix else ""
        self._deadline = deadline
        self._seen = False

    def address(self, name: str) -> str:
        return f"gs://{self._bucket_name}/{self._prefix}{checked_blob(name)}"

    def link(self, name: str) -> str:
        """It shows to whoever is signed in and may read it."""
        path = self._prefix + checked_blob(name)
        if emulator := os.environ.get(STORAGE_EMULATOR):
            return f"{emulator}/download/storage/v1/b/{self._bucket_name}/o/{quote(path, safe='')}?alt=media"
        return f"https://storage.cloud.google.com/{self._bucket_name}/{quote(path)}"

    def read(self, name: str) -> tuple[bytes, int]:
        from google.api_core.exceptions import NotFound
        from google.resumable_media.common import DataCorruption  # of which the newer client's is one

        blob = self._blob(name)
        with self._translated():
            try:
                data: bytes = blob.download_as_bytes(timeout=CALL, retry=self._retry([]))
            except NotFound as error:
                self._require_bucket()
                remedy = "Check the name, or run the step that writes it."
                raise ArtifactError("blob", "exist", name, remedy) from error
            except DataCorruption as error:
                raise errors.corrupt(error, name, self._where) from error
        return data, int(blob.generation)

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        if generation is not None:
            return self._put(name, data, generation)
        while True:  # whoever makes this one repeat has written in between: one of them always comes through
            try:
                return self._put(name, data, self._state(name)[0])
            except ConflictError:
                continue

    def _put(self, name: str, data: bytes, generation: int) -> int:
        """Writes over `generation`. Raises ConflictError where something else is there."""
        from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed, RetryError
        from google.resumable_media.common import DataCorruption

        blob, mark, failed = self._blob(name), uuid.uuid4().hex, list[Exception]()
        blob.metadata, blob.chunk_size = {_MARK: mark}, _PIECE
        with self._translated():
            try:
                blob.upload_from_string(
                    data,
                    content_type=guess_type(name)[0] or "application/octet-stream",
                    if_generation_match=generation,
                    timeout=CALL,
                    retry=self._retry(failed),
                )
            except DataCorruption as error:
                remedy = "Run it again: what came of it was deleted."
                rule = "be stored with the checksum that it was sent with"
                raise RunError(name, rule, str(error), remedy, where=self._where) from error
            except (PreconditionFailed, Conflict, RetryError, NotFound) as error:
                return self._written(name, generation, mark if failed else "", error)
        return int(blob.generation)

    def _written(self, name: str, generation: int, mark: str, error: Exception) -> int:
        """The generation of a write that was done although it ended in `error`; else raises what that means."""
        from google.api_core.exceptions import NotFound, RetryError

        current, held = self._state(name)
        if mark and held == mark:  # it was written, and the answer lost
            return current
        if isinstance(error, RetryError):
            raise error
        if current == generation:  # nobody was first: whoever reads it again and repeats would do so for ever
            if isinstance(error, NotFound):  # the bucket is there
                remedy = "Run it again: the service has forgotten what was sent of it."
                rule = "be taken by Cloud Storage"
                raise RunError(name, rule, errors.said(error), remedy, where=self._where) from error
            raise self._not_taken(name, "be taken by Cloud Storage", error) from error
        remedy = "Somebody wrote it first: read it again and decide anew."
        raise ConflictError(name, f"be at generation {generation}", current, remedy) from error

    def _not_taken(self, name: str, rule: str, error: Exception) -> RunError:
        """Refused although nobody was first."""
        remedy = "Mend what it names, such as a policy of the bucket or a folder that is being renamed."
        return RunError(name, rule, errors.said(error), remedy, where=self._where)

    def exists(self, name: str) -> bool:
        return self._state(name)[0] != 0

    def names(self, prefix: str) -> list[str]:
        with self._translated():
            found = self._client.list_blobs(
                self._bucket_name,
                prefix=self._prefix + prefix,
                fields="items(name),nextPageToken",
                timeout=CALL,
                retry=self._retry([]),
            )
            names = [str(blob.name).removeprefix(self._prefix) for blob in found]
        return sorted(name for name in names if not name.endswith("/"))  # the console's empty folders

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed

        refused = 0
        while generation := self._state(name)[0]:
            failed: list[Exception] = []
            with self._translated():
                try:
                    self._blob(name).delete(if_generation_match=generation, timeout=CALL, retry=self._retry(failed))
                except NotFound:
                    return
                except (PreconditionFailed, Conflict) as error:
                    if generation == refused:  # nobody has written in between
                        raise self._not_taken(name, "be deleted by Cloud Storage", error) from error
                    if failed:  # it was deleted, the answer lost, and somebody has written since
                        return
                    refused = generation

    def _state(self, name: str) -> tuple[int, str]:
        """Generation and mark of what is there; 0 and none for nothing."""
        from google.api_core.exceptions import NotFound

        blob = self._blob(name)
        with self._translated():
            try:
                blob.reload(timeout=CALL, retry=self._retry([]))
            except NotFound:
                self._require_bucket()
                return 0, ""
        return int(blob.generation), (blob.metadata or {}).get(_MARK, "")

    def _require_bucket(self) -> None:
        """An absent object and an absent bucket have the same status. Raises NotFound for the latter."""
        if not self._seen:
            listed = self._client.list_blobs(self._bucket_name, max_results=1, timeout=CALL, retry=self._retry([]))
            next(iter(listed), None)
            self._seen = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Google's errors as ours; what is not found here is the bucket."""
        from google.api_core.exceptions import NotFound

        with errors.translated(errors.STORAGE, self._where):
            try:
                yield
            except NotFound as error:
                remedy = f"Make it (gcloud storage buckets create {self._where}), or mend blobs.at in the profile."
                raise SetupError("bucket", "exist", self._bucket_name, remedy, where=self._where) from error

    def _retry(self, failed: list[Exception]) -> Any:
        """Google's own choice of what may be tried again; every failed try goes into `failed`."""
        from google.api_core.retry import Retry
        from google.cloud.storage.retry import DEFAULT_RETRY

        chosen: Any = DEFAULT_RETRY
        return Retry(
            predicate=chosen._predicate, initial=0.2, maximum=10.0, timeout=self._deadline, on_error=failed.append
        )

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + checked_blob(name))

    @property
    def _where(self) -> str:
        return f"gs://{self._bucket_name}"

    @cached_property
    def _client(self) -> Any:
        return storage_client()

    @cached_property
    def _bucket(self) -> Any:
        return self._client.bucket(self._bucket_name)
