"""Stage 3: train the model, one MLflow run for each training.

Writes `data/train/`: `model.keras` and `metrics.json` (of the epoch whose weights are kept); and,
after each epoch, `metrics/`: `train.json` (the metrics to compare) and `history.csv` (a row for
each epoch).

A training that was killed resumes after its last finished epoch.
"""

import math
from pathlib import Path

from sentiment.network.batches import train_validation_split
from sentiment.network.model import save_model
from sentiment.network.training import Training
from sentiment.params import changed_but_unread
from tracking import runs
from workflow import files
from workflow.checkpoint import exclusive_checkpoint
from workflow.files import PAD_FOLDER, TRAIN_FOLDER, PadInputs, TrainInputs
from workflow.params_file import load_params
from workflow.stage import SignalFlag
from workflow.training_key import training_keys

FEW_STEPS = 100
# Two only, so that `dvc exp show` has the test accuracy within the 80 columns of a terminal.
COMPARED_TRAINING_METRICS = ("accuracy", "val_accuracy")


def write_epochs(training: Training) -> list[Path]:
    """Write the files in `metrics/` with the epochs so far, and return their paths."""
    compared = files.write_compared_metrics(
        TRAIN_FOLDER.name, training.metrics, COMPARED_TRAINING_METRICS
    )
    training.history.to_csv(files.HISTORY_FILE, index=False)
    return [files.HISTORY_FILE, compared]


def describe_few_steps(training: Training) -> str:
    """Return a note if a network was trained for few steps, otherwise ""."""
    if training.params.architecture == "linear" or training.steps >= FEW_STEPS:
        return ""
    epochs = math.ceil(FEW_STEPS * len(training.epochs) / training.steps)
    more = "" if training.params.patience else f", or train.epochs: {epochs} or more"
    return (
        f"The training had only {training.steps} steps, too few for a network. Try `sentiment "
        f"preset linear`{more}."
    )


def main(flag: SignalFlag) -> None:
    params = load_params().train
    unread = changed_but_unread(params)
    if unread:
        print(f"The architecture {params.architecture} does not read {', '.join(unread)}.")
    files.check_folders(PAD_FOLDER)
    pad_inputs = files.read_inputs(PAD_FOLDER, PadInputs)
    x = files.read_array(PAD_FOLDER / "x_train.npy")
    y = files.read_array(PAD_FOLDER / "y_train.npy")
    train_split, val_split = train_validation_split(x, y, params.validation_split)
    keys = training_keys(params)
    inputs = TrainInputs(**dict(pad_inputs), train=params, **keys._asdict())
    with exclusive_checkpoint(inputs.key) as checkpoint:
        training = Training(params, pad_inputs.pad, len(inputs.labels), train_split, val_split)
        journal, state = checkpoint.read_training()
        journal = journal or runs.begin_journal(checkpoint)
        with runs.live_run(journal, inputs) as run:
            if state is not None:
                training.restore(state)
                write_epochs(training)
                run.log_new_epochs(training.epochs)  # the last one may not be logged yet
                print(f"Resuming after epoch {len(training.epochs)} of {params.epochs}", flush=True)

            def after_epoch() -> None:
                checkpoint.write_state(journal, training.capture())
                write_epochs(training)
                run.log_new_epochs(training.epochs)

            training.fit(after_epoch, [flag.callback()])
            note = describe_few_steps(training)
            if note:
                print(note, flush=True)
            folder = files.new_folder(TRAIN_FOLDER)
            save_model(training.model, files.MODEL_FILE)
            files.write_json(folder / files.METRICS_NAME, training.metrics)
            files.write_inputs(
                folder, inputs, made_from=[PAD_FOLDER], metrics=write_epochs(training)
            )
            checkpoint.write_journal(journal.model_copy(update={"epochs": training.epochs}))
