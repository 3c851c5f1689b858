"""The stream over BigQuery's tables: what its readers see is exact, whenever it was killed."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, bigquery_client
from components.step import fetch_bundle
from tests import processes
from tests.streaming import killed

from .conftest import LATENESS, OTHER, Stream, messages
from .test_loop import forget

REST, _, GRPC = os.environ.get("ESTEIRA_BIGQUERY", "").partition(",")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(not GRPC, reason="ESTEIRA_BIGQUERY names no BigQuery emulator (REST, Storage Read)"),
]


@pytest.fixture
def cloud(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stream's profile with BigQuery's tables, as JSON."""
    monkeypatch.setenv(BIGQUERY_EMULATOR, f"http://{REST}")
    monkeypatch.setenv(READ_EMULATOR, GRPC)
    dataset = f"t_{uuid.uuid4().hex[:12]}"
    bigquery_client("esteira").create_dataset(dataset)
    tables = {"adapter": "google", "at": f"esteira.{dataset}"}
    emulators = {"bigquery": f"http://{REST}", "bigquery_storage": GRPC}
    asked = stream.profile.model_dump() | {"tables": tables, "emulators": emulators}
    return type(stream.profile).model_validate(asked).to_json()


def test_killed_behind_an_append_it_loses_and_doubles_nothing(stream: Stream, cloud: str, tmp_path: Path) -> None:
    first, second = stream.register(), stream.register(OTHER)
    stream.point(first)
    stream.log.append(messages(60))
    expected, tables = stream.run().counts, stream.tables()
    assert expected.read == expected.good + expected.dead_letter + expected.late + expected.duplicate
    forget(stream)
    digest = stream.toy.launch.bundle
    folder = fetch_bundle(stream.ports, digest, tmp_path / "bundles")
    arguments = (cloud, folder, digest, 20, LATENESS)
    for append, version in ((1, second), (3, first), (5, second)):  # what was not committed comes from another version
        stream.point(version)
        assert processes.dies_at(10**9, killed.run_until, append, *arguments)
    stream.point(first)
    stream.toy.launch = replace(stream.toy.launch, profile=cloud)
    assert stream.run().counts == expected
    found = stream.tables()
    for name, rows in tables.items():
        scored = [n for n in ("_version", "_score", "_decision") if n in rows.column_names]
        assert found[name].drop_columns(scored) == rows.drop_columns(scored), name
    versions = found["live_toy"].column("_version").to_pylist()
    assert versions[-1] == first
    assert second in versions
    seen = f"SELECT count(*) AS n, count(DISTINCT _arrival) AS d FROM `{stream.ports.tables.resource('live_toy')}`"
    count = [dict(row.items()) for row in bigquery_client("esteira").query_and_wait(seen)]
    assert count == [{"n": expected.good - expected.labels, "d": expected.good - expected.labels}]
