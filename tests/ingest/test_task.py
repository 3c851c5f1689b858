"""Whole runs of ingest: what is published, what goes to the dead letter, what is refused."""

from __future__ import annotations

import gzip
import io
import shutil
import zipfile

import pytest

from components.core import shards
from tests.ingest.conftest import FULL_DAY, HEADER, Desk, csv_of, jsonl_of, order, parquet_of

DAY = [order(number) for number in range(0, 1440, 30)]


def test_events_are_typed_sorted_and_have_their_own_columns(desk: Desk):
    desk.put("orders.csv", HEADER + "b,2024-01-01T23:59:00+01:00,2.5,,0,\na,2024-01-01 23:00,1e1,Faro,TRUE,3\n")
    desk.run()
    first, second = desk.rows()
    assert list(first) == [*desk.case["columns"], "_entity", "_event_time", "_arrival", "_label_time", "_label_arrival"]
    assert (first["id"], first["amount"], first["city"], first["vip"], first["late"]) == ("b", 2.5, None, False, None)
    assert (second["id"], second["amount"], second["vip"]) == ("a", 10.0, True)
    assert [r["_event_time"].isoformat() for r in (first, second)] == [
        "2024-01-01T22:59:00+00:00",
        "2024-01-01T23:00:00+00:00",
    ]
    assert first["_arrival"] == int(first["_event_time"].timestamp() * 1e6)
    assert first["_label_time"] is None
    assert second["_label_time"] == second["_event_time"]


@pytest.mark.parametrize("name", ["orders.csv", "orders.jsonl", "orders.parquet"])
@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
def test_formats_and_compressions_give_one_digest(desk: Desk, name: str, packed: str):
    desk.put("orders.csv", csv_of(DAY))
    plain = desk.run().parameters["snapshot"]
    data = {"csv": csv_of, "jsonl": jsonl_of, "parquet": parquet_of}[name.split(".")[1]](DAY)
    if packed == ".gz":
        data = gzip.compress(data)
    elif packed == ".zip":
        data = zipped({f"inside/{name}": data, "__MACOSX/._orders.csv": b"x"})
    desk.put(f"other/{name}{packed}", data)
    desk.case["source"]["path"] = f"other/{name}{packed}"
    desk.job = "job-2"
    result = desk.run()
    assert not result.reused
    assert result.parameters["snapshot"] == plain


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


@pytest.mark.parametrize("path", ["days", "days/*.csv", "days/**/*.csv*"])
def test_a_folder_or_glob_is_all_its_files(desk: Desk, path: str):
    desk.put("days/1.csv", csv_of(DAY[:20]))
    desk.put("days/2.csv", csv_of(DAY[20:]))
    desk.put("days/_SUCCESS", "")
    desk.case["source"]["path"] = path
    desk.run()
    assert desk.counts["good"] == len(DAY)
    assert [row[0] for row in desk.manifest().info["sources"]] == ["days/1.csv", "days/2.csv"]


def test_columns_in_another_order_and_beyond_the_declared_do_not_matter(desk: Desk):
    desk.put("orders.csv", "\ufeffextra,late,vip,city,amount,at,id,extra\n9,1,1,Porto,2,2024-01-01T23:59,x,8\n")
    desk.run()
    assert [desk.column(name) for name in ("id", "amount", "city")] == [["x"], [2.0], ["Porto"]]


def test_quotes_hold_delimiters_and_line_ends(desk: Desk):
    desk.put("orders.csv", HEADER + 'a,2024-01-01T23:59:00Z,1,"Vila, ""Nova""\r\nde Gaia",true,0\n')
    desk.run()
    assert desk.column("city") == ['Vila, "Nova"\r\nde Gaia']


