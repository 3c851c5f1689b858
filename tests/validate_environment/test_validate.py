"""validate as a pipeline runs it: what it publishes, what stops it, and what it reuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.adapters.connect import Connected
from components.core import artifacts
from components.core.profile import Profile
from components.core.record import StepRecord, step_path
from components.step import Launch, Result
from components.validate import reference, schema, task

Launches = Callable[..., Launch]
Events = Callable[..., Path]

REVIEWED = """
feature { name: "id" type: BYTES presence { min_fraction: 1.0 } }
feature { name: "at" type: INT }
feature { name: "amount" type: FLOAT float_domain { min: 0.0 max: 99.0 } }
feature { name: "city" type: BYTES domain: "city" }
feature { name: "vip" type: INT }
feature { name: "late" type: FLOAT presence { min_fraction: 0.9 } }
string_domain { name: "city" value: "Porto" value: "Lisboa" value: "Braga" }
"""
DRIFT = REVIEWED.replace('domain: "city"', 'domain: "city" drift_comparator { infinity_norm { threshold: 0.2 } }')
SKEW = DRIFT.replace("drift_comparator", "skew_comparator")


def ports(launch: Launch) -> Connected:
    return Connected(Profile.from_json(launch.profile))


def record(launch: Launch) -> StepRecord:
    return StepRecord.from_json(ports(launch).blobs.read(step_path(launch.job, "validate"))[0])


def refused(launch: Launch, events: Path, out: Path) -> tuple[int, str]:
    """The exit code and the recorded error of a run that must not pass, and that published nothing."""
    with pytest.raises(SystemExit) as stopped:
        task.run(launch, events=str(events), statistics=str(out))
    assert list(out.rglob("*")) == []
    return int(str(stopped.value.code)), record(launch).error


@pytest.fixture
def validate(tmp_path: Path) -> Callable[..., tuple[Result, Path]]:
    def run(launch: Launch, events: Path, out: str = "statistics") -> tuple[Result, Path]:
        return task.run(launch, events=str(events), statistics=str(tmp_path / out)), tmp_path / out

    return run


def named(root: Path, name: str) -> bytes:
    return artifacts.read_named(root, artifacts.verify(root, "statistics"), name)


def told(root: Path) -> list[tuple[str, str]]:
    return [(a["column"], a["type"]) for a in json.loads(named(root, "anomalies.json"))["anomalies"]]


def test_without_a_reviewed_schema_it_infers_one_and_says_so(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
) -> None:
    result, root = validate(launch_orders(), write_orders())
    assert told(root) == [("", "NO_REVIEWED_SCHEMA")]
    assert len(schema.parse(named(root, "schema.pbtxt")).feature) == 6
    assert result.rows_in == 100
    assert result.summary == "6 columns, 1 warning: there is no reviewed schema; run `esteira schema CASE`"
    assert result.parameters == {"anomalies": "1 warning"}


def test_a_reviewed_schema_that_fits_leaves_no_warning(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
) -> None:
    result, root = validate(launch_orders(schema=REVIEWED), write_orders())
    assert told(root) == []
    assert schema.parse(named(root, "schema.pbtxt")) == schema.parse(REVIEWED)
    assert result.summary == "6 columns, no warning"


def test_the_page_and_the_report_show_the_columns_without_the_network(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
) -> None:
    result, root = validate(launch_orders(), write_orders())
    html = named(root, "index.html").decode()
    assert "Statistics of orders" in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")
    titles = [block["title"] for block in result.report["blocks"]]
    assert titles == [
        "Anomalies", "Rows by period", "Numbers", "Times", "Texts", "at", "amount", "city", "vip", "late"
    ]  # fmt: skip


def test_a_blocking_anomaly_publishes_nothing_and_names_column_and_reason(
    launch_orders: Launches, write_orders: Events, tmp_path: Path
) -> None:
    launch = launch_orders(schema=REVIEWED)
    events = write_orders(city=["Faro"] * 100, amount=[100.0] * 100)
    assert refused(launch, events, tmp_path / "out") == (
        3,
        "validate: 'amount, city' must fit schema.pbtxt. Got '2 blocking anomalies'. amount: Out-of-range values:"
        " Unexpectedly high value: 100>99(upto six significant digits); city: Unexpected string values: Examples contain"
        " values missing from the schema: Faro (~100%). Mend the data, or let the schema say otherwise"
        " (`esteira schema orders`); the statistics are in runs/job-1/statistics.html.",
    )


def test_the_page_of_a_run_that_did_not_pass_is_kept_with_the_run(
    launch_orders: Launches, write_orders: Events, tmp_path: Path
) -> None:
    launch = launch_orders(schema=REVIEWED)
    refused(launch, write_orders(city=["Faro"] * 100), tmp_path / "out")
    html = ports(launch).blobs.read("runs/job-1/statistics.html")[0].decode()
    assert "Faro" in html


def test_a_run_that_did_not_pass_is_no_reference(launch_orders: Launches, write_orders: Events, tmp_path: Path) -> None:
    launch = launch_orders(schema=REVIEWED)
    refused(launch, write_orders(city=["Faro"] * 100), tmp_path / "out")
    assert reference.name(ports(launch).blobs, "orders", None) is None


def test_a_malformed_schema_is_the_cases_fault(launch_orders: Launches, write_orders: Events, tmp_path: Path) -> None:
    code, error = refused(launch_orders(schema="feature {\n nam: 1\n}"), write_orders(), tmp_path / "out")
    assert code == 2
    assert error.startswith(
        "orders/schema.pbtxt: 'schema.pbtxt' must be a schema in protobuf's text form. Got 'line 2: Message type"
    )


def test_no_rows_to_train_on_are_refused(launch_orders: Launches, write_orders: Events, tmp_path: Path) -> None:
    assert refused(launch_orders(), write_orders(rows=0), tmp_path / "out") == (
        3,
        "validate: 'events' must hold at least one row. Got '0 rows'."
        " See what ingest counted: the window, the dead letter, the columns in 'require'.",
    )


def test_no_new_rows_to_score_are_a_success(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
) -> None:
    result, root = validate(launch_orders(schema=REVIEWED), write_orders(purpose="predict", rows=0))
    assert result.summary == "no rows"
    assert told(root) == []


def test_a_column_of_zeros_is_a_warning(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
) -> None:
    root = validate(launch_orders(schema=REVIEWED), write_orders(amount=[0.0] * 100))[1]
    assert told(root) == [("amount", "ALL_ZERO")]


def test_prediction_does_not_wait_for_labels(
    validate: Callable[..., Any], launch_orders: Launches, write_orders: Events, tmp_path: Path
) -> None:
    launch = launch_orders(schema=REVIEWED)
    assert told(validate(launch, write_orders("new", purpose="predict", late=[None] * 100))[1]) == []
    code, error = refused(launch, write_orders("old", late=[None] * 100), tmp_path / "out")
    assert code == 3
    assert error.startswith("validate: 'late' must fit schema.pbtxt.")


class TestReuse:
    def test_an_equal_run_is_reused_to_the_byte(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
    ) -> None:
        events = write_orders()
        first, root = validate(launch_orders("job-1"), events)
        again, other = validate(launch_orders("job-2"), events, "again")
        assert (first.reused, again.reused) == (False, True)
        assert artifacts.verify(root).digest == artifacts.verify(other).digest

    def test_the_same_rows_give_the_same_bytes_without_reuse(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events, tmp_path: Path
    ) -> None:
        events, launch = write_orders(), launch_orders("job-1")
        root = validate(launch, events)[1]
        for name in ports(launch).blobs.names("reuse/"):
            ports(launch).blobs.delete(name)
        again, other = validate(launch_orders("job-2"), events, "again")
        assert not again.reused
        assert artifacts.verify(root).digest == artifacts.verify(other).digest

    @pytest.mark.parametrize("change", ["row", "schema", "purpose"])
    def test_a_change_of_what_it_reads_is_a_miss(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events, change: str
    ) -> None:
        validate(launch_orders("job-1", schema=REVIEWED), write_orders())
        schema_text = REVIEWED.replace("0.9", "0.8") if change == "schema" else REVIEWED
        changed = write_orders(
            "changed",
            purpose="predict" if change == "purpose" else "train",
            **({"amount": [1.0] * 100} if change == "row" else {}),
        )
        assert not validate(launch_orders("job-2", schema=schema_text), changed, "again")[0].reused

    def test_with_a_comparator_the_second_run_of_the_same_rows_is_reused(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
    ) -> None:
        events = write_orders()
        validate(launch_orders("job-1", schema=DRIFT), events)
        assert validate(launch_orders("job-2", schema=DRIFT), events, "again")[0].reused


class TestReference:
    def test_drift_is_measured_against_the_training_before(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
    ) -> None:
        validate(launch_orders("job-1", schema=DRIFT), write_orders("first"))
        result, root = validate(launch_orders("job-2", schema=DRIFT), write_orders("second", city=["Porto"] * 100), "b")
        assert told(root) == [("city", "COMPARATOR_L_INFTY_HIGH")]
        found = json.loads(named(root, "anomalies.json"))["distances"]
        assert [(d["column"], d["kind"], d["threshold"]) for d in found] == [("city", "drift", 0.2)]
        assert "Distance from the reference" in [block["title"] for block in result.report["blocks"]]

    def test_skew_is_measured_between_what_is_scored_and_what_was_trained_on(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
    ) -> None:
        validate(launch_orders("job-1", schema=SKEW), write_orders("train"))
        new = write_orders("new", purpose="predict", city=["Porto"] * 100)
        assert told(validate(launch_orders("job-2", schema=SKEW), new, "b")[1]) == [("city", "COMPARATOR_L_INFTY_HIGH")]

    def test_what_is_scored_is_no_reference(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events
    ) -> None:
        launch = launch_orders("job-1", schema=SKEW)
        validate(launch, write_orders(purpose="predict"))
        assert reference.name(ports(launch).blobs, "orders", None) is None

    def test_ended_before_its_statistics_became_the_reference_the_next_run_makes_them(
        self,
        validate: Callable[..., Any],
        launch_orders: Launches,
        write_orders: Events,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        launch, events = launch_orders("job-1", schema=DRIFT), write_orders()
        with monkeypatch.context() as patch:
            patch.setattr(reference, "keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(SystemExit):
                task.run(launch, events=str(events), statistics=str(tmp_path / "ended"))
        assert reference.name(ports(launch).blobs, "orders", None) is None
        result, root = validate(launch_orders("job-2", schema=DRIFT), events)
        assert not result.reused
        found = reference.name(ports(launch).blobs, "orders", None)
        assert found is not None
        assert reference.read(ports(launch).blobs, found) == named(root, "stats.pb")

    def test_an_altered_reference_is_refused(
        self, validate: Callable[..., Any], launch_orders: Launches, write_orders: Events, tmp_path: Path
    ) -> None:
        launch = launch_orders("job-1", schema=DRIFT)
        validate(launch, write_orders("first"))
        found = reference.name(ports(launch).blobs, "orders", None)
        assert found is not None
        ports(launch).blobs.write(found, b"other")
        code, error = refused(
            launch_orders("job-2", schema=DRIFT), write_orders("second", late=[0.0] * 100), tmp_path / "o"
        )
        assert code == 4
        assert error.startswith(f"'{found}' must have the sha256 in its name.")
