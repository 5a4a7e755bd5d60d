"""Two sides that answered the same reviews, held against each other: pure functions.

A side is one training or a group of trainings that differ in their seeds. Two single trainings are
compared review by review; as soon as one side is a group, the unit is a training and not a review.
Every difference is B less A.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages import scores, significance
from stages.command import UserError
from stages.params import Compare
from stages.sequences import Reviews
from stages.significance import Discordant, Interval

TEST_DATA = "data.test.sha256"  # among a training's params: identity of the test reviews
NEGATIONS = frozenset(
    "no not never cannot nor neither none nobody nothing nowhere "
    "without hardly scarcely barely".split()
)
CONTRACTION = "n't"


class Training(NamedTuple):
    """A training with its evaluation.

    Attributes:
        run_id: of its MLflow run.
        name: of its MLflow run.
        params: everything that shaped it and its evaluation, and digests of model and data.
        predictions: see `stages.scores`; `probability` is float32.
        history: see `stages.train.Trained`.
        cost: `parameters` and `milliseconds_per_review`.
    """

    run_id: str
    name: str
    params: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    cost: dict[str, float]


class Side(NamedTuple):
    """One side of a comparison.

    Attributes:
        label: how it was asked for, such as `champion`.
        run_id: of the training's run, or of the group's parent run.
        name: of that run.
        trainings: one, or those of the group.
    """

    label: str
    run_id: str
    name: str
    trainings: list[Training]

    @property
    def single(self) -> bool:
        """Whether it is one training and not a group."""
        return len(self.trainings) == 1


class Corpus(NamedTuple):
    """The text of the test reviews.

    Attributes:
        reviews: as `fetch` wrote them.
        words: the vocabulary: the word of frequency rank r is at r.
    """

    reviews: Reviews
    words: list[str]


class Answers(NamedTuple):
    """A side's answers to the same reviews, in the order of their numbers.

    Attributes:
        right: whether each training is right, shape (trainings, reviews).
        probability: of being positive, mean over the trainings, shape (reviews,), float32.
        agreed: whether that mean gives the right class, shape (reviews,).
    """

    right: NDArray[np.bool_]
    probability: NDArray[np.float32]
    agreed: NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Accuracies of two sides, means over the trainings of each, and B's less A's."""

    a: float
    b: float
    difference: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class Spread:
    """A side's accuracy.

    Attributes:
        mean: over its trainings.
        interval: Wilson's, of a single training; None of a group.
        deviation: standard deviation over a group's trainings; None of a single one.
        low: the least of its trainings.
        high: the greatest.
    """

    mean: float
    interval: Interval | None
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """A side's figures, means over its trainings.

    Attributes:
        label: how it was asked for.
        run_id: of its run, or of the group's parent run.
        name: of that run.
        runs: ids of its trainings' runs.
        accuracy: over all test reviews.
        ece: expected calibration error.
        brier: mean squared error of the probability.
        cost: seconds of the training, of a usual (median) epoch, parameters, ms a review.
    """

    label: str
    run_id: str
    name: str
    runs: list[str]
    accuracy: Spread
    ece: float
    brier: float
    cost: dict[str, float]


@dataclass(frozen=True)
class Group:
    """Some of the reviews, and how the sides differ on them; `kind` is `words` or `negation`."""

    kind: str
    name: str
    reviews: int
    result: Difference


@dataclass(frozen=True)
class Example:
    """A review that just one side gets right."""

    review: int
    actual: str
    probability_a: float
    probability_b: float
    text: str


@dataclass(frozen=True)
class Change:
    """A param that differs; a group's values, where they are several, in one text."""

    param: str
    a: str
    b: str


@dataclass(frozen=True)
class Comparison:
    """All that is said of two sides.

    Attributes:
        sentence: the outcome in words, of A and B.
        caveats: what it does not say.
        confidence: of all intervals.
        test: name of the test behind every p.
        reviews: number of test reviews.
        discordant: reviews that only one of two single trainings gets right; None for groups.
        reliability: a table for each training of A and of B, see `stages.scores`.
        curves: the history of each training of A and of B.
    """

    a: Summary
    b: Summary
    sentence: str
    caveats: list[str]
    confidence: float
    test: str
    reviews: int
    changes: list[Change]
    result: Difference
    discordant: Discordant | None
    groups: list[Group]
    only_a: list[Example]
    only_b: list[Example]
    reliability: tuple[list[pd.DataFrame], list[pd.DataFrame]]
    curves: tuple[list[pd.DataFrame], list[pd.DataFrame]]


