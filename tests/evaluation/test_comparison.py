"""A candidate is compared with the champion by tests and intervals that equal independent ones."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics import f1_score

from sentiment.evaluation import comparison
from sentiment.evaluation.comparison import (
    ALPHA,
    Comparison,
    Difference,
    DiscordantPairs,
    MetricName,
    accuracy_interval,
    compare_with_champion,
    compute_difference,
    describe_difference,
    describe_test,
    index_labels,
    mcnemar_p_value,
    ordinal,
    randomization_p_value,
    resamples_for,
    select_common_texts,
    significance_level,
)
from sentiment.evaluation.metrics import Interval

TWO = ["negative", "positive"]
THREE = ["bad", "fair", "good"]
METRICS: tuple[MetricName, ...] = ("accuracy", "f1")
ROWS = st.lists(
    st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=12
)  # three labels of each text


def table(actual: NDArray[np.intp], predicted: NDArray[np.intp], names: list[str]) -> pd.DataFrame:
    """Return predictions, given indices of labels."""
    columns = {"actual": np.array(names)[actual], "predicted": np.array(names)[predicted]}
    probabilities = {f"probability_{name}": 1 / len(names) for name in names}
    return pd.DataFrame({"row": np.arange(len(actual)), **columns, **probabilities})


def two_tables(
    texts: int,
    names: list[str],
    candidate_accuracy: float = 0.7,
    champion_accuracy: float = 0.6,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return random predictions of a candidate and a champion."""
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, len(names), texts)

    def predict(accuracy: float) -> pd.DataFrame:
        others = (actual + rng.integers(1, len(names), texts)) % len(names)
        return table(actual, np.where(rng.random(texts) < accuracy, actual, others), names)

    return predict(candidate_accuracy), predict(champion_accuracy)


def f1_by_sklearn(actual: NDArray[np.str_], predicted: NDArray[np.str_], names: list[str]) -> float:
    """Return the F1 of the second of two labels, or the macro F1 of all that are actual."""
    averaged = names[1:] if len(names) == 2 else sorted(set(actual))
    return float(f1_score(actual, predicted, labels=averaged, average="macro", zero_division=0))


def p_value_of_all_swaps(
    candidate: pd.DataFrame, champion: pd.DataFrame, names: list[str]
) -> float:
    """Return the exact p-value of the randomization test: every swap of every text."""
    actual = candidate["actual"].to_numpy()
    ours = candidate["predicted"].to_numpy()
    theirs = champion["predicted"].to_numpy()
    differences = [
        f1_by_sklearn(actual, np.where(swaps, theirs, ours), names)
        - f1_by_sklearn(actual, np.where(swaps, ours, theirs), names)
        for swaps in product([False, True], repeat=len(actual))
    ]
    return float(np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12))


def a_comparison(p_value: float, number: int = 1, difference: float = 0.1) -> Comparison:
    interval = Interval(difference - 0.05, difference + 0.05)
    return Comparison(
        Difference("accuracy", 0.5 + difference, 0.5, interval, 1000), p_value, number
    )


def test_all_levels_together_are_at_most_alpha() -> None:
    total = sum(significance_level(number) for number in range(1, 100_000))
    assert total == pytest.approx(ALPHA, 1e-4)
    assert total <= ALPHA


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(0, 0, 1), (0, 1, 1), (0, 6, 2 / 2**6), (6, 0, 2 / 2**6), (1, 5, 14 / 2**6), (3, 3, 1)],
)
def test_mcnemars_test_is_the_two_sided_binomial(
    only_first: int, only_second: int, p_value: float
) -> None:
    assert mcnemar_p_value(DiscordantPairs(only_first, only_second)) == pytest.approx(p_value)


