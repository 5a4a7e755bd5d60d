"""The key of a training, and its key without the seed."""

import json
from pathlib import Path
from typing import NamedTuple

from sentiment.errors import UserError
from sentiment.params import FetchParams, PadParams, TrainParams, flatten_used
from workflow import paths
from workflow.digests import file_digest, list_digests, short_digest
from workflow.documents import missing_error, read_json
from workflow.dvc import stage_dependencies
from workflow.inputs import ModelInputs
from workflow.paths import FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER


class TrainingKeys(NamedTuple):
    """Digests of what identifies a training.

    Attributes:
        training_key: of all params of `train`, and of the files that dvc.yaml lists for the stage
            `train`: the arrays and the code. On one machine, trainings with the same key have the
            same bits.
        repetition_key: of the params that the architecture reads, without the seed, and of the
            files. Trainings with the same one repeat each other.
    """

    training_key: str
    repetition_key: str


def training_keys(params: TrainParams) -> TrainingKeys:
    """Return the digests of the training that these params and the current files describe."""
    dependencies = stage_dependencies()["train"]
    return make_keys(params, list_digests(map(Path, dependencies)))


def make_keys(params: TrainParams, digests: str) -> TrainingKeys:
    """Return the keys of a training.

    Args:
        digests: of the files that it depends on, see `workflow.digests.list_digests`.
    """
    used = flatten_used(FetchParams(), PadParams(), params)
    repeated = {name: used[name] for name in used if name.startswith("train.")}
    del repeated["train.seed"]
    return TrainingKeys(
        training_key=short_digest(params.model_dump_json() + digests),
        repetition_key=short_digest(json.dumps(repeated, sort_keys=True) + digests),
    )


def check_training(inputs: ModelInputs, params: TrainParams) -> None:
    """Check that `data/` has the training that the params and the current files describe.

    Args:
        inputs: those of `data/train`.
        params: the current ones.

    Raises:
        UserError: a folder was made from other files, or the model is another one.
    """
    fetched = read_json(FETCH_FOLDER / paths.INPUTS)
    padded = read_json(PAD_FOLDER / paths.INPUTS)
    if not fetched.items() <= padded.items():
        raise UserError(f"{PAD_FOLDER} was made from another {FETCH_FOLDER}. Run `dvc repro`.")
    if training_keys(params).training_key != inputs.training_key:
        raise UserError(
            f"{TRAIN_FOLDER} has another training than the one that params.yaml, {PAD_FOLDER} and "
            "the code describe. Run `dvc repro`."
        )
    check_model(inputs)


def check_model(inputs: ModelInputs) -> None:
    """Check that `model.keras` is the model that the stage `train` wrote.

    Raises:
        UserError: it is missing, or another one.
    """
    if not paths.MODEL_FILE.exists():
        raise missing_error(paths.MODEL_FILE)
    if file_digest(paths.MODEL_FILE) != inputs.model_digest:
        raise UserError(
            f"{paths.MODEL_FILE} is not the model that the stage train wrote. Run `dvc repro`, "
            "which makes it or takes it from DVC's cache."
        )