def compare(a: Side, b: Side, corpus: Corpus, settings: Compare) -> Comparison:
    """Compare two sides that `check_comparable` admits.

    Length groups and calibration bins are those of B's params, for both.
    """
    params = b.trainings[0].params
    bins = params["evaluate.calibration_bins"]
    answers_a, answers_b = answers(a), answers(b)
    result = difference(answers_a.right, answers_b.right, settings)
    test = test_name(len(a.trainings), len(b.trainings))
    counts = discordant(answers_a, answers_b)
    rows = by_review(b.trainings[0])
    examples = both_kinds_of_examples(answers_a, answers_b, rows, corpus, settings.examples)
    return Comparison(
        a=summarize(a, bins, settings.confidence),
        b=summarize(b, bins, settings.confidence),
        sentence=sentence(result, settings.confidence, test, counts),
        caveats=caveats(a, b, result, settings.confidence),
        confidence=settings.confidence,
        test=test,
        reviews=len(rows),
        changes=changes(a, b),
        result=result,
        discordant=counts,
        groups=groups(answers_a, answers_b, rows, corpus, params, settings),
        only_a=examples[0],
        only_b=examples[1],
        reliability=(reliability(a, bins), reliability(b, bins)),
        curves=(curves(a), curves(b)),
    )


def check_comparable(a: Side, b: Side) -> None:
    """Raise UserError with the reason where the sides cannot be compared."""
    if a.run_id == b.run_id:
        raise UserError(
            f"{a.label} and {b.label} are the same run, {a.run_id}: there is nothing to compare. "
            "Name another with A=… or B=…, or change a parameter and run `make repro`."
        )
    shared = {each.run_id for each in a.trainings} & {each.run_id for each in b.trainings}
    if shared:
        raise UserError(
            f"{a.label} and {b.label} share trainings ({', '.join(sorted(shared))}), so that "
            "neither says anything about the other. `make seeds` printed how the group spreads."
        )
    known = {each.params.get(TEST_DATA) for each in [*a.trainings, *b.trainings]}
    if len(known) > 1:
        sets = [f"{side.label} on {dataset(side)}" for side in (a, b)]
        raise UserError(
            f"They were evaluated on other test reviews, {' and '.join(sets)}, so their accuracies "
            "cannot be compared. Evaluate both on the same data set."
        )


def dataset(side: Side) -> str:
    """Names and short digests of the test reviews that a side was evaluated on."""
    found = {
        f"{each.params['fetch.dataset']} ({str(each.params.get(TEST_DATA))[:8]})"
        for each in side.trainings
    }
    return ", ".join(sorted(found))


def by_review(training: Training) -> pd.DataFrame:
    """The predictions in the order of the reviews' numbers, whatever order they were padded in."""
    return training.predictions.set_index("review").sort_index()


def answers(side: Side) -> Answers:
    """A side's answers, aligned."""
    tables = [by_review(each) for each in side.trainings]
    right = np.stack([(each["actual"] == each["predicted"]).to_numpy(bool) for each in tables])
    stacked = np.stack([each["probability"].to_numpy(np.float32) for each in tables])
    probability = stacked.mean(axis=0)
    positive = (tables[0]["actual"] == scores.POSITIVE).to_numpy(bool)
    threshold = side.trainings[0].params["evaluate.threshold"]
    return Answers(right, probability, (probability > threshold) == positive)


def difference(a: NDArray[np.bool_], b: NDArray[np.bool_], settings: Compare) -> Difference:
    """Compare accuracies, of two single trainings by review and otherwise by training.

    Args:
        a: whether each training of A is right, shape (trainings, reviews).
        b: the same of B, about the same reviews.
        settings: confidence, and how to draw.
    """
    means_a, means_b = a.mean(axis=1), b.mean(axis=1)
    accuracies = float(means_a.mean()), float(means_b.mean())
    if len(a) == len(b) == 1:
        interval = significance.bootstrap(
            a[0], b[0], settings.confidence, settings.bootstrap_samples, settings.bootstrap_seed
        )
        p = significance.mcnemar(significance.discordant(a[0], b[0]))
        return Difference(*accuracies, accuracies[1] - accuracies[0], interval, p)
    with warnings.catch_warnings():  # in a small group of reviews one side may have no spread
        warnings.simplefilter("ignore", RuntimeWarning)
        found = significance.mean_difference(means_a, means_b, settings.confidence)
    return Difference(*accuracies, found.difference, found.interval, found.p)


