"""The canary's policy: what is promoted, what is aborted, how often by chance, and what is never certain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import canary, canary_rules, metrics
from components.core.canary import Verdict
from components.core.canary_rules import Labelled, Observed, Series
from components.core.operations import Canary

NEEDED = 200
ASKED = Canary(requests=NEEDED, error_rate=0.05, latency=1.5, agreement=0.8)
SIDE = {"failing": 0.01, "ms": 1.0, "alike": 0.97, "right": 0.8}
"""A version as good as any."""


def series(values: np.ndarray, every: float) -> Series:
    return Series(np.arange(1, len(values) + 1) * every, values)


def version(random: np.random.Generator, count: int, every: float = 1.0, **change: float) -> Observed:
    """A version that answers one request in `every` seconds."""
    side = SIDE | change
    labels = (random.random(count) < 0.5).astype(float)
    decisions = np.where(random.random(count) < side["right"], labels, 1 - labels)

    def first(n: int) -> metrics.Measure:
        chosen = np.where(decisions[:n] == 1, "1", "0").astype(object)
        return metrics.measure("binary", labels[:n], 0.1 + 0.8 * decisions[:n], chosen, only=["accuracy"])

    return Observed(
        series((random.random(count) < side["failing"]).astype(float), every),
        series(side["ms"] * random.lognormal(0, 0.3, count), every),
        series((random.random(count) < side["alike"]).astype(float), every),
        Labelled(np.arange(1, count + 1) * every, first),
    )


def head(seen: Observed, count: int) -> Observed:
    """Its first so many requests."""
    cut = {
        name: Series(s.at[:count], s.values[:count])
        for name in ("failed", "latency", "alike")
        if (s := getattr(seen, name))
    }
    labelled = None if seen.labelled is None else Labelled(seen.labelled.at[:count], seen.labelled.measure)
    return Observed(**cut, labelled=labelled)


def watched(asked: Canary, champion: Observed, challenger: Observed, ratio: int, *, until: int) -> Verdict:
    """The verdict of who judges at every look, the champion having `ratio` times the traffic."""
    for count in sorted({canary.size(look) for look in range(1, canary.looks(until) + 1)} | {until}):
        rules = canary_rules.rules(asked, head(champion, ratio * count), head(challenger, count))
        verdict = canary.decide(rules, asked.confidence)
        if verdict.state != "wait":
            return verdict
    return canary.decide(rules, asked.confidence, expired=True)


def promoted(runs: int, seed: int, asked: Canary = ASKED, ratio: int = 4, **change: float) -> int:
    """How often a challenger that differs by `change` is promoted."""
    found = 0
    for run in range(runs):
        random = np.random.default_rng([seed, run])
        champion = version(random, ratio * asked.requests, 1 / ratio)
        challenger = version(random, asked.requests, **change)
        found += watched(asked, champion, challenger, ratio, until=asked.requests).state == "promote"
    return found


@pytest.mark.slow
def test_an_equal_challenger_is_promoted_nearly_always_although_it_is_looked_at_often() -> None:
    assert promoted(100, seed=1) >= 95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "change"),
    [("error_rate", {"failing": 0.06}), ("latency", {"ms": 1.5}), ("agreement", {"alike": 0.8})],
)
def test_one_that_is_worse_by_a_limit_is_promoted_at_most_so_often(rule: str, change: dict[str, float]) -> None:
    """Of 300, 5 % are 15; more than 24 would come by chance once in a hundred times."""
    alone = {"error_rate": None, "latency": None, "agreement": None} | {rule: getattr(ASKED, rule)}
    assert promoted(300, seed=2, asked=ASKED.model_copy(update=alone), **change) <= 24


@pytest.mark.slow
def test_one_whose_labels_are_worse_by_the_tolerance_is_promoted_at_most_so_often() -> None:
    asked = Canary(requests=60, error_rate=None, latency=None, agreement=None, quality={"accuracy": 0.2})
    assert promoted(80, seed=3, asked=asked, ratio=1, right=0.6) <= 9
    assert promoted(20, seed=4, asked=asked, ratio=1, right=0.95) >= 19


@pytest.mark.slow
def test_the_looks_together_abort_one_at_the_limit_of_every_rule_at_most_so_often() -> None:
    """Never asked for promotion: what is left is the harm that the looks find by chance."""
    asked = ASKED.model_copy(update={"requests": 10_000})
    runs, found = 100, 0
    for run in range(runs):
        random = np.random.default_rng([5, run])
        champion, challenger = version(random, 2400, 0.25), version(random, 600, failing=0.06, ms=1.5, alike=0.8)
        for count in [canary.size(look) for look in range(1, canary.looks(600) + 1)]:
            rules = canary_rules.rules(asked, head(champion, 4 * count), head(challenger, count))
            if canary.decide(rules, asked.confidence).state == "abort":
                found += 1
                break
    assert found <= 11


@pytest.mark.parametrize(
    "change", [{"failing": 0.6}, {"ms": 4.0}, {"alike": 0.1}], ids=["errors", "latency", "agreement"]
)
def test_plain_harm_is_found_long_before_the_samples_are_whole(change: dict[str, float]) -> None:
    random = np.random.default_rng(6)
    verdict = watched(ASKED, version(random, 800, 0.25), version(random, NEEDED, **change), 4, until=70)
    assert verdict.state == "abort"


def test_harm_that_comes_after_a_rule_has_passed_still_aborts() -> None:
    asked = Canary(requests=100, error_rate=0.05, latency=None, agreement=0.8)
    random = np.random.default_rng(7)
    champion, challenger = version(random, 4000, 0.25, failing=0.0), version(random, 1000, failing=0.0)
    late = replace(challenger, alike=Series(challenger.alike.at[:50], challenger.alike.values[:50]))
    assert canary.decide(canary_rules.rules(asked, champion, late), 0.95).state == "wait"
    late.failed.values[200:] = 1.0
    verdict = canary.decide(canary_rules.rules(asked, champion, late), 0.95)
    assert verdict.state == "abort"
    assert verdict.findings[0].samples == (4000, 1000)


@given(st.integers(1, 40), st.floats(0.0001, 0.5))
def test_looks_have_their_sizes_and_spend_no_more_than_their_part(look: int, part: float) -> None:
    assert canary.looks(canary.size(look)) == look
    assert canary.looks(canary.size(look) - 1) == look - 1
    assert sum(part / (k * (k + 1)) for k in range(1, look + 1)) <= part


@given(st.integers(0, 150), st.integers(0, 150), st.integers(0, 150), st.booleans())
def test_a_rule_short_of_samples_is_never_promotion(failed: int, timed: int, alike: int, expired: bool) -> None:
    random = np.random.default_rng(8)
    asked = Canary(requests=100, error_rate=0.5, latency=5.0, agreement=0.1)
    challenger = version(random, 150)
    cut = {"failed": failed, "latency": timed, "alike": alike}
    held = {name: Series((s := getattr(challenger, name)).at[:n], s.values[:n]) for name, n in cut.items()}
    verdict = canary.decide(
        canary_rules.rules(asked, version(random, 600, 0.25), Observed(**held)), 0.95, expired=expired
    )
    if min(failed, timed, alike) >= 100:
        assert verdict.state == "promote"
    else:
        assert verdict.state == ("abort" if expired else "wait")
        assert any("nsufficient data" in reason for reason in verdict.reasons) == expired


@given(
    st.sampled_from(["failed", "latency", "alike"]),
    st.integers(0, NEEDED - 1),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.booleans(),
)
def test_what_is_not_finite_passes_nothing(name: str, at: int, value: float, champions: bool) -> None:
    random = np.random.default_rng(9)
    champion, challenger = version(random, 4 * NEEDED, 0.25), version(random, NEEDED, failing=0.0)
    if champions and name == "alike":
        return  # the champion is not asked whether it agrees with itself
    getattr(champion if champions else challenger, name).values[at] = value
    verdict = canary.decide(canary_rules.rules(ASKED, champion, challenger), 0.95)
    assert verdict.state == "abort"


@given(st.integers(0, 260), st.integers(0, 60))
def test_while_no_rule_reaches_a_look_the_verdict_stays_the_same(count: int, more: int) -> None:
    random = np.random.default_rng(10)
    champion, challenger = version(random, 1400, 0.25), version(random, 320)
    rules = [canary_rules.rules(ASKED, head(champion, 4 * n), head(challenger, n)) for n in (count, count + more)]
    if canary.progress(rules[0]) == canary.progress(rules[1]):
        first, second = (canary.decide(r, 0.95) for r in rules)
        assert first.state == second.state
        assert [f.state for f in first.findings] == [f.state for f in second.findings]
        np.testing.assert_equal(*([f.bound for f in verdict.findings] for verdict in (first, second)))


def test_who_has_fewer_samples_decides_and_the_others_of_that_time_count() -> None:
    """At the challenger's 200th request, second 200, the champion has had 800."""
    random = np.random.default_rng(12)
    seen = []
    rule = canary_rules.rules(ASKED, version(random, 3000, 0.25), version(random, 700))[0]
    kept = replace(rule, bounds=lambda m, n, c: seen.append((m, n)) or rule.bounds(m, n, c))  # type: ignore[func-returns-value]
    canary.decide([kept], 0.95)
    assert seen[-1] == (800, 200)