def test_bad_records_go_to_the_dead_letter_with_reason_line_and_their_own_bytes(desk: Desk):
    lines = [
        b"a,2024-01-01T00:00:00Z,1,Porto,true,0",
        b'b,2024-01-01T01:00:00Z,1_000,"two\nlines",true,0',
        b"c,2024-01-01T01:00:00Z,1",
        b"d,2024-01-01T01:00:00Z,1,Porto,true,0,more",
        b"e,2024-01-01T01:00:00Z,1,Lisb\xffa,true,0",
        b"f,,1,Porto,true,0",
        b"g,yesterday,1,Porto,true,0",
        b"h,2024-01-01T01:00:00Z,inf,Porto,true,0",
        b"i,2024-01-01T01:00:00Z,1,Porto,perhaps,0\r",
        b"j,2500-01-01T01:00:00Z,1,Porto,true,0",
        b"k,2024-01-01T23:59:00Z,1,Porto,true,0",
    ]
    desk.case["source"]["bad_ratio"] = 0.9
    desk.put("orders.csv", HEADER.encode() + b"\n".join(lines))
    desk.run()
    assert desk.column("id") == ["a", "k"]
    assert desk.counts | {"read": 11, "good": 2, "dead_letter": 9} == desk.counts
    assert desk.reasons() == [
        (5, lines[2], "'record' must have 6 fields. Got 3."),
        (6, lines[3], "'record' must have 6 fields. Got 7."),
        (3, lines[1], "'amount' must be a finite number. Got '1_000'."),
        (7, lines[4], "'city' must be UTF-8 text. Got b'Lisb\\xffa'."),
        (8, lines[5], "'at' must not be missing."),
        (9, lines[6], "'at' must be an ISO 8601 time. Got 'yesterday'."),
        (10, lines[7], "'amount' must be a finite number. Got 'inf'."),
        (11, lines[8].rstrip(), "'vip' must be true or false. Got 'perhaps'."),
        (12, lines[9], "'event_time' must lie in the years 1900 to 2200. Got at = 2500-01-01T01:00:00Z."),
    ]
    assert {(row["source"], row["step"]) for row in desk.rows("dead_letter")} == {("orders.csv", "ingest")}


def test_bad_json_lines_go_to_the_dead_letter(desk: Desk):
    lines = [
        b'{"id": 7, "at": "2024-01-01T23:59:00Z", "amount": NaN, "vip": 1}',
        b'{"id": "x", "at": "2024-01-01T01:00:00Z", "amount": true}',
        b'{"id": 1.5, "at": "2024-01-01T01:00:00Z"}',
        b'{"id": ["a"], "at": "2024-01-01T01:00:00Z"}',
        b'{"id": "\\ud800", "at": "2024-01-01T01:00:00Z"}',
        b'{"id": "y", "at": 1704067200}',
        b"[1, 2]",
        b'{"id": "z"',
        b'{"id": "\xff"}',
        b'{"id": "w", "at": "2024-01-01T01:00:00Z", "amount": 1e999, "city": ""}',
    ]
    desk.case["source"] |= {"path": "orders.jsonl", "bad_ratio": 0.9}
    desk.put("orders.jsonl", b"\n".join(lines))
    desk.run()
    assert [desk.column(name) for name in ("id", "amount", "vip")] == [["7"], [None], [True]]
    found = {position: (raw, reason) for position, raw, reason in desk.reasons()}
    assert {position: raw for position, (raw, _) in found.items()} == {i + 1: lines[i] for i in range(1, 10)}
    assert [found[i][1] for i in (2, 3, 4, 6, 10)] == [
        "'amount' must be a finite number. Got 'true'.",
        "'id' must be UTF-8 text. Got 1.5.",
        "'id' must be UTF-8 text. Got ['a'].",
        "'at' must be an ISO 8601 time. Got '1704067200'.",
        "'amount' must be a finite number. Got 'inf'.",
    ]
    assert found[7][1] == "'record' must be a JSON object. Got 'a JSON list'."
    assert all(found[i][1].startswith("'record' must be a JSON object.") for i in (8, 9))


def test_bad_parquet_rows_go_to_the_dead_letter_as_json(desk: Desk):
    rows = [order(1439, id=1), order(3, id=2, amount=float("inf")), order(4, id=None)]
    desk.case["source"] |= {"path": "orders.parquet", "bad_ratio": 0.9}
    desk.put("orders.parquet", parquet_of(rows))
    desk.run()
    assert desk.column("id") == ["1"]
    assert desk.reasons() == [
        (
            2,
            b'{"id": 2, "at": "2024-01-01T00:03:00Z", "amount": Infinity, "city": "Porto", "vip": false, "late": 1.0}',
            "'amount' must be a finite number. Got inf.",
        ),
        (
            3,
            b'{"id": null, "at": "2024-01-01T00:04:00Z", "amount": 1.0, "city": "Porto", "vip": true, "late": 1.0}',
            "'id' must not be missing.",
        ),
    ]


