"""Enrichments with their reference tables, read as ingest reads them and again when their files change."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.adapters.ports import Listed, Sources
from components.adapters.reading import references
from components.adapters.reading.block import Bad
from components.core.case import Case
from components.core.enrich import Enrichment
from components.core.errors import DataError

Listing = dict[str, list[Listed]]


class References:
    """What was read last, by enrichment. `lateness` in seconds."""

    def __init__(self, sources: Sources, lateness: int) -> None:
        self._sources, self._lateness = sources, lateness
        self._known: dict[str, tuple[Listing, Enrichment]] = {}

    def enrichments(self, cases: Mapping[str, Case]) -> dict[str, Enrichment]:
        """One for each case; the same object as before where its files have not changed.

        Raises
        ------
        DataError
            A table cannot be read, or somebody writes to it just now. What was read before stays.
        """
        self._known |= {name: self._current(name, case) for name, case in cases.items()}
        self._known = {name: self._known[name] for name in cases}
        return {name: enrichment for name, (_, enrichment) in self._known.items()}

    def _current(self, name: str, case: Case) -> tuple[Listing, Enrichment]:
        listing = self._listing(case)
        if name in self._known and self._known[name][0] == listing:
            return self._known[name]
        with tempfile.TemporaryDirectory(prefix="esteira-stream-") as scratch:
            read = {
                table: references.read(table, of, listing[table], self._sources, _Nowhere(), Path(scratch))
                for table, of in case.references.items()
            }
        if self._listing(case) != listing:
            rule = "stay as they are while they are read"
            raise DataError("references", rule, "a change", "Replace the files whole.", where=case.name)
        return listing, Enrichment(case, read, lateness=self._lateness)

    def _listing(self, case: Case) -> Listing:
        return {name: self._sources.listing(of.source.address) for name, of in case.references.items()}


class _Nowhere:
    """Ingest keeps the bad rows of a reference table; the stream needs their share alone."""

    def add(self, source: str, records: Iterable[Bad]) -> None:
        pass
