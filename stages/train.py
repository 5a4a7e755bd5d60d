"""Stage 3: train the model, one MLflow run for each training.

Writes `data/train/`: `model.keras`; `history.csv` (one row per epoch); `gradients.csv` (how far
back the gradient reaches, measured before the first epoch); `metrics.json` (of the epoch whose
weights are kept); and `run.json` (id, name, times, tags and datasets of the run, and the
uncommitted diff).

A training that was interrupted is resumed after its last finished epoch, see
`workflow.checkpoints`.
"""

from pathlib import Path

import pandas as pd

from sentiment.gradients import gradient_reach, measure_gradients
from sentiment.network.batches import Split, train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.model import save_model
from sentiment.network.progress import TrainingResult
from sentiment.network.training import Training, training_metrics
from workflow import checkpoints, files, outputs, provenance, tracking
from workflow.about import AboutPad, AboutTrain, read_about, write_about
from workflow.commands import run_stage
from workflow.files import PAD, TRAIN
from workflow.outputs import DatasetRecord, RunRecord
from workflow.params import load_params
from workflow.publish import publish
from workflow.resume import train_or_resume


def checkpoint_key(about: AboutTrain, machine_tags: dict[str, str]) -> str:
    """Return a digest of everything that the bits of a training depend on."""
    return provenance.short_digest_of(
        {
            "params": about.model_dump(exclude={"files"}),
            "data": files.read_digests(PAD),
            "code": provenance.code_digests(["train"]),
            "machine": machine_tags,
            "format": checkpoints.FORMAT,
        }
    )


def describe_splits(dataset: str, train_split: Split, val_split: Split) -> list[DatasetRecord]:
    """Describe the training set and the validation set for MLflow."""
    arrays = ["x_train", "y_train"]
    boundary = len(train_split.y)
    training_digest = files.short_digest(PAD, arrays, slice(0, boundary))
    validation_rows = slice(boundary, boundary + len(val_split.y))
    validation_digest = files.short_digest(PAD, arrays, validation_rows)
    return [
        tracking.describe_arrays(
            f"{dataset}-training", "training", train_split.x, train_split.y, PAD, training_digest
        ),
        tracking.describe_arrays(
            f"{dataset}-validation", "validation", val_split.x, val_split.y, PAD, validation_digest
        ),
    ]


def write_training(
    folder: Path, training: Training, result: TrainingResult, gradients: pd.DataFrame
) -> None:
    """Write the model, tables and metrics of a training into an empty folder."""
    save_model(training.model, folder / "model.keras")
    result.history.to_csv(folder / "history.csv", index=False)
    gradients.to_csv(folder / "gradients.csv", index=False)
    metrics = training_metrics(result) | {"initial_gradient_reach": gradient_reach(gradients)}
    files.write_json(folder / "metrics.json", metrics)


def main() -> None:
    params = load_params().train
    about_pad = read_about(PAD, AboutPad)
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    train_split, val_split = train_validation_split(x, y, params.validation_split)
    about = AboutTrain(dataset=about_pad.dataset, pad=about_pad.pad, train=params)
    machine_tags = provenance.machine_tags()
    key = checkpoint_key(about, machine_tags)
    checkpoints.remove_stale_checkpoints()
    with checkpoints.exclusive_checkpoint(key) as checkpoint:
        inputs = model_inputs(about_pad.pad, params, len(train_split.y))
        will_restore = checkpoint.arrays is not None
        training = Training(params, inputs, train_split, val_split, will_restore)
        print(f"Training with {training.implementation}", flush=True)
        digests = files.read_digests(PAD)
        tags = {
            "dataset": about.dataset.name,
            outputs.TRAINING_KEY: key,
            **provenance.provenance_tags(),
            **machine_tags,
            "train.path": training.implementation,
            "data.x_train.sha256": digests["x_train.npy"],
            "data.y_train.sha256": digests["y_train.npy"],
        }
        experiment = tags.get("dvc.experiment")
        record = RunRecord(
            training_id=checkpoint.start.training_id,
            name=provenance.run_name(params, about.pad, about.dataset, experiment),
            started=checkpoint.start.time,
            tags=tags,
            datasets=describe_splits(about.dataset.name, train_split, val_split),
            uncommitted=provenance.uncommitted_diff(),
        )
        with tracking.live_run(record, about.flat_params()) as run:
            # Before the first epoch, on reviews that are never trained on.
            gradients = measure_gradients(training.model, val_split.x)
            result = train_or_resume(training, checkpoint, run)
            record = record.model_copy(update={"ended": tracking.now_ms()})
            with files.atomic_folder(TRAIN) as folder:
                write_training(folder, training, result, gradients)
                outputs.write_run_record(folder, record)
                write_about(folder, about)
            published = run.attempt(publish)
    if published:
        print(f"MLflow run {published.run_id}: {published.name}")


if __name__ == "__main__":
    run_stage("train", main)
