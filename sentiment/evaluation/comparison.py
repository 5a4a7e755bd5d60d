"""Comparisons of two models' predictions for the same texts: a candidate's and the champion's.

Both are tables of predictions, see `sentiment.evaluation.metrics`, with the same texts in the same
order. The candidate's table defines the labels: its column `actual` is used for both models, and
its columns of probabilities name the labels. From the champion's table, only `predicted`, `text_id`
and the names of its labels are used.

The tests and intervals assume that the texts are independent of each other.
"""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation.metrics import CONFIDENCE, METRICS, Interval, averaged_labels
from sentiment.text.labels import label_names_in

MetricName = Literal["accuracy", "f1"]
ALPHA = 0.05  # significance level of all tests against one champion together
TEST_NAMES: dict[MetricName, str] = {
    "accuracy": "McNemar's exact test",
    "f1": "paired randomization test",
}
# The randomization test
RESAMPLING_SEED = 0
MIN_RESAMPLES = 9_999  # the smallest p-value is then 0.0001
EXPECTED_BEYOND = 20  # resamples that are as extreme as the data, if the p-value is the level
BLOCK_VALUES = 2**20  # elements of the largest array of a block of resamples: 8 MB
ROUNDING = 1e-12  # differences of F1 that are closer than this are equal
# Texts
MIN_SHOWN_P_VALUE = 1e-300  # near the limit of float64
MAX_SHOWN_COMPARISONS = 1_000_000  # a larger number says nothing more to a reader
ALMOST_ONE = 0.995  # a p-value that would be shown as 100%


class Difference(NamedTuple):
    """The difference of a metric between a candidate and the champion.

    Attributes:
        candidate: value of the metric. `champion` likewise.
        interval: 95% confidence interval of the difference.
        texts: number of texts that are compared.
    """

    metric: MetricName
    candidate: float
    champion: float
    interval: Interval
    texts: int

    @property
    def value(self) -> float:
        """The candidate's value minus the champion's value."""
        return self.candidate - self.champion


class Comparison(NamedTuple):
    """A difference with its test.

    Attributes:
        p_value: two-sided p-value of the test that both models are equally good.
        number: number of this test against this champion, from 1.
    """

    difference: Difference
    p_value: float
    number: int

    @property
    def level(self) -> float:
        """The significance level of this test."""
        return significance_level(self.number)

    @property
    def is_better(self) -> bool:
        """Whether the candidate is shown to be better."""
        return self.p_value < self.level and self.difference.value > 0


class DiscordantPairs(NamedTuple):
    """The number of texts that exactly one of two models gets right."""

    only_first: int
    only_second: int


