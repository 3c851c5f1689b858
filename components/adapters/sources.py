"""Sources by their address: BigQuery's tables and queries, and files for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import IO

from components.adapters.local.sources import FileSources
from components.adapters.ports import Bounds, Listed, Scan, Sources
from components.core.addresses import is_stored_table
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
        return self._cloud if is_stored_table(path) else self._files

    @cached_property
    def _cloud(self) -> Sources:
        from components.adapters.gcp.sources import BigQuerySources

        return BigQuerySources(self._profile.billed(), self._profile.bigquery.maximum_bytes_billed)
