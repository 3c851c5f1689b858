"""Emulators behind a proxy that fails as it is told."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, STORAGE_EMULATOR, bigquery_client
from tests.adapters.gcp.proxy import Proxy

GCS = os.environ.get("ESTEIRA_GCS", "")
REST, _, READ = os.environ.get("ESTEIRA_BIGQUERY", "").partition(",")


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Cloud Storage's emulator, reached through a proxy by what connects from now on."""
    if not GCS:
        pytest.skip("ESTEIRA_GCS names no Cloud Storage emulator (host:port)")
    with Proxy(GCS) as proxy:
        monkeypatch.setenv(STORAGE_EMULATOR, f"http://{proxy.at}")
        yield proxy


@pytest.fixture
def prefix() -> str:
    """gs:// of its own: a server keeps the others'."""
    return f"gs://esteira/{uuid.uuid4().hex}"


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """BigQuery's emulator, its REST through a proxy."""
    if not READ:
        pytest.skip("ESTEIRA_BIGQUERY names no BigQuery emulator (REST, Storage Read)")
    with Proxy(REST) as proxy:
        monkeypatch.setenv(BIGQUERY_EMULATOR, f"http://{proxy.at}")
        monkeypatch.setenv(READ_EMULATOR, READ)
        yield proxy


@pytest.fixture
def dataset(bigquery: Proxy) -> str:
    """project.dataset of its own, in Europe."""
    from google.cloud.bigquery import Dataset

    made = Dataset(f"esteira.t_{uuid.uuid4().hex[:12]}")
    made.location = "EU"
    bigquery_client("esteira").create_dataset(made)
    return f"esteira.{made.dataset_id}"