def test_over_the_bad_ratio_only_the_dead_letter_is_published(desk: Desk):
    desk.case["source"]["bad_ratio"] = 0.3
    desk.put("orders.csv", HEADER + FULL_DAY + "c,2024-01-01T01:00:00Z,x,,,\n")
    code, message = desk.fail()
    assert code == 3
    assert message == (
        "orders.csv: 'events' must have at most 30.000% bad rows. Got '1 of 3'. The first, in orders.csv at 4: "
        "'amount' must be a finite number. Got 'x'. Mend the source or the case; the dead letter holds them all."
    )
    assert [raw for _, raw, _ in desk.reasons()] == [b"c,2024-01-01T01:00:00Z,x,,,"]


def test_a_required_column_drops_rows_and_an_entity_comes_once(desk: Desk):
    desk.case["require"] = ["amount"]
    desk.put(
        "orders.csv",
        HEADER + FULL_DAY + "a,2023-12-31T10:00:00Z,5,,,\nb,2024-01-01T23:59:30Z,6,,,\nc,2024-01-01T10:00:00Z,,,,\n",
    )
    desk.run()
    assert desk.counts == {
        "read": 5, "good": 2, "dead_letter": 0, "duplicate": 2, "dropped": 1, "incomplete": 0, "outside": 0,
    }  # fmt: skip
    assert desk.column("amount") == [5.0, 2.0]  # the first by event time, where nothing tells the arrival


def test_of_an_entity_the_first_to_arrive_is_kept(desk: Desk):
    desk.case["columns"]["seq"] = {"type": "number", "missing": False}
    desk.case["arrival"] = "seq"
    rows = "a,2024-01-01T10:00:00Z,1,,,,2\na,2024-01-01T23:59:00Z,2,,,,1\nb,2024-01-01T11:00:00Z,3,,,,1.5\n"
    desk.put("orders.csv", HEADER.strip() + ",seq\n" + rows)
    desk.run()
    assert (desk.column("amount"), desk.column("_arrival")) == ([2.0], [1])
    assert [reason for _, _, reason in desk.reasons()] == [
        "'seq' must be a whole number: it is the order of arrival. Got 1.5."
    ]


def test_only_complete_periods_are_kept_to_train(desk: Desk):
    desk.put("orders.csv", HEADER + FULL_DAY + "c,2024-01-02T10:00:00Z,1,,,\n")
    result = desk.run()
    assert (desk.counts["good"], desk.counts["incomplete"]) == (2, 1)
    assert result.parameters["window_end"] == "2024-01-02T00:00:00Z"
    assert [p.key for p in desk.manifest().partitions] == ["2024-01-01"]


def test_a_named_window_is_taken_as_it_is(desk: Desk):
    desk.put("orders.csv", csv_of([order(n) for n in range(0, 3 * 1440, 60)]))
    result = desk.run(start="2024-01-01T12:00", stop="2024-01-02T06:00:00Z")
    assert (desk.counts["good"], desk.counts["outside"], desk.counts["incomplete"]) == (18, 54, 0)
    assert (result.parameters["window_start"], result.parameters["window_end"]) == (
        "2024-01-01T12:00:00Z",
        "2024-01-02T06:00:00Z",
    )


def test_references_are_sorted_tables_of_the_declared_columns(desk: Desk):
    desk.case["references"] = {
        "rates": {
            "source": {"path": "rates.csv", "bad_ratio": 0.5},
            "columns": {"place": {"type": "string"}, "day": {"type": "timestamp"}, "rate": {"type": "number"}},
            "by": {"city": "place"}, "time": "day", "within": "2d", "take": ["rate"],
        }
    }  # fmt: skip
    desk.put("orders.csv", HEADER + FULL_DAY)
    desk.put("rates.csv", "rate,x,place,day\n2,,b,2024-01-02\n1,,b,2024-01-01\n3,,a,2024-01-03\n4,,,2024-01-03\n")
    desk.run()
    manifest = desk.manifest("references")
    (file,) = manifest.files
    assert (file.path, file.rows) == ("rates.parquet", 3)
    table = shards.read_shard(desk.place("references"), file)
    assert table.schema.names == ["place", "day", "rate"]
    assert table.column("rate").to_pylist() == [3.0, 1.0, 2.0]
    assert [(row["source"], row["reason"]) for row in desk.rows("dead_letter")] == [
        ("rates.csv", "'place' must not be missing.")
    ]


