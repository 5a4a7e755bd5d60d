"""The model card: a version's description in MLflow, as Markdown. No file is read or written."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from sentiment.data.params import Dataset
from sentiment.network.params import TrainParams
from workflow.about import AboutEvaluate
from workflow.outputs import TEST_DIGEST, TRAINING_DIGEST

SPACED_COLUMNS = " &emsp;| "  # MLflow leaves no space between the cells of a table
MAX_CHARACTERS = 5000  # limit of MLflow's database for a description
CELLS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "simple RNN"}
READ_ENDS = {"pre": "the last ", "post": "the first "}  # the tokens that truncating keeps


class SplitSizes(NamedTuple):
    """Numbers of reviews that a model was trained on and validated on.

    Attributes:
        training: for an ensemble, the reviews that all members were trained on.
        validation: for an ensemble, the reviews that no member was trained on.
    """

    training: int
    validation: int


class EvaluatedModel(NamedTuple):
    """Facts about a single model or an ensemble and its evaluation.

    Attributes:
        name: name of the run.
        about: the `about.json` of the evaluation.
        digests: digests of the test set and, if known, of the training reviews.
        layouts: layouts of the model or of the members, see `sentiment.tokenizer.Layout`.
        parameters: number of parameters.
        sizes: sizes of the training set and the validation set.
        metrics: content of `metrics.json`.
        predictions: see `sentiment.evaluation.metrics`.
        lengths: see `sentiment.evaluation.metrics.accuracy_by_length`.
        profile: see `sentiment.profile.ReferenceProfile`.
    """

    name: str
    about: AboutEvaluate
    digests: Mapping[str, str]
    layouts: Sequence[Mapping[str, Any]]
    parameters: int
    sizes: SplitSizes
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    lengths: pd.DataFrame
    profile: Mapping[str, Any]


def describe_version(decision: str, decided_by: str, reason: str, card: str) -> str:
    """Return the description of a version.

    Args:
        decision: whether the version was promoted.
        decided_by: the promotion rule, or a person.
        reason: reason of the decision.
        card: see `describe_model`. Its end is cut if MLflow's database cannot take it.
    """
    section = (
        f"### Decision\n\nAfter the evaluation: **{decision}**, by {decided_by}. Reason: {reason}. "
        "Later decisions are in the tags `promote.*`."
    )
    return f"{section}\n\n{card}"[:MAX_CHARACTERS]


def describe_model(model: EvaluatedModel) -> str:
    """Return the model card without the decision about the version."""
    sections = {
        "Model": _model_sentences(model),
        "Data": _data_table(model),
        "Limits": _limits(model),
        "Test metrics": _metrics_table(model),
        "Accuracy by length": _lengths_table(model.lengths),
    }
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections.items())


def _model_sentences(model: EvaluatedModel) -> str:
    train = model.about.train
    if train is None:
        kind = f"ensemble of {len(model.layouts)} models (weighted mean of their log-odds)"
        training = ""
    else:
        kind = _architecture(train)
        training = (
            f" Trained with {train.optimizer}, learning rate {train.learning_rate:g}, batches of "
            f"{train.batch_size:,} reviews, up to {_count(train.epochs, 'epoch')}, seed "
            f"{train.seed}."
        )
    return (
        f"**{model.name}**: {kind}, {model.parameters:,} parameters.{training} The label is "
        f"positive if the probability is above {model.about.evaluate.threshold:g}. The run has all "
        "params."
    )


def _architecture(train: TrainParams) -> str:
    linear = f"linear model of n-grams of up to {_count(train.linear.ngrams, 'word')}"
    if train.architecture == "linear":
        return linear
    layers = _count(train.layers, "layer")
    if train.architecture == "transformer":
        network = f"transformer ({layers}, {_count(train.heads, 'head')})"
    else:
        direction = "bidirectional " if train.bidirectional else ""
        network = f"{direction}{CELLS[train.cell]} ({layers}, {_count(train.units, 'unit')})"
    component = f" and {linear} (share {train.linear.share:g})" if train.linear.share else ""
    return f"{network} on word vectors of {train.embedding_units} values{component}"


def _data_table(model: EvaluatedModel) -> str:
    is_ensemble = model.about.train is None
    seen = f"{model.metrics['test_reviews_seen']:,} of them also occur in training"
    rows = [
        ("training", model.sizes.training, "of every member" if is_ensemble else ""),
        (
            "validation",
            model.sizes.validation,
            "not in any member's training" if is_ensemble else "",
        ),
        ("test", model.metrics["test_reviews"], seen),
    ]
    table = _table(
        ["split", "reviews", "note"], [(split, f"{count:,}", note) for split, count, note in rows]
    )
    names = {"test": TEST_DIGEST, "training and validation": TRAINING_DIGEST}
    digests = [
        f"{split} `{model.digests[name][:12]}`"
        for split, name in names.items()
        if name in model.digests
    ]
    return (
        f"{table}\n\nDataset `{model.about.dataset.name}`. SHA-256 of its reviews, first 12 "
        f"characters: {', '.join(digests)}."
    )


def _metrics_table(model: EvaluatedModel) -> str:
    from sentiment.evaluation.metrics import Predictions, metrics_for  # imports scikit-learn

    bins = model.about.evaluate.calibration_bins
    predictions = Predictions(model.predictions, bins)
    rows = []
    for name, metric in metrics_for("test").items():
        value = model.metrics.get(f"test_{name}")
        if value is None:  # the metric is not defined for these reviews
            continue
        interval = _interval(*metric.proportion(predictions)) if metric.proportion else ""
        rows.append((metric.label, f"{value:.4f}", interval))
    return (
        f"{_table(['metric', 'value', '95% confidence interval'], rows)}\n\n"
        "The intervals (Wilson) say how much the metrics depend on the test reviews. They do not "
        "include the variation between seeds. The calibration error is the mean difference between "
        f"predicted probability and share of positive reviews, in {bins} groups by probability."
    )


def _lengths_table(lengths: pd.DataFrame) -> str:
    rows = [
        (words, f"{reviews:,}", f"{accuracy:.4f}", _interval(round(accuracy * reviews), reviews))
        for words, reviews, accuracy in zip(
            lengths["words"], lengths["reviews"], lengths["accuracy"], strict=True
        )
    ]
    return _table(["words", "test reviews", "accuracy", "95% confidence interval"], rows)


def _limits(model: EvaluatedModel) -> str:
    metrics = model.metrics
    positive = (metrics["test_true_positives"] + metrics["test_false_negatives"]) / metrics[
        "test_reviews"
    ]
    ends = {layout["truncating"] for layout in model.layouts}
    end = READ_ENDS[ends.pop()] if len(ends) == 1 else ""
    max_length = max(layout["max_length"] for layout in model.layouts)
    statistics = model.profile["statistics"]
    limits = [
        _scope(model.about.dataset),
        "Every text gets a label, also one that is not a review.",
        f"{positive:.1%} of the test reviews are positive. With another share, accuracy and "
        "precision may differ.",
        f"Only {end}{max_length:,} tokens of a text are read. "
        f"{statistics['truncated']['mean']:.1%} of the test reviews are longer. On average, "
        f"{statistics['unknown']['mean']:.1%} of a test review's words are unknown.",
        "The promotion rule compares versions on this test set, so a champion's test accuracy is "
        "slightly optimistic.",
    ]
    return "\n".join(f"- {limit}" for limit in limits)


def _scope(dataset: Dataset) -> str:
    if dataset.dataset == "synthetic":
        return "All reviews are synthetic. The metrics say nothing about real texts."
    if dataset.dataset == "table":
        scope = f"Evaluated on texts of `{dataset.name}`. Other texts were not tried."
    else:
        added = f" and on `{dataset.added_texts}`" if dataset.added_texts else ""
        scope = (
            f"Evaluated on IMDB's movie reviews in English, from 2011 and earlier{added}. They are "
            "clearly positive or clearly negative. Neutral reviews, other kinds of text, other "
            "languages and later years were not tried."
        )
    return scope


def _interval(successes: int, trials: int) -> str:
    """Return the 95% confidence interval of a proportion, or "" without trials."""
    from sentiment.evaluation.metrics import wilson_interval  # imports scikit-learn

    if not trials:
        return ""
    interval = wilson_interval(successes, trials, confidence=0.95)
    return f"{interval.low:.4f} to {interval.high:.4f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {SPACED_COLUMNS.join(line)} |" for line in (header, *rows)]
    lines.insert(1, f"| {' | '.join(['---'] * len(header))} |")
    return "\n".join(lines)
