"""What the server refuses, and how it says so: one process for all."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.serving.conftest import TOKEN, Server

pytestmark = pytest.mark.slow

ROW = {"x": 1, "z": 0, "kind": "p"}
JSON = "application/json"


def body(row: str) -> bytes:
    return f'{{"instances": [{row}]}}'.encode()


BAD = {
    "no JSON": (b"x=1", "'body' must be JSON."),
    "empty": (b"", "'body' must be JSON."),
    "no object": (b"[]", "'body' must be an object. Got []."),
    "no instances": (b"{}", "'instances' must be an array of at least one row. Got nothing."),
    "instances of another type": (b'{"instances": {}}', "'instances' must be an array of at least one row. Got {}."),
    "no rows": (b'{"instances": []}', "'instances' must be an array of at least one row. Got []."),
    "unknown key": (b'{"instances": [[1, 2, "p"]], "extra": 1}', "'extra' must be one of instances, parameters."),
    "narrow array": (body("[1, 2]"), "'row 0' must have 3 values. Got '2 values'."),
    "wide array": (body('[1, 2, "p", 4]'), "'row 0' must have 3 values. Got '4 values'."),
    "missing input": (body('{"x": 1, "kind": "p"}'), "row 0: 'z' must be given; null where it is missing."),
    "unknown input": (body('{"x": 1, "z": 0, "kind": "p", "y": 1}'), "row 0: 'y' must be an input of the model."),
    "string for float": (body('{"x": "1", "z": 0, "kind": "p"}'), "row 0: 'x' must be a finite number. Got '1'."),
    "object for float": (body('{"x": {}, "z": 0, "kind": "p"}'), "row 0: 'x' must be a finite number. Got {}."),
    "fraction for text": (body('{"x": 1, "z": 0, "kind": 0.5}'), "row 0: 'kind' must be UTF-8 text. Got 0.5."),
    "key twice in a row": (body('{"x": 1, "z": 0, "kind": "p", "x": 2}'), "'x' must stand once in its object."),
    "key twice outside": (b'{"instances": [], "instances": [[1, 2, "p"]]}', "'instances' must stand once"),
    "key twice behind an escape": (body(r'{"x": 1, "z": 0, "kind": "\u003a", "\u0078": 2}'), "'x' must stand once"),
    "NaN": (body("[NaN, 0, null]"), "'body' must be JSON."),
    "Infinity": (body("[Infinity, 0, null]"), "'body' must be JSON."),
    "1e999": (body("[1e999, 0, null]"), "'body' must be JSON."),
    "4,301 digits": (body(f"[{'9' * 4301}, 0, null]"), "'body' must be JSON."),
    "100,000 brackets": (b"[" * 100_000, "'body' must be JSON."),
    "900 brackets": (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", "'row 0' must have 3 values."),
    "900 brackets that hide a colon": (b'{"instances": [[1, 0, ' + b'[' * 900 + b'":"' + b"]" * 902 + b"}", "'body' must be nested less deep."),
    "1,000 brackets": (b"[" * 1_000 + b"]" * 1_000, "'body' must be an object. Got a list, deeply nested."),
    "1,000 brackets for a number": (body("[" + "[" * 1_000 + "]" * 1_000 + ", 0, null]"), "row 0: 'x' must be a finite number. Got a list, deeply nested."),
    "a long key": (b'{"' + b"k" * 10_000 + b'": 1, "instances": [[1, 0, "p"]]}', "'kkk"),
    "bytes that are no text": (b'{"instances": [[1, 0, "\xff"]]}', "'body' must be JSON."),
    "half a surrogate pair": (body(r'[1, 0, "\ud800"]'), "'body' must be JSON."),
    "unknown parameter": (b'{"instances": [[1, 0, "p"]], "parameters": {"a": 1}}', "parameters: 'a' must be a parameter: probabilities, id."),
    "parameters of another type": (b'{"instances": [[1, 0, "p"]], "parameters": []}', "'parameters' must be an object. Got []."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_body_is_a_400_that_names_what_is_wrong(standing: Server, case: str):
    sent, told = BAD[case]
    answer = standing.ask("/predict", sent, Content_Type=JSON)
    assert (answer.status, answer.headers["content-type"]) == (400, JSON)
    assert answer.error.startswith(told), answer.error
    assert answer.json().keys() >= {"error", "parameter", "rule", "value", "remedy"}
    assert len(answer.body) < 1500
    assert answer.headers["x-model-version"] == "1"


HEADERS = {
    "form": (415, {"Content_Type": "application/x-www-form-urlencoded"}, "'content-type' must be application/json"),
    "text": (415, {"Content_Type": "text/plain"}, "'content-type' must be application/json"),
    "latin-1": (415, {"Content_Type": "application/json; charset=latin-1"}, "'content-type' must be application/json"),
    "gzip": (415, {"Content_Encoding": "gzip"}, "'content-encoding' must be identity. Got 'gzip'."),
    "long id": (400, {"x_request_id": "a" * 129}, "'id' must be at most 128 visible ASCII characters."),
    "empty id": (400, {"x_request_id": ""}, "'id' must be at most 128 visible ASCII characters."),
    "id with an umlaut": (400, {"x_request_id": "\xe4"}, "'id' must be at most 128 visible ASCII characters."),
    "binary on Vertex's route": (400, {"Inference_Header_Content_Length": "31"}, "'Inference-Header-Content-Length' must not be sent here."),
    "no length": (400, {"Inference_Header_Content_Length": "-1"}, "'Inference-Header-Content-Length' must be a whole number of bytes."),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_at_fault_is_named(standing: Server, case: str):
    status, headers, told = HEADERS[case]
    answer = standing.ask("/predict", b'{"instances": [[1, 0, "p"]]}   ', **headers)
    assert (answer.status, answer.error[: len(told)]) == (status, told)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', None]
)
def test_json_in_utf_8_is_taken_however_it_is_named(standing: Server, kind: str | None):
    headers = {} if kind is None else {"Content_Type": kind}
    assert standing.predict(ROW, **headers).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/predict", "GET", 405),
        ("/predict", "DELETE", 405),
        ("/v2/models/toy/infer", "GET", 405),
        ("/health", "POST", 405),
        ("/docs", "PUT", 405),
        ("/", "GET", 404),
        ("/nothing", "POST", 404),
        ("/v2/models/other", "GET", 404),
        ("/v2/models/other/infer", "POST", 404),
        ("/v2/models/toy/versions/2/infer", "POST", 404),
        ("/v2/models/toy/versions/2/ready", "GET", 404),
        ("/v2/models/toy/versions/one", "GET", 404),
        ("/v2/models/toy/versions/1/what", "GET", 404),
        ("/v2/models/%2e%2e/infer", "POST", 404),
        ("/predict/", "POST", 404),
    ],
)
def test_another_route_or_method_is_told(standing: Server, path: str, method: str, status: int):
    sent = {"inputs": []} if method == "POST" else None
    answer = standing.ask(path, sent, method=method)
    assert answer.status == status
    assert answer.json()["remedy"]
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize(
    "token",
    ["wrong", TOKEN + "x", TOKEN[:-1], "x" * 10_000, "\xfc\xf1\xed", "", f" {TOKEN}"],
    ids=["wrong", "longer", "shorter", "long", "non-ASCII", "empty", "spaced"],
)
@pytest.mark.parametrize("path", ["/predict", "/metrics", "/v2/models/toy/infer"])
def test_another_token_is_a_401_that_shows_neither(standing: Server, token: str, path: str):
    answer = standing.ask(path, None if path == "/metrics" else {"instances": [ROW]}, token=token)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.error == "'authorization' must be Bearer and the server's token. Got 'another'. Send the token."
    assert TOKEN not in answer.body.decode()


def test_no_token_is_a_401_and_other_schemes_too(standing: Server):
    assert standing.predict(ROW, token=None).status == 401
    assert standing.predict(ROW, token=None, Authorization=f"Basic {TOKEN}").status == 401
    assert standing.predict(ROW, token=None, Authorization=TOKEN).status == 401
    assert standing.predict(ROW, token=None, Authorization=f"bearer {TOKEN}").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/toy",
        "/v2/models/toy/ready",
        "/v2/models/toy/versions/1/ready",
        "/openapi.json",
        "/docs",
    ],
)
def test_what_says_how_to_ask_is_free(standing: Server, path: str):
    assert standing.ask(path, token=None).status == 200


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_size(standing: Server):
    told = "'body' must hold at most 200000 bytes."
    answer = standing.ask("/predict", b" " * 200_001)
    assert (answer.status, answer.error[: len(told)], answer.headers["connection"]) == (413, told, "close")
    chunked = b"".join(b"1000\r\n" + b" " * 4096 + b"\r\n" for _ in range(60)) + b"0\r\n\r\n"
    assert raw(standing, head("Transfer-Encoding: chunked") + chunked)[0] == 413


def test_rows_over_the_limit_are_refused(standing: Server):
    answer = standing.predict(*[ROW] * 101)
    assert (answer.status, answer.json()["parameter"]) == (413, "instances")
    assert len(standing.predict(*[ROW] * 100).json()["predictions"]) == 100


def test_a_head_over_the_limit_is_refused(standing: Server):
    assert raw(standing, head(*[f"X-{i}: {'x' * 1000}" for i in range(20)]))[0] == 431
    assert raw(standing, b"GET /health?" + b"x" * 20_000)[0] == 431


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_and_the_end_of_the_connection(standing: Server, sent: bytes):
    status, headers, text = raw(standing, sent)
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(text)["remedy"]


def test_pipelined_requests_are_answered_in_their_order(standing: Server):
    one = b"POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nX-Request-Id: %d\r\n\r\n%s"
    content = b'{"instances": [[1, 0, "p"]]}'
    sent = [one % (TOKEN.encode(), len(content), i, content) for i in range(200)]
    sent.insert(100, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    sent.append(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    text = exchanged(standing, b"".join(sent))
    assert [int(part.split(b"\r\n")[0]) for part in text.split(b"x-request-id: ")[1:]] == list(range(200))
    assert text.count(b"HTTP/1.1 200 OK") == 202


def test_head_and_http_1_0_are_answered(standing: Server):
    head_only = exchanged(standing, b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert head_only.endswith(b"\r\n\r\n")
    assert b"content-length: 14\r\n" in head_only
    assert exchanged(standing, b"GET /health HTTP/1.0\r\n\r\n").endswith(b'{"ready":true}')


def test_a_client_that_waits_for_100_continue_gets_it(standing: Server):
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as client:
        client.sendall(head("Content-Length: 28", "Expect: 100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b'{"instances": [[1, 0, "p"]]}')
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_stops_sending_still_gets_its_answer(standing: Server):
    with socket.create_connection(("127.0.0.1", standing.port), timeout=10) as client:
        client.sendall(head("Content-Length: 28") + b'{"instances": [[1, 0, "p"]]}')
        client.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: client.recv(1000), b"")).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_may_be_named_in_its_parameters(standing: Server):
    named = standing.ask("/predict", {"instances": [ROW], "parameters": {"id": "flight 7"}}, x_request_id="other")
    assert (named.status, named.headers["x-request-id"]) == (200, "flight 7")
    nameless = standing.ask("/predict", {"instances": [ROW], "parameters": {"id": None}}, x_request_id="other")
    assert (nameless.status, nameless.headers["x-request-id"]) == (200, "other")


@pytest.mark.parametrize("id", [7, "", "x" * 129, "é", ["a"]])
def test_a_name_that_is_none_is_refused(standing: Server, id: object):
    answer = standing.ask("/predict", {"instances": [ROW], "parameters": {"id": id}})
    assert answer.status == 400
    assert answer.error.startswith("'id' must be at most 128 visible ASCII characters.")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_probabilities_come_where_they_are_asked_for(standing: Server, at: int):
    wanted: Any = [None, {"probabilities": False}, {"probabilities": True}][at]
    (found,) = standing.ask("/predict", {"instances": [ROW], "parameters": wanted}).json()["predictions"]
    assert ("probabilities" in found) == (at == 2)
    assert at != 2 or found["probabilities"] == pytest.approx([1 - found["score"], found["score"]], abs=1e-6)


def test_no_request_of_this_file_was_an_error_of_the_server(standing: Server):
    assert not [key for key in standing.metrics() if 'status="500"' in key]
    assert standing.process.poll() is None


def head(*lines: str) -> bytes:
    """The head of a predict request with these lines."""
    first = ["POST /predict HTTP/1.1", "Host: a", f"Authorization: Bearer {TOKEN}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def exchanged(server: Server, sent: bytes) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def raw(server: Server, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer before the server closes."""
    text, _, content = exchanged(server, sent).partition(b"\r\n\r\n")
    status, *lines = text.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), content
