"""A model's answers to labelled texts, and its metrics on them beside those of its own test set."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.significance import CONFIDENCE, Interval, interval, proportions_difference
from sentiment.data.rows import Row
from sentiment.scoring.answers import TestSet, predictions_table
from sentiment.scoring.metrics import METRICS, Predictions, shown_in
from sentiment.text import Reviews, fingerprints

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

AT_ONCE = 2000  # texts in memory
TEXT = "text"


class Compared(NamedTuple):
    """A metric on the texts, `here`, and on the model's own test set, `there`.

    A share also has its interval on the texts, and the interval of the difference `here` less
    `there`.
    """

    here: float
    interval: Interval | None
    there: float
    difference: Interval | None


def ask(
    model: "Sentiment",
    rows: Iterable[Row],
    is_positive: Callable[[Row], bool],
    known: NDArray[np.uint64],
) -> pd.DataFrame:
    """Ask a model about texts.

    `known` are the fingerprints of the reviews that it was trained on, shape (reviews,); empty if
    there are none.

    Returns:
        The table that `sentiment.scoring.metrics` describes, `review` being the number of the row
        from 1, with the texts of wrong answers in the column `text`.
    """
    waiting = iter(rows)
    parts = [_ask(model, [], is_positive, known)]  # of no rows: the columns and their types
    while some := list(islice(waiting, AT_ONCE)):
        parts.append(_ask(model, some, is_positive, known))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(review=np.arange(1, len(table) + 1))


def _ask(
    model: "Sentiment",
    rows: list[Row],
    is_positive: Callable[[Row], bool],
    known: NDArray[np.uint64],
) -> pd.DataFrame:
    labels = np.array([is_positive(row) for row in rows], np.uint8)
    words = [model.words(row.text) for row in rows]
    reviews = Reviews.from_lists([[word.rank for word in text] for text in words], labels)
    seen, no_rows = np.isin(fingerprints(reviews), known), np.zeros((len(rows), 0), np.uint8)
    test = TestSet(no_rows, labels, np.arange(len(rows)), seen, reviews, "")
    table = predictions_table(test, model.reader.answers(words), model.threshold)
    texts = pd.Series([row.text for row in rows], dtype="str")
    return table.assign(**{TEXT: texts.where(table["actual"] != table["predicted"], "")})


def compared(here: Predictions, there: Predictions) -> dict[str, Compared]:
    """The metrics of a file by their names, on the answers to the texts and to the test set."""
    metrics = {}
    for name, metric in shown_in("file").items():
        own, theirs = (interval(metric, answers, CONFIDENCE) for answers in (here, there))
        difference = None
        if metric.share and own and theirs:
            difference = proportions_difference(metric.share(there), metric.share(here), CONFIDENCE)
        metrics[name] = Compared(metric.of(here), own, metric.of(there), difference)
    return metrics


def numbers(metrics: Mapping[str, Compared]) -> dict[str, float]:
    """The differences and the ends of all intervals, as MLflow's metrics."""
    values: dict[str, float] = {}
    for name, (here, own, there, difference) in metrics.items():
        values[f"difference_{name}"] = here - there
        for kind, ends in (("test", own), ("difference", difference)):
            if ends:
                values |= {f"{kind}_{name}_low": ends.low, f"{kind}_{name}_high": ends.high}
    return values


def table(metrics: Mapping[str, Compared]) -> str:
    """The metrics for a reader, one a line."""
    level = f"{100 * CONFIDENCE:g} %"
    lines = [f"{'':18}{'here':>8}  {level:17}{'test set':>9}{'difference':>12}  {level}"]
    for name, (here, own, there, difference) in metrics.items():
        line = f"{METRICS[name].label:18}{here:8.4f}  {_shown(own):17}"
        line += f"{there:9.4f}{here - there:+12.4f}  {_shown(difference, '+')}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _shown(ends: Interval | None, sign: str = "") -> str:
    return f"{ends.low:{sign}.4f} to {ends.high:{sign}.4f}" if ends else ""
