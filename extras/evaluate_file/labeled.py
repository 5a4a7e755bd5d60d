"""Labeled texts, and the predictions of a version for them.

Tables of predictions are those of `sentiment.evaluation.metrics`. `review` is the number of the
row, from 1. A further column `text` has the text, or None if a log does not have it.
`seen_in_training` is False for all: it is not known which texts the version was trained on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from extras.common.predicted_texts import Log, predict_texts, select_version
from sentiment.data.binary_labels import BinaryLabels
from sentiment.data.rows import Columns, read_rows
from sentiment.errors import UserError
from sentiment.prediction.labels import labels_of_columns, probability_column
from workflow import versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MAX_IDS_SHOWN = 20  # in a message


def read_labels(path: Path, columns: Columns, positive: str) -> pd.DataFrame:
    """Read texts, or ids of requests, and the indices of their labels.

    Args:
        path: the file.
        columns: its columns.
        positive: the positive label.

    Returns:
        Columns `review`, `text` and `actual`.

    Raises:
        UserError: a row is invalid, or the labels are not two, one of them positive.
    """
    assert columns.label is not None
    column = BinaryLabels(positive, columns.label)
    rows = list(read_rows(path, columns))
    indices = np.array(
        [column.learn(row.label, f"{path}, row {row.number}") for row in rows], np.uint8
    )
    column.check_two(str(path))
    column.check_both_present(indices, str(path))
    return pd.DataFrame(
        {
            "review": np.arange(1, len(rows) + 1),
            "text": [row.text for row in rows],
            "actual": indices,
        }
    )


def predict_labeled(labels: pd.DataFrame, log: Log | None, version: "ModelVersion") -> pd.DataFrame:
    """Return the predictions of a version for labeled texts, or those in a log.

    Args:
        labels: see `read_labels`.
        log: the log. The texts are then ids of requests.
        version: the version.

    Raises:
        UserError: the version cannot be loaded; or see `find_logged`.
    """
    if log:
        return find_logged(labels, log, version)
    model = versions.load_model(versions.version_uri(version))
    predicted = predict_texts(model, labels["text"].tolist())
    return predicted.assign(
        review=labels["review"],
        actual=np.array(model.labels)[labels["actual"]],
        seen_in_training=False,
    )


def find_logged(labels: pd.DataFrame, log: Log, version: "ModelVersion") -> pd.DataFrame:
    """Return the predictions of a version in a log for labeled requests, with their `request_id`.

    Requests without exactly one prediction are left out.

    Args:
        labels: see `read_labels`. The texts are ids of requests.
        log: the log.
        version: the version.

    Raises:
        UserError: an id has both labels, or the predictions that were found lack a label.
    """
    ids = labels.rename(columns={"text": "request_id"})
    ids = ids.drop_duplicates(["request_id", "actual"])
    repeated = ids.loc[ids["request_id"].duplicated(), "request_id"]
    if len(repeated):
        raise UserError(f"The id {repeated.iloc[0]} has both labels. Keep one of them.")
    logged = select_version(log, version)
    # A client that repeats a request gets the same prediction. Two different ones are ambiguous.
    names = labels_of_columns(logged.columns)
    logged = logged.drop_duplicates(["request_id", probability_column(names[0])])
    logged = logged.drop_duplicates("request_id", keep=False)
    found = ids.merge(logged, on="request_id").assign(seen_in_training=False)
    if found["actual"].nunique() < len(names):
        raise UserError(
            f"{log.path} has exactly one prediction by {versions.version_uri(version)} for "
            f"{len(found):,} of {len(ids):,} ids, but predictions for both labels are needed. "
            "Label more requests of this log, or name another one."
        )
    return found.assign(actual=np.array(names)[found["actual"]])


def describe_matches(labels: pd.DataFrame, found: pd.DataFrame) -> str:
    """Say how many ids have a prediction, and which ids `find_logged` left out."""
    ids = labels["text"].drop_duplicates()
    missing = ids[~ids.isin(found["request_id"])]
    matches = f"{len(found):,} of {len(ids):,} ids have exactly one prediction by the version"
    if missing.empty:
        return f"{matches}."
    more = ", …" if len(missing) > MAX_IDS_SHOWN else ""
    return f"{matches}. Left out: {', '.join(missing.iloc[:MAX_IDS_SHOWN])}{more}"
