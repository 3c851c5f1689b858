"""case.yaml: what is refused, with which words, and what is resolved."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.core import artifacts, case, case_file, declared
from components.core.errors import CaseError
from tests.conftest import FLIGHTS

BASE: dict[str, Any] = {
    "name": "small",
    "source": {"path": "events.csv"},
    "columns": {
        "key": {"type": "id", "missing": False},
        "at": {"type": "timestamp", "missing": False},
        "delay": {"type": "number"},
        "word": {"type": "string"},
        "late": {"type": "number", "known": "label"},
    },
    "entity_id": ["key"],
    "event_time": {"column": "at"},
    "label": {"column": "late", "above": 15},
    "model": {"task": "binary"},
}


def reference(**changes: Any) -> dict[str, Any]:
    """A table whose number is known only with the label."""
    columns = {"text": {"type": "string"}, "number": {"type": "number", "known": "label"}}
    plain = {"source": {"path": "r.csv"}, "columns": columns, "by": {"key": "text"}, "take": ["text", "number"]}
    return plain | changes


def changed(path: str, value: object) -> str:
    """BASE as YAML with one key set."""
    data = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    place = data
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    return yaml.safe_dump(data, sort_keys=False)


def parsed(text: str) -> case_file.CaseFile:
    return case_file.parse(text, where="case.yaml")


def test_the_base_of_these_tests_is_a_case() -> None:
    made = parsed(yaml.safe_dump(BASE, sort_keys=False)).case()
    assert list(made.input_types()) == ["key", "at", "delay", "word"]


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("colour", "red", "'colour' must not be there: it is no key of this section. Got 'red'."),
        ("columns.delay.kind", "x", "'columns.delay.kind' must not be there: it is no key of this section."),
        ("columns.delay.type", "float", "'columns.delay.type' must be 'number', 'bool', 'string', 'id' or 'timestamp'"),
        ("columns._x", {"type": "number"}, "starting with a letter"),
        ("columns.2x", {"type": "number"}, "be an identifier: letters, digits and _, starting with a letter"),
        ("name", "../up", "name must be lower-case letters, digits and -"),
        ("label.above", "much", "'label.above' must be a valid number"),
        ("label.above", float("nan"), "'label.above' must be a finite number"),
        ("source.bad_ratio", 1.5, "'source.bad_ratio' must be less than or equal to 1. Got 1.5."),
        ("model.seed", -1, "'model.seed' must be greater than or equal to 0. Got -1."),
        ("event_time.column", "delay", "event_time.column must be a timestamp; 'delay' is number"),
        ("event_time.column", "when", "event_time names the column 'when', which is not declared"),
        ("event_time.plus", {"word": "minutes"}, "event_time.plus adds numbers; 'word' is string"),
        ("event_time.offset", "3 hours", "be a whole number and a unit, such as 90s, 15min, 3h or 2d"),
        ("entity_id", ["nobody"], "entity_id names the column 'nobody', which is not declared"),
        ("require", ["nobody"], "require names the column 'nobody', which is not declared"),
        ("arrival", "word", "arrival must be a number or timestamp; 'word' is string"),
        ("inputs", ["late"], "inputs leaks the label: 'late' is known only when the label lands"),
        ("inputs", ["nobody"], "inputs names the column 'nobody', which is not declared"),
        ("columns.late.known", "event", "columns.late is the label, so it must say known: label"),
        (
            "references.r",
            {"source": {"path": "r.csv"}, "columns": {"k": {"type": "string"}}, "by": {"word": "k"}, "take": ["z"]},
            "references.r.take names the column 'z', which is not declared",
        ),
        ("windows.w", {"by": ["word"], "over": ["3h"], "compute": ["mean"]}, "name the column to add up in 'of'"),
        ("windows.w", {"by": ["word"], "over": [], "compute": ["count"]}, "'windows.w.over' must"),
        (
            "windows.w",
            {"by": ["word"], "over": ["3h"], "of": "late", "compute": ["mean"]},
            "windows.w adds 'late', known only with the label; set known: label",
        ),
        (
            "windows.w",
            {"by": ["word"], "over": ["3h"], "of": "late", "compute": ["mean"], "known": "label"},
            "windows.w waits for the label, so label.matures must say when it lands",
        ),
        ("windows.w", {"by": ["late"], "over": ["3h"]}, "windows.w.by leaks the label: 'late' is known only when the"),
        ("windows.w", {"by": ["key"], "over": ["3h"], "of": "word"}, "windows.w.of adds numbers; 'word' is string"),
        ("entity_id", ["key", "late"], "entity_id leaks the label: 'late' is known only when the label lands"),
        ("event_time.plus", {"late": "hours"}, "event_time leaks the label: 'late' is known only when the label lands"),
        ("references.r", reference(by={"late": "number"}), "references.r.by leaks the label: 'late' is known only"),
        (
            "references.r",
            reference(by={"delay": "text"}),
            "references.r.by compares 'delay' (number) with 'text' (string)",
        ),
        (
            "references.r",
            reference(time="text", within="1h"),
            "references.r.time must be a timestamp column; 'text' is",
        ),
        ("columns.late.type", "timestamp", "label.column must be a number, bool, string or id; 'late' is timestamp"),
        ("columns.late.type", "string", "label.column must be a number for a regression or 'above'; 'late' is string"),
        ("model.weights", {"column": "word"}, "model.weights.column must be a number; 'word' is string"),
        ("model.search", {"parameters": {"a": {"low": 1.0}}}, "give either low and high, or choices"),
        ("model.search", {"parameters": {"a": {"low": 2.0, "high": 1.0}}}, "have low below high"),
        ("model.threshold", {"metric": "f1", "false_positive_cost": 1, "false_negative_cost": 2}, "not by both"),
        ("model.threshold", {"false_positive_cost": 1}, "give both costs or neither"),
        ("gate.confidence", 0.2, "'gate.confidence' must be greater than 0.5. Got 0.2."),
        *(
            ("resources", {"train": {key: value}}, f"'resources.train.{key}' must {rule}. Got {value!r}.")
            for key, value, rule in (
                ("memory", "lots", "be a whole number and M, Mi, G or Gi, 128M to 12000G"),
                ("memory", "0G", "be a whole number and M, Mi, G or Gi, 128M to 12000G"),
                ("memory", "13000Gi", "be a whole number and M, Mi, G or Gi, 128M to 12000G"),
                ("disk", "99G", "be a whole number and M, Mi, G or Gi, 100G to 64000G"),
                ("cpu", "0", "be a number of cores above 0 and at most 416, such as 4 or 0.5"),
                ("cpu", "417", "be a number of cores above 0 and at most 416, such as 4 or 0.5"),
                ("time_limit", "8d", "be at most 7d"),
                ("time_limit", "soon", "be a whole number and a unit, such as 90s, 15min, 3h or 2d"),
            )
        ),
        ("resources", {"train": {"machine": "big one"}}, "'resources.train.machine' must be such as n1-highmem-8."),
        (
            "resources",
            {"train": {"accelerator": {"type": "L4"}}},
            "'resources.train.accelerator.type' must be such as NVIDIA_L4.",
        ),
        (
            "resources",
            {"train": {"accelerator": {"type": "NVIDIA_L4", "count": 0}}},
            "'resources.train.accelerator.count' must be greater than or equal to 1. Got 0.",
        ),
        ("canary.percent", 100, "'canary.percent' must be less than or equal to 99. Got 100."),
        ("canary.quality", {"rmse": -0.1}, "'canary.quality.rmse' must be greater than or equal to 0. Got -0.1."),
        (
            "canary.quality",
            {"rmse": 0.1},
            "canary.quality names 'rmse', and live binary has roc_auc, average_precision",
        ),
        (
            "canary",
            {"error_rate": None, "latency": None, "agreement": None},
            "ask for at least one of error_rate, latency, agreement and quality",
        ),
    ],
)
def test_a_key_that_is_wrong_is_refused_by_file_key_rule_and_value(path: str, value: object, text: str) -> None:
    with pytest.raises(CaseError) as caught:
        parsed(changed(path, value))
    assert str(caught.value).startswith("case.yaml: ")
    assert text in str(caught.value)


def test_a_binary_label_of_texts_needs_the_positive_one() -> None:
    data = copy.deepcopy(BASE) | {"label": {"column": "word"}}
    data["columns"]["word"]["known"] = "label"
    with pytest.raises(CaseError, match="label.positive must say which text of 'word' counts as 1"):
        parsed(yaml.safe_dump(data))


def test_what_a_reference_knows_only_with_the_label_is_no_input() -> None:
    data = copy.deepcopy(BASE) | {"references": {"r": reference()}}
    made = parsed(yaml.safe_dump(data)).case()
    assert (list(made.enriched_types())[-2:], list(made.input_types())[-1]) == (["r_text", "r_number"], "r_text")
    data["inputs"] = ["r_number"]
    with pytest.raises(CaseError, match="inputs leaks the label: 'r_number' is known only when the label lands"):
        parsed(yaml.safe_dump(data))


def test_a_missing_key_and_how_many_more_are_wrong_are_told() -> None:
    with pytest.raises(CaseError, match="'source' must be given. Got None. Mend this key; 5 more after it."):
        parsed("name: x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'name' must be given. Got None."),
        ("- a\n- b", "'case.yaml' must be a mapping of keys."),
        ("name: [", "'case.yaml' must be YAML."),
        ("name: !!python/object/apply:os.system ['true']", "'case.yaml' must be YAML."),
        ("name: a\nname: b", "stands twice in line 1 or after"),
        ("fast:\n  since: 2013-02-30", "day is out of range for month in"),
        ("fast:\n  since: 2013-02-30", "line 2, column 10"),
    ],
)
def test_text_that_is_no_case_is_refused(text: str, words: str) -> None:
    with pytest.raises(CaseError) as caught:
        parsed(text)
    assert words in str(caught.value)


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_bytes("description: ação".encode("latin-1"))
    with pytest.raises(CaseError, match=r"'case.yaml' must be UTF-8\. Got .* Save it as UTF-8\."):
        case_file.load(tmp_path)


def test_two_enriched_columns_of_one_name_are_refused() -> None:
    data = copy.deepcopy(BASE)
    data["columns"]["w_count_3h"] = {"type": "number"}
    data["windows"] = {"w": {"by": ["word"], "over": ["3h"]}}
    with pytest.raises(CaseError, match="two enriched columns have one name; rename a reference or a window"):
        parsed(yaml.safe_dump(data))


def test_every_default_is_written_out_in_the_resolved_case() -> None:
    resolved = parsed(yaml.safe_dump(BASE, sort_keys=False)).case().model_dump(mode="json")
    assert resolved["source"]["delimiter"] == ","
    assert resolved["model"]["parameters"] == {}
    assert case.Case.model_validate(resolved).model_dump(mode="json") == resolved


def test_a_change_of_operations_leaves_the_digest_of_the_case() -> None:
    one, two = parsed(yaml.safe_dump(BASE, sort_keys=False)), parsed(changed("gate.tolerance", 0.5))
    assert declared.digest(one.case()) == declared.digest(two.case())
    assert declared.digest(one.operations()) != declared.digest(two.operations())


def test_a_section_digest_sees_its_sections_alone() -> None:
    one, two = parsed(yaml.safe_dump(BASE, sort_keys=False)).case(), parsed(changed("model.seed", 5)).case()
    assert declared.section_digest(one, ("columns", "label")) == declared.section_digest(two, ("columns", "label"))
    assert declared.section_digest(one, ("model",)) != declared.section_digest(two, ("model",))


def test_the_flights_case_names_its_enriched_columns_in_order() -> None:
    flights = case_file.load(FLIGHTS).case()
    names = list(flights.enriched_types())
    assert names.index("weather_temp") < names.index("airport_lat") < names.index("origin_departures_count_1h")
    assert "arr_delay" not in flights.input_types()


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_typed_error(text: str) -> None:
    with pytest.raises(CaseError):
        parsed(text)


@given(st.dictionaries(st.text(max_size=5), st.none() | st.floats() | st.text(max_size=5), max_size=5))
def test_canonical_json_depends_on_content_alone(data: dict[str, Any]) -> None:
    try:
        text = artifacts.canonical_json(data)
    except ValueError:
        return  # NaN and infinities have no JSON
    assert artifacts.canonical_json(dict(reversed(data.items()))) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15min", 900), ("3h", 10800), ("2d", 172800)])
def test_durations_are_whole_seconds(text: str, seconds: int) -> None:
    assert declared.seconds(text) == seconds


def test_keys_that_do_not_agree_are_told_in_words_of_the_file() -> None:
    with pytest.raises(CaseError) as caught:
        parsed(changed("arrival", "word"))
    assert "'keys' must agree: arrival must be a number or timestamp; 'word' is string. Got keys that do" in str(
        caught.value
    )
