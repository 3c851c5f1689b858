import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.core.artifacts import canonical_json
from components.core.case import Case
from components.core.errors import CaseError
from components.validate import anomalies, measure, schema
from components.validate.compare import changes
from validate_environment import expected
from validate_environment.sample import GOLDEN, flights

Orders = Callable[..., pa.Table]

FEATURE = 'feature { name: "amount" type: FLOAT }\n'


def statistics(case: Case, rows: pa.Table) -> Any:
    return measure.statistics([rows], measure.types(case))


def blocking(of: Any, stated: Any) -> list[str]:
    return [str(a) for a in anomalies.judge(of, stated)[0] if a.blocking]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            'feature {\n name: "amount"\n typ: FLOAT\n}',
            "schema.pbtxt: 'schema.pbtxt' must be a schema in protobuf's text form. Got 'line 3: Message type"
            ' "tensorflow.metadata.v0.Feature" has no field named "typ".\'. Mend that line, or write the file anew with'
            " `esteira schema CASE --write`.",
        ),
        (
            'feature {\n name: "amount"\n type: FLOT\n}',
            "schema.pbtxt: 'schema.pbtxt' must be a schema in protobuf's text form. Got 'line 3:",
        ),
        ('feature {\n name: "amount"\n', "must be a schema in protobuf's text form. Got 'line "),
        ("", "'schema.pbtxt' must describe at least one column. Got 'none'."),
        ("feature { type: FLOAT }", "'feature 1' must have a name. Got 'none'."),
        (FEATURE * 2, "'amount' must be described once. Got 'twice'."),
        ('feature { name: "amount" }', "'amount' must have a type. Got 'none'."),
        (
            'feature { name: "city" type: BYTES domain: "town" }',
            "'city' must name a string_domain of the file. Got 'town'.",
        ),
        (b"\xff\xfe", "'schema.pbtxt' must be UTF-8. Got "),
    ],
)
def test_a_malformed_schema_is_refused_by_line_or_column(text: str | bytes, complaint: str) -> None:
    with pytest.raises(CaseError) as error:
        schema.parse(text)
    assert complaint in str(error.value)


def test_the_flights_first_schema_is_the_golden_one() -> None:
    assert schema.first(flights(), expected.statistics()) == schema.parse((GOLDEN / "schema.pbtxt").read_bytes())


def test_a_schema_reads_back_as_it_was_written(case: Case, usual: Any) -> None:
    made = schema.first(case, usual)
    assert schema.parse(schema.render(made, "orders")) == made


def test_a_first_schema_has_the_types_and_the_presence_of_the_case(case: Case, orders: Orders) -> None:
    made = {f.name: f for f in schema.first(case, statistics(case, orders(late=[None] * 100))).feature}
    kinds = made["id"].DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number
    assert {n: kinds[f.type].name for n, f in made.items()} == {
        "id": "BYTES", "at": "INT", "amount": "FLOAT", "city": "BYTES", "vip": "INT", "late": "FLOAT"
    }  # fmt: skip
    assert {n for n, f in made.items() if f.presence.min_fraction == 1.0} == {"id", "at", "amount"}
    assert {n for n, f in made.items() if f.HasField("presence")} == {"id", "at", "amount"}
    assert made["id"].WhichOneof("domain_info") is None


def test_the_data_fit_the_schema_that_was_inferred_from_them(case: Case, usual: Any) -> None:
    assert blocking(usual, schema.first(case, usual)) == []


def test_an_update_fits_the_data_and_keeps_what_a_person_wrote(case: Case, orders: Orders, usual: Any) -> None:
    old = schema.first(case, usual)
    features = {f.name: f for f in old.feature}
    features["amount"].float_domain.max = 50.0
    features["city"].drift_comparator.infinity_norm.threshold = 0.1
    features["late"].presence.min_fraction = 0.5
    now = statistics(case, orders(city=["Faro"] * 100))
    assert blocking(now, old)
    new = schema.updated(old, case, now)
    assert blocking(now, new) == []
    kept = {f.name: f for f in new.feature}
    assert kept["city"].drift_comparator.infinity_norm.threshold == 0.1
    assert kept["late"].presence.min_fraction == 0.5
    assert changes(old, new) == ["amount: float_domain: max: 50.0 -> max: 99.0", "city: values: + Faro"]


def test_a_change_of_the_case_shows_column_by_column(case: Case, usual: Any) -> None:
    now = schema.first(case, usual)
    old = type(now)()
    old.CopyFrom(now)
    by_name = {f.name: f for f in old.feature}
    old.feature.remove(by_name["vip"])
    by_name["late"].type = by_name["id"].type
    old.feature.add(name="gate", type=by_name["id"].type)
    by_name["amount"].ClearField("presence")
    next(d for d in old.string_domain if d.name == "city").value.remove("Porto")
    assert changes(old, schema.updated(old, case, usual)) == [
        "amount: presence: none -> in at least 100 % of the rows",
        "city: values: + Porto",
        "vip: added: type INT, bool_domain set",
        "late: type: BYTES -> FLOAT",
        "gate: removed",
    ]


def test_equal_schemas_have_no_changes(case: Case, usual: Any) -> None:
    assert changes(schema.first(case, usual), schema.first(case, usual)) == []


class TestCommand:
    @pytest.fixture
    def call(
        self, case: Case, write_orders: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str, str]]:
        file = tmp_path / "case.json"
        file.write_text(canonical_json(case.model_dump(mode="json")))

        def run(*more: str, **columns: Any) -> tuple[int, str, str]:
            root = write_orders("events", **columns)
            code = schema.main(
                ["--events", str(root), "--case-json", str(file), "--schema", str(tmp_path / "schema.pbtxt"), *more]
            )
            said = capsys.readouterr()
            return code, said.out, said.err

        return run

    def test_it_writes_a_first_schema(self, call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
        assert call() == (0, f"wrote {tmp_path}/schema.pbtxt (6 columns)\n", "")
        assert len(schema.parse((tmp_path / "schema.pbtxt").read_bytes()).feature) == 6

    def test_it_shows_a_change_and_writes_it_only_when_asked(
        self, call: Callable[..., tuple[int, str, str]], tmp_path: Path
    ) -> None:
        call()
        path = tmp_path / "schema.pbtxt"
        before = path.read_bytes()
        faro = ["Faro"] * 100
        assert call(city=faro)[1] == f"city: values: + Faro\n{path} is as it was: give --write to change it\n"
        assert path.read_bytes() == before
        assert call("--write", city=faro)[1] == f"city: values: + Faro\nwrote {path} (6 columns)\n"
        assert call(city=faro)[1] == "nothing to change: the events fit the schema\n"

    def test_a_fault_is_told_with_its_exit_code(
        self, call: Callable[..., tuple[int, str, str]], tmp_path: Path
    ) -> None:
        (tmp_path / "schema.pbtxt").write_text("nonsense")
        code, out, err = call()
        assert (code, out) == (2, "")
        assert err.startswith(f"{tmp_path}/schema.pbtxt: 'schema.pbtxt' must be a schema in protobuf's text form.")
        assert json.loads((tmp_path / "case.json").read_text())["name"] == "orders"
