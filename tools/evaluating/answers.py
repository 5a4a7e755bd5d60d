"""A model's answers to labelled texts, and its metrics on them beside those of its own test set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sentiment.data.rows import Row
from sentiment.scoring import scores, significance
from sentiment.scoring.significance import Interval
from sentiment.text import Reviews, Word, fingerprints, known_words
from workflow import process

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

AT_ONCE = 2000  # texts between two looks for a signal
TEXT = "text"


class Metric(NamedTuple):
    """A metric on the texts and on the model's own test set.

    Attributes:
        name: of the metric.
        here: on the texts.
        interval: of that, where the metric is a share.
        there: on the test set.
        difference: interval of `here` less `there`, where the metric is a share.
    """

    name: str
    here: float
    interval: Interval | None
    there: float
    difference: Interval | None


def ask(
    model: "Sentiment", rows: Iterable[Row], is_positive: Callable[[Row], bool], known: Set[int]
) -> pd.DataFrame:
    """Ask a model about texts.

    Args:
        model: the model.
        rows: the texts.
        is_positive: whether a row's label is the positive one.
        known: fingerprints of the reviews that the model was trained on, as far as there are any.

    Returns:
        The table that `sentiment.scoring.scores` describes, `review` being the row's number from 1,
        with the texts of wrong answers in the column `text`.
    """
    given = iter(rows)
    parts = [_ask(model, [], is_positive, known)]  # of no rows: the columns and their types
    while some := list(islice(given, AT_ONCE)):
        parts.append(_ask(model, some, is_positive, known))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "review", np.arange(1, len(table) + 1))
    return table


def _ask(
    model: "Sentiment", rows: list[Row], is_positive: Callable[[Row], bool], known: Set[int]
) -> pd.DataFrame:
    """The answers to some texts."""
    actual = scores.class_names(np.array([is_positive(row) for row in rows], bool))
    words = [words_of(model, row.text) for row in rows]
    probabilities = model.reader.answers(words)
    process.raise_noted()
    predicted = scores.class_names(probabilities > model.threshold)
    wrong = actual != predicted
    ranks = [[word.rank for word in each] for each in words]
    keys = fingerprints(Reviews.from_lists(ranks, np.zeros(len(rows), np.uint8)))
    return pd.DataFrame(
        {
            "actual": actual,
            "predicted": predicted,
            "probability": probabilities,
            "words": np.array([len(each) for each in words], np.int64),
            "seen_in_training": np.array([int(key) in known for key in keys], bool),
            TEXT: pd.array(
                [row.text if is_wrong else "" for row, is_wrong in zip(rows, wrong, strict=True)],
                "str",
            ),
        }
    )


def words_of(model: "Sentiment", content: str) -> list[Word]:
    """The words of a text that a model knows; older models have no tokenizer but IMDB's."""
    if hasattr(model, "words"):
        return model.words(content)
    return known_words(content, model.ranks)


def compared(
    here: pd.DataFrame, there: pd.DataFrame, bins: int, confidence: float
) -> Iterator[Metric]:
    """The metrics of two tables of predictions, of which `there` is that of the test set.

    Args:
        here: the answers to the texts.
        there: those to the test set.
        bins: groups of probability in the calibration error.
        confidence: of the intervals.
    """
    shares = [_shares(here), _shares(there)]
    for name in shares[0]:
        a, b = (each[name] for each in shares)
        yield Metric(
            name,
            _ratio(a),
            significance.wilson(*a, confidence) if a[1] else None,
            _ratio(b),
            significance.proportions_difference(b, a, confidence) if a[1] and b[1] else None,
        )
    first, second = (_numbers(each, bins) for each in (here, there))
    for name, value in first.items():
        yield Metric(name, value, None, second[name], None)


def _ratio(share: tuple[int, int]) -> float:
    return share[0] / share[1] if share[1] else 0.0


def _shares(predictions: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Metrics that are shares: how many of how many."""
    right = predictions["actual"] == predictions["predicted"]
    among = {
        "accuracy": right,
        "precision": right[predictions["predicted"] == scores.POSITIVE],
        "recall": right[predictions["actual"] == scores.POSITIVE],
        "specificity": right[predictions["actual"] == scores.NEGATIVE],
    }
    return {name: (int(each.sum()), len(each)) for name, each in among.items()}


def _numbers(predictions: pd.DataFrame, bins: int) -> dict[str, float]:
    """The other metrics."""
    found = scores.scores(predictions)
    names = ("balanced_accuracy", "f1", "roc_auc", "average_precision", "loss", "brier")
    error = scores.calibration_error(scores.reliability(predictions, bins))
    return {name: found[f"test_{name}"] for name in names} | {"ece": error}


def intervals(metrics: Iterable[Metric]) -> dict[str, float]:
    """The ends of all intervals, as numbers by name."""
    found: dict[str, float] = {}
    for each in metrics:
        if each.interval:
            found[f"test_{each.name}_low"], found[f"test_{each.name}_high"] = each.interval
        if each.difference:
            low, high = each.difference
            found |= {f"difference_{each.name}_low": low, f"difference_{each.name}_high": high}
        found[f"difference_{each.name}"] = each.here - each.there
    return found


def document(metrics: Iterable[Metric]) -> dict[str, Mapping[str, Any]]:
    """The metrics by their names, as JSON has them."""
    return {each.name: {k: v for k, v in each._asdict().items() if k != "name"} for each in metrics}


def table(metrics: Iterable[Metric], confidence: float) -> str:
    """The metrics for a reader, a line each."""
    level = f"{100 * confidence:g} %"
    lines = [f"{'':18}{'here':>8}  {level:17}{'test set':>9}{'difference':>12}  {level}"]
    for each in metrics:
        name = each.name.replace("_", " ")
        lines.append(
            f"{name:18}{each.here:8.4f}  {_shown(each.interval):17}{each.there:9.4f}"
            f"{each.here - each.there:+12.4f}  {_shown(each.difference, '+')}".rstrip()
        )
    return "\n".join(lines)


def _shown(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"
