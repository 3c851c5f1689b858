"""The description is valid, holds for what a fuzzer makes of it, and the page beside it works offline."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from components.serving import page
from tests.e2e import chromium
from tests.e2e.chromium import Chromium
from tests.serving.conftest import TOKEN, Server

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    ignored_auth,
]
PATHS = (
    "/predict",
    "/v2/models/toy/infer",
    "/v2/models/toy",
    "/v2/models/toy/ready",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/health",
    "/metrics",
)
NAMED = tuple(f"/v2/models/toy/versions/{{version}}{rest}" for rest in ("/infer", "", "/ready"))


@pytest.mark.parametrize("path", [*PATHS, *NAMED])
def test_every_route_is_as_described_for_whatever_a_fuzzer_sends(standing: Server, path: str):
    address = f"http://{standing.address}"
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    method = "POST" if path.endswith(("predict", "infer")) else "GET"
    operation = schema[path][method]
    # What breaks one alternative of a body may be right by another, and counts as broken there: the tables of bad input
    # say what is refused.
    checks = CHECKS if method == "GET" else [check for check in CHECKS if check is not negative_data_rejection]
    strategy = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    if path in NAMED:  # what a fuzzer makes up is hardly ever the version that is served
        strategy |= operation.as_strategy().map(served)

    @settings(
        max_examples=40, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, checks=checks)

    send()


def served(case: schemathesis.Case) -> schemathesis.Case:
    case.path_parameters = {"version": 1}
    return case


def test_what_the_description_allows_is_predicted_unless_the_features_refuse_it(standing: Server):
    operation = schemathesis.openapi.from_url(f"http://{standing.address}/openapi.json")["/predict"]["POST"]

    @settings(
        max_examples=40, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        answer = case.call(base_url=f"http://{standing.address}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200 or answer.json()["where"] == "features.py", answer.text

    send()


def test_the_description_holds_the_inputs_and_an_example_that_is_answered(standing: Server):
    found = standing.ask("/openapi.json").json()
    assert (found["openapi"], found["info"]["version"]) == ("3.1.0", "1")
    assert set(found["paths"]) == {*PATHS, *NAMED}
    row = found["components"]["schemas"]["Row"]
    assert row["required"] == ["x", "z", "kind"]
    assert row["examples"] == [
        {"x": pytest.approx(0, abs=0.3), "z": pytest.approx(0, abs=0.3), "kind": "text"}
    ]  # numbers of the baseline, and no text of it
    for path in PATHS[:2]:
        content = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert standing.ask(path, content["example"]).status == 200
    for path in NAMED:
        verb, operation = found["paths"][path].popitem()
        number = next(one["example"] for one in operation["parameters"] if one["in"] == "path")
        body = operation["requestBody"]["content"]["application/json"]["example"] if verb == "post" else None
        for version, status in ((number, 200), (number + 1, 404)):
            assert standing.ask(path.format(version=version), body).status == status


def test_the_page_asks_nobody_else_and_runs_its_own_script_only(standing: Server):
    answer = standing.ask("/docs", token=None)
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; connect-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert (
        "http" not in answer.body.decode().replace("http-equiv", "").replace("'s HTTP", "").lower().split("<script>")[0]
    )


def test_a_case_name_on_the_page_is_inert():
    assert b"<script>alert" not in page.html("<script>alert(1)</script>")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = chromium.binary()
    if program is None:
        pytest.skip("needs Chromium")
    with Chromium(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


def shown(browser: Chromium, script: str) -> str:
    """The value of an expression once it is there."""
    deadline = time.monotonic() + 30
    while not (found := browser.evaluate(script)):
        assert time.monotonic() < deadline, (script, browser.said)
        time.sleep(0.02)
    return str(found)


TEXT = "document.getElementById('{}').textContent"


@pytest.mark.servers
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_asks_and_shows_the_answer(standing: Server, browser: Chromium, width: int, scheme: str):
    browser.open(f"http://{standing.address}/docs", width, scheme)
    shown(browser, "document.body.dataset.begun")
    assert browser.evaluate(TEXT.format("checked")) == "Valid JSON, and every input is there."
    rows = "[...document.querySelectorAll('#inputs tr')].map(row => row.cells[2].textContent).join()"
    assert browser.evaluate(rows) == "yes,yes,yes"
    assert browser.evaluate(TEXT.format("state")) == "ready · version 1"
    browser.evaluate("document.getElementById('send').click()")
    assert "401" in shown(browser, f"/401/.test({TEXT.format('status')}) && {TEXT.format('status')}")
    browser.evaluate(f"document.getElementById('token').value = '{TOKEN}'; document.getElementById('send').click()")
    assert "version 1" in shown(browser, f"/200 OK/.test({TEXT.format('status')}) && {TEXT.format('status')}")
    assert '"decision": "' in browser.evaluate(TEXT.format("answer"))
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert [address for address in browser.asked if not address.startswith(f"http://{standing.address}/")] == []
    assert [line for line in browser.said if "401" not in line] == []


@pytest.mark.servers
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"instances": [', "Line 1, column 16"),
        ("{}", '"instances" must be an array of at least one row'),
        ('{"instances": [{"x": 1, "z": 2}]}', 'row 0: "kind" must be given; null where it is missing'),
        ('{"instances": [{"x": "1", "z": 2, "kind": null}]}', 'row 0: "x" must be a number'),
        ('{"instances": [{"x": 1, "z": 2, "kind": null, "y": 1}]}', 'row 0: "y" is no input of the model'),
    ],
)
def test_what_is_typed_is_checked_in_the_browser(standing: Server, browser: Chromium, text: str, told: str):
    browser.open(f"http://{standing.address}/docs", 800, "light")
    shown(browser, "document.body.dataset.begun")
    browser.evaluate(
        f"document.getElementById('body').value = {text!r}; document.getElementById('body').dispatchEvent(new Event('input'))"
    )
    found = browser.evaluate(TEXT.format("checked"))
    assert told in found or (told.startswith("Line") and "JSON" in found)
    assert browser.evaluate("document.getElementById('body').getAttribute('aria-invalid')") == "true"
