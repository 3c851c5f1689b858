"""Where builds keep releases and their cache: a path, or Cloud Storage by gcloud itself."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.servers.http import Refused, Request, serving

STORE = REPOSITORY / "infra" / "cloudbuild" / "store.sh"
GCS = os.environ.get("ESTEIRA_GCS", "")
DENIED = "esteira-check@p.iam.gserviceaccount.com does not have storage.objects.get access"


by_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


def with_storage(test: Callable[..., None]) -> Callable[..., None]:
    """By gcloud, over the emulator: skipped by name where one of them is not there."""
    there = pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)")
    marked: Callable[..., None] = pytest.mark.slow(pytest.mark.servers(by_gcloud(there(test))))
    return marked


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """gcloud with a configuration of its own and without an account, and the emulator in Cloud Storage's place."""
    values = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"http://{GCS}/",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def store(action: str, folder: Path, address: str) -> tuple[int, str]:
    """Its exit code, and what it said of a failure."""
    done = subprocess.run([STORE, action, folder, address], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def kept_and_fetched(folder: Path, address: str) -> None:
    (folder / "release").mkdir()
    (folder / "release" / "a file.yaml").write_text("x")
    code, said = store("save", folder / "release", address)
    assert code == 0, said
    code, said = store("load", folder / "again", address)
    assert code == 0, said
    assert (folder / "again" / "a file.yaml").read_text() == "x"


def test_a_folder_is_kept_at_a_path_and_fetched_as_it_was(tmp_path: Path) -> None:
    kept_and_fetched(tmp_path, str(tmp_path / "store" / "r.tar.gz"))


def test_a_release_that_is_not_kept_is_a_failure_and_a_cache_is_not(tmp_path: Path) -> None:
    absent = str(tmp_path / "none.tar.gz")
    rule = f"store: '{absent}' must be an archive that this account reads. Got none. Save it first.\n"
    assert store("load", tmp_path / "r", absent) == (4, rule)
    assert store("load-if-there", tmp_path / "r", absent) == (0, "")
    assert not (tmp_path / "r").exists()


def test_a_cache_that_is_there_and_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    code, said = store("load-if-there", tmp_path / "r", str(tmp_path))
    assert code == 4
    assert said.startswith(f"store: '{tmp_path}' must be an archive that this account reads. Got 'cp: ")


@with_storage
@pytest.mark.usefixtures("gcloud")
def test_a_folder_is_kept_in_cloud_storage_and_fetched_as_it_was(tmp_path: Path) -> None:
    kept_and_fetched(tmp_path, f"gs://esteira/builds-{uuid.uuid4().hex}/r.tar.gz")


@with_storage
@pytest.mark.usefixtures("gcloud")
def test_a_cache_that_nobody_kept_in_the_bucket_is_no_failure(tmp_path: Path) -> None:
    assert store("load-if-there", tmp_path / "r", f"gs://esteira/builds-{uuid.uuid4().hex}/cache.tar.gz") == (0, "")
    assert not (tmp_path / "r").exists()


@with_storage
@pytest.mark.usefixtures("gcloud")
def test_a_bucket_that_is_not_there_is_not_taken_for_a_cache_that_is_not(tmp_path: Path) -> None:
    bucket = f"none-{uuid.uuid4().hex}"
    code, said = store("load-if-there", tmp_path / "r", f"gs://{bucket}/cache.tar.gz")
    assert code == 4
    assert f"Got 'ERROR: (gcloud.storage.cp) gs://{bucket} not found: 404.'." in said


class Denying:
    """Cloud Storage for an account without a role."""

    def answer(self, request: Request) -> Any:
        raise Refused(403, "forbidden", f"{DENIED} to the Google Cloud Storage object.")

    def refusal(self, refused: Refused) -> Any:
        fault = {"message": refused.message, "domain": "global", "reason": refused.reason}
        return {"error": {"code": refused.status, "message": refused.message, "errors": [fault]}}


@pytest.mark.slow
@by_gcloud
def test_a_cache_that_the_account_may_not_read_is_not_taken_for_one_that_is_not_there(
    gcloud: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(Denying()) as server:
        gcloud.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", f"{server.address}/")
        code, said = store("load-if-there", tmp_path / "r", "gs://esteira/cache.tar.gz")
    assert code == 4
    assert f"Got 'ERROR: (gcloud.storage.cp) HTTPError 403: {DENIED}" in said
    assert said.endswith("'. Give it roles/storage.objectViewer, or mend the address.\n")
