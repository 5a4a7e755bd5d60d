"""Stage 3: train the model, one MLflow run for each training.

Writes `data/train/`: `model.keras` and `metrics.json` (of the epoch whose weights are kept); and,
after each epoch, `metrics/`: `train.json` (the metrics to compare) and `history.csv` (a row for
each epoch).

A training that was killed resumes after its last finished epoch.
"""

from sentiment.errors import UserError
from sentiment.model.saving import save_model
from sentiment.model.training import Training
from sentiment.params import changed_but_unread
from sentiment.project import paths
from sentiment.project.arrays import read_training_splits
from sentiment.project.checkpoint import Checkpoint, Journal, exclusive_checkpoint
from sentiment.project.digests import file_digest
from sentiment.project.documents import new_folder, write_compared_metrics, write_json, write_table
from sentiment.project.machine import machine_changes, machine_tags
from sentiment.project.manifest import (
    ModelManifest,
    PadManifest,
    TrainingManifest,
    read_manifest,
    write_manifest,
)
from sentiment.project.params_file import load_params
from sentiment.project.paths import PAD_FOLDER, TRAIN_FOLDER
from sentiment.project.provenance import provenance_tags, uncommitted_changes
from sentiment.project.signals import SignalFlag
from sentiment.project.training_key import training_keys
from sentiment.tracking.runs import live_run

# Two only, so that `dvc exp show` has the test accuracy within the 80 columns of a terminal.
COMPARED_TRAINING_METRICS = ("accuracy", "val_accuracy")


def resume(training: Training, checkpoint: Checkpoint) -> Journal | None:
    """Restore the state of a training that was stopped, and return its journal.

    None: there is no such training, or another machine or other packages would give it other bits.
    """
    state = checkpoint.read_state()
    journal = checkpoint.read_journal()
    if state is None or journal is None:
        return None
    changes = machine_changes(journal.tags, machine_tags())
    if changes:
        values = [f"{name}: {then} then, {now} now" for name, (then, now) in changes.items()]
        print(f"The training starts again, because its bits would change: {'; '.join(values)}")
        return None
    training.restore(state)
    return journal


def begin(training: Training, checkpoint: Checkpoint) -> Journal:
    """Write the journal and the first state of a new training, and return the journal."""
    changes = uncommitted_changes()
    if changes.missing:
        print(f"The diff in the run is not complete: {'; '.join(changes.missing)}", flush=True)
    journal = Journal(tags=provenance_tags(changes), diff=changes.diff)
    checkpoint.remove_state()  # a kill must not leave an earlier state with the new journal
    checkpoint.write_journal(journal)
    checkpoint.write_state(training.capture())
    return journal


def write_epochs(training: Training) -> None:
    """Write the files in `metrics/` with the epochs so far."""
    write_compared_metrics(TRAIN_FOLDER.name, training.metrics, COMPARED_TRAINING_METRICS)
    write_table(paths.HISTORY_FILE, training.history)


def main(flag: SignalFlag) -> None:
    params = load_params().train
    unread = changed_but_unread(params)
    if unread:
        print(f"The architecture {params.architecture} does not read {', '.join(unread)}.")
    padded = read_manifest(PAD_FOLDER, PadManifest)
    train_split, val_split = read_training_splits(params.validation_split)
    keys = training_keys(params)
    with exclusive_checkpoint(keys.training_key) as checkpoint:
        label_count = len(padded.label_names)
        training = Training(params, padded.pad, label_count, train_split, val_split)
        journal = resume(training, checkpoint) or begin(training, checkpoint)
        manifest = TrainingManifest(**dict(padded), train=params, **keys._asdict())
        with live_run(journal, manifest) as run:
            if training.epoch_metrics:
                trained = len(training.epoch_metrics)
                print(f"Resuming after epoch {trained} of {params.epochs}", flush=True)
                write_epochs(training)
                run.log_epochs(training.history)  # the last one may not be logged yet

            def after_epoch() -> None:
                checkpoint.write_state(training.capture())
                write_epochs(training)
                run.log_epochs(training.history)

            training.fit(after_epoch, [flag.callback()])
            if training_keys(load_params().train) != keys:
                # DVC hashes dependencies after the stage: dvc.lock would have the changed ones.
                raise UserError(
                    "params.yaml, data/pad or the code was changed during the training. Undo that, "
                    "and run `dvc repro`, which resumes, or run it as it is, which trains again."
                )
            folder = new_folder(TRAIN_FOLDER)
            save_model(training.model, paths.MODEL_FILE)
            write_json(folder / paths.METRICS_NAME, training.metrics)
            model_digest = file_digest(paths.MODEL_FILE)
            write_manifest(folder, ModelManifest(**dict(manifest), model_digest=model_digest))
            checkpoint.write_journal(journal.model_copy(update={"model_digest": model_digest}))
