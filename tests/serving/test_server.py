"""The server as its clients meet it: a process of its own on a free port."""

from __future__ import annotations

import pytest

from tests.serving.conftest import Serve
from tests.toy import Toy

pytestmark = pytest.mark.slow


def test_a_promoted_version_is_served_logged_and_counted(toy: Toy, serve: Serve):
    toy.promote(toy.model("first"))
    server = serve(toy)
    answer = server.predict({"x": 1, "z": 0.5, "kind": "p"}, x_request_id="one")
    assert (answer.status, answer.headers["x-request-id"], answer.headers["x-model-version"]) == (200, "one", "1")
    (found,) = answer.json()["predictions"]
    assert found == {"score": pytest.approx(0.982, abs=1e-3), "decision": "1"}
    assert server.metrics()['esteira_rows_total{role="champion",version="1"}'] == 1
    assert server.stop() == 0
    (line,) = server.logged(id="one")
    assert line["inputs"] == [{"x": 1, "z": 0.5, "kind": "p"}]
    assert (line["version"], line["role"], line["status"]) == (1, "champion", 200)
    assert (line["score"], line["decision"]) == ([found["score"]], ["1"])
    assert server.log()[-1] == {"dropped": 0}