def test_a_canary_of_which_nothing_applies_aborts() -> None:
    verdict = canary.decide([], 0.95)
    assert verdict.state == "abort"
    assert verdict.reasons == ("No rule of the canary applies to this model, so nothing can earn its promotion.",)


def test_the_reasons_of_each_rule_are_sentences() -> None:
    ones, zeros = np.ones(NEEDED), np.zeros(NEEDED)
    asked = ASKED.model_copy(update={"quality": {"accuracy": 0.1}})
    champion = Observed(series(np.tile(zeros, 4), 0.25), series(np.tile(ones, 4), 0.25), labelled=correct(NEEDED, 20))
    good = Observed(series(zeros, 1), series(1.2 * ones, 1), series(ones, 1), correct(NEEDED, 20))
    assert canary.decide(canary_rules.rules(asked, champion, good), 0.95).reasons == (
        "0 % of the challenger's requests failed and 0 % of the champion's; the difference is at most 1.33 points "
        "(95 % confidence), within the limit of 5 points.",
        "The 95th percentile of the latency is 1.2 ms for the challenger and 1 ms for the champion; the ratio is at most "
        "1.2 (95 % confidence), within the limit of 1.5.",
        "The champion decides alike on 100 % of the challenger's requests; the share is at least 98.7 % "
        "(95 % confidence), within the limit of 80 %.",
        "On matured labels accuracy is 0.9 for the challenger and 0.9 for the champion; the difference is at least "
        "-0.05 (95 % confidence), within the limit of -0.1.",
    )
    bad = Observed(series(ones, 1), series(3 * ones, 1), series(zeros, 1), correct(NEEDED, 150))
    assert canary.decide(canary_rules.rules(asked, champion, bad), 0.95).reasons == (
        "100 % of the challenger's requests failed and 0 % of the champion's; the difference is at least 92.6 points "
        "(99.97 % confidence), beyond the limit of 5 points.",
        "The 95th percentile of the latency is 3 ms for the challenger and 1 ms for the champion; the ratio is at least 3 "
        "(99.97 % confidence), beyond the limit of 1.5.",
        "The champion decides alike on 0 % of the challenger's requests; the share is at most 7.2 % "
        "(99.97 % confidence), beyond the limit of 80 %.",
        "On matured labels accuracy is 0.25 for the challenger and 0.90132 for the champion; the difference is at most "
        "-0.51128 (99.97 % confidence), beyond the limit of -0.1.",
    )


