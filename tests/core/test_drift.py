"""Drift, against definitions and over many seeded windows."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import drift, summaries
from components.core.errors import ArtifactError, DataError

ROWS = 20_000


def sample(rows, seed, shift=0.0):
    """Ten columns of many shapes, and a score."""
    random = np.random.default_rng(seed)
    spiky = np.where(random.random(rows) < 0.6, 0, random.gamma(2, size=rows))
    skewed = random.exponential(size=rows)
    skewed[random.random(rows) < 0.3] = np.nan
    columns = {f"normal{i}": (random.normal(size=rows) + shift).astype(np.float32) for i in range(4)}
    columns |= {
        "weekday": random.integers(0, 7, rows).astype(np.float32),
        "skewed": skewed.astype(np.float32),
        "spiky": spiky.astype(np.float32),
        "few": np.array(["", "a", "b"], dtype=object)[random.choice(3, rows, p=[0.1, 0.6, 0.3])],
        "many": np.array([f"v{i}" for i in random.zipf(1.3, rows).clip(0, 900)], dtype=object),
    }
    return columns, random.beta(2, 5, rows)


@pytest.fixture(scope="module")
def base():
    return drift.parse(json.loads(json.dumps(drift.baseline(*sample(ROWS, 0)), allow_nan=False)))


def verdicts(base, columns, scores, **options):
    return {c.name: c for c in drift.compare(base, drift.count(base, columns, scores), **options)}


@pytest.mark.slow
@pytest.mark.parametrize("rows", [300, 5000])
def test_at_most_5_of_100_windows_of_the_same_distribution_raise_any_alarm(base, rows):
    found = [verdicts(base, *sample(rows, 1000 + seed)) for seed in range(100)]
    assert sum(drift.overall(list(window.values())) == "drift" for window in found) <= 5


@pytest.mark.slow
def test_chance_alone_passes_the_calibrated_threshold_of_any_column_in_at_most_5_of_100_windows(base):
    rows, level = 3000, 1 - drift.FALSE_ALARM / len(base)
    limits = {name: drift.calibrated(summary.counts, rows, level) for name, summary in base.items()}
    windows = [verdicts(base, *sample(rows, 2000 + seed)) for seed in range(100)]
    assert sum(any(c.distance > limits[name] for name, c in window.items()) for window in windows) <= 5


@pytest.mark.slow
def test_at_least_95_of_100_windows_shifted_by_one_sigma_are_drift(base):
    found = [verdicts(base, *sample(300, 3000 + seed, shift=1.0)) for seed in range(100)]
    assert sum(all(window[f"normal{i}"].verdict == "drift" for i in range(4)) for window in found) >= 95


def test_what_did_not_shift_is_no_drift_beside_what_did(base):
    found = verdicts(base, *sample(5000, 7, shift=1.0))
    assert {name for name, column in found.items() if column.verdict == "drift"} == {f"normal{i}" for i in range(4)}
    assert found["weekday"].verdict == "no drift"


def test_the_largest_distance_comes_first(base):
    columns, scores = sample(5000, 8)
    columns["few"] = np.full(5000, "never seen", dtype=object)
    found = drift.compare(base, drift.count(base, columns, scores))
    assert found[0].name == "few"
    assert found[0].distance == pytest.approx(1.0, abs=0.01)


def test_a_column_that_went_missing_is_drift(base):
    columns, scores = sample(1000, 9)
    columns["normal0"][:] = np.nan
    found = verdicts(base, columns, scores)["normal0"]
    assert (found.verdict, found.missing, found.ks) == ("drift", 1.0, None)


def test_infinite_scores_are_drift(base):
    columns, scores = sample(1000, 10)
    assert verdicts(base, columns, np.full_like(scores, np.inf))[drift.SCORE].verdict == "drift"


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_too_few_rows_are_insufficient_data_however_far_they_lie(base, rows):
    found = list(verdicts(base, *sample(rows, 11, shift=50.0)).values())
    assert {c.verdict for c in found} == {"insufficient data"}
    assert drift.overall(found) == "insufficient data"


def test_a_window_too_small_to_show_one_sigma_is_insufficient_data_even_when_the_case_asks_for_one_row(base):
    found = verdicts(base, *sample(20, 12), minimum_rows=1)
    assert found["normal0"].verdict == "insufficient data"
    assert found["normal0"].reason == "too few rows to see a shift of one standard deviation"


def test_a_constant_column_is_insufficient_data_while_it_stays_and_drift_when_it_moves():
    constant = {"x": np.full(1000, 3, dtype=np.float32)}
    score = np.linspace(0, 1, 1000)
    base = drift.parse(drift.baseline(constant, score))
    same = verdicts(base, constant, score)
    assert (same["x"].verdict, same["x"].reason) == ("insufficient data", "the baseline knows one value only")
    assert verdicts(base, {"x": np.full(1000, np.nan, dtype=np.float32)}, score)["x"].verdict == "drift"


def test_an_empty_or_all_missing_baseline_is_insufficient_data():
    empty = drift.parse(drift.baseline({"x": np.empty(0, dtype=np.float32)}, np.empty(0)))
    window = {"x": np.zeros(500, dtype=np.float32)}
    assert {c.verdict for c in verdicts(empty, window, np.zeros(500)).values()} == {"insufficient data"}
    nothing = {"x": np.full(500, np.nan, dtype=np.float32)}
    base = drift.parse(drift.baseline(nothing, np.linspace(0, 1, 500)))
    assert verdicts(base, nothing, np.linspace(0, 1, 500))["x"].verdict == "insufficient data"


def test_nothing_to_judge_is_insufficient_data():
    assert drift.overall([]) == "insufficient data"


def test_a_threshold_of_the_case_replaces_the_calibrated_one(base):
    columns, scores = sample(5000, 13)
    found = verdicts(base, columns, scores, threshold=0.001)
    assert {c.threshold for c in found.values()} == {0.001}
    assert drift.overall(list(found.values())) == "drift"


def test_ignored_columns_are_left_out(base):
    assert "few" not in verdicts(base, *sample(500, 14), ignore=("few",))


def test_distances_are_those_of_the_definitions():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    middle = (p + q) / 2
    divergence = sum(
        share * np.log2(share / m) / 2 for side in (p, q) for share, m in zip(side, middle, strict=True) if share
    )
    assert drift.jensen_shannon(p, q) == pytest.approx(np.sqrt(divergence))
    assert drift.jensen_shannon(p, p) == 0
    assert drift.jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1
    assert drift.l_infinity(p, q) == 0.5
    assert drift.kolmogorov_smirnov(p, q) == 0.5
    assert drift.psi(p, q) == pytest.approx(2 * -0.25 * np.log(0.5) + (0.5 - 1e-4) * np.log(0.5 / 1e-4))


numbers = st.lists(st.floats(width=32) | st.sampled_from([0.0, 1.0]), max_size=60).map(
    lambda values: np.array(values, dtype=np.float32)
)
texts = st.lists(st.sampled_from(["", "a", "b", "ß", "c"]), max_size=60).map(
    lambda values: np.array(values, dtype=object)
)


@given(st.lists(st.tuples(numbers, texts), min_size=4, max_size=4))
def test_pieces_add_up_to_the_whole_in_any_order_and_no_row_is_lost(pieces):
    like = summaries.first({"x": pieces[0][0], "t": pieces[0][1]})
    parts = [summaries.count(like, {"x": x, "t": t}) for x, t in pieces[1:]]
    whole = summaries.count(
        like, {"x": np.concatenate([p[0] for p in pieces[1:]]), "t": np.concatenate([p[1] for p in pieces[1:]])}
    )
    left = summaries.merge(summaries.merge(parts[0], parts[1]), parts[2])
    right = summaries.merge(parts[2], summaries.merge(parts[1], parts[0]))
    for name, values in (("x", 0), ("t", 1)):
        assert left[name].counts.tolist() == right[name].counts.tolist() == whole[name].counts.tolist()
        assert whole[name].rows == sum(len(p[values]) for p in pieces[1:])


@given(numbers)
def test_a_number_is_counted_in_the_bin_whose_edges_hold_it(values):
    bins = summaries.NumberBins.of(values)
    present = values[~np.isnan(values)]
    places = np.searchsorted(np.array(bins.edges, dtype=np.float32), present, side="right")
    expected = [*np.bincount(places, minlength=len(bins.edges) + 1).tolist(), len(values) - len(present)]
    assert bins.count(values).tolist() == expected


def test_a_number_of_many_values_has_about_32_bins_of_equal_weight():
    values = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    bins = summaries.NumberBins.of(values)
    assert bins.count(values).tolist() == [1000] * 32 + [0]


def test_a_category_keeps_its_50_most_frequent_values_and_a_remainder():
    values = np.array([f"v{i}" for i in range(80) for _ in range(100 - i)] + [""] * 7, dtype=object)
    bins = summaries.CategoryBins.of(values)
    assert bins.values == tuple(f"v{i}" for i in range(50))
    assert bins.count(values)[-2:].tolist() == [sum(100 - i for i in range(50, 80)), 7]


def test_a_baseline_survives_json(base):
    again = summaries.from_json(json.loads(json.dumps(summaries.to_json(base))))
    assert {n: (s.bins, s.counts.tolist()) for n, s in again.items()} == {
        n: (s.bins, s.counts.tolist()) for n, s in base.items()
    }


def test_summaries_of_other_bins_do_not_merge():
    one = summaries.first({"x": np.array([1.0, 2.0])})
    other = summaries.first({"x": np.array([1.0, 3.0])})
    with pytest.raises(DataError, match="'summaries' must have the same columns and bins") as caught:
        summaries.merge(one, other)
    assert str(caught.value) == (
        "'summaries' must have the same columns and bins. Got []. Count both over the bins of one baseline."
    )


@pytest.mark.parametrize(("columns", "got"), [({}, "'absent'"), ({"x": np.array(["1"], dtype=object)}, "'object'")])
def test_a_column_absent_or_of_another_kind_is_refused_by_name(columns, got):
    like = summaries.first({"x": np.array([1.0, 2.0])})
    with pytest.raises(DataError) as caught:
        summaries.count(like, columns)
    assert str(caught.value) == (
        f"drift: 'x' must be a number as in the baseline. Got {got}. "
        "Compare with the baseline of the model that made these features."
    )


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"format": 2, "columns": {}},
        {"format": 1, "columns": {"x": {"edges": [1.0], "low": 0, "high": 1, "counts": [1]}}},
        {"format": 1, "columns": {"x": {"values": ["a"], "counts": [1, 2, -3]}}},
        {"format": 1, "columns": {"x": 3}},
    ],
)
def test_what_is_no_baseline_is_refused(data):
    with pytest.raises(ArtifactError, match=r"^baseline\.json: 'baseline' must "):
        drift.parse(data)
