"""ingest from Cloud Storage gives what the same files give from a folder, and refuses what they are refused for."""

from __future__ import annotations

import gzip
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.adapters.gcp.clients import STORAGE_EMULATOR, storage_client
from components.core.profile import Profile
from components.step import Launch
from pipelines.launch.check import check

from .conftest import HEADER, Desk, csv_of, jsonl_of, order, parquet_of
from .test_task import DAY, PACKED, REFUSED

GCS = os.environ.get("ESTEIRA_GCS", "")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@dataclass
class Bucket(Desk):
    """The same desk, with its sources at gs://esteira/PREFIX."""

    prefix: str = ""

    @property
    def sources(self) -> str:
        return f"gs://esteira/{self.prefix}"

    def put(self, name: str, data: bytes | str) -> Path:
        storage_client().bucket("esteira").blob(f"{self.prefix}/{name}").upload_from_string(data)
        return Path()

    def told(self, message: str) -> str:
        """What is said of a file, of an object."""
        return message.replace("orders.csv", f"gs://esteira/{self.prefix}/orders.csv")


@pytest.fixture
def bucket(tmp_path: Path, make_launch: Callable[..., Launch], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
    (tmp_path / "there").mkdir()
    return Bucket(tmp_path / "there", make_launch, prefix=uuid.uuid4().hex)


REST = [order(number) for number in range(1440, 2880, 30)]
FORMS = {
    "orders.csv": {"orders.csv": csv_of(DAY + REST)},
    "days": {"days/1.csv.gz": gzip.compress(csv_of(DAY)), "days/2.jsonl": jsonl_of(REST), "days/_SUCCESS": b""},
    "days/*.parquet": {"days/1.parquet": parquet_of(DAY), "days/2.parquet": parquet_of(REST), "days/x.csv": b"x"},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_bucket_gives_the_dataset_of_a_folder(desk: Desk, bucket: Bucket, form: str, absolute: bool) -> None:
    desk.case["source"]["path"] = bucket.case["source"]["path"] = form
    for name, data in FORMS[form].items():
        desk.put(name, data)
        bucket.put(name, data)
    if absolute:
        bucket.case["source"]["path"] = f"gs://esteira/{bucket.prefix}/{form}"
    assert bucket.run().parameters["snapshot"] == desk.run().parameters["snapshot"]
    assert bucket.manifest().digest == desk.manifest().digest
    assert bucket.counts["good"] == len(DAY + REST)


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_by_name(bucket: Bucket, fault: str) -> None:
    data, message = REFUSED[fault]
    bucket.case["require"] = ["amount"]
    if data is not None:
        bucket.put("orders.csv", data)
    code, found = bucket.fail()
    wanted = bucket.told(message)
    if not message.startswith("orders.csv: 'events'"):  # those name the case's source
        assert (code, found[: len(wanted)]) == (3, wanted)
    else:
        assert (code, found[: len(message)]) == (3, message)


@pytest.mark.parametrize("fault", PACKED)
def test_an_object_that_is_not_what_it_says_is_refused(bucket: Bucket, fault: str) -> None:
    name, data, message = PACKED[fault]
    bucket.put(name, data)
    bucket.case["source"]["path"] = name
    code, found = bucket.fail()
    assert code == 3
    assert found.startswith(f"gs://esteira/{bucket.prefix}/{name}")
    assert message in found


def test_bad_bytes_go_to_the_dead_letter_and_a_byte_order_mark_is_no_part_of_a_name(bucket: Bucket) -> None:
    good = b"a,2024-01-01T00:00:00Z,1,Porto,true,0\nb,2024-01-01T23:59:00Z,2,Faro,false,1\n"
    bad = "c,2024-01-01T01:00:00Z,1,São,true,0\n".encode("latin-1")
    bucket.put("orders.csv", b"\xef\xbb\xbf" + HEADER.encode() + good + bad)
    bucket.run()
    assert bucket.counts["good"] == 2
    ((position, raw, reason),) = bucket.reasons()
    assert (position, raw) == (4, bad.rstrip())
    assert reason.startswith("'city' must be UTF-8")


def test_an_equal_run_is_reused_and_one_over_new_objects_is_not(bucket: Bucket) -> None:
    bucket.put("orders.csv", csv_of(DAY))
    first = bucket.run()
    bucket.job = "job-2"
    assert bucket.run().reused
    bucket.put("orders.csv", csv_of(DAY[:-1] + REST[-1:]))
    bucket.job = "job-3"
    again = bucket.run()
    assert not again.reused
    assert again.parameters["snapshot"] != first.parameters["snapshot"]


def test_an_object_that_changes_while_others_are_read_is_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.ingest import task

    bucket.put("orders.csv", csv_of(DAY))
    derive = task.events.derive

    def meanwhile(*arguments: Any) -> Any:
        bucket.put("orders.csv", csv_of(DAY[1:]))
        return derive(*arguments)

    monkeypatch.setattr(task.events, "derive", meanwhile)
    code, found = bucket.fail()
    assert code == 3
    assert found.startswith(bucket.told("orders.csv: 'source' must stay as it is while it is read."))


def test_check_reads_a_case_whose_sources_are_there(bucket: Bucket) -> None:
    bucket.put("orders.csv", csv_of(DAY))
    launch = bucket.launch("def features(columns):\n    return {'amount': columns['amount'].astype('float32')}\n")
    said = list(check(bucket.root / "case", Connected(Profile.from_json(launch.profile))))
    assert f"orders.csv: {len(DAY)} events looked at" in said
