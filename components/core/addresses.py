"""The addresses of a case's sources: a path or URL of files, objects in a bucket, a table of BigQuery, or a query."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core.artifacts import canonical_json

TABLE, QUERY, BUCKET = "bigquery://", "bigquery-query:", "gs://"


def of_query(query: str, parameters: Mapping[str, Any]) -> str:
    return QUERY + canonical_json({"query": query, "parameters": dict(parameters)})


def table_of(address: str) -> str:
    """The table PROJECT.DATASET.TABLE that an address names; empty where it names something else."""
    return address.removeprefix(TABLE) if address.startswith(TABLE) else ""


def is_relative(address: str) -> bool:
    """Whether it stands under the profile's `sources`: it is neither a URL nor an absolute path."""
    return "://" not in address and not Path(address).is_absolute()


def is_stored_table(address: str) -> bool:
    """Whether it is read by its columns, and not as bytes."""
    return address.startswith((TABLE, QUERY))
