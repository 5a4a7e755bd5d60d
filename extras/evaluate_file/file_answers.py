"""A model's answers to labelled texts, and its metrics on them beside those of its own test set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from extras.common.significance import Interval, interval, proportions_difference
from sentiment.data.rows import Row
from sentiment.scoring.metrics import METRICS, Metric, Predictions, class_names, shown_in
from sentiment.text import Reviews, Word, fingerprints, known_words

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

AT_ONCE = 2000  # texts between two looks for a signal
TEXT = "text"


class Compared(NamedTuple):
    """A metric on the texts and on the model's own test set.

    Attributes:
        name: of the metric, see `sentiment.scoring.metrics.METRICS`.
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
        The table that `sentiment.scoring.metrics` describes, `review` being the number of the row
        from 1, with the texts of wrong answers in the column `text`.
    """
    waiting = iter(rows)
    parts = [_ask(model, [], is_positive, known)]  # of no rows: the columns and their types
    while some := list(islice(waiting, AT_ONCE)):
        parts.append(_ask(model, some, is_positive, known))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "review", np.arange(1, len(table) + 1))
    return table


def _ask(
    model: "Sentiment", rows: list[Row], is_positive: Callable[[Row], bool], known: Set[int]
) -> pd.DataFrame:
    """The answers to some texts."""
    actual = class_names(np.array([is_positive(row) for row in rows], bool))
    words = [words_of(model, row.text) for row in rows]
    probabilities = model.reader.answers(words)
    predicted = class_names(probabilities > model.threshold)
    wrong = actual != predicted
    ranks = [[word.rank for word in text] for text in words]
    keys = fingerprints(Reviews.from_lists(ranks, np.zeros(len(rows), np.uint8)))
    return pd.DataFrame(
        {
            "actual": actual,
            "predicted": predicted,
            "probability": probabilities,
            "words": np.array([len(text) for text in words], np.int64),
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


def compared(here: Predictions, there: Predictions, confidence: float) -> Iterator[Compared]:
    """The metrics of a file on two tables of predictions.

    Args:
        here: the answers to the texts.
        there: those to the test set.
        confidence: of the intervals.
    """
    for name, metric in shown_in("file").items():
        yield Compared(
            name,
            metric.of(here),
            interval(metric, here, confidence),
            metric.of(there),
            _difference(metric, here, there, confidence),
        )


def _difference(
    metric: Metric, here: Predictions, there: Predictions, confidence: float
) -> Interval | None:
    """The interval of `here` less `there`, where the metric is a share."""
    if metric.share is None:
        return None
    a, b = metric.share(here), metric.share(there)
    return proportions_difference(b, a, confidence) if a[1] and b[1] else None


def intervals(metrics: Iterable[Compared]) -> dict[str, float]:
    """The ends of all intervals, as numbers by name."""
    ends: dict[str, float] = {}
    for name, here, own, there, difference in metrics:
        if own:
            ends[f"test_{name}_low"], ends[f"test_{name}_high"] = own
        if difference:
            ends[f"difference_{name}_low"], ends[f"difference_{name}_high"] = difference
        ends[f"difference_{name}"] = here - there
    return ends


def document(metrics: Iterable[Compared]) -> dict[str, Mapping[str, Any]]:
    """The metrics by their names, as JSON has them."""
    return {row.name: {k: v for k, v in row._asdict().items() if k != "name"} for row in metrics}


def table(metrics: Iterable[Compared], confidence: float) -> str:
    """The metrics for a reader, one a line."""
    level = f"{100 * confidence:g} %"
    lines = [f"{'':18}{'here':>8}  {level:17}{'test set':>9}{'difference':>12}  {level}"]
    for row in metrics:
        lines.append(
            f"{METRICS[row.name].label:18}{row.here:8.4f}  {_shown(row.interval):17}"
            f"{row.there:9.4f}{row.here - row.there:+12.4f}  {_shown(row.difference, '+')}".rstrip()
        )
    return "\n".join(lines)


def _shown(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"
