"""The Open Inference Protocol as a client speaks it that we did not write, and as others may bend it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.serving.conftest import TOKEN, Server

pytestmark = pytest.mark.slow
X, Z, KIND = [1.0, float("nan"), -2.5], [0.0, 0.5, 1.0], ["p", "", "qé"]


@pytest.fixture
def headers() -> dict[str, str]:
    """Of one request: the client writes into them."""
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(standing: Server) -> Iterator[InferenceServerClient]:
    found = InferenceServerClient(standing.address)
    yield found
    found.close()


def tensors(dtype: str = "FP64", binary: bool = True, shape: tuple[int, ...] = (3,)) -> list[InferInput]:
    kinds = {"FP64": np.float64, "FP32": np.float32}
    columns = {"x": np.array(X, dtype=kinds[dtype]), "z": np.array(Z, dtype=kinds[dtype])}
    columns["kind"] = np.array([text.encode() for text in KIND], dtype=object)
    made = []
    for name, values in columns.items():
        tensor = InferInput(name, list(shape), "BYTES" if name == "kind" else dtype)
        tensor.set_data_from_numpy(values.reshape(shape), binary_data=binary)
        made.append(tensor)
    return made


def expected(server: Server) -> list[dict[str, Any]]:
    rows = [{"x": None if x != x else x, "z": z, "kind": k} for x, z, k in zip(X, Z, KIND, strict=True)]
    found: list[dict[str, Any]] = server.predict(*rows).json()["predictions"]
    return found


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", ["FP64", "FP32"])
def test_tritonclient_with_its_defaults_gets_what_vertex_gets(
    standing: Server, client: InferenceServerClient, headers: dict[str, str], dtype: str, shape: tuple[int, ...]
):
    found = client.infer("toy", tensors(dtype, shape=shape), request_id="mine", headers=headers)
    like = expected(standing)
    np.testing.assert_array_equal(found.as_numpy("score"), [np.nan if p["score"] is None else p["score"] for p in like])
    assert found.as_numpy("decision").tolist() == [p["decision"].encode() for p in like]
    assert found.as_numpy("probabilities").shape == (3, 2)
    response = found.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", "toy", "1")


def test_tensors_and_answers_may_be_json(client: InferenceServerClient, standing: Server, headers: dict[str, str]):
    rows = [{"x": 1.0, "z": 0.25, "kind": "p"}, {"x": -1.0, "z": 0.0, "kind": ""}]
    made = []
    for name in ("x", "z", "kind"):
        values = np.array([row[name] for row in rows], dtype=object if name == "kind" else np.float64)
        tensor = InferInput(name, [2], "BYTES" if name == "kind" else "FP64")
        tensor.set_data_from_numpy(values, binary_data=False)
        made.append(tensor)
    wanted = [InferRequestedOutput("decision", binary_data=False), InferRequestedOutput("score", binary_data=True)]
    found = client.infer("toy", made, outputs=wanted, headers=headers)
    assert found.as_numpy("decision").tolist() == ["1", "0"]
    assert found.as_numpy("score").tolist() == [p["score"] for p in standing.predict(*rows).json()["predictions"]]
    assert found.as_numpy("probabilities") is None


def test_tritonclient_sees_state_and_metadata(client: InferenceServerClient):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "1")
    assert not client.is_model_ready("toy", "2")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    found = client.get_model_metadata("toy")
    assert found["versions"] == ["1"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in found["inputs"]] == [
        ("x", "FP64", [-1]),
        ("z", "FP64", [-1]),
        ("kind", "BYTES", [-1]),
    ]


def test_tritonclient_shows_what_was_refused(client: InferenceServerClient, headers: dict[str, str]):
    with pytest.raises(InferenceServerException, match="inputs: 'kind' must be given as a tensor"):
        client.infer("toy", tensors()[:2], headers=headers)
    with pytest.raises(InferenceServerException, match="'version' must be one of"):
        client.infer("toy", tensors(), model_version="9", headers=headers)
    with pytest.raises(InferenceServerException, match="'authorization' must be Bearer"):
        client.infer("toy", tensors())


def test_what_a_binary_request_held_is_in_the_log(
    standing: Server, client: InferenceServerClient, headers: dict[str, str]
):
    client.infer("toy", tensors(), request_id="logged", headers=headers)
    standing.until(lambda: bool(standing.logged(id="logged")))
    (line,) = standing.logged(id="logged")
    assert line["inputs"] == [
        {"x": 1.0, "z": 0.0, "kind": "p"},
        {"x": None, "z": 0.5, "kind": None},
        {"x": -2.5, "z": 1.0, "kind": "qé"},
    ]


def tensor(name: str, datatype: str = "FP64", *data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": list(data)} | more


GOOD = {"x": tensor("x", "FP64", 1.0), "z": tensor("z", "INT8", 0), "kind": tensor("kind", "BYTES", "p")}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({"inputs": []}, "'inputs' must be an array of tensors"),
    "unknown key": ({"what": 1}, "body: 'what' must be one of id, inputs, outputs, parameters."),
    "unknown input": ({"y": tensor("y", "FP64", 1)}, "inputs[3]: 'name' must be an input of the model. Got 'y'."),
    "no name": ({"x": {"shape": [1]}}, "inputs[0]: 'name' must be an input of the model. Got nothing."),
    "twice": ({"y": tensor("x", "FP64", 1)}, "inputs[3]: 'x' must be given once."),
    "text for a number": ({"x": tensor("x", "BYTES", "1")}, "inputs[0]: 'datatype' must be one of FP16, FP32, FP64, INT16,"),
    "number for a text": ({"kind": tensor("kind", "FP64", 1.0)}, "inputs[2]: 'datatype' must be one of BYTES, INT16"),
    "unhashable datatype": ({"x": tensor("x", "FP64", 1.0) | {"datatype": []}}, "inputs[0]: 'datatype' must be one of"),
    "other length": ({"z": tensor("z", "INT8", 0, 1)}, "'z' must have 1 rows, as the tensors before it. Got 2."),
    "square shape": ({"x": tensor("x", "FP64", 1.0, shape=[1, 2])}, "x: 'shape' must be [n] or [n, 1], with n from 1."),
    "empty shape": ({"x": tensor("x", "FP64", shape=[0])}, "x: 'shape' must be [n] or [n, 1], with n from 1."),
    "negative shape": ({"x": tensor("x", "FP64", 1.0, shape=[-1])}, "x: 'shape' must be [n] or [n, 1], with n from 1."),
    "shape of another length": ({"x": tensor("x", "FP64", 1.0, shape=[2])}, "x: 'data' must be an array of 2 values. Got '1 values'."),
    "no data": ({"x": {"name": "x", "shape": [1], "datatype": "FP64"}}, "x: 'data' must be an array of 1 values. Got nothing."),
    "text among numbers": ({"x": tensor("x", "FP64", "1")}, "row 0: 'x' must be FP64. Got '1'."),
    "fraction among integers": ({"z": tensor("z", "INT8", 0.5)}, "row 0: 'z' must be INT8. Got 0.5."),
    "beyond the integers": ({"z": tensor("z", "UINT8", 256)}, "row 0: 'z' must be UINT8. Got 256."),
    "beyond FP32": ({"x": tensor("x", "FP32", 1e300)}, "row 0: 'x' must be a finite number. Got inf."),
    "binary without bytes": ({"x": {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}}, "x: 'binary_data_size' must be at most the 0 bytes left"),
    "id of another type": ({"id": 5}, "'id' must be at most 128 visible ASCII characters. Got 5."),
    "id of two lines": ({"id": "a\r\nb: c"}, "'id' must be at most 128 visible ASCII characters."),
    "unknown output": ({"outputs": [{"name": "y"}]}, "outputs[0]: 'name' must be one of score, decision, probabilities. Got 'y'."),
    "outputs of another type": ({"outputs": ["score"]}, "'outputs' must be an array of objects."),
    "classification": ({"outputs": [{"name": "score", "parameters": {"classification": 2}}]}, "outputs[0]: 'classification' must not be asked for."),
    "shared memory": ({"x": tensor("x", "FP64", 1.0, parameters={"shared_memory_region": "r"})}, "x: 'shared_memory_region' must not be asked for."),
    "parameters of another type": ({"parameters": []}, "body: 'parameters' must be an object."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_infer_request_is_a_400_that_names_what_is_wrong(standing: Server, case: str):
    change, told = BAD[case]
    outer = {key: value for key, value in change.items() if key in ("inputs", "what", "id", "outputs", "parameters")}
    given = GOOD | {key: value for key, value in change.items() if key not in outer}
    answer = standing.ask("/v2/models/toy/infer", {"inputs": list(given.values())} | outer)
    assert (answer.status, answer.error[: len(told)]) == (400, told), answer.error


def binary(
    raw: bytes, size: int, kind: bytes = struct.pack("<I", 1) + b"p", length: int | None = None
) -> tuple[bytes, dict[str, str]]:
    given = [
        {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}},
        {"name": "kind", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(kind)}},
        GOOD["z"],
    ]
    head = orjson.dumps({"inputs": given})
    return head + raw + kind, {"Inference_Header_Content_Length": str(len(head) if length is None else length)}


EIGHT = struct.pack("<d", 1.0)
BINARY: dict[str, tuple[tuple[bytes, dict[str, str]], str]] = {
    "infinity": (binary(struct.pack("<d", float("inf")), 8), "row 0: 'x' must be a finite number. Got inf."),
    "short": (binary(EIGHT, 4), "x: 'binary_data_size' must be 8. Got 4."),
    "beyond the body": (binary(EIGHT, 800), "x: 'binary_data_size' must be at most the 13 bytes left"),
    "more bytes": ((binary(EIGHT, 8)[0] + b"more", binary(EIGHT, 8)[1]), "'body' must end with the last tensor. Got '4 bytes more'."),
    "text without its length": (binary(EIGHT, 8, b"p"), "kind: 'binary data' must hold 1 texts, each after its length in 4 bytes."),
    "text beyond its bytes": (binary(EIGHT, 8, struct.pack("<I", 9) + b"p"), "kind: 'binary data' must hold 1 texts"),
    "two texts for one": (binary(EIGHT, 8, (struct.pack("<I", 1) + b"p") * 2), "kind: 'binary data' must hold 1 texts"),
    "no text": (binary(EIGHT, 8, struct.pack("<I", 1) + b"\xff"), "row 0: 'kind' must be UTF-8 text."),
    "no length": (binary(EIGHT, 8, length=0), "'Inference-Header-Content-Length' must be from 1 to"),
    "length beyond the body": (binary(EIGHT, 8, length=5000), "'Inference-Header-Content-Length' must be from 1 to"),
    "short length": (binary(EIGHT, 8, length=40), "'body' must be JSON."),
}  # fmt: skip


@pytest.mark.parametrize("case", BINARY)
def test_a_bad_binary_tensor_is_a_400_that_names_what_is_wrong(standing: Server, case: str):
    (sent, headers), told = BINARY[case]
    answer = standing.ask("/v2/models/toy/infer", sent, Content_Type="application/octet-stream", **headers)
    assert (answer.status, answer.error[: len(told)]) == (400, told), answer.error