def discordant(a: Answers, b: Answers) -> Discordant | None:
    """Reviews that only one of two single trainings gets right; None where one is a group."""
    pair = len(a.right) == len(b.right) == 1
    return significance.discordant(a.right[0], b.right[0]) if pair else None


def test_name(a: int, b: int) -> str:
    """The test behind p, by the number of trainings on each side."""
    if a == b == 1:
        return "McNemar's exact"
    return "Student's t-test" if 1 in (a, b) else "Welch's t-test"


def sentence(
    result: Difference, confidence: float, test: str, counts: Discordant | None = None
) -> str:
    """The outcome in a sentence, as far as p and the confidence carry it.

    Args:
        result: the accuracies and their difference.
        confidence: a difference is said to be one where p is below 1 less this.
        test: the test behind p.
        counts: see `discordant`.
    """
    if counts == (0, 0):
        return "No difference: A and B get the same reviews right."
    average = " on average" if counts is None else ""
    p, (low, high) = f"{test} {p_text(result.p)}", result.interval
    if is_shown(result, confidence):
        better, sign = ("B", 1) if result.difference > 0 else ("A", -1)
        by = f"{points(sign * result.difference)} points{average}"
        ends = sorted((sign * low, sign * high))
        return f"{better} is better by {by} ({span(ends, confidence)}, {p})."
    about = f"B − A is {points(result.difference)} points{average}"
    return f"No difference shown: {about} ({span((low, high), confidence)}, {p})."


def is_shown(result: Difference, confidence: float) -> bool:
    """Whether the test rejects that the sides are equally good, at this confidence."""
    return result.p < 1 - confidence


def span(ends: Sequence[float], confidence: float) -> str:
    """An interval in points, with its confidence."""
    return f"{100 * confidence:g} % interval {points(ends[0])} to {points(ends[1])}"


def points(share: float) -> str:
    """A difference of accuracies in percentage points."""
    return f"{100 * share:.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p as it is written, such as `p = 0.03`."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def caveats(a: Side, b: Side, result: Difference, confidence: float) -> list[str]:
    """What the sentence does not say."""
    low, high = result.interval
    borderline = is_shown(result, confidence) == (low <= 0 <= high)
    notes = [
        "The interval and the test disagree about a difference of zero: take it as undecided."
    ] * borderline
    if a.single and b.single:
        notes.append(
            "This is about these two trained models and says nothing about other seeds: "
            '"make seeds" trains params under several.'
        )
    else:
        counted = f"{len(a.trainings)} against {len(b.trainings)}"
        notes.append(f"The unit is a training, {counted}, on these test reviews.")
    if a.single != b.single:
        notes.append(
            "The single training is taken for one draw of its params' trainings, with the spread "
            "that the group has."
        )
    return notes


def summarize(side: Side, bins: int, confidence: float) -> Summary:
    """A side's figures."""
    tables = [each.predictions for each in side.trainings]
    errors = [scores.calibration_error(scores.reliability(each, bins)) for each in tables]
    return Summary(
        label=side.label,
        run_id=side.run_id,
        name=side.name,
        runs=[each.run_id for each in side.trainings],
        accuracy=spread(answers(side).right, confidence),
        ece=float(np.mean(errors)),
        brier=float(np.mean([scores.brier(each) for each in tables])),
        cost=cost(side),
    )


def spread(right: NDArray[np.bool_], confidence: float) -> Spread:
    """A side's accuracy, from whether each training is right, shape (trainings, reviews)."""
    means = right.mean(axis=1)
    low, high = float(means.min()), float(means.max())
    if len(means) > 1:
        return Spread(float(means.mean()), None, float(means.std(ddof=1)), low, high)
    interval = significance.wilson(int(right.sum()), right.shape[1], confidence)
    return Spread(float(means.mean()), interval, None, low, high)


