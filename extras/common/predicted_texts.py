"""Texts with their predictions by a version: predicted now, or read from a log.

Both are tables with a row for each text and columns of `sentiment.evaluation.metrics`: `predicted`,
`probability_<label>` for each label, `words` and `unknown_words`; and `text`.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.common.prediction_log import LogLine, parse_line
from sentiment.errors import UserError
from sentiment.prediction.labels import probability_column
from workflow import files, versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.prediction.pyfunc_model import SentimentModel

PART_TEXTS = 10_000  # texts that are encoded at once: their ranks take much more memory than texts


def predict_texts(model: "SentimentModel", texts: Sequence[str]) -> pd.DataFrame:
    """Return a row for each text, in their order."""
    predictions = [
        prediction
        for start in range(0, len(texts), PART_TEXTS)
        for prediction in model.predict_texts(texts[start : start + PART_TEXTS])
    ]
    return pd.DataFrame(
        {
            "predicted": [prediction.label for prediction in predictions],
            **probability_columns(
                model.labels, [prediction.probabilities for prediction in predictions]
            ),
            "words": [prediction.words for prediction in predictions],
            "unknown_words": [prediction.unknown_words for prediction in predictions],
            "text": list(texts),
        }
    )


def probability_columns(
    labels: Sequence[str], rows: Sequence[Mapping[str, float]]
) -> dict[str, NDArray[np.float32]]:
    """Return a column with the probability of each label, given the probabilities by text."""
    return {
        probability_column(label): np.array([row[label] for row in rows], np.float32)
        for label in labels
    }


class Log(NamedTuple):
    """A log of `sentiment serve`.

    Attributes:
        path: its folder, or one of its files.
        lines: a row for each line that can be read, with the columns of `LogLine`.
        unreadable: number of lines that cannot be read.
    """

    path: Path
    lines: pd.DataFrame
    unreadable: int


def read_log(path: Path) -> Log:
    """Read a log: a file, or all files `*.jsonl` in a folder.

    Raises:
        UserError: no line can be read.
    """
    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    read = []
    unreadable = 0
    for each in paths:
        with each.open("rb") as file:
            for line in filter(bytes.strip, file):
                parsed = parse_line(line)
                if parsed is None:
                    unreadable += 1
                else:
                    read.append(dict(parsed))
    if not read:
        raise UserError(
            f"{path} is no log of `sentiment serve`: none of its {unreadable:,} lines is a "
            "prediction. Name the folder of a log, or one of its files *.jsonl."
        )
    return Log(path, pd.DataFrame(read, columns=list(LogLine.model_fields)), unreadable)


def select_version(log: Log, version: "ModelVersion") -> pd.DataFrame:
    """Return a row for each prediction of a version in a log, also with the column `request_id`.

    Raises:
        UserError: the log has only predictions of other versions.
    """
    uri = versions.version_uri(version)
    own = log.lines[log.lines["version"] == uri]
    if own.empty:
        counts = log.lines["version"].value_counts()
        found = ", ".join(f"{other} ({count:,})" for other, count in counts.items())
        raise UserError(
            f"{log.path} has no prediction of {uri}, only of {found}. Name such a version by "
            "--model."
        )
    return pd.DataFrame(
        {
            "predicted": own["label"].to_numpy(),
            **probability_columns(
                list(own["probabilities"].iloc[0]), own["probabilities"].tolist()
            ),
            "words": own["words"].to_numpy(),
            "unknown_words": (own["unknown_share"] * own["words"]).round().astype(int).to_numpy(),
            "text": own["text"].to_numpy(),
            "request_id": own["request_id"].to_numpy(),
        }
    )


def write_private_csv(path: Path, table: pd.DataFrame, column: str) -> None:
    """Write a table as a new file that only its owner can read.

    All texts are quoted, and those in `column` are guarded, see `workflow.files.guard_formulas`.

    Raises:
        FileExistsError: the file exists.
    """
    if column in table:
        table = table.assign(**{column: files.guard_formulas(table[column])})
    path.touch(mode=0o600, exist_ok=False)
    table.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