def test_accuracy_is_compared_by_the_texts_that_only_one_model_gets_right() -> None:
    candidate, champion = two_tables(200, THREE)
    actual = candidate["actual"]
    is_right = candidate["predicted"] == actual
    was_right = champion["predicted"] == actual
    gains = int((is_right & ~was_right).sum())
    losses = int((was_right & ~is_right).sum())
    result = compare_with_champion(candidate, champion, "accuracy", 1)
    assert gains > losses
    assert result.p_value == pytest.approx(2 * binom.cdf(losses, gains + losses, 0.5))
    assert result.difference.value == pytest.approx((gains - losses) / 200)


def test_the_interval_of_accuracy_contains_the_true_difference_in_95_percent_of_test_sets() -> None:
    texts = 200
    shares = (0.03, 0.1)
    rng = np.random.default_rng(0)
    samples = rng.multinomial(texts, [*shares, 1 - sum(shares)], 500)
    intervals = [accuracy_interval(DiscordantPairs(*map(int, row[:2])), texts) for row in samples]
    truth = shares[1] - shares[0]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 < covered < 0.98  # with a standard error of 0.01


def test_two_models_that_are_right_about_the_same_texts_have_no_difference() -> None:
    assert accuracy_interval(DiscordantPairs(0, 0), 40) == (0, 0)


def test_the_interval_of_accuracy_has_zero_exactly_if_the_test_does_not_reject_at_5_percent() -> (
    None
):
    for pairs in map(DiscordantPairs._make, product(range(12), repeat=2)):
        low, high = accuracy_interval(pairs, 30)
        assert (low <= 0 <= high) == (mcnemar_p_value(pairs) >= 0.05), pairs


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_f1_equals_that_of_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    """Labels may be predicted never, or only by one model, or not occur."""
    actual, ours, theirs = np.array(rows).T
    for names, indices in (
        (THREE, (actual, ours, theirs)),
        (TWO, (actual % 2, ours % 2, theirs % 2)),
    ):
        candidate = table(indices[0], indices[1], names)
        champion = table(indices[0], indices[2], names)
        labels = index_labels(candidate, champion)
        difference = compute_difference(candidate, champion, "f1")
        for predicted, model, value in (
            (labels.candidate, candidate, difference.candidate),
            (labels.champion, champion, difference.champion),
        ):
            expected = f1_by_sklearn(
                model["actual"].to_numpy(), model["predicted"].to_numpy(), names
            )
            counts = labels.count_predictions(predicted)[:, np.newaxis]
            assert labels.mean_f1(counts) == pytest.approx(expected)
            assert value == pytest.approx(expected)


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("seed", range(3))
def test_the_randomization_test_approximates_all_swaps(names: list[str], seed: int) -> None:
    candidate, champion = two_tables(7, names, 0.8, 0.4, seed)
    resamples = 20_000
    p_value = randomization_p_value(index_labels(candidate, champion), resamples)
    exact = p_value_of_all_swaps(candidate, champion, names)
    error = np.sqrt(exact * (1 - exact) / resamples)
    assert p_value == pytest.approx(exact, abs=4 * error + 1 / resamples)


def test_no_resample_beyond_the_observed_difference_gives_the_smallest_p_value() -> None:
    candidate, champion = two_tables(500, THREE, 0.9, 0.3)
    labels = index_labels(candidate, champion)
    assert randomization_p_value(labels, 999) == 1 / 1000


def test_blocks_of_resamples_do_not_change_the_distribution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = index_labels(*two_tables(100, THREE))
    whole = randomization_p_value(labels, 10_000)
    monkeypatch.setattr(comparison, "BLOCK_VALUES", 100)
    assert 0.01 < whole < 0.99
    assert randomization_p_value(labels, 10_000) == pytest.approx(whole, abs=0.03)