class Labels(NamedTuple):
    """Labels as indices among the labels whose F1 is averaged; the index of all others is -1.

    Attributes:
        averaged: number of labels whose F1 is averaged.
        actual: actual labels, shape (texts,).
        candidate: labels that the candidate predicts, same shape. `champion` likewise.
    """

    averaged: int
    actual: NDArray[np.intp]
    candidate: NDArray[np.intp]
    champion: NDArray[np.intp]

    def tally(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return how often each averaged label occurs among some indices, shape (labels,)."""
        return np.bincount(indices[indices >= 0], minlength=self.averaged)

    def count_predictions(self, predicted: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the number of predictions, then of hits, of each label, shape (2 * labels,)."""
        hits = predicted[predicted == self.actual]
        return np.concatenate([self.tally(predicted), self.tally(hits)])

    def mean_f1(self, counts: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the mean F1 for each column of counts, shape (2 * labels, columns)."""
        predictions, hits = np.split(counts, 2)
        occurrences = predictions + self.tally(self.actual)[:, np.newaxis]
        # The F1 of a label that is neither predicted nor actual is 0, as in `metrics.f1`.
        return np.asarray((2 * hits / np.maximum(occurrences, 1)).mean(axis=0))


def significance_level(number: int) -> float:
    """Return the significance level of the k-th test against a champion.

    Among many candidates, one seems better by luck. Over all numbers, these levels add up to
    `ALPHA`. If the candidates do not depend on the results on the test set, the chance of any false
    promotion is therefore at most `ALPHA` (Bonferroni). People choose candidates by such results,
    so in practice `ALPHA` is not an exact bound, but lucky promotions stay rare.

    Source: Foster and Stine 2008, Alpha-investing (levels that are spent one after the other);
    Blum and Hardt 2015, The Ladder (why a leaderboard needs it).
    """
    return ALPHA / (number * (number + 1))


def select_common_texts(
    candidate: pd.DataFrame, champion: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of both tables whose texts are in both, in the same order.

    A text that is there twice is matched twice, in the order of the tables.
    """
    numbered = [
        table.assign(occurrence=table.groupby("text_id").cumcount())
        for table in (candidate, champion)
    ]
    keys = [table.set_index(["text_id", "occurrence"]).index for table in numbered]
    common = keys[0].intersection(keys[1], sort=False)
    candidate_rows, champion_rows = (
        table.iloc[key.get_indexer(common)].reset_index(drop=True)
        for table, key in zip((candidate, champion), keys, strict=True)
    )
    return candidate_rows, champion_rows


def unknown_labels(candidate: pd.DataFrame, champion: pd.DataFrame) -> list[str]:
    """Return the champion's labels that the candidate does not have."""
    known = label_names_in(candidate.columns)
    return [label for label in label_names_in(champion.columns) if label not in known]


def compute_difference(
    candidate: pd.DataFrame, champion: pd.DataFrame, metric: MetricName
) -> Difference:
    """Compute the difference of a metric without a test.

    Args:
        candidate: the candidate's predictions for at least one text.
        champion: the champion's predictions for the same texts, in the same order.
        metric: "f1" is the F1 of the positive label, or macro F1 with more than two labels.
    """
    texts = len(candidate)
    compute = METRICS[metric].compute
    candidate_value = compute(candidate)
    champion_value = compute(candidate.assign(predicted=champion["predicted"].array))
    if metric == "accuracy":
        interval = accuracy_interval(compare_hits(candidate, champion), texts)
    else:
        difference = candidate_value - champion_value
        interval = f1_interval(index_labels(candidate, champion), difference)
    return Difference(metric, candidate_value, champion_value, interval, texts)


def compare_with_champion(
    candidate: pd.DataFrame, champion: pd.DataFrame, metric: MetricName, number: int
) -> Comparison:
    """Test whether a candidate and the champion are equally good, see `compute_difference`.

    Args:
        number: number of this test against this champion, from 1.
    """
    if metric == "accuracy":
        p_value = mcnemar_p_value(compare_hits(candidate, champion))
    else:
        resamples = resamples_for(significance_level(number))
        p_value = randomization_p_value(index_labels(candidate, champion), resamples)
    return Comparison(compute_difference(candidate, champion, metric), p_value, number)


def compare_hits(candidate: pd.DataFrame, champion: pd.DataFrame) -> DiscordantPairs:
    """Count the texts that only the champion (first) or only the candidate (second) gets right."""
    actual = candidate["actual"].to_numpy(object)
    return count_discordant_pairs(
        champion["predicted"].to_numpy(object) == actual,
        candidate["predicted"].to_numpy(object) == actual,
    )


def count_discordant_pairs(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> DiscordantPairs:
    """Count discordant pairs, given whether each model gets each text right, shape (texts,)."""
    return DiscordantPairs(int((a & ~b).sum()), int((b & ~a).sum()))


def mcnemar_p_value(pairs: DiscordantPairs) -> float:
    """Return the two-sided p-value of McNemar's exact test that two models are equally accurate.

    Source: McNemar 1947, Note on the sampling error of the difference between correlated
    proportions; exact by the binomial distribution.
    """
    from scipy.stats import binomtest

    discordant = pairs.only_first + pairs.only_second
    return float(binomtest(pairs.only_second, discordant).pvalue) if discordant else 1.0


def accuracy_interval(pairs: DiscordantPairs, texts: int) -> Interval:
    """Return the interval of the second model's accuracy minus the first model's accuracy.

    The difference is a product: the share of discordant pairs among all texts, and the balance of
    these pairs, from -1 (only the first model gets them right) to 1. Both have exact intervals,
    which are combined. The result contains 0 if and only if the interval of the balance does, and
    that is so if and only if the p-value of McNemar's exact test is at least 5%.

    Source: Clopper and Pearson 1934, The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial; Zou and Donner 2008, Construction of confidence limits about effect
    measures (how limits are combined).
    """
    from scipy.stats import binomtest

    discordant = pairs.only_first + pairs.only_second
    if not discordant:
        return Interval(0.0, 0.0)
    share = discordant / texts
    difference = (pairs.only_second - pairs.only_first) / texts
    shares = binomtest(discordant, texts).proportion_ci(CONFIDENCE, "exact")
    seconds = binomtest(pairs.only_second, discordant).proportion_ci(CONFIDENCE, "exact")
    ends = []
    for side, end in ((-1, seconds.low), (1, seconds.high)):
        balance = 2 * float(end) - 1
        farthest = float(shares.high if side * balance > 0 else shares.low)
        half = math.hypot(balance * share - difference, balance * (farthest - share))
        ends.append(difference + side * half)
    return Interval(*ends)


def index_labels(candidate: pd.DataFrame, champion: pd.DataFrame) -> Labels:
    """Return the actual labels and the predictions of both models as indices."""
    averaged = pd.Index(averaged_labels(candidate))
    columns = (candidate["actual"], candidate["predicted"], champion["predicted"])
    return Labels(len(averaged), *(averaged.get_indexer(pd.Index(column)) for column in columns))


def f1_interval(labels: Labels, difference: float) -> Interval:
    """Return the interval of a difference of F1 by the delta method.

    F1 is a smooth function of counts. So the error of the difference is nearly the sum of one
    effect of each text, and the sum of the squared effects estimates its variance. A bootstrap
    would need random numbers, and its interval need not contain the difference.

    Source: Takahashi et al. 2023, Hypothesis testing procedure for binary and multi-class F1-scores
    in the paired design.
    """
    effects = f1_effects(labels, labels.candidate) - f1_effects(labels, labels.champion)
    quantile = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    half = quantile * math.sqrt(np.square(effects).sum())
    return Interval(max(difference - half, -1.0), min(difference + half, 1.0))


def f1_effects(labels: Labels, predicted: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the derivative of a model's mean F1 with respect to each text's weight.

    Args:
        predicted: the model's predictions, shape (texts,), which is also the result's.
    """
    predictions, hits = np.split(labels.count_predictions(predicted), 2)
    occurrences = np.maximum(predictions + labels.tally(labels.actual), 1)
    # The index -1 finds the appended 0: other labels have no effect.
    gain = np.append(2 / occurrences, 0)
    loss = np.append(2 * hits / occurrences**2, 0)
    is_hit = predicted == labels.actual
    effects = gain[predicted] * is_hit - loss[predicted] - loss[labels.actual]
    return np.asarray(effects / labels.averaged)


def resamples_for(level: float) -> int:
    """Return the number of resamples of a test at a level.

    If the p-value is the level, `EXPECTED_BEYOND` resamples are expected to have so large a
    difference, and the standard error of the p-value is less than a quarter of the level. With too
    few resamples, even the smallest possible p-value would exceed the level of a late test.
    """
    return max(MIN_RESAMPLES, math.ceil(EXPECTED_BEYOND / level))


def randomization_p_value(labels: Labels, resamples: int) -> float:
    """Return the two-sided p-value of a paired randomization test that two models have equal F1.

    If the models are equally good, each prediction could as well be the other model's. So each
    resample swaps the two predictions of each text with probability 1/2. The p-value is the share
    of differences that are as large as the observed one, which is itself counted. The seed is
    constant: a repeated test has the same result.

    Source: Noreen 1989, Computer-Intensive Methods for Testing Hypotheses; Yeh 2000, More accurate
    tests for the statistical significance of result differences; Phipson and Smyth 2010,
    Permutation P-values Should Never Be Zero (why the observed difference is counted).
    """
    from scipy.sparse import csr_array

    low = np.minimum(labels.candidate, labels.champion)
    high = np.maximum(labels.candidate, labels.champion)
    differs = low < high  # the swap of equal predictions would change nothing
    if not differs.any():
        return 1.0
    groups, sizes = group_texts(low[differs], high[differs], labels.actual[differs])
    change = csr_array(
        count_vectors(labels.averaged, groups[0], groups[2])
        - count_vectors(labels.averaged, groups[1], groups[2])
    )
    if_high = labels.count_predictions(high)[:, np.newaxis]
    candidate = labels.count_predictions(labels.candidate)[:, np.newaxis]
    champion = labels.count_predictions(labels.champion)[:, np.newaxis]
    both = candidate + champion  # which no swap changes

    def size_of_difference(counts: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.abs(labels.mean_f1(counts) - labels.mean_f1(both - counts))

    observed = size_of_difference(candidate)
    rng = np.random.default_rng(RESAMPLING_SEED)
    block = max(1, BLOCK_VALUES // max(change.shape))
    beyond = 0
    for start in range(0, resamples, block):
        columns = min(block, resamples - start)
        given_low = rng.binomial(sizes[:, np.newaxis], 0.5, (len(sizes), columns))
        swapped = size_of_difference(if_high + change @ given_low)
        beyond += int((swapped >= observed - ROUNDING).sum())
    return (1 + beyond) / (1 + resamples)


def group_texts(
    low: NDArray[np.intp], high: NDArray[np.intp], actual: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Group the texts whose swaps have the same effect.

    For each group, a resample then draws a single number: how many of its texts give the lower
    label to the candidate. That has a binomial distribution.

    Args:
        low: the lower of the two predictions of each text, shape (texts,). `high` likewise.
        actual: actual labels, same shape.

    Returns:
        Lower prediction, higher prediction and actual label of each group, shape (3, groups), and
        the number of its texts, shape (groups,).
    """
    # An actual label that neither model predicts has no effect.
    actual = np.where((actual == low) | (actual == high), actual, -1)
    return np.unique(np.stack([low, high, actual]), axis=1, return_counts=True)


def count_vectors(
    labels: int, predicted: NDArray[np.intp], actual: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return what each prediction adds to `Labels.count_predictions`, shape (2 * labels, n)."""
    is_predicted = np.arange(labels)[:, np.newaxis] == predicted
    return np.concatenate([is_predicted, is_predicted & (predicted == actual)]).astype(np.intp)


def describe_difference(difference: Difference) -> str:
    """Return a line with both values and the difference, in percentage points."""
    low, high = (f"{100 * end:+z.2f}" for end in difference.interval)
    return (
        f"{METRICS[difference.metric].title} {difference.candidate:.4f} against "
        f"{difference.champion:.4f} of the champion, on the {difference.texts:,} texts in both "
        f"test sets: {100 * difference.value:+z.2f} points, 95% interval {low} to {high}"
    )


def describe_test(comparison: Comparison) -> str:
    """Return a line with the verdict, the p-value and what it means, and the level."""
    p_value, level = show_p_value(comparison.p_value, comparison.level)
    test = f"{TEST_NAMES[comparison.difference.metric]}, p {p_value}"
    if comparison.is_better:
        verdict = "Better"
    elif comparison.p_value < comparison.level:
        verdict = "Worse"
    else:
        verdict = "No difference is shown"
    if comparison.difference.value:
        meaning = (
            "if both models were equally good, a difference at least this large would occur in "
            f"{describe_frequency(comparison.p_value)}"
        )
    else:
        meaning = "both values are equal"
    number = ordinal(comparison.number)
    return (
        f"{verdict}: {meaning} ({test}). This is the {number} test against this champion; it "
        f"requires p < {level}."
    )


def describe_frequency(p_value: float) -> str:
    """Return a p-value as a frequency among comparisons, such as "at most 1 of 320 comparisons"."""
    if p_value >= ALMOST_ONE:
        return "almost every comparison"
    if p_value >= 0.01:
        return f"{100 * p_value:.2g}% of comparisons"
    if p_value * MAX_SHOWN_COMPARISONS < 1:
        return f"fewer than 1 of {MAX_SHOWN_COMPARISONS:,} comparisons"
    comparisons = round(1 / p_value)
    two_digits = 10 ** (len(str(comparisons)) - 2)
    return f"at most 1 of {comparisons // two_digits * two_digits:,} comparisons"


def show_p_value(p_value: float, level: float) -> tuple[str, str]:
    """Return the relation to a p-value, such as "= 0.01", and the level.

    They have two digits, or as many as it takes to see which is smaller.
    """
    if p_value < MIN_SHOWN_P_VALUE:
        return f"< {MIN_SHOWN_P_VALUE}", f"{level:.2g}"
    digits = 2
    while p_value != level and f"{p_value:.{digits}g}" == f"{level:.{digits}g}":
        digits += 1
    return f"= {p_value:.{digits}g}", f"{level:.{digits}g}"


def ordinal(number: int) -> str:
    """Return a number as an ordinal, such as "22nd"."""
    is_teen = number // 10 % 10 == 1
    suffix = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