def correct(count: int, wrong: int) -> Labelled:
    """Predictions of which so many, evenly spread, are wrong."""
    labels = np.zeros(count)
    missed = (np.arange(count) * wrong) // count != (np.arange(1, count + 1) * wrong) // count

    def first(n: int) -> metrics.Measure:
        chosen = np.where(missed[:n], "1", "0").astype(object)
        return metrics.measure("binary", labels[:n], 0.1 + 0.8 * missed[:n], chosen, only=["accuracy"])

    return Labelled(np.arange(1.0, count + 1), first)


def test_what_cannot_be_certain_yet_says_what_it_waits_for() -> None:
    random = np.random.default_rng(13)
    rules = canary_rules.rules(ASKED, version(random, 400, 0.25), version(random, 90, failing=0.0))
    assert canary.decide(rules, 0.95).reasons == (
        "error rate: 400 of the champion and 90 of the challenger so far, of 200 samples.",
        "latency: 400 of the champion and 90 of the challenger so far, of 200 samples.",
        "agreement: 90 of the challenger so far, of 200 samples.",
    )
    assert canary.decide(rules, 0.95, expired=True).reasons[-1] == (
        "Insufficient data for agreement: 90 of the challenger by the deadline, and 200 samples are asked for."
    )


def test_a_miss_without_certain_harm_says_that_it_may_be() -> None:
    zeros, some = np.zeros(4 * NEEDED), np.zeros(NEEDED)
    some[::20] = 1.0
    asked = Canary(requests=NEEDED, error_rate=0.05, latency=None, agreement=None)
    verdict = canary.decide(canary_rules.rules(asked, Observed(series(zeros, 0.25)), Observed(series(some, 1))), 0.95)
    assert verdict.state == "abort"
    assert verdict.reasons == (
        "5 % of the challenger's requests failed and 0 % of the champion's; the difference may be as much as 8.19 points "
        "(95 % confidence), beyond the limit of 5 points.",
    )


def test_an_undefined_metric_says_so() -> None:
    """All labels of one class: there is no ROC."""
    asked = Canary(requests=50, error_rate=None, latency=None, agreement=None, quality={"roc_auc": 0.1})

    def first(n: int) -> metrics.Measure:
        return metrics.measure("binary", np.zeros(n), np.full(n, 0.5), np.full(n, "0", object), only=["roc_auc"])

    one = Observed(labelled=Labelled(np.arange(60.0), first))
    verdict = canary.decide(canary_rules.rules(asked, one, one), 0.95)
    assert verdict.state == "abort"
    assert verdict.reasons == (
        "On matured labels roc_auc is undefined for the challenger and undefined for the champion; the difference is "
        "undefined on these samples, which does not meet the limit of -0.1.",
    )
