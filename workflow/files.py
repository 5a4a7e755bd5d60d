"""Where the pipeline's files are, and how they are read and written.

DVC keeps `data/<stage>/` in its cache, and git keeps `metrics/`. No file has a time or an id of a
run, so the same pipeline writes the same files again.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from sentiment.errors import UserError
from sentiment.params import EvaluateParams, FetchParams, PadParams, Section, TrainParams
from sentiment.prediction.tokenizer import Reviews

DATA = Path("data")
FETCH = DATA / "fetch"
PAD = DATA / "pad"
TRAIN = DATA / "train"
EVALUATE = DATA / "evaluate"
METRICS_FOLDER = Path("metrics")
MODEL_FILE = TRAIN / "model.keras"
WORD_INDEX_FILE = FETCH / "word_index.json"
HISTORY_FILE = METRICS_FOLDER / "history.csv"
INITIAL_GRADIENTS_FILE = TRAIN / "initial_gradients.csv"
GRADIENTS_FILE = METRICS_FOLDER / "gradients.csv"
METRICS = "metrics.json"  # all metrics of a stage, in its folder of data/
TRAINING_METRICS_FILE = TRAIN / METRICS
TEST_METRICS_FILE = EVALUATE / METRICS
PREDICTIONS_FILE = EVALUATE / "predictions.csv"
FORMULA_START = re.compile(r"^(?=[\W_])")  # a spreadsheet may take such a text for a formula
INPUTS = "inputs.json"  # in each folder of data/: what the folder depends on


class FetchInputs(Section):
    """What `data/fetch` depends on."""

    fetch: FetchParams


class PadInputs(FetchInputs):
    """What `data/pad` depends on."""

    pad: PadParams


class TrainInputs(PadInputs):
    """What `data/train` depends on.

    Attributes:
        key: digest of everything that the bits of the training depend on.
    """

    train: TrainParams
    key: str


class EvaluateInputs(TrainInputs):
    """What `data/evaluate` depends on."""

    evaluate: EvaluateParams


InputsT = TypeVar("InputsT", bound=FetchInputs)


def root() -> Path:
    """Return the project's root, also for a stage that runs in a temporary copy of the project.

    DVC names the root in `DVC_ROOT`. `dvc exp run --temp` and queued experiments run elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def new_folder(folder: Path) -> Path:
    """Make an empty folder in place of an earlier one, if there is one, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path: Path, document: Any) -> None:
    """Write a document as readable JSON.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a stage.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise missing_error(path) from None
    except ValueError as error:
        raise damaged_error(path, error) from None


def write_metrics(folder: Path, metrics: Mapping[str, float], compared: Sequence[str]) -> None:
    """Write the metrics of a stage.

    Args:
        folder: the stage's folder of `data/`. It gets all metrics, for MLflow.
        metrics: by name.
        compared: names of the metrics for `metrics/<stage>.json`, which `dvc metrics` shows.
    """
    write_json(folder / METRICS, metrics)
    write_json(compared_metrics_file(folder), {name: metrics[name] for name in compared})


def compared_metrics_file(folder: Path) -> Path:
    """Return the file of the metrics that `dvc metrics` shows, for a folder of `data/`."""
    return METRICS_FOLDER / f"{folder.name}.json"


def write_inputs(folder: Path, inputs: FetchInputs) -> None:
    """Write what a folder of `data/` depends on into it."""
    write_json(folder / INPUTS, inputs.model_dump())


def read_inputs(folder: Path, kind: type[InputsT]) -> InputsT:
    """Read what a folder of `data/` depends on.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / INPUTS
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise damaged_error(path, error) from None


def guard_formulas(texts: Iterable[str]) -> list[str]:
    """Put a space, which tokenizers ignore, before texts that may look like a formula."""
    return [FORMULA_START.sub(" ", text) for text in texts]


def write_arrays(folder: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write each array as `<name>.npy`."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_array(path: Path) -> NDArray[Any]:
    """Map an array of a stage into memory, read-only.

    Raises:
        UserError: the file is missing or is not an array.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise missing_error(path) from None
    except (ValueError, EOFError) as error:
        raise damaged_error(path, error) from None
    return array


def write_reviews(folder: Path, split: str, reviews: Reviews) -> None:
    """Write the reviews of the `train` or the `test` set into a folder, one file an array."""
    names = [field.name for field in fields(reviews)]
    write_arrays(folder, {f"{split}_{name}": getattr(reviews, name) for name in names})


def read_reviews(folder: Path, split: str) -> Reviews:
    """Read the reviews that `write_reviews` wrote.

    Raises:
        UserError: a file is missing or damaged.
    """
    names = [field.name for field in fields(Reviews)]
    return Reviews(*(read_array(folder / f"{split}_{name}.npy") for name in names))


def missing_error(path: Path) -> UserError:
    """Return the error for a stage's file that does not exist."""
    return UserError(f"{path} is missing. `dvc repro` makes it, or takes it from DVC's cache.")


def damaged_error(path: Path, error: Exception) -> UserError:
    """Return the error for a stage's file that cannot be read."""
    return UserError(
        f"{path} is damaged ({str(error).partition(chr(10))[0]}). Delete {path.parent} and run "
        "`dvc repro`."
    )
