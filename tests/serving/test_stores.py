"""A model and a log in Cloud Storage, as an endpoint of Vertex AI has them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.adapters.gcp.blobs import CloudBlobs
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.ports import Pointer
from components.core import artifacts, container
from components.core.errors import ArtifactError, SetupError
from components.core.inference import log_prefix
from components.serving import stores
from tests.adapters.gcp.conftest import GCS
from tests.adapters.gcp.proxy import Proxy, google_error
from tests.serving.conftest import Serve, Server, Toy
from tests.serving.test_load import LIST
from tests.toy import NAME

pytestmark = pytest.mark.servers
ROW = {"x": 1.0, "z": 0.0, "kind": "p"}


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    if not GCS:
        pytest.skip("ESTEIRA_GCS names no Cloud Storage emulator (host:port)")
    with Proxy(GCS) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{proxy.at}")
        yield proxy


@pytest.fixture
def at(gcs: Proxy) -> str:
    return f"gs://esteira/{uuid.uuid4().hex}"


def uploaded(folder: Path, at: str) -> str:
    """The artifact at gs://."""
    store = CloudBlobs(at)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())
    return at


def served(toy: Toy, serve: Serve, at: str, *arguments: str, version: int = 7) -> Server:
    model = uploaded(toy.model("only"), f"{at}/copy")
    told = container.variables(NAME, toy.launch.bundle, f"{at}/blobs")
    vertex = {"AIP_STORAGE_URI": model, "AIP_DEPLOYED_MODEL_ID": container.deployment(version, {})}
    return serve(toy, *arguments, ESTEIRA_ROOT="", ESTEIRA_TOKEN="", **told, **vertex)


def lines(at: str) -> list[dict[str, object]]:
    store = CloudBlobs(f"{at}/blobs")
    return [json.loads(x) for name in store.names(log_prefix(NAME)) for x in store.read(name)[0].splitlines()]


@pytest.mark.slow
def test_the_model_comes_from_cloud_storage_and_the_log_goes_there(toy: Toy, serve: Serve, at: str, gcs: Proxy) -> None:
    server = served(toy, serve, at, "-c", LIST)
    answer = server.predict(ROW, token=None)
    assert (answer.status, answer.headers["x-model-version"]) == (200, "7")
    assert server.stop() == 0
    (line, dropped) = lines(at)
    assert dropped == {"dropped": 0}
    assert (line["version"], line["role"], line["status"], line["inputs"]) == (7, "champion", 200, [ROW])
    server.until_said("modules ")
    (said,) = [one["message"] for one in server.said if one["message"].startswith("modules ")]
    loaded = {name.split(".")[0] for name in said.split()[1:]}
    assert "google" in loaded
    assert not loaded & {"pyarrow", "pydantic", "yaml", "mlflow", "sklearn", "kfp", "duckdb", "fsspec", "pandas"}


@pytest.mark.slow
def test_the_log_names_the_role_that_the_pointer_gives_the_version(toy: Toy, serve: Serve, at: str) -> None:
    PointerEndpoints(CloudBlobs(f"{at}/blobs")).change(Pointer(NAME, champion=1, challenger=7, split=20))
    server = served(toy, serve, at)
    server.until_said("serving")
    server.predict(ROW, token=None)
    server.stop()
    assert [(line["version"], line["role"]) for line in lines(at) if "id" in line] == [(7, "challenger")]


def test_a_model_is_fetched_whole(toy: Toy, at: str) -> None:
    folder = stores.model(uploaded(toy.model("only"), at))
    assert artifacts.verify(folder, "model") == artifacts.read_manifest(toy.root / "only")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_altered_byte_is_refused(toy: Toy, at: str) -> None:
    uploaded(toy.model("only"), at)
    CloudBlobs(at).write("model.onnx", b"other")
    with pytest.raises(ArtifactError, match=r"'model.onnx' must have the sha256 of its manifest"):
        stores.model(at)


def test_a_folder_without_a_model_is_refused(at: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        stores.model(at)
    assert str(caught.value) == (
        f"environment: 'AIP_STORAGE_URI' must hold a model's _manifest.json. Got '{at}'. "
        "Name the folder that holds the whole artifact: registering a version stores it."
    )


def test_a_bucket_that_is_not_there_is_refused(gcs: Proxy) -> None:
    with pytest.raises(SetupError) as caught:
        stores.model("gs://esteira-nowhere/model")
    assert str(caught.value) == (
        "environment: 'AIP_STORAGE_URI' must name a bucket that is there. Got 'gs://esteira-nowhere/model'. "
        "Mend the address: Vertex AI gives the one of its own copy of the model."
    )


def test_a_bucket_that_is_closed_is_told_with_the_role(at: str, gcs: Proxy) -> None:
    gcs.fail("^GET", "answer", times=9, **google_error(403, "forbidden", "no storage.objects.get for you"))
    with pytest.raises(SetupError) as caught:
        stores.model(at)
    assert str(caught.value) == (
        "gs://esteira: 'Cloud Storage' must be open to this account. Got 'no storage.objects.get for you'. "
        "Give the account roles/storage.objectUser."
    )


def test_a_manifest_that_leaves_the_folder_is_refused(toy: Toy, at: str) -> None:
    uploaded(toy.model("only"), at)
    store = CloudBlobs(at)
    manifest = json.loads(store.read(artifacts.MANIFEST)[0])
    manifest["files"][0]["path"] = "../../outside"
    store.write(artifacts.MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match=r"'path' must stay inside the artifact"):
        stores.model(at)
