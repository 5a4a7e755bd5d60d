"""Stage 3: train the model, one MLflow run for each training.

Writes `data/train/`, a whole model: `model.keras`, `word_index.json`, `config.json`, and its
training: `history.csv` (a row for each epoch) and `metrics.json` (of the epoch whose weights are
kept); `data/run.json` (the id of the run, and what it takes to make a copy of the run); and, after
each epoch, `metrics/`: `train.json` (the metrics to compare) and `history.csv`.

A training that was stopped resumes after its last finished epoch, in the same run.
"""

import shutil
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from sentiment.errors import UserError
from sentiment.model.fitting import describe_fit, fit_to_table
from sentiment.model.saving import check_loads, save_model
from sentiment.model.training import Training, make_deterministic
from sentiment.params import AnyModel, LinearParams
from sentiment.project.files.arrays import read_padded_vectors, read_training_splits
from sentiment.project.files.digests import folder_digest
from sentiment.project.files.documents import new_folder, write_json, write_table
from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import HISTORY_FILE, METRICS_FILE, Project
from sentiment.project.files.records import PaddedDataset, read_padded_dataset, write_record
from sentiment.project.training.checkpoint import (
    Checkpoint,
    exclusive_folder,
    exclusive_key,
    remove_recorded_checkpoints,
    training_key,
)
from sentiment.project.training.progress import show_epochs
from sentiment.terminal import show
from sentiment.text.model_files import CONFIG_FILE, WEIGHTS_FILE, WORD_INDEX_FILE
from sentiment.tracking import address, runs, store

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMPARED_TRAINING_METRICS = ("accuracy", "val_accuracy")


def write_epochs(project: Project, training: Training) -> None:
    """Write the files in `metrics/` with the epochs so far."""
    project.metrics.mkdir(exist_ok=True)
    compared = {name: training.metrics[name] for name in COMPARED_TRAINING_METRICS}
    write_json(project.metrics / "train.json", compared)
    write_table(project.metrics / HISTORY_FILE, training.history)


def write_model(project: Project, training: Training, dataset: PaddedDataset) -> None:
    """Write `data/train`, with the same bits for the same training."""
    folder = new_folder(project.trained)
    save_model(training.model, folder / WEIGHTS_FILE)
    shutil.copyfile(project.padded / WORD_INDEX_FILE, folder / WORD_INDEX_FILE)
    write_json(folder / CONFIG_FILE, asdict(dataset.config()))
    write_json(folder / METRICS_FILE, training.metrics)
    write_table(folder / HISTORY_FILE, training.history)


def train(
    project: Project,
    client: "MlflowClient",
    checkpoint: Checkpoint,
    training: Training,
    run_id: str,
) -> None:
    """Train the remaining epochs. Each is kept in the checkpoint, and then logged to the run.

    A custom network is checked before its first epoch.
    """

    def after_epoch() -> None:
        checkpoint.write_state(training.capture())
        write_epochs(project, training)
        with address.store_errors():
            runs.log_epochs(client, run_id, training.history)

    state = checkpoint.read_state()
    if state is not None:
        training.restore(state)
        trained = len(training.epoch_metrics)
        show(f"Resuming after epoch {trained} of {training.params.epochs}")
        after_epoch()  # the last epoch may not be logged yet
    elif training.params.architecture == "custom":
        check_loads(training.model, training.val_split.x)
    training.fit(after_epoch, [show_epochs(training.params.epochs, training.batches)])
    with address.store_errors():
        runs.log_kept_epoch(client, run_id, training.metrics)


def check_unchanged(project: Project, key: str) -> None:
    """Check that a training has the params, arrays and code that it began with.

    DVC hashes the dependencies after the stage, so dvc.lock would have the changed ones.

    Args:
        key: what `training_key` returned at the start.

    Raises:
        UserError: one of them was changed.
    """
    if training_key(project, load_params(project).training) != key:
        raise UserError(
            "params.yaml, data/pad or the code was changed during the training. Undo the change, "
            "and `dvc repro` resumes; or keep it, and `dvc repro` trains again."
        )


def fitted_values(dataset: PaddedDataset, section: AnyModel) -> dict[str, int | float]:
    """Return what the stages chose for a table, by the names of the params, and length.

    Args:
        section: the section that is trained.
    """
    if not dataset.is_table:
        return {}
    values: dict[str, int | float] = {
        "length": dataset.length,
        "batch_size": section.batch_size,
        "epochs": section.epochs,
    }
    if isinstance(section, LinearParams):
        values["ending"] = section.ending
    return values


def main(project: Project) -> None:
    params = load_params(project).training
    show("Opening MLflow's store")
    client = store.connect(project)
    with ExitStack() as locks:
        locks.enter_context(exclusive_folder(project))
        remove_recorded_checkpoints(project)
        dataset = read_padded_dataset(project)
        if not dataset.is_made_with(params):
            raise UserError(f"{project.padded} was made with other params. Run `dvc repro`.")
        splits = read_training_splits(project, params.section.validation_split)
        vectors = read_padded_vectors(project, bool(dataset.vectors))
        section = params.section
        if dataset.is_table:
            texts = len(splits[0].y)
            section = fit_to_table(params.section, texts, dataset.median_words)
            for line in describe_fit(params.section, section, texts):
                show(line)
        show("Importing TensorFlow")
        key = training_key(project, params)
        locks.enter_context(exclusive_key(project, key))
        checkpoint = Checkpoint(project.checkpoints / key)
        padded_digest = folder_digest(project.padded)
        show("Building the model")
        make_deterministic(params.seed)
        # Before the run starts, which names all modules that the network has imported.
        training = Training(section, dataset.layout, len(dataset.label_names), *splits, vectors)
        with runs.training_run(
            project,
            client,
            checkpoint,
            dataset,
            params,
            fitted_values(dataset, section),
            padded_digest,
        ) as record:
            with address.store_errors():
                runs.log_training(client, record.run_id, record, splits)
            train(project, client, checkpoint, training, record.run_id)
            show("Writing the model")
            check_unchanged(project, key)
            write_model(project, training, dataset)
            record = record.model_copy(update={"trained_digest": folder_digest(project.trained)})
            write_record(project.run_file, record)
            checkpoint.write_run(record)