REFUSED = {
    "missing object": (None, "'source' must exist. Got 'orders.csv'. Check the path"),
    "empty file": (b"", "orders.csv: 'source' must hold data. Got 'an empty file'."),
    "header alone": (HEADER.encode(), "orders.csv: 'events' must hold at least one row. Got 0."),
    "UTF-16": ((HEADER + FULL_DAY).encode("utf-16"), "orders.csv: 'encoding' must be UTF-8. Got 'UTF-16'. Convert it"),
    "no UTF-8 header": (b"id,\xff\n1,2\n", "orders.csv: 'header' must be UTF-8."),
    "no such column": (
        b"id,at,amount,city,vip\n",
        "orders.csv: 'late' must be a column of the source. Got 'id, at, amount, city, vip'. Add it to the file",
    ),
    "duplicate header": (b"id,at,amount,city,vip,late,at\n", "orders.csv: 'at' must be one column. Got '2 of that"),
    "quote left open": (
        (HEADER + FULL_DAY + 'c,2024-01-01T01:00:00Z,1,"Porto,true,0\n' + FULL_DAY).encode(),
        "orders.csv: 'quote' must be closed. Got 'one left open in the record from line 4'. Close it",
    ),
    "quote that swallows rows": (
        (HEADER + 'c,2024-01-01T01:00:00Z,1,"P\n' + FULL_DAY * 600 + 'd",2\n').encode(),
        "orders.csv: 'quote' must be closed within 1000 lines. Got 'one left open in the record from line 2'. Close",
    ),
    "all dropped": (
        (HEADER + "a,2024-01-01T00:00:00Z,,Porto,true,0\n").encode(),
        "orders.csv: 'events' must hold at least one event. Got '1 dropped'. Check 'require'",
    ),
    "no complete period": (
        (HEADER + "a,2024-01-01T06:00:00Z,1,Porto,true,0\n").encode(),
        "orders.csv: 'events' must fill at least one day, or the window that is named. Got 'the newest at 2024-01-01T06",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_by_name(desk: Desk, fault: str):
    data, message = REFUSED[fault]
    desk.case["require"] = ["amount"]
    if data is not None:
        desk.put("orders.csv", data)
    code, found = desk.fail()
    assert (code, found[: len(message)]) == (3, message)


def test_a_window_after_the_newest_event_is_refused_by_that_events_time(desk: Desk):
    desk.put("orders.csv", HEADER + FULL_DAY)
    code, found = desk.fail(start="2030-01-01")
    assert (code, found) == (
        3,
        "orders.csv: 'events' must reach into the window, which begins at 2030-01-01T00:00:00Z. "
        "Got 'the newest at 2024-01-01T23:59:00.000000'. Name an earlier start (--from), or give newer events.",
    )


PACKED = {
    "truncated gzip": ("o.csv.gz", gzip.compress(csv_of(DAY))[:-20], "'archive' must be whole. Got 'EOFError"),
    "no gzip": ("o.csv.gz", csv_of(DAY), "'archive' must be whole. Got 'BadGzipFile"),
    "no zip": ("o.zip", csv_of(DAY), "'archive' must be whole. Got 'BadZipFile"),
    "empty zip": ("o.zip", zipped({}), "'archive' must hold 1 to 10000 files. Got 0."),
    "..": ("o.zip", zipped({"a/../../o.csv": csv_of(DAY)}), "'archive' must hold only relative names without '..'."),
    "absolute": ("o.zip", zipped({"/etc/o.csv": csv_of(DAY)}), "'archive' must hold only relative names without '..'."),
    "backslash": ("o.zip", zipped({"..\\o.csv": csv_of(DAY)}), "'archive' must hold only relative names without '..'."),
    "zip in a zip": ("o.zip", zipped({"o.zip": zipped({"o.csv": b""})}), "'source' must end in .csv, .jsonl, .ndjson"),
    "other ending": ("o.txt", csv_of(DAY), "'source' must end in .csv, .jsonl, .ndjson, .parquet, with or without .gz"),
    "no Parquet": ("o.parquet", csv_of(DAY), "'source' must be readable as Parquet. Got"),
}


@pytest.mark.parametrize("fault", PACKED)
def test_a_file_that_is_not_what_it_says_is_refused(desk: Desk, fault: str):
    name, data, message = PACKED[fault]
    desk.put(name, data)
    desk.case["source"]["path"] = name
    code, found = desk.fail()
    assert code == 3
    assert found.startswith(name)
    assert message in found


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_refused(desk: Desk, method: int):
    data = bytearray(zipped({"o.csv": csv_of(DAY)}, method))
    data[60:70] = b"0123456789"
    desk.put("o.zip", bytes(data))
    desk.case["source"]["path"] = "o.zip"
    code, found = desk.fail()
    assert code == 3
    assert found.startswith("o.zip!o.csv: 'archive' must be whole.")


@pytest.mark.parametrize("name", ["o.csv.gz", "o.zip"])
def test_an_archive_over_the_cap_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr("components.adapters.reading.expand.ALWAYS", 10_000)
    data = HEADER.encode() + b"a,2024-01-01T23:59:00Z,1,,,\n" * 100_000
    desk.put(name, gzip.compress(data) if name.endswith("gz") else zipped({"o.csv": data}))
    desk.case["source"]["path"] = name
    code, found = desk.fail()
    assert code == 3
    assert "'archive' must expand to at most " in found
    assert "Give it unpacked, if it is what it should be." in found


def test_a_json_column_that_is_in_no_record_is_refused(desk: Desk):
    desk.case["source"]["path"] = "orders.jsonl"
    desk.put("orders.jsonl", b'{"id": "a", "at": "2024-01-01T23:59:00Z", "amout": 1, "city": "x", "vip": true}\n')
    assert desk.fail() == (
        3,
        "orders.jsonl: 'amount' must be in some record. Got 'in none'. Add it to the file, or take it out of the case.",
    )


def test_a_parquet_type_that_cannot_fit_is_refused(desk: Desk):
    desk.case["source"]["path"] = "orders.parquet"
    desk.put("orders.parquet", parquet_of([order(1, amount=[1.0])]))
    code, found = desk.fail()
    assert code == 3
    assert found.startswith("orders.parquet: 'amount' must hold values for the type number. Got 'list<")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"purpose": "guess"}, "'purpose' must be 'train', 'predict' or 'fast'. Got 'guess'. Name one of them."),
        ({"start": "soon"}, "'start' must be an ISO 8601 time. Got 'soon'. Such as 2013-12-01 or 2013-12-01T06:00:00Z."),
        (
            {"start": "2024-01-02", "stop": "2024-01-01"},
            "'stop' must lie after the start, 2024-01-02. Got '2024-01-01'. The window is [start, stop).",
        ),
    ],
)  # fmt: skip
def test_a_window_that_is_none_is_refused(desk: Desk, parameters: dict[str, str], message: str):
    desk.put("orders.csv", csv_of(DAY))
    assert desk.fail(**parameters) == (2, message)