@pytest.mark.parametrize("metric", METRICS)
def test_a_repeated_test_has_the_same_result(metric: MetricName) -> None:
    tables = two_tables(100, THREE)
    result = compare_with_champion(*tables, metric, 1)
    assert compare_with_champion(*tables, metric, 1) == result


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("metric", METRICS)
def test_exchanged_models_have_the_opposite_difference_and_the_same_p_value(
    metric: MetricName, names: list[str]
) -> None:
    candidate, champion = two_tables(100, names)
    result = compare_with_champion(candidate, champion, metric, 1)
    exchanged = compare_with_champion(champion, candidate, metric, 1)
    assert 0 < result.p_value < 1
    assert exchanged.p_value == result.p_value
    assert exchanged.difference.value == -result.difference.value
    low, high = result.difference.interval
    assert exchanged.difference.interval == pytest.approx((-high, -low))


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("metric", METRICS)
def test_equal_predictions_have_no_difference(metric: MetricName, names: list[str]) -> None:
    candidate, _ = two_tables(50, names)
    result = compare_with_champion(candidate, candidate, metric, 1)
    assert result.p_value == 1
    assert result.difference.value == 0
    assert result.difference.interval == (0, 0)
    assert not result.is_better


def test_texts_that_both_models_get_wrong_do_not_change_the_test_of_accuracy() -> None:
    candidate, champion = two_tables(60, THREE)
    is_wrong = (candidate["predicted"] != candidate["actual"]) & (
        champion["predicted"] != champion["actual"]
    )
    kept = compare_with_champion(candidate[~is_wrong], champion[~is_wrong], "accuracy", 1)
    assert is_wrong.any()
    assert kept.p_value == compare_with_champion(candidate, champion, "accuracy", 1).p_value


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_the_interval_contains_the_difference(rows: list[tuple[int, int, int]]) -> None:
    actual, ours, theirs = np.array(rows).T
    for metric in METRICS:
        difference = compute_difference(
            table(actual, ours, THREE), table(actual, theirs, THREE), metric
        )
        low, high = difference.interval
        assert -1 <= low <= difference.value + 1e-12
        assert difference.value - 1e-12 <= high <= 1


@pytest.mark.parametrize("names", [TWO, THREE])
def test_the_interval_of_f1_is_nearly_that_of_a_bootstrap(names: list[str]) -> None:
    candidate, champion = two_tables(600, names, 0.95, 0.3)
    labels = index_labels(candidate, champion)
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(2000):
        drawn = rng.integers(0, 600, 600)
        sample = labels._replace(actual=labels.actual[drawn])
        ours, theirs = (
            sample.mean_f1(sample.count_predictions(predicted[drawn])[:, np.newaxis])
            for predicted in (labels.candidate, labels.champion)
        )
        differences.append(float(ours[0] - theirs[0]))
    bootstrap = np.quantile(differences, [0.025, 0.975])
    width = bootstrap[1] - bootstrap[0]
    interval = compute_difference(candidate, champion, "f1").interval
    assert interval == pytest.approx(bootstrap, abs=0.1 * width)


def test_the_candidates_labels_are_used_for_both_models() -> None:
    """A label that the candidate's table no longer has is a miss."""
    candidate = table(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]), THREE)
    old = ["bad", "mixed", "good"]
    champion = table(np.array([0, 0, 0, 0]), np.array([0, 1, 2, 2]), old)
    assert compute_difference(candidate, champion, "accuracy").champion == 3 / 4
    # F1 of bad 1, of fair 0, of good 1
    assert compute_difference(candidate, champion, "f1").champion == pytest.approx(2 / 3)


def test_more_resamples_are_made_for_a_lower_level() -> None:
    assert resamples_for(significance_level(1)) == 9_999
    level = significance_level(20)
    assert 1 / (1 + resamples_for(level)) < level / 20 * 1.001


@pytest.mark.parametrize(
    ("p_value", "number", "difference", "is_better"),
    [
        (0.024, 1, 0.1, True),
        (0.025, 1, 0.1, False),  # the level itself
        (0.024, 2, 0.1, False),  # a later test has a lower level
        (0.008, 2, 0.1, True),
        (0.008, 2, -0.1, False),
    ],
)
def test_a_candidate_is_better_if_p_is_below_the_level_and_the_difference_is_positive(
    p_value: float, number: int, difference: float, is_better: bool
) -> None:
    assert a_comparison(p_value, number, difference).is_better == is_better


