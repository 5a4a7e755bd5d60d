"""The key of a training, and its key without the seed."""

import json
from pathlib import Path
from typing import NamedTuple

from sentiment.params import TrainParams, used_train_params
from sentiment.project.digests import digest_lines, short_digest
from sentiment.project.dvc import stage_dependencies


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
    files = digest_lines(map(Path, stage_dependencies()["train"]))
    repeated = used_train_params(params)
    del repeated["train.seed"]
    return TrainingKeys(
        training_key=short_digest(params.model_dump_json() + files),
        repetition_key=short_digest(json.dumps(repeated, sort_keys=True) + files),
    )
