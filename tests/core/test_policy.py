"""The gate says why in whole sentences, never lets NaN pass, and never refuses a better model than one it accepts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.errors import CaseError
from components.core.intervals import Estimate
from components.core.operations import Gate, SliceRule
from components.core.policy import Comparison, Evidence, Slice, check, decide

NAN = math.nan


def sure(value: float, half: float = 0.0) -> Estimate:
    return Estimate(value, value - half, value + half)


def evidence(value: float = 0.9, **more: Any) -> Evidence:
    given: dict[str, Any] = {"rows": 5000, "main": "roc_auc", "metrics": {"roc_auc": sure(value, 0.01)}} | more
    return Evidence(**given)


def against(difference: Estimate, *, rows: int = 5000, note: str = "") -> Comparison:
    return Comparison(3, rows, 0.9, 0.9 - difference.value, difference, note)


def test_a_floor_that_is_reached_accepts() -> None:
    verdict = decide(evidence(0.9), Gate(floors={"roc_auc": 0.9}))
    assert verdict.accepted
    assert not verdict.unchanged
    assert verdict.reasons == (
        "roc_auc is 0.9 (95 % interval 0.89 to 0.91), at or above its floor of 0.9.",
        "There is no champion to compare with: the floors decide.",
    )


def test_a_floor_that_is_missed_refuses_and_comes_first() -> None:
    metrics = {"roc_auc": sure(0.9), "log_loss": sure(0.4)}
    verdict = decide(evidence(metrics=metrics), Gate(floors={"roc_auc": 0.8, "log_loss": 0.3}))
    assert not verdict.accepted
    assert verdict.reasons[0] == "log_loss is 0.4 (95 % interval 0.4 to 0.4), above its ceiling of 0.3."
    assert verdict.reasons[1] == "roc_auc is 0.9 (95 % interval 0.9 to 0.9), at or above its floor of 0.8."


def test_a_ceiling_that_is_met_accepts() -> None:
    verdict = decide(evidence(main="rmse", metrics={"rmse": sure(2.0)}), Gate(floors={"rmse": 2.0}))
    assert verdict.accepted
    assert verdict.reasons[0] == "rmse is 2 (95 % interval 2 to 2), at or below its ceiling of 2."


@pytest.mark.parametrize("metrics", [{"roc_auc": Estimate(NAN, NAN, NAN)}, {}], ids=["NaN", "absent"])
def test_an_undefined_metric_reaches_no_floor(metrics: dict[str, Estimate]) -> None:
    verdict = decide(evidence(metrics=metrics), Gate(floors={"roc_auc": 0.0}))
    assert not verdict.accepted
    assert verdict.reasons[0] == "roc_auc is undefined, which does not reach its floor of 0."


def test_an_undefined_main_metric_refuses_without_any_floor() -> None:
    verdict = decide(evidence(NAN), Gate())
    assert not verdict.accepted
    assert verdict.reasons[0] == "roc_auc, which models are compared by, is undefined on the holdout."


def test_too_few_rows_are_insufficient_data() -> None:
    verdict = decide(evidence(rows=199), Gate())
    assert not verdict.accepted
    assert verdict.reasons[0] == (
        "Insufficient data: the holdout has 199 labelled rows, and the gate asks for at least 200."
    )
    assert decide(evidence(rows=200), Gate()).accepted


def test_a_gate_that_asks_nothing_says_so() -> None:
    verdict = decide(evidence(), Gate())
    assert verdict.accepted
    assert verdict.reasons == (
        "There is no champion to compare with, and the gate sets no floors: nothing was asked of the model.",
    )


RULE = SliceRule(column="origin", metric="roc_auc", floor=0.8, minimum_rows=500)


def part(value: str, rows: int, metric: float) -> Slice:
    return Slice("origin", value, rows, {"roc_auc": sure(metric)})


def test_slices_that_reach_their_floor_are_told_by_the_worst() -> None:
    slices = [part("JFK", 900, 0.85), part("LGA", 800, 0.8), part("EWR", 499, 0.1), Slice("origin", "", 3)]
    verdict = decide(evidence(slices=slices), Gate(slices=(RULE,)))
    assert verdict.accepted
    assert verdict.reasons[0] == (
        "Of the 2 slices by origin with at least 500 rows, the worst is 'LGA': roc_auc 0.8, at or above its floor of "
        "0.8. Not judged, being smaller: 'EWR', ''."
    )


def test_a_slice_that_misses_its_floor_refuses_by_name() -> None:
    slices = [part("JFK", 1900, 0.79), part("LGA", 800, 0.9), part("EWR", 20, 0.9)]
    verdict = decide(evidence(slices=slices), Gate(slices=(RULE,)))
    assert not verdict.accepted
    assert verdict.reasons == (
        "roc_auc is 0.79 on the 1,900 rows with origin 'JFK', below its floor of 0.8.",
        "Not judged, being smaller: 'EWR'.",
        "There is no champion to compare with: the floors decide.",
    )


def test_a_verdict_names_a_dozen_slices_of_many() -> None:
    slices = [part(f"A{i:02d}", 600, 0.1) for i in range(40)]
    verdict = decide(evidence(slices=slices), Gate(slices=(RULE,)))
    assert not verdict.accepted
    assert len(verdict.reasons) == 14
    assert verdict.reasons[12] == "28 more slices by origin miss 0.8 in roc_auc."


@pytest.mark.parametrize("metrics", [{"roc_auc": sure(NAN)}, {}], ids=["one class", "not measured"])
def test_a_large_slice_without_a_value_refuses(metrics: dict[str, Estimate]) -> None:
    verdict = decide(evidence(slices=[Slice("origin", "JFK", 500, metrics)]), Gate(slices=(RULE,)))
    assert not verdict.accepted
    assert verdict.reasons[0] == (
        "roc_auc is undefined on the 500 rows with origin 'JFK', which does not reach its floor of 0.8."
    )


def test_a_column_of_small_slices_is_not_judged_and_says_so() -> None:
    slices = [part(f"A{i:02d}", 10, 0.1) for i in range(14)]
    verdict = decide(evidence(slices=slices), Gate(slices=(RULE,)))
    assert verdict.accepted
    assert verdict.reasons[0] == (
        "No slice by origin has 500 rows, so none is judged by roc_auc. Not judged, being smaller: "
        + ", ".join(f"'A{i:02d}'" for i in range(12))
        + " and 2 more."
    )


def test_a_challenger_within_the_tolerance_is_accepted() -> None:
    verdict = decide(evidence(comparison=against(Estimate(0.001, -0.002, 0.004))), Gate(tolerance=0.002))
    assert verdict.accepted
    assert verdict.reasons == (
        "On the same 5,000 rows champion version 3 has roc_auc 0.899 and the challenger 0.9: the difference is +0.001 "
        "(95 % interval -0.002 to +0.004), and its worse end -0.002 is within the tolerance of 0.002.",
    )


def test_a_challenger_that_may_be_worse_than_the_tolerance_is_refused() -> None:
    verdict = decide(evidence(comparison=against(Estimate(0.001, -0.0021, 0.004))), Gate(tolerance=0.002))
    assert not verdict.accepted
    assert "its worse end -0.0021 is beyond the tolerance of 0.002." in verdict.reasons[0]


@pytest.mark.parametrize(("high", "accepted"), [(0.1, True), (0.11, False), (NAN, False)])
def test_where_less_is_better_the_upper_end_is_the_worse(high: float, accepted: bool) -> None:
    found = evidence(main="rmse", metrics={"rmse": sure(2)}, comparison=against(Estimate(-1.0, -5.0, high)))
    assert decide(found, Gate(tolerance=0.1)).accepted is accepted


def test_a_note_says_which_rows_were_compared() -> None:
    verdict = decide(evidence(comparison=against(sure(0.1), note="Only June.")), Gate())
    assert verdict.accepted
    assert verdict.reasons[0] == "Only June."


def test_too_few_rows_after_the_champions_training_are_insufficient_data() -> None:
    verdict = decide(evidence(comparison=against(sure(0.1), rows=7, note="Only June.")), Gate())
    assert not verdict.accepted
    assert verdict.reasons == (
        "Insufficient data: 7 rows are left to compare with champion version 3, and the gate asks for at least 200.",
        "Only June.",
    )


def test_the_champion_itself_is_accepted_and_changes_nothing() -> None:
    verdict = decide(evidence(0.1, same_as=4), Gate(floors={"roc_auc": 0.9}))
    assert (verdict.accepted, verdict.unchanged) == (True, True)
    assert verdict.reasons == ("The model is the champion itself, version 4: nothing changes.",)


values = st.one_of(st.just(NAN), st.floats(0, 1))
gates = st.builds(
    Gate,
    floors=st.dictionaries(st.sampled_from(["roc_auc", "log_loss"]), st.floats(0, 1), min_size=1),
    slices=st.lists(
        st.builds(SliceRule, column=st.just("c"), metric=st.just("roc_auc"), floor=st.floats(0, 1)), max_size=1
    ).map(tuple),
    tolerance=st.floats(0, 0.5),
)
estimates = st.tuples(values, values, values).map(lambda v: Estimate(*v))
evidences = st.builds(
    Evidence,
    rows=st.integers(0, 1000),
    main=st.just("roc_auc"),
    metrics=st.fixed_dictionaries({"roc_auc": estimates, "log_loss": estimates}),
    slices=st.lists(
        st.builds(
            Slice,
            st.just("c"),
            st.sampled_from("xyz"),
            st.integers(0, 1000),
            st.fixed_dictionaries({"roc_auc": estimates}),
        )
    ),
    comparison=st.none() | st.builds(Comparison, st.just(1), st.integers(0, 1000), values, values, estimates),
)


@given(evidences, gates)
def test_nothing_undefined_is_ever_accepted(found: Evidence, gate: Gate) -> None:
    needed = [found.metrics["roc_auc"].value, *(found.metrics[name].value for name in gate.floors)]
    needed += [s.metrics["roc_auc"].value for s in found.slices for rule in gate.slices if s.rows >= rule.minimum_rows]
    if found.comparison is not None:
        needed.append(found.comparison.difference.low)
    if any(math.isnan(value) for value in needed):
        assert not decide(found, gate).accepted


@given(evidences, gates, st.floats(0, 1))
def test_a_better_model_is_not_refused_where_a_worse_one_is_accepted(found: Evidence, gate: Gate, by: float) -> None:
    if not decide(found, gate).accepted:
        return

    def up(e: Estimate, sign: float = 1.0) -> Estimate:
        return Estimate(e.value + sign * by, e.low + sign * by, e.high + sign * by)

    better = Evidence(
        found.rows + 1,
        found.main,
        {"roc_auc": up(found.metrics["roc_auc"]), "log_loss": up(found.metrics["log_loss"], -1)},
        [Slice(s.column, s.value, s.rows, {"roc_auc": up(s.metrics["roc_auc"])}) for s in found.slices],
        found.comparison and Comparison(1, found.comparison.rows, 0, 0, up(found.comparison.difference)),
    )
    assert decide(better, gate).accepted


@given(evidences, gates)
def test_every_verdict_gives_whole_sentences(found: Evidence, gate: Gate) -> None:
    verdict = decide(found, gate)
    assert verdict.reasons
    assert all(reason.endswith(".") and reason[0] != " " and "nan" not in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("gate", "main", "message"),
    [
        (
            Gate(floors={"auc": 0.5}),
            "rmse",
            "'gate.floors.auc' must be a metric of a regression task: rmse, mae, r2, median_absolute_error. "
            "Got 'auc'. Mend this key.",
        ),
        (
            Gate(slices=(SliceRule(column="origin", metric="rmse", floor=1), RULE)),
            "rmse",
            "'gate.slices.1.metric' must be a metric of a regression task: rmse, mae, r2, median_absolute_error. "
            "Got 'roc_auc'. Mend this key.",
        ),
        (
            Gate(slices=(SliceRule(column="arr_delay", metric="rmse", floor=1),)),
            "rmse",
            "'gate.slices.0.column' must be a column of the holdout. Got 'arr_delay'. "
            "Name a column that is known with the event.",
        ),
        (
            Gate(),
            "f1",
            "'model.metric' must be a metric of a regression task: rmse, mae, r2, median_absolute_error. "
            "Got 'f1'. Mend this key.",
        ),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused(gate: Gate, main: str, message: str) -> None:
    with pytest.raises(CaseError) as caught:
        check(gate, "regression", main, ["origin"])
    assert str(caught.value) == message
