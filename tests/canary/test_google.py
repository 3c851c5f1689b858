"""A canary whose servers log to Cloud Storage and whose live table is in BigQuery."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.adapters.gcp.clients import BIGQUERY_EMULATOR, READ_EMULATOR, STORAGE_EMULATOR, bigquery_client
from components.adapters.local.registry import MlflowRegistry
from components.canary import task
from components.core import inference
from components.step import Launch
from tests.adapters.gcp.proxy import Proxy
from tests.canary.conftest import Canary, Traffic
from tests.toy import NAME, toy

SERVERS = ("ESTEIRA_GCS", "ESTEIRA_BIGQUERY")
ABSENT = [name for name in SERVERS if not os.environ.get(name)]
pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} name no servers (host:port)"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    rest, _, read = os.environ["ESTEIRA_BIGQUERY"].partition(",")
    with Proxy(rest) as proxy:
        monkeypatch.setenv(BIGQUERY_EMULATOR, f"http://{proxy.at}")
        monkeypatch.setenv(READ_EMULATOR, read)
        monkeypatch.setenv(STORAGE_EMULATOR, f"http://{os.environ['ESTEIRA_GCS']}")
        yield proxy


@pytest.fixture
def canary(
    bigquery: Proxy, tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch
) -> Canary:
    monkeypatch.setattr(task, "INTERVAL", 0.02)
    monkeypatch.setattr(MlflowRegistry, "_project", lambda *_: None)  # the view for people; its tests are elsewhere
    name = f"t_{uuid.uuid4().hex[:16]}"
    bigquery_client("esteira").create_dataset(name)

    def launch(folder: Path, sources: Path) -> Launch:
        return make_launch(
            folder,
            sources,
            blobs={"adapter": "google", "at": f"gs://esteira/{name}"},
            tables={"adapter": "google", "at": f"esteira.{name}"},
        )

    asked = {"requests": 100, "deadline": "10min", "error_rate": 0.05, "agreement": 0.8}
    return Canary(toy(tmp_path, launch, canary=asked))


def test_it_is_promoted_by_segments_that_came_one_by_one_without_a_load_job(
    canary: Canary, bigquery: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary.begin()

    def moments(start: float, interval: float) -> Iterator[float]:
        for second in range(3):
            canary.serve(Traffic(1, count=40), Traffic(2, count=40))
            yield float(second)

    monkeypatch.setattr(task, "_moments", moments)
    assert canary.run().parameters == {"champion": "2", "state": "promote"}
    looks = canary.found()["looks"]
    assert [look["findings"][0]["samples"]["challenger"] for look in looks] == [40, 80, 120]
    assert canary.toy.ports.tables.windows(inference.table(NAME)) == ["server-a-00000001+16"]
    assert canary.toy.ports.blobs.names(inference.log_prefix(NAME))[-1].endswith("/a/taken.json")
    assert bigquery.count("^(PUT|POST) /upload/") == 0
