"""Beyond what the server can do it refuses at once, answers what it accepted, and recovers; and what it imports."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests import toy as toys
from tests.serving.conftest import TOKEN, Load, Serve, environment, python
from tests.toy import FEATURES, Toy

pytestmark = pytest.mark.slow

ROW = {"x": 1, "z": 0, "kind": "p"}
SLOW = "import time\n" + FEATURES.replace("    return", "    time.sleep(0.02)\n    return")
FUSSY = FEATURES.replace(
    "    return", '    if (columns["x"] > 100).any():\n        raise ValueError("over 100")\n    return'
)


def test_twice_the_load_is_refused_fast_and_nothing_accepted_is_lost(
    make_launch, serve: Serve, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(toys, "FEATURES", SLOW)
    toy = toys.toy(tmp_path, make_launch)
    toy.promote(toy.model("slow"))
    server = serve(toy, ESTEIRA_QUEUE="4")
    load = Load.on(server, 8)
    server.until(lambda: count(server.metrics(), "200") > 100 and count(server.metrics(), "503") > 100)
    found, failures = load.end()
    assert failures == []
    assert found.keys() == {"200 1", "503 1"}
    seen = server.metrics()
    assert (count(seen, "200"), count(seen, "503")) == (found["200 1"], found["503 1"])
    assert seen["esteira_pending"] == 0
    assert server.predict(ROW).status == 200
    assert server.stop() == 0
    assert server.logged(status=503) == []  # overload is no version's fault
    assert len(server.logged(status=200)) == found["200 1"] + 1


def count(series: dict[str, float], status: str) -> float:
    return sum(
        v
        for k, v in series.items()
        if k.startswith("esteira_requests_total") and f'status="{status}"' in k and "predict" in k
    )


def test_a_row_that_the_features_refuse_hits_its_own_request_alone(
    make_launch, serve: Serve, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(toys, "FEATURES", FUSSY)
    toy = toys.toy(tmp_path, make_launch)
    toy.promote(toy.model("fussy"))
    server = serve(toy)
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nX-Request-Id: {}\r\n\r\n{}"
    clients = []
    for i in range(12):  # in one turn of the loop, as far as the machine lets them
        content = json.dumps({"instances": [{**ROW, "x": 101 if i % 3 == 0 else "text" if i % 3 == 1 else 1}]})
        clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        clients[-1].sendall(head.format(TOKEN, len(content), i, content).encode())
    answers = [client.recv(10_000).decode() for client in clients]
    for client in clients:
        client.close()
    assert [answer.split()[1] for answer in answers] == ["400", "400", "200"] * 4
    assert "features.py: 'features' must give columns without an error. Got 'ValueError: over 100'." in answers[0]
    assert "row 0: 'x' must be a finite number. Got 'text'." in answers[1]
    assert server.stop() == 0
    assert [
        line["status"]
        for line in sorted(server.logged(), key=lambda line: int(line["id"]) if line["id"].isdigit() else 99)
    ] == [400, 400, 200] * 4


def test_a_large_request_goes_beside_the_loop_and_gives_what_small_ones_give(serve: Serve, toy: Toy):
    toy.promote(toy.model("first"))
    server = serve(toy)
    rows = [{"x": i / 500 - 1, "z": i, "kind": "é" * 20} for i in range(1000)]
    answer = server.predict(*rows)
    assert len(json.dumps(rows)) > 16 * 1024
    assert answer.status == 200
    small = [server.predict(*rows[at : at + 50]).json()["predictions"] for at in range(0, 1000, 50)]
    assert answer.json()["predictions"] == [found for part in small for found in part]
    assert server.predict(*rows[:999], {"x": "1"}).status == 400
    many = server.ask("/predict", {"instances": [[1, 2, ""]] * 1000})  # small, but of many rows
    assert len(many.json()["predictions"]) == 1000


LIST = """
import atexit, sys
atexit.register(lambda: print("modules", *sorted(sys.modules), file=sys.stderr))
import runpy; runpy.run_module("components.serving", run_name="__main__", alter_sys=True)
"""


def test_a_server_that_has_answered_has_imported_nothing_large(toy: Toy, serve: Serve, tmp_path: Path):
    toy.promote(toy.model("first"))
    server = serve(toy, "-c", LIST)
    assert server.predict(ROW).status == 200
    assert server.ask("/openapi.json").status == server.ask("/docs").status == server.ask("/metrics").status == 200
    assert server.stop() == 0
    server.until_said("modules ")
    (line,) = [said["message"] for said in server.said if said["message"].startswith("modules ")]
    loaded = {name.split(".")[0] for name in line.split()[1:]}
    assert {"numpy", "onnxruntime", "orjson", "httptools", "uvloop"} <= loaded
    heavy = {
        "pyarrow",
        "pydantic",
        "yaml",
        "mlflow",
        "sklearn",
        "kfp",
        "apache_beam",
        "google",
        "duckdb",
        "uvicorn",
        "fsspec",
    }
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("values", "code", "told"),
    [
        ({}, 7, "'ESTEIRA_CASE' must be given with ESTEIRA_ROOT, or a model."),
        ({"ESTEIRA_CASE": "toy", "ESTEIRA_ROOT": "/nowhere"}, 7, "'ESTEIRA_TOKEN' must be given. Got None."),
        (
            {"AIP_STORAGE_URI": "/nowhere", "ESTEIRA_BUNDLE": "d", "ESTEIRA_TOKEN": "t"},
            4,
            "'artifact' must be a directory with _manifest.json",
        ),
    ],
)
def test_a_server_that_cannot_serve_says_why_and_ends(values: dict[str, str], code: int, told: str):
    done = subprocess.run(
        [python(), "-m", "components.serving"], env=environment(**values), capture_output=True, timeout=60, check=False
    )
    said = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, said["severity"], told in said["message"]) == (code, "ERROR", True), said


def test_one_fixed_model_is_served_without_a_pointer(toy: Toy, serve: Serve):
    folder = toy.model("only")
    server = serve(
        toy,
        ESTEIRA_CASE="",
        AIP_STORAGE_URI=str(folder),
        ESTEIRA_BUNDLE=toy.launch.bundle,
        ESTEIRA_VERSION="12",
        AIP_PREDICT_ROUTE="/v1/endpoints/1:predict",
        AIP_HEALTH_ROUTE="/v1/endpoints/1",
        ready=False,
    )
    assert server.ask("/v1/endpoints/1").status == 200
    answer = server.ask("/v1/endpoints/1:predict", {"instances": [ROW]})
    assert (answer.status, answer.headers["x-model-version"]) == (200, "12")
    assert server.ask("/predict", {"instances": [ROW]}).status == 404
    server.stop()
    assert len(server.logged(version=12)) == 1


def test_a_platform_that_keeps_the_gate_is_named_and_needs_no_token(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy, ESTEIRA_TOKEN="", ESTEIRA_AUTH="platform")
    assert server.predict(ROW, token=None).status == 200


def test_the_token_is_in_nothing_that_the_server_says(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    texts = [
        server.predict(ROW),
        server.predict({}),
        server.ask("/nothing"),
        server.ask("/metrics"),
        server.ask("/openapi.json"),
        server.ask("/docs"),
    ]
    server.stop()
    assert not [answer for answer in texts if TOKEN.encode() in answer.body]
    assert TOKEN not in str(server.said) + str(server.log())
