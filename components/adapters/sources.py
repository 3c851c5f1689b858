"""Sources by their address: BigQuery's tables and queries, objects in Cloud Storage, files for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import IO

from components.adapters.local.sources import FileSources
from components.adapters.ports import Bounds, Listed, Scan, Sources
from components.core.addresses import BUCKET, is_relative, is_stored_table
from components.core.columns import ColumnType
from components.core.profile import Profile


class AnySources:
    """Implements `ports.Sources` for a profile."""

    def __init__(self, profile: Profile) -> None:
        self._profile, self._files = profile, FileSources(profile.sources)

    def listing(self, path: str) -> list[Listed]:
        return self._of(path).listing(path)

    def open(self, listed: Listed) -> IO[bytes]:
        return self._of(listed.path).open(listed)

    def scan(self, listed: Listed, columns: Mapping[str, ColumnType], bounds: Bounds | None = None) -> Scan:
        return self._of(listed.path).scan(listed, columns, bounds)

    def _of(self, path: str) -> Sources:
        if is_stored_table(path):
            return self._tables
        at = self._profile.sources if is_relative(path) else path
        return self._buckets if at.startswith(BUCKET) else self._files

    @cached_property
    def _buckets(self) -> Sources:
        from components.adapters.gcp.file_sources import CloudFiles

        return CloudFiles(self._profile.sources)

    @cached_property
    def _tables(self) -> Sources:
        from components.adapters.gcp.sources import BigQuerySources

        return BigQuerySources(self._profile.billed(), self._profile.bigquery.maximum_bytes_billed)