def test_a_source_that_changes_while_it_is_read_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    path = desk.put("orders.csv", csv_of(DAY))
    from components.ingest import task

    derive = task.events.derive

    def meanwhile(*arguments):
        path.write_bytes(csv_of(DAY[1:]))
        return derive(*arguments)

    monkeypatch.setattr(task.events, "derive", meanwhile)
    code, found = desk.fail()
    assert code == 3
    assert found.startswith("orders.csv: 'source' must stay as it is while it is read.")


def test_an_equal_run_is_reused_with_the_bundle_of_its_launch(desk: Desk):
    desk.put("orders.csv", csv_of(DAY))
    first = desk.run()
    desk.job = "job-2"
    launch = desk.launch("def features(columns):\n    return dict(columns)\n")
    second = desk.run(launch)
    assert second.reused
    assert second.parameters["snapshot"] == first.parameters["snapshot"]
    assert second.parameters["bundle"] == launch.bundle != first.parameters["bundle"]
    assert desk.counts["good"] == len(DAY)


def test_a_changed_row_section_or_window_misses(desk: Desk):
    path = desk.put("orders.csv", csv_of(DAY))
    desk.run()

    def reused(**parameters: str) -> bool:
        desk.job = f"{desk.job}x"
        return desk.run(**parameters).reused

    assert reused()
    path.write_bytes(csv_of(DAY).replace(b"Porto", b"Braga", 1))
    assert not reused()
    assert not reused(start="2024-01-01T02:00")
    desk.case["columns"]["city"]["missing"] = False
    assert not reused()


def test_an_altered_artifact_is_made_anew(desk: Desk):
    desk.put("orders.csv", csv_of(DAY))
    snapshot = desk.run().parameters["snapshot"]
    shutil.rmtree(desk.place("references"))
    desk.job = "job-2"
    result = desk.run()
    assert (result.reused, result.parameters["snapshot"]) == (False, snapshot)
