"""Stage 3: train the model, watched by MLflow.

Writes `data/train/`: `model.keras`, `history.csv` (a row an epoch), `gradients.csv` (how far back
the gradient reaches before the first epoch), `metrics.json` (the epoch whose weights are kept),
`run.json` (which MLflow run this is, and what its code had of changes without a commit).

A training that was killed is resumed from the end of its last epoch, see
`workflow.runs.training_run`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sentiment.gradients import gradient_reach, measure_gradients
from sentiment.network.batches import train_validation_split
from sentiment.network.model import model_inputs, save_model
from sentiment.network.progress import TrainingResult
from sentiment.network.training import Training, training_metrics
from sentiment.section import flatten
from workflow import ending, files
from workflow.files import PAD, TRAIN
from workflow.params import dataset_name, load_params
from workflow.runs import identity, lifecycle
from workflow.runs.identity import fingerprint, provenance, run_name, uncommitted_diff
from workflow.runs.logger import now
from workflow.runs.training_run import (
    FORMAT,
    log_data,
    log_outputs,
    resume,
    training_digests,
    training_run,
)


def identify(settings_used: Mapping[str, Any]) -> dict[str, str]:
    """Tags that lead back from the run: to code, data, packages and machine."""
    data, computed_by = training_digests(), identity.describe()
    shaped = {"params": settings_used, "data": data, "machine": computed_by, "checkpoints": FORMAT}
    key = fingerprint({**shaped, "code": identity.code_digests(["train"])})
    own = {lifecycle.KEY: key, "dataset": dataset_name(settings_used)}
    return {**own, **provenance(), **data, **computed_by}


def write(
    folder: Path, training: Training, trained: TrainingResult, gradients: pd.DataFrame
) -> None:
    """Write the model, tables and metrics into an empty folder."""
    save_model(training.model, folder / "model.keras")
    trained.history.to_csv(folder / "history.csv", index=False)
    gradients.to_csv(folder / "gradients.csv", index=False)
    metrics = training_metrics(trained) | {"initial_gradient_reach": gradient_reach(gradients)}
    files.write_json(folder / "metrics.json", metrics)


def main() -> None:
    everything = load_params()
    params = everything.train
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    learning, validation = train_validation_split(x, y, params.validation_split)
    settings_used = files.read_about(PAD)["params"] | flatten(params, "train")
    tags, changes = identify(settings_used), uncommitted_diff()
    name = run_name(params, settings_used, tags.get("dvc.experiment"))
    with training_run(name, settings_used, tags) as run:
        log = run.log
        log_data(log, tags["dataset"], learning, validation)
        inputs = model_inputs(everything.pad, params, len(learning.y))
        training = Training(params, inputs, learning, validation)
        print(f"Training by {training.path}", flush=True)
        tags["train.path"] = training.path
        log.tags(tags)
        # before the first step, on reviews that are never trained on
        padding_token, reviews = settings_used["pad.padding_token"], params.gradient_reviews
        gradients = measure_gradients(training.model, validation.x, padding_token, reviews)
        trained = resume(run, training)
        times = {"begun": log.begun, "ended": now()}
        record = {**log.run._asdict(), **times, "tags": tags, "uncommitted": changes}
        with files.replaced(TRAIN) as folder:
            write(folder, training, trained, gradients)
            files.write_json(folder / "run.json", record)
            files.write_about(folder, settings_used)
        log_outputs(log, training.model, trained.history, gradients, changes)
    print(f"MLflow run {log.run.run_id}: {log.run.name}")


if __name__ == "__main__":
    ending.run_stage("train", main)
