"""Messages as events and labels; what is neither is told with its reason and its own bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.adapters.ports import Message
from components.core import events
from components.streaming.decode import Decoded, Decoder

from .conftest import START, Stream, event

FIRST = 100


@pytest.fixture
def decode(stream: Stream) -> Decoder:
    return Decoder(stream.case)


def row(decoded: Decoded, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = decoded.rows.slice(place, 1).to_pylist()[0]
    return found


def test_an_event_has_its_offset_as_arrival_and_no_label_whatever_it_brings(decode: Decoder, stream: Stream) -> None:
    found = decode([event(1, 30.0, y=1.0, lands=5.0)], FIRST)
    assert found.letters == ()
    assert found.rows.schema.names[:-3] == events.schema(stream.case).names
    made = row(found)
    assert (made["_entity"], made["_arrival"], made["_time"]) == ("c1", FIRST, (START + 30) * 1_000_000)
    assert [made[n] for n in ("y", "lands", "_label_time", "_label_arrival")] == [None] * 4


def test_a_label_stands_alone_with_its_offset_and_the_time_at_which_it_lands(decode: Decoder) -> None:
    made = row(decode([event(1, 30.0, label=90.0)], FIRST))
    assert (made["_arrival"], made["_label_arrival"], made["y"]) == (None, FIRST, -0.5)
    assert made["_label_time"].timestamp() == START + 120
    assert made["_time"] == (START + 120) * 1_000_000


def test_a_label_that_lands_before_its_event_counts_from_its_event(decode: Decoder) -> None:
    made = row(decode([event(1, 30.0, label=-10.0)], FIRST))
    assert (made["_label_time"].timestamp(), made["_time"]) == (START + 20, (START + 30) * 1_000_000)


def test_the_key_is_the_producers_id_or_the_entity_and_a_label_never_repeats_its_event(decode: Decoder) -> None:
    plain = event(1, 30.0)
    sent = [plain, Message(plain.data, {"id": "own"}), event(1, 30.0, label=1.0)]
    assert decode(sent, 0).rows.column("_key").to_pylist() == ["event:c1", "event:own", "label:c1"]


BAD = {
    b"{": "'data' must be a JSON object. Got 'unexpected end of data: line 1 column 2 (char 1)'.",
    b"[1]": "'data' must be a JSON object. Got 'a JSON list'.",
    b'{"code": "a", "at": "soon"}': "'at' must be an ISO 8601 time. Got 'soon'.",
    b'{"at": "2020-01-01"}': "'code' must not be missing.",
    b'{"code": "a", "at": "2020-01-01", "x": "much"}': "'x' must be a finite number. Got 'much'.",
    b'{"code": "a", "at": "1020-01-01"}': "'event_time' must lie in the years 1900 to 2200. Got at = 1020-01-01T00:00:00Z.",
}


def test_what_is_no_event_is_a_letter_with_the_reason_and_the_bytes(decode: Decoder) -> None:
    sent = [event(1, 1.0), *(Message(raw) for raw in BAD), event(2, 2.0)]
    found = decode(sent, FIRST)
    assert {letter.raw: letter.reason for letter in found.letters} == BAD
    assert [letter.offset for letter in found.letters] == list(range(FIRST + 1, FIRST + 1 + len(BAD)))
    assert {letter.step for letter in found.letters} == {"decode"}
    assert found.rows.column("_offset").to_pylist() == [FIRST, FIRST + 1 + len(BAD)]


def test_a_message_of_another_kind_and_a_label_without_one_are_letters(decode: Decoder) -> None:
    unlabelled = Message(event(1, 1.0).data, {"kind": "label"})
    reasons = [letter.reason for letter in decode([Message(b"{}", {"kind": "x"}), unlabelled], 0).letters]
    assert reasons == [
        "'kind' must be 'event' or 'label'. Got 'x'.",
        "'y' must be there: the message is a label. Got nothing.",
    ]


def test_a_label_whose_landing_is_not_known_is_a_letter(decode: Decoder) -> None:
    sent = json.loads(event(1, 1.0, label=1.0).data) | {"lands": None}
    reasons = [letter.reason for letter in decode([Message(json.dumps(sent).encode(), {"kind": "label"})], 0).letters]
    assert reasons == ["'label.matures' must be known: the message is a label. Got nothing."]


def test_what_the_case_requires_must_be_there(stream: Stream) -> None:
    decode = Decoder(stream.case.model_copy(update={"require": ("z",)}))
    reasons = [letter.reason for letter in decode([event(1, 1.0, z=None)], 0).letters]
    assert reasons == ["'z' must be there: the case requires it. Got nothing."]


def test_a_message_from_the_future_is_a_letter_and_one_of_a_fast_clock_is_not(decode: Decoder) -> None:
    arrived = START * 1_000_000
    sent = [
        replace(m, arrived=arrived)
        for m in (event(1, 3600.0), event(2, 3600.000001), event(3, 10.0, label=4000.0), event(4, -4e8))
    ]
    found = decode([*sent, event(5, 1e9)], FIRST)
    assert found.rows.column("_offset").to_pylist() == [FIRST, FIRST + 3, FIRST + 4]
    assert [(letter.offset, letter.reason) for letter in found.letters] == [
        (
            FIRST + 1,
            "'time' must be at most 2020-09-13T13:26:40Z, an hour after the message arrived. "
            "Got 2020-09-13T13:26:40.000001Z.",
        ),
        (
            FIRST + 2,
            "'time' must be at most 2020-09-13T13:26:40Z, an hour after the message arrived. Got 2020-09-13T13:33:30Z.",
        ),
    ]


def test_no_messages_are_no_rows(decode: Decoder) -> None:
    assert (decode([], 0).rows.num_rows, decode([], 0).letters) == (0, ())


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.lists(st.integers(), max_size=1)
)
objects = st.dictionaries(st.sampled_from(["code", "at", "x", "kind", "y", "lands", "more"]), values)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.lists(st.binary(max_size=40) | objects.map(lambda o: json.dumps(o).encode()), max_size=6),
    label=st.booleans(),
)
def test_whatever_comes_each_message_is_a_row_or_a_letter(decode: Decoder, sent: list[bytes], label: bool) -> None:
    kind = {"kind": "label"} if label else {}
    found = decode([Message(data, kind) for data in sent], FIRST)
    places = [letter.offset for letter in found.letters] + found.rows.column("_offset").to_pylist()
    assert sorted(places) == list(range(FIRST, FIRST + len(sent)))
    assert all(letter.raw == sent[letter.offset - FIRST] and letter.reason for letter in found.letters)
    assert isinstance(found.rows, pa.Table)
