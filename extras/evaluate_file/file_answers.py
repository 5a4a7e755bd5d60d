"""A model's answers to labelled texts, and its metrics on them beside those of its own test set."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.significance import CONFIDENCE, Interval, interval, proportions_difference
from sentiment.data.rows import MAX_NAMES_SHOWN, Row
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import EvalDataset, predictions_table
from sentiment.evaluation.metrics import METRICS, Predictions, class_names, metrics_for
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Reviews, encode, review_hashes

REQUEST_ID = "request_id"  # key of a log's lines, see `workflow.serving.prediction_log`
AT_ONCE = 2000  # texts in memory


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
    model: SentimentModel,
    rows: Iterable[Row],
    is_positive: Callable[[Row], bool],
    known: NDArray[np.uint64],
) -> pd.DataFrame:
    """Predict labelled texts.

    Args:
        known: hashes of the reviews that the model was trained on, shape (reviews,); empty if they
            are not known.

    Returns:
        The table that `sentiment.evaluation.metrics` describes, `review` being the number of the
        row from 1, with the texts of wrong predictions in the column `text`.
    """
    remaining = iter(rows)
    parts = list[pd.DataFrame]()
    while (some := list(islice(remaining, AT_ONCE))) or not parts:
        labels = np.array([is_positive(row) for row in some], np.uint8)
        texts = pd.Series([row.text for row in some], dtype="str")
        words = [encode(text, model.word_index, model.tokenizer).ranks for text in texts]
        reviews = Reviews.from_lists(words, labels)
        dataset = EvalDataset(
            y=labels,
            order=np.arange(len(some)),
            seen=np.isin(review_hashes(reviews), known),
            reviews=reviews,
        )
        predictions = model.predict_texts(texts.tolist())
        probabilities = np.array([one.probability for one in predictions], np.float32)
        part = predictions_table(dataset, probabilities, model.threshold)
        parts.append(part.assign(text=texts.where(part["actual"] != part["predicted"], "")))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(review=np.arange(1, len(table) + 1))


def logged(log: Path, version: str, labels: Mapping[str, bool], threshold: float) -> pd.DataFrame:
    """Return what `ask` returns, for a version's predictions in a log.

    Whether a text was seen in training is not known. Ids without exactly one prediction
    are printed.

    Args:
        log: the folder of the log.
        labels: whether the text of a request is positive, by the request's id.

    Raises:
        UserError: no id has exactly one prediction.
    """
    answers = defaultdict[str, dict[float, dict[str, Any]]](dict)
    for path in sorted(log.glob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):  # a full disk cuts a line short
                    values = json.loads(line)
                    request_id = values[REQUEST_ID]
                    if request_id in labels and values["version"] == version:
                        answers[request_id][values["probability"]] = values
    found = {request_id: [*lines.values()] for request_id, lines in answers.items()}
    lines = {request_id: same[0] for request_id, same in found.items() if len(same) == 1}
    if missing := [request_id for request_id in labels if request_id not in lines]:
        named = ", ".join(missing[:MAX_NAMES_SHOWN]) + ", …" * (len(missing) > MAX_NAMES_SHOWN)
        count = f"{len(missing):,} of {len(labels):,} ids"
        message = f"{count} do not have one answer of {version} in {log}: {named}"
        if not lines:
            raise UserError(message)
        print(message)
    table = pd.DataFrame([*lines.values()], columns=["words", "probability"])
    probability = table["probability"].to_numpy(np.float32)
    return table.assign(
        review=np.arange(1, len(table) + 1),
        actual=class_names(np.array([labels[request_id] for request_id in lines])),
        predicted=class_names(probability > threshold),
        probability=probability,
        seen_in_training=False,
        text=[line.get("text", "") for line in lines.values()],
    )


def compared(here: Predictions, there: Predictions) -> dict[str, Compared]:
    """The metrics of a file by their names, on the answers to the texts and to the test set."""
    metrics = {}
    for name, metric in metrics_for("file").items():
        own, theirs = (interval(metric, answers, CONFIDENCE) for answers in (here, there))
        difference = None
        if metric.proportion and own and theirs:
            difference = proportions_difference(
                metric.proportion(there), metric.proportion(here), CONFIDENCE
            )
        metrics[name] = Compared(metric.compute(here), own, metric.compute(there), difference)
    return metrics


def table(metrics: Mapping[str, Compared]) -> str:
    """The metrics for a reader, one a line."""
    level = f"{100 * CONFIDENCE:g} %"
    lines = [f"{'':18}{'here':>8}  {level:17}{'test set':>9}"]
    for name, (here, ends, there, _) in metrics.items():
        shown = f"{ends.low:.4f} to {ends.high:.4f}" if ends else ""
        lines.append(f"{METRICS[name].label:18}{here:8.4f}  {shown:17}{there:9.4f}")
    return "\n".join(lines)