@pytest.mark.parametrize("metric", METRICS)
def test_a_much_better_candidate_is_better_at_a_late_test(metric: MetricName) -> None:
    candidate, champion = two_tables(500, THREE, 0.9, 0.6)
    assert compare_with_champion(candidate, champion, metric, 20).is_better
    assert not compare_with_champion(champion, candidate, metric, 20).is_better


def test_the_difference_is_described_in_points() -> None:
    difference = Difference("accuracy", 0.924, 0.8472, Interval(0.073, 0.0806), 25_000)
    assert describe_difference(difference) == (
        "accuracy 0.9240 against 0.8472 of the champion, on the 25,000 texts in both test sets: "
        "+7.68 points, 95% interval +7.30 to +8.06"
    )


def test_no_zero_is_described_as_negative() -> None:
    difference = Difference("f1", 0.8, 0.8 + 1e-9, Interval(-0.01, -1e-9), 100)
    assert describe_difference(difference) == (
        "F1 0.8000 against 0.8000 of the champion, on the 100 texts in both test sets: "
        "+0.00 points, 95% interval -1.00 to +0.00"
    )


@pytest.mark.parametrize(
    ("compared", "verdict"),
    [
        (a_comparison(0.001), "Better"),
        (a_comparison(0.001, difference=-0.1), "Worse"),
        (a_comparison(0.3), "No difference is shown"),
    ],
)
def test_the_test_is_described_by_its_verdict_first(compared: Comparison, verdict: str) -> None:
    assert describe_test(compared).startswith(f"{verdict}: if both models were equally good, ")


@pytest.mark.parametrize(
    ("p_value", "frequency"),
    [
        (0.0, "fewer than 1 of 1,000,000 comparisons (McNemar's exact test, p < 1e-300)"),
        (1e-20, "fewer than 1 of 1,000,000 comparisons (McNemar's exact test, p = 1e-20)"),
        (1e-4, "at most 1 of 10,000 comparisons (McNemar's exact test, p = 0.0001)"),
        (0.0031, "at most 1 of 320 comparisons (McNemar's exact test, p = 0.0031)"),
        (0.31, "31% of comparisons (McNemar's exact test, p = 0.31)"),
        (0.996, "almost every comparison (McNemar's exact test, p = 1)"),
        (1.0, "almost every comparison (McNemar's exact test, p = 1)"),
    ],
)
def test_a_p_value_is_described_as_a_frequency(p_value: float, frequency: str) -> None:
    assert f"would occur in {frequency}. " in describe_test(a_comparison(p_value))


def test_without_a_difference_no_frequency_is_described() -> None:
    assert describe_test(a_comparison(1.0, number=2, difference=0.0)) == (
        "No difference is shown: both values are equal (McNemar's exact test, p = 1). "
        "This is the 2nd test against this champion; it requires p < 0.0083."
    )


def test_a_p_value_near_the_level_is_shown_with_enough_digits() -> None:
    described = describe_test(a_comparison(0.02499))
    assert "p = 0.02499)" in described
    assert described.endswith("requires p < 0.025.")


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd"),
     (112, "112th")],
)  # fmt: skip
def test_numbers_are_ordinals(number: int, word: str) -> None:
    assert ordinal(number) == word


def texts(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"text_id": ids, "predicted": [f"{n}" for n in range(len(ids))]})


def test_texts_that_both_have_tested_are_matched_whatever_their_order() -> None:
    ours, theirs = select_common_texts(texts("a", "b", "c"), texts("d", "c", "a"))
    assert ours["text_id"].tolist() == theirs["text_id"].tolist() == ["a", "c"]
    assert theirs["predicted"].tolist() == ["2", "1"]


def test_a_text_that_is_there_twice_is_matched_twice() -> None:
    ours, theirs = select_common_texts(texts("a", "a", "a"), texts("a", "b", "a"))
    assert ours["predicted"].tolist() == ["0", "1"]
    assert theirs["predicted"].tolist() == ["0", "2"]
