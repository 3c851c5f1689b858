"""What is kept of live predictions: the servers' log under Blobs, and one table per case that server and stream fill.

The servers' log is JSON lines in segments, `inference/CASE/SERVER/00000001.jsonl`, each written once. SERVER names one
run of a server; `taken.json` beside its segments says whose rows the table has, and some time after they are deleted.
One line is one request: {"id", "at" (seconds since 1970), "version", "role", "status" (HTTP), "ms" (latency), "inputs"
(a list with one object of the model's inputs per row), "score" ([float]), "decision" ([str])}; inputs, score and
decision are absent of a failed one. What a full queue refused is no version's fault and in no line. A segment's last
line is {"dropped": requests that this server has not logged so far}.

The table `live_CASE` has one row per prediction: the columns of `COLUMNS`, then the model's inputs by name.
"""

from __future__ import annotations

from typing import Literal

DEAD_LETTER = "dead_letter_"
"""How the names of the tables of dead letters begin."""
Role = Literal["champion", "challenger", "named"]
"""As what the version answered; "named": the request asked for it outright, so that no canary may count it."""

COLUMNS = {
    "_id": "string",
    "_at": "timestamp[us, tz=UTC]",
    "_source": "string",
    "_arrival": "int64",
    "_event_time": "timestamp[us, tz=UTC]",
    "_version": "int64",
    "_role": "string",
    "_status": "int64",
    "_latency_ms": "double",
    "_score": "double",
    "_decision": "string",
}
"""Name and Arrow type. `_id` is the request's id (the event's entity in the stream), `_source` "server" or "stream";
`_arrival` is the log's offset, of a server's row what tells it from the others of its log; `_event_time` is the
stream's, null for the server's."""


def log_prefix(case: str) -> str:
    """Under which the servers' segments lie in Blobs."""
    return f"inference/{case}/"


def table(case: str) -> str:
    """Every live prediction."""
    return f"live_{case.replace('-', '_')}"


def labels_table(case: str) -> str:
    """Labels as they land: `_id` (the event's entity), `_event_time`, `_label_time`, `_label`, `_arrival`."""
    return f"labels_{case.replace('-', '_')}"


def dead_letter_table(case: str) -> str:
    """What the stream did not take: `reason`, `raw`, `_arrival` (the log's offset), `_at`, `step`.

    Of the servers' log, the requests with an input of another type than the live models', or than the live table, have.
    """
    return f"{DEAD_LETTER}{case.replace('-', '_')}"