def cost(side: Side) -> dict[str, float]:
    """What a training and an answer take, means over the side's trainings."""
    seconds = [each.history["seconds"] for each in side.trainings]
    return {
        "training_seconds": float(np.mean([each.sum() for each in seconds])),
        "epoch_seconds": float(np.mean([each.median() for each in seconds])),
        **{
            name: float(np.mean([each.cost[name] for each in side.trainings]))
            for name in ("parameters", "milliseconds_per_review")
        },
    }


def reliability(side: Side, bins: int) -> list[pd.DataFrame]:
    """The reliability curve of each training."""
    return [scores.reliability(each.predictions, bins) for each in side.trainings]


def curves(side: Side) -> list[pd.DataFrame]:
    """The history of each training."""
    return [each.history for each in side.trainings]


def changes(a: Side, b: Side) -> list[Change]:
    """The params that differ, in the order of `params.yaml`; digests are not params."""
    values_a, values_b = values(a), values(b)
    names = [*values_a, *(name for name in values_b if name not in values_a)]
    pairs = [(name, values_a.get(name, "–"), values_b.get(name, "–")) for name in names]
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def values(side: Side) -> dict[str, str]:
    """A side's params as texts; the seeds of a group stand side by side."""
    digests = ("model.", "data.")
    first = side.trainings[0].params
    return {
        name: ", ".join(dict.fromkeys(str(each.params.get(name)) for each in side.trainings))
        for name in first
        if not name.startswith(digests)
    }


def groups(
    a: Answers,
    b: Answers,
    rows: pd.DataFrame,
    corpus: Corpus,
    params: Mapping[str, Any],
    settings: Compare,
) -> list[Group]:
    """How the sides differ by length of the review and by whether it negates anything."""
    negated = has_negation(corpus)[rows.index]
    kinds = {
        "words": length_groups(rows["words"], params["evaluate.length_buckets"]),
        "negation": {"with negation": negated, "without negation": ~negated},
    }
    return [
        Group(kind, name, int(mask.sum()), difference(a.right[:, mask], b.right[:, mask], settings))
        for kind, masks in kinds.items()
        for name, mask in masks.items()
        if mask.any()
    ]


def length_groups(words: pd.Series, bounds: list[int]) -> dict[str, NDArray[np.bool_]]:
    """Which reviews fall in each group of length, by the group's name."""
    found = scores.length_groups(words, bounds)
    return {name: (found == name).to_numpy(bool) for name in found.cat.categories}


def has_negation(corpus: Corpus) -> NDArray[np.bool_]:
    """Whether each review, whole, has a word that negates, shape (reviews,)."""
    negating = np.array([negates(word) for word in corpus.words])
    counts = np.concatenate([[0], np.cumsum(negating[corpus.reviews.tokens])])
    return np.diff(counts[corpus.reviews.offsets]) > 0


def negates(word: str) -> bool:
    """Whether a word is a negation."""
    return word in NEGATIONS or word.endswith(CONTRACTION)


def both_kinds_of_examples(
    a: Answers, b: Answers, rows: pd.DataFrame, corpus: Corpus, count: int
) -> tuple[list[Example], list[Example]]:
    """Reviews that only A and that only B gets right."""
    kinds = (a.agreed & ~b.agreed, b.agreed & ~a.agreed)
    only_a, only_b = (examples(kind, a, b, rows, corpus, count) for kind in kinds)
    return only_a, only_b


def examples(
    mask: NDArray[np.bool_], a: Answers, b: Answers, rows: pd.DataFrame, corpus: Corpus, count: int
) -> list[Example]:
    """Up to `count` reviews of the mask, those first that the sides see most differently."""
    apart = np.where(mask, np.abs(a.probability - b.probability), -1)
    chosen = np.argsort(-apart, kind="stable")[: min(count, int(mask.sum()))]
    return [
        Example(
            review := int(rows.index[at]),
            str(rows["actual"].iloc[at]),
            float(a.probability[at]),
            float(b.probability[at]),
            " ".join(corpus.words[rank] for rank in corpus.reviews[review]),
        )
        for at in chosen
    ]
