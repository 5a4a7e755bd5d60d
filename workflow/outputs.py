"""Read and write the files in `data/` other than arrays."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sentiment.section import Section
from workflow import files
from workflow.about import AboutTrain, read_about, read_section
from workflow.files import EVALUATE, FETCH, PAD, TRAIN, array_names

if TYPE_CHECKING:
    from sentiment.evaluation.evaluate import EvalDataset, Evaluation, TrainingRecord

TEXT_COLUMN = "text"  # column of the table of mistakes
FORMULA_START = re.compile(r"^(?=[\W_])")  # a spreadsheet may take such a text for a formula
MODEL_DIGEST = "model.sha256"
TEST_ROWS_DIGEST = "data.x_test.sha256"
TEST_DIGEST = "data.test.sha256"  # covers whole test reviews, before truncation and padding
TRAINING_DIGEST = "data.training.sha256"  # tag of a version; the same for training reviews
TRAINING_KEY = "train.key"  # tag: the key of the checkpoint, see `workflow.checkpoints`


class DatasetRecord(Section):
    """A dataset that a run uses, as MLflow describes one."""

    context: str  # training, validation or test
    name: str
    digest: str
    reviews: int
    source_type: str
    source: str
    dataset_schema: str | None = None
    profile: str | None = None


class RunRecord(Section):
    """The content of `data/train/run.json`: what is logged besides params and files."""

    training_id: str
    name: str
    started: int  # milliseconds since 1970
    ended: int | None = None
    tags: dict[str, str]
    datasets: list[DatasetRecord]
    uncommitted: str  # diff of code and params


def write_run_record(folder: Path, record: RunRecord) -> None:
    """Write `run.json` into the folder of a training."""
    files.write_json(folder / "run.json", record.model_dump(exclude_none=True))


def read_run_record(folder: Path = TRAIN) -> RunRecord:
    """Read `run.json` from the folder of a training.

    Raises:
        DamagedError: the file is missing or was changed.
    """
    return read_section(files.verified(folder / "run.json"), RunRecord)


def read_training_record() -> "TrainingRecord":
    """Read the record of the training in `data/train`.

    Raises:
        DamagedError: a file is missing or was changed.
    """
    from sentiment.evaluation.evaluate import TrainingRecord  # imports Matplotlib

    return TrainingRecord(
        name=read_run_record().name,
        history=pd.read_csv(files.verified(TRAIN / "history.csv")),
        gradients=pd.read_csv(files.verified(TRAIN / "gradients.csv")),
    )


def read_eval_dataset() -> "EvalDataset":
    """Read the test set from `data/pad` and `data/fetch`, without its padded rows.

    Raises:
        DamagedError: a file is missing or was changed.
    """
    from sentiment.evaluation.evaluate import EvalDataset  # imports Matplotlib

    y, order, seen = files.read_arrays(PAD, ["y_test", "test_order", "test_seen"])
    return EvalDataset(y, order, seen, files.read_reviews(FETCH, "test"))


def read_vocabulary() -> list[str]:
    """Read the words by frequency rank from `data/fetch`. Rank 0 is not a word's rank.

    Raises:
        DamagedError: the word index is missing or was changed.
    """
    index = files.read_json(files.verified(FETCH / "word_index.json"))
    return ["", *sorted(index, key=index.__getitem__)]


def write_evaluation(folder: Path, evaluation: "Evaluation") -> None:
    """Write metrics, probabilities, tables and plots into a folder."""
    files.write_json(folder / "metrics.json", evaluation.metrics)
    files.write_arrays(folder, {"probabilities": evaluation.probabilities})
    for name, table in evaluation.tables.items():
        write_table(folder / f"{name}.csv", table)
    for name, plot in evaluation.plots.items():
        plot.savefig(folder / f"{name}.png")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV.

    A text that does not start with a letter or a digit gets an apostrophe before it, so that no
    spreadsheet takes it for a formula.
    """
    if TEXT_COLUMN not in table:
        table.to_csv(path, index=False)
        return
    texts = [FORMULA_START.sub("'", text) for text in table[TEXT_COLUMN]]
    # Quote all texts: pandas writes a carriage return unquoted, and reads it as the end of a line.
    table.assign(text=texts).to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)


def current_digests() -> dict[str, str]:
    """Return the digests of the model and the test set in `data/`, as an evaluation records them.

    Two evaluations with the same `TEST_DIGEST` can be compared, whatever model they are of.
    """
    return {
        MODEL_DIGEST: read_about(TRAIN, AboutTrain).files["model.keras"],
        TEST_ROWS_DIGEST: files.read_digests(PAD)["x_test.npy"],
        TEST_DIGEST: files.joint_digest(FETCH, array_names("test")),
    }


def is_evaluation_current() -> bool:
    """Return whether `data/evaluate` is of the model and the test set in `data/`."""
    path = EVALUATE / files.ABOUT_FILE
    if not path.exists():
        return False
    # Until `evaluate` runs again, the other keys may have another commit's values.
    about = files.read_json(path)
    return isinstance(about, dict) and about.get("digests") == current_digests()
